/* Conversions between number formats, vectors of 16, and the int8 quantization of activations: the bits of
 * kern_convert_scalar.c. */
#ifndef KERNELS_CONVERT_VEC_H
#define KERNELS_CONVERT_VEC_H

#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

/* Fine values become their high bytes; returns the low ones. */
static inline i16 split(i16 *v)
{
    i16 high = i16_right_signed(i16_add(*v, i16_set(128)), 8);
    i16 low = i16_max(i16_sub(*v, i16_left(high, 8)), i16_set(-127));
    *v = high;
    return low;
}

/* Inlined: in a call vectors that are two registers go through memory (Zen 4 with AVX2: 22 ns, inlined 8). */
ALWAYS_INLINE void quantize_block(int8_t *q, float *d, int32_t *sum16, v16 x0, v16 x1, const bool fine)
{
    const i16 no_sign = i16_set(INT32_MAX);
    const float most = fine ? 256 * 127.0f : 127.0f;
    float amax =
        bits_f32((uint32_t)i16_max_lane(i16_max(i16_and(v16_bits(x0), no_sign), i16_and(v16_bits(x1), no_sign))));
    *d = amax < 0x1p-100f ? 0.0f : amax / most;
    if (!(amax >= 0x1p-100f && amax < INFINITY)) {
        sum16[0] = sum16[1] = 0;
        memset(q, 0, fine ? 2 * KERN_K : KERN_K);
        return;
    }
    v16 inv = v16_set(most / amax);
    i16 a = v16_round(v16_mul(x0, inv)), b = v16_round(v16_mul(x1, inv));
    if (fine) {
        i16 low_a = split(&a), low_b = split(&b);
        i16_to_s8(q + KERN_K, low_a, low_b);
        sum16[0] = i16_sum(i16_add(i16_left(a, 8), low_a));
        sum16[1] = i16_sum(i16_add(i16_left(b, 8), low_b));
    } else {
        sum16[0] = i16_sum(a);
        sum16[1] = i16_sum(b);
    }
    i16_to_s8(q, a, b);
}

static inline v16 load_up_to_16(const float *p, size_t n)
{
    return n >= 16 ? v16_load(p) : v16_load_n(p, n);
}

static inline void quantize_rows(struct q8_rows *x8, const float *x, size_t ldx, size_t n_row, size_t n_in,
                                 const bool fine)
{
    size_t n_scale = x8->n_k / KERN_K, n_byte = fine ? 2 : 1;
    for (size_t r = 0; r < n_row; r++, x += ldx) {
        int8_t *q = x8->q + r * x8->n_k * n_byte;
        for (size_t b = 0; b < n_scale; b++) {
            size_t at = b * KERN_K;
            v16 x0 = at < n_in ? load_up_to_16(x + at, n_in - at) : v16_set(0);
            v16 x1 = at + 16 < n_in ? load_up_to_16(x + at + 16, n_in - at - 16) : v16_set(0);
            int32_t *sum16 = x8->sum16 + 2 * (r * n_scale + b);
            if (fine && q8_is_wide(x8, b)) {
                quantize_block(q + at * n_byte, x8->d + r * n_scale + b, sum16, x0, x1, true);
            } else {
                quantize_block(q + at * n_byte, x8->d + r * n_scale + b, sum16, x0, x1, false);
                memset(q + at * n_byte + KERN_K, 0, KERN_K * (n_byte - 1));
            }
            x8->sum[r * n_scale + b] = sum16[0] + sum16[1];
        }
    }
}

static void quantize_q8(struct q8_rows *x8, const float *x, size_t ldx, size_t n_row, size_t n_in)
{
    if (x8->fine) {
        quantize_rows(x8, x, ldx, n_row, n_in, true);
    } else {
        quantize_rows(x8, x, ldx, n_row, n_in, false);
    }
}

static void f32_to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_to_f16(y + i, v16_load(x + i));
    }
    for (; i < n; i++) {
        y[i] = f16_bits(x[i]);
    }
}

static void f16_to_f32(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_from_f16(x + i));
    }
    for (; i < n; i++) {
        y[i] = f16_value(x[i]);
    }
}

static void f32_to_bf16(uint16_t *y, const float *x, size_t n, float times)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        i16_to_u16(y + i, bf16_round(v16_mul(v16_load(x + i), v16_set(times))));
    }
    for (; i < n; i++) {
        y[i] = bf16_bits(x[i] * times);
    }
}

static inline void convert_fill(struct kern *k)
{
    k->quantize_q8 = quantize_q8;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->f32_to_bf16 = f32_to_bf16;
}

#endif
