/* The search for Q2_K, Q4_K, Q5_K (and the blocks of Q4_1, Q5_1): value = s * q - m, q in 0..top. Minimizes the
 * weighted squared error, in three steps:
 *
 *   1. a sub-block alone: q from a grid of ranges, then s and m by least squares for those q, then once more;
 *   2. the scales of the super-block, d for all s and e for all m, from a grid: for fixed q the error is a quadratic
 * form in (s, m), so that the best integers for a pair (d, e) and what they cost follow without touching the values;
 *   3. alternate: integers near the chosen ones with q rounded anew, then d and e by least squares over all 256 values,
 *      until it no longer helps.
 *
 * Included by quantize_vec.h; the same bits on every instruction set. */
#ifndef KERNELS_QUANTIZE_AFFINE_VEC_H
#define KERNELS_QUANTIZE_AFFINE_VEC_H

#include <math.h>
#include <string.h>

#include "compute/kernels/quantize_search_vec.h"

enum {
    MAX_SUB = 16,    /* sub-blocks of a super-block */
    MAX_SUB_VECS = 2 /* vectors of a sub-block */
};

/* The s, m that are best for the q of a sub-block, and the weighted moments of those q. */
struct affine_fit {
    float s, m;         /* m >= 0 where the format asks for it */
    float mean, spread; /* of q; sum w (q - mean)^2 */
    float err;
};

/* What does not depend on q. */
struct affine_moments {
    float w, mean, low, high; /* sum of weights, weighted mean of x */
};

SEARCH struct affine_moments affine_moments(const float *x, const float *w, const int n_vec)
{
    v16 sw = v16_set(0), sx = sw, high = v16_load(x), low = v16_sub(v16_set(0), high);
    for (int i = 0; i < n_vec; i++) {
        v16 xi = v16_load(x + 16 * i), wi = v16_load(w + 16 * i);
        sw = v16_add(sw, wi);
        sx = v16_add(sx, v16_mul(wi, xi));
        high = v16_max(high, xi);
        low = v16_max(low, v16_sub(v16_set(0), xi));
    }
    float sum_w = v16_sum(sw);
    return (struct affine_moments){sum_w, v16_sum(sx) / sum_w, -v16_max_lane(low), v16_max_lane(high)};
}

/* q for a scale and a minimum; inv = 1 / s, or 0. */
SEARCH v16 affine_round(v16 x, v16 m, v16 inv, v16 top)
{
    v16 q = v16_min(v16_max(v16_mul(v16_add(x, m), inv), v16_set(0)), top);
    return v16_sub(v16_add(q, v16_set(ROUND_MAGIC)), v16_set(ROUND_MAGIC));
}

/* q of every value for a scale and a minimum */
SEARCH void affine_codes(v16 q[MAX_SUB_VECS], const float *x, const int n_vec, float top, float s, float m)
{
    v16 vm = v16_set(m), inv = v16_set(s > 0 ? 1.0f / s : 0), vt = v16_set(top);
    for (int i = 0; i < n_vec; i++) {
        q[i] = affine_round(v16_load(x + 16 * i), vm, inv, vt);
    }
}

/* sum w (x - s q + m)^2, from what is left of each value: as a difference of moments it would be no more exact than
 * the sum of the squares, and a value of little weight would not count. */
SEARCH float affine_residual(const float *x, const float *w, const int n_vec, const v16 *q, float s, float m)
{
    v16 err = v16_set(0), vs = v16_set(s), vm = v16_set(m);
    for (int i = 0; i < n_vec; i++) {
        v16 d = v16_sub(v16_add(v16_load(x + 16 * i), vm), v16_mul(vs, q[i]));
        err = v16_add(err, v16_mul(v16_mul(d, d), v16_load(w + 16 * i)));
    }
    return v16_sum(err);
}

/* Round with (s, m), then the best s, m for these q. any_m: m may be negative. Moments are about the means, for one
 * value of a large weight leaves little between those about zero. */
