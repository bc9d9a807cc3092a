/* Q4_K: 256 values in 8 runs of 32; value = d * scale * q - dmin * min, q in 0..15, scale and min 0..63 of the run.
 * File block: d and dmin, float16; 12 bytes of scales and mins (quant_scale_min_k4 in kern_int.h); 128 bytes: byte
 * 32 h + i holds value 64 h + i in its low and value 64 h + 32 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q4_K). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 144, AT_SCALE = 4, AT_Q = 16 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return b[AT_Q + k / 64 * 32 + k % 32] >> k / 32 % 2 * 4 & 15;
}

static void q4_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b)), dmin = f16_value(load_u16(b + 2));
        for (size_t k = 0; k < 256; k++) {
            struct scale_min s = quant_scale_min_k4(b + AT_SCALE, k / 32);
            y[i + k] = d * (float)s.scale * (float)file_quant(b, k) - dmin * (float)s.min;
        }
    }
}

/* The codes of a part of a file block. */
static struct quads file_quads(const uint8_t *b, size_t part)
{
    struct quads c;
    for (size_t j = 0; j < 8; j++) {
        c.q[j] = load_u32(b + AT_Q + part / 2 * 32 + 4 * j) >> part % 2 * 4 & 0x0f0f0f0fu;
    }
    return c;
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q4_k *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    p->m[r] = load_u16(b + 2);
    for (size_t part = 0; part < PARTS_K; part++) {
        struct scale_min s = quant_scale_min_k4(b + AT_SCALE, part);
        struct quads c = file_quads(b, part);
        six_bits_put(p->low, p->high, 2 * part, r, s.scale);
        six_bits_put(p->low, p->high, 2 * part + 1, r, s.min);
        nibbles_put(p->q[part], r, &c);
    }
}

static void q4_k_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q4_k *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        int scale = six_bits_at(p->low, p->high, 2 * part, r), min = six_bits_at(p->low, p->high, 2 * part + 1, r);
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]) * (float)scale;
        out->m[0][r] = out->m[1][r] = -(f16_value(p->m[r]) * (float)min);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)nibble_at(p->q[part], r, k);
        }
    }
}

const struct quant quant_q4_k = {
    .name = "Q4_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_q4_k),
    .scale_at = {0, 2},
    .dequantize = q4_k_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q4_k, .run = 32, .has_min = true, .part = q4_k_part};
QUANT_READERS(q4_k, form);
