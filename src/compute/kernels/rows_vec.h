/* Steps of the forward pass on rows of activations, vectors of 16: the bits of kern_rows_scalar.c. Element i of a row
 * is lane i mod 16, so a sum in 16 lanes is one vector accumulator. */
#ifndef KERNELS_ROWS_VEC_H
#define KERNELS_ROWS_VEC_H

#include <math.h>

#include "compute/kernels/exp_vec.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/kmath.h"
#include "compute/kernels/vec.h"

static float dot(const float *x, const float *y, size_t n)
{
    v16 acc = v16_set(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        acc = v16_add(acc, v16_mul(v16_load(x + i), v16_load(y + i)));
    }
    if (i < n) {
        acc = v16_add(acc, v16_mul(v16_load_n(x + i, n - i), v16_load_n(y + i, n - i)));
    }
    return v16_sum(acc);
}

static float rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float inv = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    v16 s = v16_set(inv);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_mul(v16_mul(v16_load(x + i), s), v16_load(w + i)));
    }
    if (i < n) {
        v16_store_n(y + i, v16_mul(v16_mul(v16_load_n(x + i, n - i), s), v16_load_n(w + i, n - i)), n - i);
    }
    return inv;
}

static inline v16 swiglu_16(v16 gate, v16 up)
{
    return v16_mul(v16_mul(gate, v16_sigmoid(gate)), up);
}

static void swiglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, swiglu_16(v16_load(gate + i), v16_load(up + i)));
    }
    if (i < n) {
        v16_store_n(y + i, swiglu_16(v16_load_n(gate + i, n - i), v16_load_n(up + i, n - i)), n - i);
    }
}

static inline v16 geglu_16(v16 gate, v16 up)
{
    v16 t = v16_mul(gate, v16_add(v16_set(GELU_A), v16_mul(v16_set(GELU_B), v16_mul(gate, gate))));
    return v16_mul(v16_mul(gate, v16_sigmoid(t)), up);
}

static void geglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, geglu_16(v16_load(gate + i), v16_load(up + i)));
    }
    if (i < n) {
        v16_store_n(y + i, geglu_16(v16_load_n(gate + i, n - i), v16_load_n(up + i, n - i)), n - i);
    }
}

static inline v16 softcap_16(v16 x, v16 by, v16 cap)
{
    v16 s = v16_sigmoid(v16_mul(x, by));
    return v16_mul(v16_sub(v16_add(s, s), v16_set(1.0f)), cap);
}

static void softcap(float *x, size_t n, float scale_by, float cap)
{
    v16 by = v16_set(2.0f * scale_by / cap), c = v16_set(cap);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(x + i, softcap_16(v16_load(x + i), by, c));
    }
    if (i < n) {
        v16_store_n(x + i, softcap_16(v16_load_n(x + i, n - i), by, c), n - i);
    }
}

static float scaled_max(const float *x, size_t n, float scale_by)
{
    v16 s = v16_set(scale_by), max = v16_set(-INFINITY);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        max = v16_max(v16_mul(v16_load(x + i), s), max);
    }
    if (i < n) {
        max = v16_max(v16_fill_n(v16_mul(v16_load_n(x + i, n - i), s), n - i, -INFINITY), max);
    }
    return v16_max_lane(max);
}

/* y = exp(x * scale - max); returns the sum of y. y may be x, or NULL when only the sum is wanted. */
static inline float exp_sum(float *y, const float *x, size_t n, float scale_by, float max)
{
    v16 s = v16_set(scale_by), m = v16_set(max), sum = v16_set(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 e = v16_exp(v16_sub(v16_mul(v16_load(x + i), s), m));
        sum = v16_add(sum, e);
        if (y) {
            v16_store(y + i, e);
        }
    }
    if (i < n) {
        v16 e = v16_exp(v16_sub(v16_mul(v16_load_n(x + i, n - i), s), m));
        sum = v16_add(sum, v16_fill_n(e, n - i, 0));
        if (y) {
            v16_store_n(y + i, e, n - i);
        }
    }
    return v16_sum(sum);
}