SEARCH struct affine_fit affine_refit(const float *x, const float *w, const int n_vec, float top,
                                      const struct affine_moments *t, float s, float m, const bool any_m)
{
    v16 q[MAX_SUB_VECS], sq = v16_set(0), sqq = sq, sqx = sq;
    affine_codes(q, x, n_vec, top, s, m);
    for (int i = 0; i < n_vec; i++) {
        sq = v16_add(sq, v16_mul(v16_load(w + 16 * i), q[i]));
    }
    struct affine_fit f = {.mean = v16_sum(sq) / t->w};
    v16 mean_q = v16_set(f.mean), mean_x = v16_set(t->mean);
    for (int i = 0; i < n_vec; i++) {
        v16 dq = v16_sub(q[i], mean_q), wdq = v16_mul(v16_load(w + 16 * i), dq);
        sqq = v16_add(sqq, v16_mul(wdq, dq));
        sqx = v16_add(sqx, v16_mul(wdq, v16_sub(v16_load(x + 16 * i), mean_x)));
    }
    f.spread = v16_sum(sqq);
    f.spread = f.spread > 1e-9f * t->w ? f.spread : 0; /* less is rounding of the mean: one q that differs makes more */
    float qx = v16_sum(sqx);
    f.s = f.spread > 0 ? qx / f.spread : 0;
    f.m = f.s * f.mean - t->mean;
    if ((f.m < 0 && !any_m) || (f.spread == 0 && f.mean > 0)) { /* through zero; where all q are equal, s is free */
        float qq = f.spread + t->w * f.mean * f.mean;
        f.s = qq > 0 ? (qx + t->w * f.mean * t->mean) / qq : 0, f.m = 0;
    }
    if (f.s < 0) { /* a flat sub-block whose values are all below zero */
        f.s = 0, f.m = t->mean > 0 && !any_m ? 0 : -t->mean;
    }
    f.err = affine_residual(x, w, n_vec, q, f.s, f.m);
    return f;
}

/* The error of (s, m) with q rounded for it. */
SEARCH float affine_error(const float *x, const float *w, const int n_vec, float top, float s, float m)
{
    v16 q[MAX_SUB_VECS];
    affine_codes(q, x, n_vec, top, s, m);
    return affine_residual(x, w, n_vec, q, s, m);
}

/* Step 1. edge: where the least value stands above q = 0 and the largest below q = top, in quanta (negative: cut off);
 * n_edge of them, tried in pairs. Whole numbers find blocks again that were quantized before. */
SEARCH struct affine_fit affine_search(const float *x, const float *w, const int n_vec, float top,
                                       const struct affine_moments *t, const float *edge, int n_edge, const bool any_m)
{
    float low = !any_m && t->low > 0 ? 0 : t->low, range = t->high - low;
    float noise = 1e-9f * (range * range + low * low) * t->w; /* among equals the first counts: the least at q = 0 */
    struct affine_fit best = affine_refit(x, w, n_vec, top, t, range / top, -low, any_m);
    for (int i = 0; i < n_edge; i++) {
        for (int j = 0; j < n_edge; j++) {
            float s = range / (top - edge[i] - edge[j]);
            struct affine_fit f = affine_refit(x, w, n_vec, top, t, s, edge[i] * s - low, any_m);
            best = f.err + noise < best.err ? f : best;
        }
    }
    for (int i = 0; i < 8; i++) {
        struct affine_fit f = affine_refit(x, w, n_vec, top, t, best.s, best.m, any_m);
        if (!(f.err < best.err)) {
            break;
        }
        best = f;
    }
    return best;
}

/* The sub-blocks of a super-block side by side, one a lane; lanes past the last are zero. */
struct affine_lanes {
    float s[MAX_SUB], m[MAX_SUB], qq[MAX_SUB], ratio[MAX_SUB], w[MAX_SUB];
};

/* What integers for (d, e) cost above the best real s, m: the better of the two s around the real one, each with the
 * integer m that is best given it. */
