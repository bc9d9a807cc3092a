/* Q3_K: 256 values in 16 runs of 16; value = d * (scale - 32) * (q - 4), q in 0..7, scale 0..63 of the run.
 * File block: 32 bytes, bit s of byte i the third bit of value 32 s + i; 64 bytes, the two low bits of a value: byte
 * 32 h + i holds values 128 h + 32 s + i at bit 2 s; 12 bytes of scales: the low four bits of run r in nibble r / 8 of
 * byte r % 8, the two high ones at bit 2 (r / 4) of byte 8 + r % 4; d, float16.
 * Source: ggml-quants.c (dequantize_row_q3_K). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 110, AT_Q = 32, AT_SCALE = 96, AT_D = 108 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return (b[AT_Q + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3) | (b[k % 32] >> k / 32 & 1) << 2;
}

/* The six bits of the scale of run r. */
static int file_scale(const uint8_t *b, size_t r)
{
    const uint8_t *s = b + AT_SCALE;
    return (s[r % 8] >> r / 8 * 4 & 15) | (s[8 + r % 4] >> r / 4 * 2 & 3) << 4;
}

static void q3_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(file_scale(b, k / 16) - 32);
            y[i + k] = scale * (float)(file_quant(b, k) - 4);
        }
    }
}

/* The codes of a part of a file block. */
static struct quads file_quads(const uint8_t *b, size_t part)
{
    struct quads c;
    for (size_t j = 0; j < 8; j++) {
        uint32_t low = load_u32(b + AT_Q + part / 4 * 32 + 4 * j) >> part % 4 * 2 & 0x03030303u;
        c.q[j] = low | (load_u32(b + 4 * j) >> part & 0x01010101u) << 2;
    }
    return c;
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q3_k *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b + AT_D);
    for (size_t i = 0; i < 16; i++) {
        six_bits_put(p->low, p->high, i, r, file_scale(b, i));
    }
    for (size_t part = 0; part < PARTS_K; part++) {
        struct quads c = file_quads(b, part);
        crumbs_put(p->part[part].q, r, &c, 0);
        bits_put(p->part[part].bit2, r, &c, 2);
    }
}

static void q3_k_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q3_k *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        for (size_t h = 0; h < 2; h++) {
            out->d[h][r] = f16_value(p->d[r]) * (float)(six_bits_at(p->low, p->high, 2 * part + h, r) - 32);
        }
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)((crumb_at(p->part[part].q, r, k) | bit_at(p->part[part].bit2, r, k) << 2) - 4);
        }
    }
}

const struct quant quant_q3_k = {
    .name = "Q3_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_q3_k),
    .scale_at = {AT_D, -1},
    .dequantize = q3_k_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q3_k, .run = 16, .has_min = false, .part = q3_k_part};
QUANT_READERS(q3_k, form);
