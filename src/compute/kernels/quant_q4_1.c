/* Q4_1: 32 values share a float16 scale d and minimum m; value = d * q + m, q in 0..15. File block: d, m, then
 * 16 bytes; byte i holds value i in its low and value 16 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q4_1, quantize_row_q4_1_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 20 };

static void q4_1_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b)), m = f16_value(load_u16(b + 2));
        for (size_t j = 0; j < 16; j++) {
            y[i + j] = (float)(b[4 + j] & 15) * d + m;
            y[i + j + 16] = (float)(b[4 + j] >> 4) * d + m;
        }
    }
}

/* Truncated towards zero and kept in 0..15; NaN gives 0. */
static uint8_t nibble(float v)
{
    return (uint8_t)(v > 0 ? (v < 15 ? v : 15.0f) : 0.0f);
}

static void q4_1_quantize(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float min = x[i], max = x[i];
        for (size_t j = 1; j < 32; j++) {
            min = x[i + j] < min ? x[i + j] : min;
            max = x[i + j] > max ? x[i + j] : max;
        }
        float d = (max - min) / 15.0f, inv = d != 0 ? 1.0f / d : 0.0f;
        uint16_t h[2] = {f16_bits(d), f16_bits(min)};
        memcpy(b, h, sizeof(h));
        for (size_t j = 0; j < 16; j++) {
            uint8_t lo = nibble((x[i + j] - min) * inv + 0.5f), hi = nibble((x[i + j + 16] - min) * inv + 0.5f);
            b[4 + j] = (uint8_t)(lo | hi << 4);
        }
    }
}

static void q4_1_move(void *blocks, const float *delta, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        for (size_t j = 0; j < 16; j++) {
            int lo = quant_moved(b[4 + j] & 15, delta[i + j], d, 0, 15);
            int hi = quant_moved(b[4 + j] >> 4, delta[i + j + 16], d, 0, 15);
            b[4 + j] = (uint8_t)(lo | hi << 4);
        }
    }
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q4_1 *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    p->m[r] = load_u16(b + 2);
    for (size_t j = 0; j < 4; j++) { /* the nibbles of a file are those of lines */
        memcpy(&p->q[j][r * 4], b + 4 + 4 * j, 4);
    }
}

static void q4_1_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q4_1 *p = packed;
    (void)part; /* there is one */
    for (size_t r = 0; r < KERN_ROWS; r++) {
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]);
        out->m[0][r] = out->m[1][r] = f16_value(p->m[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)nibble_at(p->q, r, k);
        }
    }
}

const struct quant quant_q4_1 = {
    .name = "Q4_1",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_q4_1),
    .scale_at = {0, 2},
    .dequantize = q4_1_dequantize,
    .quantize = q4_1_quantize,
    .move = q4_1_move,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q4_1, .run = 32, .has_min = true, .part = q4_1_part};
QUANT_READERS(q4_1, form);
