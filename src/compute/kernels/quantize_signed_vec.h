/* The search for Q3_K, Q6_K (and the blocks of Q4_0, Q5_0, Q8_0): value = s * q, q in a range about zero, s of either
 * sign. Minimizes the weighted squared error: a sub-block alone over a grid of scales with least squares; the scale d
 * of the super-block from a grid, by the quadratic form that the error is for fixed q; then integers and q against d by
 * turns.
 *
 * Included by quantize_vec.h; the same bits on every instruction set. */
#ifndef KERNELS_QUANTIZE_SIGNED_VEC_H
#define KERNELS_QUANTIZE_SIGNED_VEC_H

#include <math.h>
#include <string.h>

#include "compute/kernels/quantize_search_vec.h"

struct signed_fit {
    float s, qq, gain; /* gain: by how much s lowers the error, (sum w q x)^2 / sum w q^2 */
    bool symmetric;    /* no q is the lowest one: -s fits as well */
};

struct signed_range {
    float low, high; /* of q */
};

SEARCH v16 signed_round(v16 x, v16 inv, struct signed_range n)
{
    v16 q = v16_min(v16_max(v16_mul(x, inv), v16_set(n.low)), v16_set(n.high));
    return v16_sub(v16_add(q, v16_set(ROUND_MAGIC)), v16_set(ROUND_MAGIC));
}

SEARCH struct signed_fit signed_refit(const float *x, const float *w, const int n_vec, struct signed_range n, float s)
{
    v16 sqq = v16_set(0), sqx = sqq, inv = v16_set(s != 0 ? 1.0f / s : 0);
    for (int i = 0; i < n_vec; i++) {
        v16 xi = v16_load(x + 16 * i), q = signed_round(xi, inv, n), wq = v16_mul(v16_load(w + 16 * i), q);
        sqq = v16_add(sqq, v16_mul(wq, q));
        sqx = v16_add(sqx, v16_mul(wq, xi));
    }
    float qq = v16_sum(sqq), qx = v16_sum(sqx);
    struct signed_fit f = {.qq = qq};
    if (qq > 0) {
        f.s = qx / qq;
        f.gain = qx * f.s;
    }
    return f;
}

SEARCH float signed_error(const float *x, const float *w, const int n_vec, struct signed_range n, float s)
{
    v16 err = v16_set(0), vs = v16_set(s), inv = v16_set(s != 0 ? 1.0f / s : 0);
    for (int i = 0; i < n_vec; i++) {
        v16 xi = v16_load(x + 16 * i), d = v16_sub(xi, v16_mul(vs, signed_round(xi, inv, n)));
        err = v16_add(err, v16_mul(v16_mul(d, d), v16_load(w + 16 * i)));
    }
    return v16_sum(err);
}

SEARCH float largest(const float *x, const int n_vec)
{
    v16 a = v16_set(0);
    for (int i = 0; i < n_vec; i++) {
        v16 xi = v16_load(x + 16 * i);
        a = v16_max(a, v16_max(xi, v16_sub(v16_set(0), xi)));
    }
    return v16_max_lane(a);
}

SEARCH bool signed_is_symmetric(const float *x, const int n_vec, struct signed_range n, float s)
{
    v16 least = v16_set(0), inv = v16_set(s != 0 ? 1.0f / s : 0);
    for (int i = 0; i < n_vec; i++) {
        least = v16_max(least, v16_sub(v16_set(0), signed_round(v16_load(x + 16 * i), inv, n)));
    }
    return v16_max_lane(least) < -n.low;
}

/* The largest magnitude stands at steps[i] quanta, for both signs of the scale. */
SEARCH struct signed_fit signed_search(const float *x, const float *w, const int n_vec, struct signed_range n,
                                       const float *steps, int n_step)
{
    float top = largest(x, n_vec);
    struct signed_fit best = {0};
    for (int i = 0; i < n_step && top > 0; i++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            struct signed_fit f = signed_refit(x, w, n_vec, n, (float)sign * top / steps[i]);
            best = f.gain > best.gain ? f : best;
        }
    }
    for (int i = 0; i < 8; i++) {
        struct signed_fit f = signed_refit(x, w, n_vec, n, best.s);
        if (!(f.gain > best.gain)) {
            break;
        }
        best = f;
    }
    best.symmetric = signed_is_symmetric(x, n_vec, n, best.s);
    return best;
}

struct signed_block {
    float d; /* as float16 holds it */
    float s_int[16];
    float err;
};

SEARCH v16 signed_integers(v16 s, float d, struct signed_range super_n)
{
    return signed_round(s, v16_set(d != 0 ? 1.0f / d : 0), super_n);
}

/* The scales of sub-blocks; those whose sign is free have the other one than d: the integers reach one further down
 * than up (two sub-blocks at -128 and 128 quanta are both at -128 then). */
struct signed_scales {
    float of_positive[16], of_negative[16], qq[16]; /* of_positive: for d > 0 */
};

