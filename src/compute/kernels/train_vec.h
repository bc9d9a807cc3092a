/* Steps that only training takes, vectors of 16: the bits of kern_train_scalar.c. */
#ifndef KERNELS_TRAIN_VEC_H
#define KERNELS_TRAIN_VEC_H

#include "compute/kernels/exp_vec.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/kmath.h"
#include "compute/kernels/vec.h"

/* sum of dy w x in 16 lanes */
static inline float sum_of_products(const float *dy, const float *w, const float *x, size_t n)
{
    v16 acc = v16_set(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        acc = v16_add(acc, v16_mul(v16_mul(v16_load(dy + i), v16_load(w + i)), v16_load(x + i)));
    }
    if (i < n) {
        size_t m = n - i;
        acc = v16_add(acc, v16_mul(v16_mul(v16_load_n(dy + i, m), v16_load_n(w + i, m)), v16_load_n(x + i, m)));
    }
    return v16_sum(acc);
}

static inline v16 rms_norm_backward_16(v16 dx, v16 dy, v16 x, v16 w, v16 inv_rms, v16 c)
{
    return v16_add(dx, v16_sub(v16_mul(v16_mul(dy, w), inv_rms), v16_mul(x, c)));
}

static void rms_norm_backward(float *dx, const float *dy, const float *x, const float *w, size_t n, float inv_rms)
{
    v16 r = v16_set(inv_rms), c = v16_set(inv_rms * inv_rms * inv_rms * sum_of_products(dy, w, x, n) / (float)n);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(dx + i,
                  rms_norm_backward_16(v16_load(dx + i), v16_load(dy + i), v16_load(x + i), v16_load(w + i), r, c));
    }
    if (i < n) {
        size_t m = n - i;
        v16 y = rms_norm_backward_16(v16_load_n(dx + i, m), v16_load_n(dy + i, m), v16_load_n(x + i, m),
                                     v16_load_n(w + i, m), r, c);
        v16_store_n(dx + i, y, m);
    }
}

/* *gate and *up become their gradients */
static inline void swiglu_backward_16(v16 *gate, v16 *up, v16 dy)
{
    v16 g = *gate, u = *up, one = v16_set(1.0f), s = v16_sigmoid(g);
    *up = v16_mul(dy, v16_mul(g, s));
    v16 slope = v16_mul(s, v16_add(one, v16_mul(g, v16_sub(one, s))));
    *gate = v16_mul(v16_mul(dy, u), slope);
}

static void swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 g = v16_load(gate + i), u = v16_load(up + i);
        swiglu_backward_16(&g, &u, v16_load(dy + i));
        v16_store(dgate + i, g);
        v16_store(dup + i, u);
    }
    if (i < n) {
        size_t m = n - i;
        v16 g = v16_load_n(gate + i, m), u = v16_load_n(up + i, m);
        swiglu_backward_16(&g, &u, v16_load_n(dy + i, m));
        v16_store_n(dgate + i, g, m);
        v16_store_n(dup + i, u, m);
    }
}

static inline void geglu_backward_16(v16 *gate, v16 *up, v16 dy)
{
    v16 g = *gate, u = *up, square = v16_mul(g, g);
    v16 s = v16_sigmoid(v16_mul(g, v16_add(v16_set(GELU_A), v16_mul(v16_set(GELU_B), square))));
    v16 dt = v16_add(v16_set(GELU_A), v16_mul(v16_set(3.0f * GELU_B), square)), gs = v16_mul(g, s);
    *up = v16_mul(dy, gs);
    v16 slope = v16_add(s, v16_mul(gs, v16_mul(v16_sub(v16_set(1.0f), s), dt)));
    *gate = v16_mul(v16_mul(dy, u), slope);
}

static void geglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 g = v16_load(gate + i), u = v16_load(up + i);
        geglu_backward_16(&g, &u, v16_load(dy + i));
        v16_store(dgate + i, g);
        v16_store(dup + i, u);
    }
    if (i < n) {
        size_t m = n - i;
        v16 g = v16_load_n(gate + i, m), u = v16_load_n(up + i, m);
        geglu_backward_16(&g, &u, v16_load_n(dy + i, m));
        v16_store_n(dgate + i, g, m);
        v16_store_n(dup + i, u, m);
    }
}

static void cross_entropy_backward(float *g, const float *x, size_t n, float lse, size_t target, float weight)
{
    float at_target = (kmath_expf(x[target] - lse) - 1.0f) * weight;
    v16 l = v16_set(lse), w = v16_set(weight);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16_store(g + i, v16_mul(v16_exp(v16_sub(v16_load(x + i), l)), w));
    }
    if (i < n) {
        v16_store_n(g + i, v16_mul(v16_exp(v16_sub(v16_load_n(x + i, n - i), l)), w), n - i);
    }
    g[target] = at_target;
}

struct adamw_consts {
    v16 lr, b1, a1, b2, a2, eps, shrink, c1, c2;
};

static inline void adamw_16(v16 *p, v16 *m, v16 *v, v16 g, const struct adamw_consts *c)
{
    *m = v16_add(v16_mul(c->b1, *m), v16_mul(c->a1, g));
    *v = v16_add(v16_mul(c->b2, *v), v16_mul(c->a2, v16_mul(g, g)));
    v16 q = v16_sub(*p, v16_mul(c->shrink, *p));
    v16 root = v16_add(v16_sqrt(v16_div(*v, c->c2)), c->eps);
    *p = v16_sub(q, v16_div(v16_mul(c->lr, v16_div(*m, c->c1)), root));
}

static void adamw(float *p, float *m, float *v, const float *g, size_t n, float lr, float b1, float b2, float eps,
                  float decay, float c1, float c2)
{
    struct adamw_consts c = {v16_set(lr),  v16_set(b1),         v16_set(1.0f - b1), v16_set(b2), v16_set(1.0f - b2),
                             v16_set(eps), v16_set(lr * decay), v16_set(c1),        v16_set(c2)};
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 vp = v16_load(p + i), vm = v16_load(m + i), vv = v16_load(v + i);
        adamw_16(&vp, &vm, &vv, v16_load(g + i), &c);
        v16_store(p + i, vp);
        v16_store(m + i, vm);
        v16_store(v + i, vv);
    }
    if (i < n) {
        size_t t = n - i;
        v16 vp = v16_load_n(p + i, t), vm = v16_load_n(m + i, t), vv = v16_load_n(v + i, t);
        adamw_16(&vp, &vm, &vv, v16_load_n(g + i, t), &c);
        v16_store_n(p + i, vp, t);
        v16_store_n(m + i, vm, t);
        v16_store_n(v + i, vv, t);
    }
}

static inline void train_fill(struct kern *k)
{
    k->rms_norm_backward = rms_norm_backward;
    k->swiglu_backward = swiglu_backward;
    k->geglu_backward = geglu_backward;
    k->cross_entropy_backward = cross_entropy_backward;
    k->adamw = adamw;
}

#endif