SEARCH v16 affine_quadratic(const struct affine_lanes *l, v16 s_int, v16 d, v16 e, v16 inv_e, v16 top)
{
    v16 ds = v16_sub(v16_mul(s_int, d), v16_load(l->s));
    v16 m = v16_add(v16_load(l->m), v16_mul(ds, v16_load(l->ratio)));
    v16 mi = v16_min(v16_max(v16_mul(m, inv_e), v16_set(0)), top);
    mi = v16_sub(v16_add(mi, v16_set(ROUND_MAGIC)), v16_set(ROUND_MAGIC));
    v16 dm = v16_sub(m, v16_mul(mi, e));
    return v16_add(v16_mul(v16_mul(ds, ds), v16_load(l->qq)), v16_mul(v16_mul(dm, dm), v16_load(l->w)));
}

SEARCH float affine_pair_cost(const struct affine_lanes *l, float d, float e, float super_top)
{
    v16 vd = v16_set(d), ve = v16_set(e), inv_e = v16_set(e > 0 ? 1.0f / e : 0), top = v16_set(super_top);
    v16 r = v16_mul(v16_load(l->s), v16_set(d > 0 ? 1.0f / d : 0));
    r = v16_max(v16_sub(r, v16_set(0.5f)), v16_set(0));
    v16 down = v16_min(v16_sub(v16_add(r, v16_set(ROUND_MAGIC)), v16_set(ROUND_MAGIC)), top);
    v16 up = v16_min(v16_add(down, v16_set(1)), top);
    return v16_sum(v16_min(affine_quadratic(l, down, vd, ve, inv_e, top), affine_quadratic(l, up, vd, ve, inv_e, top)));
}

/* Step 2. The largest real scale stands at the largest integer, or below it by up to a fifth (two fifths where there
 * are 15), in steps of which every other or every one is whole. */
SEARCH void affine_super(const struct affine_lanes *l, float super_top, float *d, float *e)
{
    enum { N_TRY = 14 };
    float s_max = v16_max_lane(v16_load(l->s)), m_max = v16_max_lane(v16_load(l->m)), best = INFINITY;
    float step = super_top > 15 ? 1.0f : 0.5f, try_d[N_TRY], try_e[N_TRY];
    for (int i = 0; i < N_TRY; i++) {
        float at = super_top + step * (1 - (float)i);
        try_d[i] = f16_near(s_max / at);
        try_e[i] = m_max > 0 ? f16_near(m_max / at) : 0;
    }
    *d = try_d[1], *e = try_e[1];
    for (int i = 0; i < N_TRY; i++) {
        for (int j = 0; j < (m_max > 0 ? N_TRY : 1); j++) {
            float cost = affine_pair_cost(l, try_d[i], try_e[j], super_top);
            if (cost < best) {
                best = cost, *d = try_d[i], *e = try_e[j];
            }
        }
    }
}

struct affine_block {
    float d, e; /* as float16 holds them */
    float s_int[MAX_SUB], m_int[MAX_SUB];
    float err;
};

static inline float clamp_int(float v, float top)
{
    float r = v > 0 ? (v < top ? v : top) : 0.0f;
    return (r + ROUND_MAGIC) - ROUND_MAGIC;
}

/* The best integers of one sub-block for (d, e): s within one of the real scale, m the best given s and its neighbours.
 */
SEARCH float affine_integers(const float *x, const float *w, const int n_vec, float top, const struct affine_fit *f,
                             float super_top, float d, float e, float *s_int, float *m_int)
{
    float best = INFINITY, mid = d > 0 ? clamp_int(f->s / d, super_top) : 0, ratio = f->mean;
    for (int i = -1; i <= 1; i++) {
        float si = clamp_int(mid + (float)i, super_top);
        float m_mid = e > 0 ? clamp_int((f->m + ratio * (si * d - f->s)) / e, super_top) : 0;
        for (int j = -1; j <= 1; j++) {
            float mi = clamp_int(m_mid + (float)j, super_top);
            float err = affine_error(x, w, n_vec, top, d * si, e * mi);
            if (err < best) {
                best = err, *s_int = si, *m_int = mi;
            }
        }
    }
    return best;
}

