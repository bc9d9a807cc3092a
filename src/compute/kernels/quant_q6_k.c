/* Q6_K: 256 values in 16 runs of 16; value = d * scale * (q - 32), q in 0..63, scale a signed byte of the run.
 * File block: 128 bytes of the low four bits: byte 64 h + i holds value 128 h + i in its low and value 128 h + 64 + i
 * in its high nibble, i < 64; 64 bytes of the two high bits: byte 32 h + i holds values 128 h + 32 s + i at bit 2 s;
 * 16 scales; d, float16.
 * Source: ggml-quants.c (dequantize_row_q6_K). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 210, AT_HIGH = 128, AT_SCALE = 192, AT_D = 208 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    int low = b[k / 128 * 64 + k % 64] >> k % 128 / 64 * 4 & 15;
    return low | (b[AT_HIGH + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3) << 4;
}

static void q6_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(int8_t)b[AT_SCALE + k / 16];
            y[i + k] = scale * (float)(file_quant(b, k) - 32);
        }
    }
}

/* The codes of a part of a file block. */
static struct quads file_quads(const uint8_t *b, size_t part)
{
    struct quads c;
    for (size_t j = 0; j < 8; j++) {
        uint32_t low = load_u32(b + part / 4 * 64 + part % 2 * 32 + 4 * j) >> part % 4 / 2 * 4 & 0x0f0f0f0fu;
        uint32_t high = load_u32(b + AT_HIGH + part / 4 * 32 + 4 * j) >> part % 4 * 2 & 0x03030303u;
        c.q[j] = low | high << 4;
    }
    return c;
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q6_k *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b + AT_D);
    for (size_t i = 0; i < 16; i++) {
        p->scale[i][r] = (int8_t)b[AT_SCALE + i];
    }
    for (size_t part = 0; part < PARTS_K; part++) {
        struct quads c = file_quads(b, part);
        nibbles_put(p->part[part].q, r, &c);
        crumbs_put(p->part[part].bits45, r, &c, 4);
    }
}

static void q6_k_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q6_k *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        for (size_t h = 0; h < 2; h++) {
            out->d[h][r] = f16_value(p->d[r]) * (float)p->scale[2 * part + h][r];
        }
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] =
                (int8_t)((nibble_at(p->part[part].q, r, k) | crumb_at(p->part[part].bits45, r, k) << 4) - 32);
        }
    }
}

const struct quant quant_q6_k = {
    .name = "Q6_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_q6_k),
    .scale_at = {AT_D, -1},
    .dequantize = q6_k_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q6_k, .run = 16, .has_min = false, .part = q6_k_part};
QUANT_READERS(q6_k, form);
