/* The searching quantizers on vectors of 16: rows of blocks, what each type searches, and the blocks of 32 values whose
 * scales are float16 themselves. The including file provides the vectors (vec.h or vec_scalar.h); arithmetic is
 * element-wise with one order of summation, so the bytes do not depend on it.
 *
 * The grids (how much of a range is cut off, at how many quanta the largest value stands) were chosen by trial on
 * normal and heavy-tailed values and on weights of small models: bench/quantizers.py prints the errors. */
#ifndef KERNELS_QUANTIZE_VEC_H
#define KERNELS_QUANTIZE_VEC_H

#include <math.h>
#include <string.h>

#include "compute/kernels/quantize_affine_vec.h"
#include "compute/kernels/quantize_signed_vec.h"

enum { MAX_BLOCK = 256 };
typedef void (*block_fn)(uint8_t *block, const float *x, const float *w);

/* No type reaches beyond 65504 x 128 x 32; what is larger would only overflow the sums. */
static float in_reach(float v)
{
    const float most = 3.0e8f;
    return v > most ? (isfinite(v) ? most : 0) : v < -most ? (isfinite(v) ? -most : 0) : v == v ? v : 0;
}

static float weight_at(const float *weight, size_t i)
{
    return weight && weight[i] > 0 && isfinite(weight[i]) ? weight[i] : 0;
}

/* 1 % of the mean weight, 1 when there is none. */
static float weight_floor(const float *weight, size_t n)
{
    double sum = 0;
    for (size_t i = 0; weight && i < n; i++) {
        sum += (double)weight_at(weight, i);
    }
    float least = (float)(0.01 * sum / (double)n);
    return least > 0 && isfinite(least) ? least : 1.0f;
}

static void quantize_blocks(uint8_t *block, const float *x, const float *weight, size_t n, size_t block_len,
                            size_t block_bytes, block_fn fn)
{
    float xs[MAX_BLOCK], ws[MAX_BLOCK], least = weight_floor(weight, n);
    for (size_t i = 0; i < n; i += block_len, block += block_bytes) {
        for (size_t j = 0; j < block_len; j++) {
            xs[j] = in_reach(x[i + j]);
            ws[j] = weight_at(weight, i + j) / least + 1;
        }
        fn(block, xs, ws);
    }
}

/* --- super-blocks of 256 --- */

static void block_q2_k(uint8_t *block, const float *x, const float *w)
{
    static const float edge[] = {0.0f, 1.0f, 0.25f, -0.25f, -0.5f, -0.8f};
    struct affine_block b;
    uint8_t q[256];
    affine_super_block(x, w, 1, 16, 3, 15, edge, 6, &b, q);
    quantize_bytes_q2_k(block, b.d, b.e, b.s_int, b.m_int, q);
}

static void block_q4_k(uint8_t *block, const float *x, const float *w)
{
    static const float edge[] = {0.0f, 1.0f, 0.3f, -0.45f, -1.0f, -1.8f};
    struct affine_block b;
    uint8_t q[256];
    affine_super_block(x, w, 2, 8, 15, 63, edge, 6, &b, q);
    quantize_bytes_q4_k(block, b.d, b.e, b.s_int, b.m_int, q);
}

static void block_q5_k(uint8_t *block, const float *x, const float *w)
{
    static const float edge[] = {0.0f, 1.0f, 0.4f, -0.2f, -0.5f, -0.9f};
    struct affine_block b;
    uint8_t q[256];
    affine_super_block(x, w, 2, 8, 31, 63, edge, 6, &b, q);
    quantize_bytes_q5_k(block, b.d, b.e, b.s_int, b.m_int, q);
}

static void block_q3_k(uint8_t *block, const float *x, const float *w)
{
    static const float steps[] = {2.0f, 2.7f, 3.0f, 3.3f, 3.6f, 4.0f, 4.4f, 4.9f};
    struct signed_block b;
    int8_t q[256];
    signed_super_block(x, w, (struct signed_range){-4, 3}, (struct signed_range){-32, 31}, steps, 8, &b, q);
    quantize_bytes_q3_k(block, b.d, b.s_int, q);
}

static void block_q6_k(uint8_t *block, const float *x, const float *w)
{
    static const float steps[] = {27.0f, 28.0f, 29.0f, 30.0f, 30.5f, 31.0f, 31.5f, 32.0f, 32.5f};
    struct signed_block b;
    int8_t q[256];
    signed_super_block(x, w, (struct signed_range){-32, 31}, (struct signed_range){-128, 127}, steps, 9, &b, q);
    quantize_bytes_q6_k(block, b.d, b.s_int, q);
}

/* --- blocks of 32 --- */

/* Keeps s when the error of its float16 is the least so far. */
SEARCH void keep_scale(const float *x, const float *w, struct signed_range n, float s, float *best, float *least)
{
    float t = f16_near(s), err = signed_error(x, w, 2, n, t);
    if (err < *least) {
        *least = err, *best = t;
    }
}

/* The scale as float16 and q[32]. Every start is tried as it is and as least squares improve it: with a scale of 11
 * bits it is a lottery which comes out best. */
