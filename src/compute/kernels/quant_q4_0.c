/* Q4_0: 32 values share a float16 scale d; value = d * (q - 8), q in 0..15. File block: d, then 16 bytes; byte i
 * holds value i in its low and value 16 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q4_0, quantize_row_q4_0_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 18 };

static void q4_0_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        for (size_t j = 0; j < 16; j++) {
            y[i + j] = (float)((b[2 + j] & 15) - 8) * d;
            y[i + j + 16] = (float)((b[2 + j] >> 4) - 8) * d;
        }
    }
}

/* Truncated towards zero and kept in 0..15; NaN gives 0. */
static uint8_t nibble(float v)
{
    return (uint8_t)(v > 0 ? (v < 15 ? v : 15.0f) : 0.0f);
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

static void q4_0_quantize(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = signed_max(x + i) / -8.0f, inv = d != 0 ? 1.0f / d : 0.0f;
        uint16_t h = f16_bits(d);
        memcpy(b, &h, sizeof(h));
        for (size_t j = 0; j < 16; j++) {
            uint8_t lo = nibble(x[i + j] * inv + 8.5f), hi = nibble(x[i + j + 16] * inv + 8.5f);
            b[2 + j] = (uint8_t)(lo | hi << 4);
        }
    }
}

static void q4_0_pack(void *packed, const void *const row[KERN_ROWS], int n_k)
{
    struct packed_q4_0 *p = packed;
    (void)n_k; /* a block of the file is always whole */
    memset(p, 0, sizeof(*p));
    for (size_t r = 0; r < KERN_ROWS; r++) {
        const uint8_t *b = row[r];
        if (!b) {
            continue; /* d = 0: whatever q is, the values are zero */
        }
        p->d[r] = load_u16(b);
        for (size_t j = 0; j < 4; j++) {
            memcpy(&p->q[j][r * 4], b + 2 + 4 * j, 4);
        }
    }
}

/* q of weight row r, input k. */
static int quant_at(const struct packed_q4_0 *p, size_t r, size_t k)
{
    uint8_t byte = p->q[k % 16 / 4][r * 4 + k % 4];
    return k < 16 ? byte & 15 : byte >> 4;
}

static void q4_0_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        for (size_t r = 0; r < KERN_ROWS; r++) {
            float d = f16_value(p->d[r]);
            for (size_t k = 0; k < KERN_K; k++) {
                panel[k * KERN_ROWS + r] = (float)(quant_at(p, r, k) - 8) * d;
            }
        }
    }
}

static void q4_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_0 *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        float d = f16_value(p->d[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out[r * ld + k] = (float)(quant_at(p, r, k) - 8) * d;
        }
    }
}

/* Sum over 32 inputs of (q - 8) of weight row c times activations, an exact integer. */
static int32_t q4_0_dot(const struct packed_q4_0 *p, size_t c, const int8_t *q, int32_t q_sum)
{
    int32_t sum = -8 * q_sum;
    for (size_t k = 0; k < KERN_K; k++) {
        sum += quant_at(p, c, k) * q[k];
    }
    return sum;
}

static void q4_0_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    const struct packed_q4_0 *p = packed;
    size_t n_scale = x->n_k / KERN_K;
    for (size_t r = 0; r < n_row; r++) {
        const int8_t *q = x->q + (x_row + r) * x->n_k;
        const float *d = x->d + (x_row + r) * n_scale;
        const int32_t *q_sum = x->sum + (x_row + r) * n_scale;
        for (size_t c = 0; c < KERN_ROWS; c++) {
            float acc = 0;
            for (size_t b = 0; b < n_block; b++) {
                float t = (float)q4_0_dot(p + b, c, q + b * KERN_K, q_sum[b]) * f16_value(p[b].d[c]);
                acc = fmaf(t, d[b], acc);
            }
            y[r * ldy + c] = acc;
        }
    }
}

const struct quant quant_q4_0 = {
    .name = "Q4_0",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_bytes = sizeof(struct packed_q4_0),
    .dequantize = q4_0_dequantize,
    .quantize = q4_0_quantize,
    .pack = q4_0_pack,
};
const struct kern_quant quant_q4_0_scalar = {.panel = q4_0_panel, .rows = q4_0_rows, .gemm_q8 = q4_0_gemm_q8};
