/* Products of few rows with keys or values in int8, vectors of 16: decode's attention over such a cache. A value times
 * its scale is exact in float32 (8 and 11 bits), so the bits are those of gemm_f32 on the page converted. */
#ifndef KERNELS_GEMM_KV_VEC_H
#define KERNELS_GEMM_KV_VEC_H

#include "compute/kernels/gemm_short_vec.h"
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

/* Scales of 16 columns from c at input k: keys have one each, values one for all. */
ALWAYS_INLINE v16 kv_scale(const struct kern_kv_panel *p, size_t k, size_t c, const bool across)
{
    if (across) {
        return v16_from_f16(p->scale + k / KERN_K * p->ld_scale + c);
    }
    return v16_set(f16_value(p->scale[k * p->ld_scale + c / KERN_K]));
}

/* n_row rows x n_vec vectors from column c; n_row, n_vec and across are constants. */
ALWAYS_INLINE void tile_kv(const struct short_gemm *g, const struct kern_kv_panel *p, float *y, const float *x,
                           size_t c, const int n_row, const int n_vec, const bool across)
{
    v16 acc[MAX_ROWS][MAX_VECS], scale[MAX_VECS];
    UNROLL
    for (int v = 0; v < n_vec; v++) {
        scale[v] = v16_set(0); /* set before it is read: the compiler cannot see that k begins at 0 */
    }
    sums_begin(acc, g, y, n_row, n_vec);
    for (size_t k = 0; k < g->n_k; k++, x += g->x_k) {
        v16 w[MAX_VECS];
        UNROLL
        for (int v = 0; v < n_vec; v++) {
            const int8_t *q = p->q + k * p->ld + c + 16 * (size_t)v;
            if (!across || k % KERN_K == 0) {
                scale[v] = kv_scale(p, k, c + 16 * (size_t)v, across);
            }
            w[v] = v16_mul(i16_to_float(i16_from_s8(_mm_loadu_si128((const __m128i_u *)q))), scale[v]);
        }
        sums_add(acc, g, x, w, n_row, n_vec);
    }
    sums_store(acc, g, y, n_row, n_vec);
}

/* 1 to MAX_ROWS rows. */
ALWAYS_INLINE void rows_kv(const struct short_gemm *g, const struct kern_kv_panel *p, float *y, const float *x,
                           size_t c, size_t n_row, const int n_vec, const bool across){
#define TILE(n) tile_kv(g, p, y, x, c, n, n_vec, across)
    SWITCH_ROWS(n_row, TILE)
#undef TILE
}

ALWAYS_INLINE void panel_kv(const struct short_gemm *g, const struct kern_kv_panel *p, float *y, const float *x,
                            size_t n_row, size_t n_col, const bool across)
{
    for (size_t r = 0; r < n_row; r += MAX_ROWS) {
        size_t n = n_row - r < MAX_ROWS ? n_row - r : MAX_ROWS, c = 0;
        for (; c + 16 * MAX_VECS <= n_col; c += 16 * MAX_VECS) {
            rows_kv(g, p, y + r * g->ldy + c, x + r * g->x_row, c, n, MAX_VECS, across);
        }
        for (; c < n_col; c += 16) {
            rows_kv(g, p, y + r * g->ldy + c, x + r * g->x_row, c, n, 1, across);
        }
    }
}

static void gemm_kv(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const struct kern_kv_panel *p,
                    size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    struct short_gemm g = {ldy, x_row, x_k, n_k, accumulate};
    if (p->across) {
        panel_kv(&g, p, y, x, n_row, n_col, true);
    } else {
        panel_kv(&g, p, y, x, n_row, n_col, false);
    }
}

#endif
