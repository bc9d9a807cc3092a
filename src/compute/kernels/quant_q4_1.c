/* Q4_1: 32 values share a float16 scale d and minimum m; value = d * q + m, q in 0..15. File block: d, m, then
 * 16 bytes; byte i holds value i in its low and value 16 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q4_1, quantize_row_q4_1_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

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

static void q4_1_pack(void *packed, const void *const row[KERN_ROWS], int n_k)
{
    struct packed_q4_1 *p = packed;
    (void)n_k; /* a block of the file is always whole */
    memset(p, 0, sizeof(*p));
    for (size_t r = 0; r < KERN_ROWS; r++) {
        const uint8_t *b = row[r];
        if (!b) {
            continue;
        }
        p->d[r] = load_u16(b);
        p->m[r] = load_u16(b + 2);
        for (size_t j = 0; j < 4; j++) {
            memcpy(&p->q[j][r * 4], b + 4 + 4 * j, 4);
        }
    }
}

/* q of weight row r, input k. */
static int quant_at(const struct packed_q4_1 *p, size_t r, size_t k)
{
    uint8_t byte = p->q[k % 16 / 4][r * 4 + k % 4];
    return k < 16 ? byte & 15 : byte >> 4;
}

static void q4_1_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_1 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        for (size_t r = 0; r < KERN_ROWS; r++) {
            float d = f16_value(p->d[r]), m = f16_value(p->m[r]);
            for (size_t k = 0; k < KERN_K; k++) {
                panel[k * KERN_ROWS + r] = (float)quant_at(p, r, k) * d + m;
            }
        }
    }
}

static void q4_1_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_1 *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        float d = f16_value(p->d[r]), m = f16_value(p->m[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out[r * ld + k] = (float)quant_at(p, r, k) * d + m;
        }
    }
}

/* Sum over 32 inputs of q of weight row c times activations, an exact integer. */
static int32_t q4_1_dot(const struct packed_q4_1 *p, size_t c, const int8_t *q)
{
    int32_t sum = 0;
    for (size_t k = 0; k < KERN_K; k++) {
        sum += quant_at(p, c, k) * q[k];
    }
    return sum;
}

static void q4_1_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    const struct packed_q4_1 *p = packed;
    size_t n_scale = x->n_k / KERN_K;
    for (size_t r = 0; r < n_row; r++) {
        const int8_t *q = x->q + (x_row + r) * x->n_k;
        const float *d = x->d + (x_row + r) * n_scale;
        const int32_t *q_sum = x->sum + (x_row + r) * n_scale;
        for (size_t c = 0; c < KERN_ROWS; c++) {
            float acc = 0;
            for (size_t b = 0; b < n_block; b++) {
                float t = (float)q4_1_dot(p + b, c, q + b * KERN_K) * f16_value(p[b].d[c]);
                t = fmaf(f16_value(p[b].m[c]), (float)q_sum[b], t);
                acc = fmaf(t, d[b], acc);
            }
            y[r * ldy + c] = acc;
        }
    }
}

const struct quant quant_q4_1 = {
    .name = "Q4_1",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_bytes = sizeof(struct packed_q4_1),
    .dequantize = q4_1_dequantize,
    .quantize = q4_1_quantize,
    .pack = q4_1_pack,
};
const struct kern_quant quant_q4_1_scalar = {.panel = q4_1_panel, .rows = q4_1_rows, .gemm_q8 = q4_1_gemm_q8};