static void scale(float *y, float a, size_t n)
{
    v16 s = v16_set(a);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_mul(v16_load(y + i), s));
    }
    if (i < n) {
        v16_store_n(y + i, v16_mul(v16_load_n(y + i, n - i), s), n - i);
    }
}

static float softmax(float *x, size_t n, float scale_by)
{
    float max = scaled_max(x, n, scale_by);
    float sum = exp_sum(x, x, n, scale_by, max);
    scale(x, 1.0f / sum, n);
    return max + kmath_logf(sum);
}

static float log_sum_exp(const float *x, size_t n)
{
    float max = scaled_max(x, n, 1.0f);
    return max + kmath_logf(exp_sum(NULL, x, n, 1.0f, max));
}

static void add(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_add(v16_load(y + i), v16_load(x + i)));
    }
    if (i < n) {
        v16_store_n(y + i, v16_add(v16_load_n(y + i, n - i), v16_load_n(x + i, n - i)), n - i);
    }
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    v16 s = v16_set(a);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(y + i, v16_add(v16_load(y + i), v16_mul(s, v16_load(x + i))));
    }
    if (i < n) {
        v16_store_n(y + i, v16_add(v16_load_n(y + i, n - i), v16_mul(s, v16_load_n(x + i, n - i))), n - i);
    }
}

/* One head, pairs (i, i + half). */
static inline void rope_halves(float *x, size_t half, const float *cos, const float *sin, float sign)
{
    v16 sg = v16_set(sign);
    size_t i = 0;
    for (; i + 16 <= half; i += 16) {
        v16 c = v16_load(cos + i), s = v16_mul(v16_load(sin + i), sg);
        v16 a = v16_load(x + i), b = v16_load(x + half + i);
        v16_store(x + i, v16_sub(v16_mul(a, c), v16_mul(b, s)));
        v16_store(x + half + i, v16_add(v16_mul(b, c), v16_mul(a, s)));
    }
    if (i < half) {
        size_t n = half - i;
        v16 c = v16_load_n(cos + i, n), s = v16_mul(v16_load_n(sin + i, n), sg);
        v16 a = v16_load_n(x + i, n), b = v16_load_n(x + half + i, n);
        v16_store_n(x + i, v16_sub(v16_mul(a, c), v16_mul(b, s)), n);
        v16_store_n(x + half + i, v16_add(v16_mul(b, c), v16_mul(a, s)), n);
    }
}

/* One head, pairs (2i, 2i + 1). */
static inline void rope_pairs(float *x, size_t half, const float *cos, const float *sin, float sign)
{
    v16 sg = v16_set(sign);
    size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        v16 c = v16_load_twice(cos + i), s = v16_mul(v16_load_twice(sin + i), sg);
        v16 a = v16_load(x + 2 * i);
        v16_store(x + 2 * i, v16_addsub(v16_mul(a, c), v16_mul(v16_swap_pairs(a), s)));
    }
    for (; i < half; i++) {
        float x0 = x[2 * i], x1 = x[2 * i + 1], s = sin[i] * sign;
        x[2 * i] = x0 * cos[i] - x1 * s;
        x[2 * i + 1] = x1 * cos[i] + x0 * s;
    }
}

static void rope(float *x, size_t n_head, size_t d_head, size_t n_rot, const float *cos, const float *sin, bool halves,
                 float sign)
{
    for (size_t h = 0; h < n_head; h++, x += d_head) {
        if (halves) {
            rope_halves(x, n_rot / 2, cos, sin, sign);
        } else {
            rope_pairs(x, n_rot / 2, cos, sin, sign);
        }
    }
}

static inline void rows_fill(struct kern *k)
{
    k->rms_norm = rms_norm;
    k->swiglu = swiglu;
    k->geglu = geglu;
    k->softcap = softcap;
    k->softmax = softmax;
    k->dot = dot;
    k->log_sum_exp = log_sum_exp;
    k->add = add;
    k->axpy = axpy;
    k->scale = scale;
    k->rope = rope;
}

#endif