SEARCH float signed_block_32(const float *x, const float *w, struct signed_range n, const float *steps, int n_step,
                             int8_t q[32])
{
    float top = largest(x, 2), best = 0, least = INFINITY, r[16];
    for (int i = 0; i < 2 * n_step; i++) {
        float s = (i % 2 ? top : -top) / steps[i / 2];
        keep_scale(x, w, n, s, &best, &least);
        keep_scale(x, w, n, signed_refit(x, w, 2, n, s).s, &best, &least);
    }
    keep_scale(x, w, n, signed_refit(x, w, 2, n, best).s, &best, &least);
    for (int i = 0; i < 2; i++) {
        v16_store(r, signed_round(v16_load(x + 16 * i), v16_set(best != 0 ? 1.0f / best : 0), n));
        for (int j = 0; j < 16; j++) {
            q[16 * i + j] = (int8_t)r[j];
        }
    }
    return best;
}

static void block_q4_0(uint8_t *block, const float *x, const float *w)
{
    static const float steps[] = {4.6f, 5.2f, 5.7f, 6.2f, 6.6f, 7.0f, 7.3f, 7.6f, 7.8f, 8.0f, 8.2f, 8.5f};
    int8_t q[32];
    float d = signed_block_32(x, w, (struct signed_range){-8, 7}, steps, 12, q);
    quantize_bytes_q4_0(block, d, q);
}

static void block_q5_0(uint8_t *block, const float *x, const float *w)
{
    static const float steps[] = {12.0f, 13.0f, 14.0f, 14.5f, 15.0f, 15.4f, 15.7f, 16.0f, 16.3f, 16.6f};
    int8_t q[32];
    float d = signed_block_32(x, w, (struct signed_range){-16, 15}, steps, 10, q);
    quantize_bytes_q5_0(block, d, q);
}

static void block_q8_0(uint8_t *block, const float *x, const float *w)
{
    static const float steps[] = {125.5f, 126.0f, 126.5f, 126.8f, 127.0f, 127.2f, 127.4f};
    int8_t q[32];
    float d = signed_block_32(x, w, (struct signed_range){-127, 127}, steps, 7, q);
    quantize_bytes_q8_0(block, d, q);
}

/* Scale and minimum as float16 (the file's minimum is -m), q[32]. */
static void affine_block_32(const float *x, const float *w, float top, const float *edge, int n_edge, float *s,
                            float *m, uint8_t q[32])
{
    struct affine_moments t = affine_moments(x, w, 2);
    struct affine_fit f = affine_search(x, w, 2, top, &t, edge, n_edge, true);
    float best = INFINITY, r[16];
    *s = 0, *m = 0;
    for (int i = 0; i < 3; i++) {
        float ts = f16_near(f.s), tm = f16_near(ts * f.mean - t.mean), err = affine_error(x, w, 2, top, ts, tm);
        if (!(err < best)) {
            break;
        }
        best = err, *s = ts, *m = tm;
        f = affine_refit(x, w, 2, top, &t, ts, tm, true);
    }
    for (int i = 0; i < 2; i++) {
        v16_store(r, affine_round(v16_load(x + 16 * i), v16_set(*m), v16_set(*s > 0 ? 1.0f / *s : 0), v16_set(top)));
        for (int j = 0; j < 16; j++) {
            q[16 * i + j] = (uint8_t)r[j];
        }
    }
}

static void block_q4_1(uint8_t *block, const float *x, const float *w)
{
    static const float edge[] = {0.0f, 1.0f, 0.3f, -0.45f, -1.0f, -1.8f, -2.6f};
    float s, m;
    uint8_t q[32];
    affine_block_32(x, w, 15, edge, 7, &s, &m, q);
    quantize_bytes_q4_1(block, s, -m, q);
}

static void block_q5_1(uint8_t *block, const float *x, const float *w)
{
    static const float edge[] = {0.0f, 1.0f, 0.4f, -0.2f, -0.5f, -0.9f};
    float s, m;
    uint8_t q[32];
    affine_block_32(x, w, 31, edge, 6, &s, &m, q);
    quantize_bytes_q5_1(block, s, -m, q);
}

#define ROWS(name, block_len, block_bytes)                                               \
    static void rows_##name(void *blocks, const float *x, const float *weight, size_t n) \
    {                                                                                    \
        quantize_blocks(blocks, x, weight, n, (block_len), (block_bytes), block_##name); \
    }
ROWS(q8_0, 32, 34)
ROWS(q4_0, 32, 18)
ROWS(q4_1, 32, 20)
ROWS(q5_0, 32, 22)
ROWS(q5_1, 32, 24)
ROWS(q2_k, 256, 84)
ROWS(q3_k, 256, 110)
ROWS(q4_k, 256, 144)
ROWS(q5_k, 256, 176)
ROWS(q6_k, 256, 210)

static void quantize_fill(quantize_fn table[QUANT_COUNT])
{
    table[QUANT_Q8_0] = rows_q8_0;
    table[QUANT_Q4_0] = rows_q4_0;
    table[QUANT_Q4_1] = rows_q4_1;
    table[QUANT_Q5_0] = rows_q5_0;
    table[QUANT_Q5_1] = rows_q5_1;
    table[QUANT_Q2_K] = rows_q2_k;
    table[QUANT_Q3_K] = rows_q3_k;
    table[QUANT_Q4_K] = rows_q4_k;
    table[QUANT_Q5_K] = rows_q5_k;
    table[QUANT_Q6_K] = rows_q6_k;
}

#endif