/* d and e by least squares for the integers and q of a block. */
SEARCH void affine_super_refit(const float *x, const float *w, const int n_vec, const int n_sub, float top,
                               const struct affine_block *b, float *d, float *e)
{
    double aa = 0, am = 0, mm = 0, ax = 0, mx = 0;
    for (int k = 0; k < n_sub; k++) {
        const float *xs = x + 16 * n_vec * k, *ws = w + 16 * n_vec * k;
        float s = b->d * b->s_int[k];
        v16 sq = v16_set(0), sqq = sq, sqx = sq, sw = sq, sx = sq, vt = v16_set(top);
        v16 vm = v16_set(b->e * b->m_int[k]), inv = v16_set(s > 0 ? 1.0f / s : 0);
        for (int i = 0; i < n_vec; i++) {
            v16 xi = v16_load(xs + 16 * i), wi = v16_load(ws + 16 * i), q = affine_round(xi, vm, inv, vt);
            v16 wq = v16_mul(wi, q);
            sq = v16_add(sq, wq);
            sqq = v16_add(sqq, v16_mul(wq, q));
            sqx = v16_add(sqx, v16_mul(wq, xi));
            sw = v16_add(sw, wi);
            sx = v16_add(sx, v16_mul(wi, xi));
        }
        double si = (double)b->s_int[k], mi = (double)b->m_int[k];
        aa += si * si * (double)v16_sum(sqq);
        am += si * mi * (double)v16_sum(sq);
        mm += mi * mi * (double)v16_sum(sw);
        ax += si * (double)v16_sum(sqx);
        mx += mi * (double)v16_sum(sx);
    }
    /* minimize aa d^2 - 2 am d e + mm e^2 - 2 ax d + 2 mx e */
    double det = aa * mm - am * am;
    if (mm > 0 && det > 1e-9 * aa * mm) {
        *d = f16_near((float)((ax * mm - am * mx) / det));
        *e = f16_near((float)((am * (double)*d - mx) / mm)); /* the best for d as it is stored */
    } else {
        *d = f16_near(aa > 0 ? (float)(ax / aa) : 0);
        *e = f16_near(b->e);
    }
    *d = *d > 0 ? *d : 0;
    *e = *e > 0 ? *e : 0;
}

/* Steps 2 and 3; q[256] of the result as bytes. */
SEARCH void affine_super_block(const float *x, const float *w, const int n_vec, const int n_sub, float top,
                               float super_top, const float *edge, int n_edge, struct affine_block *out, uint8_t *q)
{
    struct affine_fit fit[MAX_SUB];
    struct affine_moments t[MAX_SUB];
    struct affine_lanes l = {{0}, {0}, {0}, {0}, {0}};
    for (int k = 0; k < n_sub; k++) {
        const float *xs = x + 16 * n_vec * k, *ws = w + 16 * n_vec * k;
        t[k] = affine_moments(xs, ws, n_vec);
        fit[k] = affine_search(xs, ws, n_vec, top, &t[k], edge, n_edge, false);
        l.s[k] = fit[k].s;
        l.m[k] = fit[k].m;
        l.ratio[k] = fit[k].mean;
        l.qq[k] = fit[k].spread;
        l.w[k] = t[k].w;
    }
    struct affine_block b = {.err = INFINITY};
    affine_super(&l, super_top, &b.d, &b.e);
    *out = b;
    for (int round = 0; round < 4; round++) {
        b.err = 0;
        for (int k = 0; k < n_sub; k++) {
            const float *xs = x + 16 * n_vec * k, *ws = w + 16 * n_vec * k;
            b.err += affine_integers(xs, ws, n_vec, top, &fit[k], super_top, b.d, b.e, &b.s_int[k], &b.m_int[k]);
        }
        if (!(b.err < out->err)) {
            break;
        }
        *out = b;
        affine_super_refit(x, w, n_vec, n_sub, top, &b, &b.d, &b.e);
    }
    for (int k = 0; k < n_sub; k++) {
        float s = out->d * out->s_int[k];
        v16 vm = v16_set(out->e * out->m_int[k]), inv = v16_set(s > 0 ? 1.0f / s : 0);
        for (int i = 0; i < n_vec; i++) {
            float r[16];
            v16_store(r, affine_round(v16_load(x + 16 * (n_vec * k + i)), vm, inv, v16_set(top)));
            for (int j = 0; j < 16; j++) {
                q[16 * (n_vec * k + i) + j] = (uint8_t)r[j];
            }
        }
    }
}

#endif