SEARCH void signed_scales_add(struct signed_scales *s, int j, struct signed_fit f)
{
    float down = f.s < 0 ? f.s : -f.s;
    s->of_positive[j] = f.symmetric ? down : f.s;
    s->of_negative[j] = f.symmetric ? -down : f.s;
    s->qq[j] = f.qq;
}

/* d over the grid of both signs, each improved by least squares for its integers and rounded to float16, whose
 * subnormals are coarse; cost of fixed q. */
SEARCH float signed_super(const struct signed_scales *s, struct signed_range super_n)
{
    enum { N_TRY = 24 };
    float top = largest(s->of_positive, 1), best = INFINITY, d = 0;
    float step = super_n.low < -32 ? 1.0f : 0.5f;
    v16 vq = v16_load(s->qq);
    for (int i = 0; i < 2 * N_TRY && top > 0; i++) {
        float t = top / (step * (float)(1 - i / 2) - super_n.low);
        t = i % 2 ? t : -t;
        v16 vs = v16_load(t > 0 ? s->of_positive : s->of_negative);
        v16 k = signed_integers(vs, t, super_n), kq = v16_mul(k, vq);
        float kk = v16_sum(v16_mul(kq, k)), ks = v16_sum(v16_mul(kq, vs));
        t = kk > 0 ? f16_near(ks / kk) : 0;
        k = signed_integers(vs, t, super_n);
        v16 miss = v16_sub(vs, v16_mul(v16_set(t), k));
        float cost = v16_sum(v16_mul(v16_mul(miss, miss), vq));
        if (cost < best) {
            best = cost, d = t;
        }
    }
    return d;
}

/* The best integer of one sub-block for d, near the one of its real scale. */
SEARCH float signed_integer(const float *x, const float *w, const int n_vec, struct signed_range n, float s,
                            struct signed_range super_n, float d, float *s_int)
{
    float best = INFINITY, mid = d != 0 ? s / d : 0;
    mid = (mid + ROUND_MAGIC) - ROUND_MAGIC;
    for (int i = -1; i <= 1; i++) {
        float k = mid + (float)i;
        k = k > super_n.low ? (k < super_n.high ? k : super_n.high) : super_n.low;
        float err = signed_error(x, w, n_vec, n, d * k);
        if (err < best) {
            best = err, *s_int = k;
        }
    }
    return best;
}

SEARCH float signed_super_refit(const float *x, const float *w, const int n_vec, struct signed_range n,
                                const struct signed_block *b)
{
    double kk = 0, kx = 0;
    for (int j = 0; j < 16; j++) {
        const float *xs = x + 16 * n_vec * j, *ws = w + 16 * n_vec * j;
        float s = b->d * b->s_int[j];
        v16 sqq = v16_set(0), sqx = sqq, inv = v16_set(s != 0 ? 1.0f / s : 0);
        for (int i = 0; i < n_vec; i++) {
            v16 xi = v16_load(xs + 16 * i), q = signed_round(xi, inv, n), wq = v16_mul(v16_load(ws + 16 * i), q);
            sqq = v16_add(sqq, v16_mul(wq, q));
            sqx = v16_add(sqx, v16_mul(wq, xi));
        }
        kk += (double)b->s_int[j] * (double)b->s_int[j] * (double)v16_sum(sqq);
        kx += (double)b->s_int[j] * (double)v16_sum(sqx);
    }
    return kk > 0 ? f16_near((float)(kx / kk)) : 0;
}

/* 16 sub-blocks of 16; q[256] of the result. */
SEARCH void signed_super_block(const float *x, const float *w, struct signed_range n, struct signed_range super_n,
                               const float *steps, int n_step, struct signed_block *out, int8_t *q)
{
    struct signed_scales scales;
    for (int j = 0; j < 16; j++) {
        signed_scales_add(&scales, j, signed_search(x + 16 * j, w + 16 * j, 1, n, steps, n_step));
    }
    struct signed_block b = {.d = f16_near(signed_super(&scales, super_n)), .err = INFINITY};
    const float *s = b.d > 0 ? scales.of_positive : scales.of_negative;
    *out = b;
    for (int round = 0; round < 4; round++) {
        b.err = 0;
        for (int j = 0; j < 16; j++) {
            b.err += signed_integer(x + 16 * j, w + 16 * j, 1, n, s[j], super_n, b.d, &b.s_int[j]);
        }
        if (!(b.err < out->err)) {
            break;
        }
        *out = b;
        b.d = signed_super_refit(x, w, 1, n, &b);
    }
    for (int j = 0; j < 16; j++) {
        float r[16], d = out->d * out->s_int[j];
        v16_store(r, signed_round(v16_load(x + 16 * j), v16_set(d != 0 ? 1.0f / d : 0), n));
        for (int i = 0; i < 16; i++) {
            q[16 * j + i] = (int8_t)r[i];
        }
    }
}

#endif
