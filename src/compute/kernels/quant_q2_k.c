/* Q2_K: 256 values in 16 runs of 16; value = d * scale * q - dmin * min, q in 0..3, scale and min 0..15 of the run.
 * File block: 16 bytes, the scale of a run in the low and its min in the high nibble; 64 bytes, two bits a value: byte
 * 32 h + i holds values 128 h + 32 s + i at bit 2 s; d and dmin, float16.
 * Source: ggml-quants.c (dequantize_row_q2_K). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 84, AT_Q = 16, AT_D = 80, AT_DMIN = 82 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return b[AT_Q + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3;
}

static void q2_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D)), dmin = f16_value(load_u16(b + AT_DMIN));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(b[k / 16] & 15), min = dmin * (float)(b[k / 16] >> 4);
            y[i + k] = scale * (float)file_quant(b, k) - min;
        }
    }
}

/* The codes of a part of a file block. */
static struct quads file_quads(const uint8_t *b, size_t part)
{
    struct quads c;
    for (size_t j = 0; j < 8; j++) {
        c.q[j] = load_u32(b + AT_Q + part / 4 * 32 + 4 * j) >> part % 4 * 2 & 0x03030303u;
    }
    return c;
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q2_k *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b + AT_D);
    p->m[r] = load_u16(b + AT_DMIN);
    for (size_t i = 0; i < 16; i++) {
        p->scale[i][r] = b[i];
    }
    for (size_t part = 0; part < PARTS_K; part++) {
        struct quads c = file_quads(b, part);
        crumbs_put(p->q[part], r, &c, 0);
    }
}

static void q2_k_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q2_k *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        for (size_t h = 0; h < 2; h++) {
            int scale = p->scale[2 * part + h][r];
            out->d[h][r] = f16_value(p->d[r]) * (float)(scale & 15);
            out->m[h][r] = -(f16_value(p->m[r]) * (float)(scale >> 4));
        }
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)crumb_at(p->q[part], r, k);
        }
    }
}

const struct quant quant_q2_k = {
    .name = "Q2_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_q2_k),
    .scale_at = {AT_D, AT_DMIN},
    .dequantize = q2_k_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q2_k, .run = 16, .has_min = true, .part = q2_k_part};
QUANT_READERS(q2_k, form);
