/* Q5_0: 32 values share a float16 scale d; value = d * (q - 16), q in 0..31. File block: d, 4 bytes whose bit i is the
 * fifth bit of value i, then 16 bytes; byte i holds the low four bits of value i and of value 16 + i.
 * Source: ggml-quants.c (dequantize_row_q5_0, quantize_row_q5_0_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 22 };

static void q5_0_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        uint32_t high = load_u32(b + 2);
        for (size_t j = 0; j < 16; j++) {
            y[i + j] = (float)((b[6 + j] & 15) + (int)(high >> j & 1) * 16 - 16) * d;
            y[i + j + 16] = (float)((b[6 + j] >> 4) + (int)(high >> (j + 16) & 1) * 16 - 16) * d;
        }
    }
}

/* Truncated towards zero and kept in 0..31; NaN gives 0. */
static uint8_t five_bits(float v)
{
    return (uint8_t)(v > 0 ? (v < 31 ? v : 31.0f) : 0.0f);
}

/* The value of largest magnitude, with its sign: it becomes q = 0. */
static float signed_max(const float *x)
{
    float amax = 0, max = 0;
    for (size_t j = 0; j < 32; j++) {
        if (fabsf(x[j]) > amax) {
            amax = fabsf(x[j]);
            max = x[j];
        }
    }
    return max;
}

static void q5_0_quantize(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = signed_max(x + i) / -16.0f, inv = d != 0 ? 1.0f / d : 0.0f;
        uint16_t h = f16_bits(d);
        uint32_t high = 0;
        for (size_t j = 0; j < 16; j++) {
            uint32_t lo = five_bits(x[i + j] * inv + 16.5f), hi = five_bits(x[i + j + 16] * inv + 16.5f);
            b[6 + j] = (uint8_t)((lo & 15) | (hi & 15) << 4);
            high |= lo >> 4 << j | hi >> 4 << (j + 16);
        }
        memcpy(b, &h, sizeof(h));
        memcpy(b + 2, &high, sizeof(high));
    }
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q5_0 *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    uint32_t high = load_u32(b + 2);
    struct quads c;
    p->d[r] = load_u16(b);
    for (size_t j = 0; j < 4; j++) {
        memcpy(&p->q[j][r * 4], b + 6 + 4 * j, 4); /* the nibbles of a file are those of lines */
    }
    for (size_t j = 0; j < 8; j++) {
        c.q[j] = (high >> 4 * j & 15) * 0x00204081u & 0x01010101u; /* four bits into four bytes */
    }
    bits_put(p->bit4, r, &c, 0);
}

static void q5_0_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q5_0 *p = packed;
    (void)part; /* there is one */
    for (size_t r = 0; r < KERN_ROWS; r++) {
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)((nibble_at(p->q, r, k) | bit_at(p->bit4, r, k) << 4) - 16);
        }
    }
}

const struct quant quant_q5_0 = {
    .name = "Q5_0",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_q5_0),
    .scale_at = {0, -1},
    .dequantize = q5_0_dequantize,
    .quantize = q5_0_quantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q5_0, .run = 32, .has_min = false, .part = q5_0_part};
QUANT_READERS(q5_0, form);
