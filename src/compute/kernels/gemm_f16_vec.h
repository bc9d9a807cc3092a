/* Products of few rows with a panel in float16, vectors of 16: decode's attention. The panel is converted in registers,
 * once for MAX_ROWS rows. */
#ifndef KERNELS_GEMM_F16_VEC_H
#define KERNELS_GEMM_F16_VEC_H

#include "compute/kernels/gemm_short_vec.h"
#include "compute/kernels/kern_int.h"

/* n_row rows x n_vec vectors; both constants. */
ALWAYS_INLINE void tile_f16(const struct short_gemm *g, float *y, const float *x, const uint16_t *p, size_t ldp,
                            const int n_row, const int n_vec)
{
    v16 acc[MAX_ROWS][MAX_VECS];
    sums_begin(acc, g, y, n_row, n_vec);
    for (size_t k = 0; k < g->n_k; k++, x += g->x_k, p += ldp) {
        v16 w[MAX_VECS];
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            w[c] = v16_from_f16(p + 16 * c);
        }
        sums_add(acc, g, x, w, n_row, n_vec);
    }
    sums_store(acc, g, y, n_row, n_vec);
}

/* 1 to MAX_ROWS rows. */
ALWAYS_INLINE void rows_f16(const struct short_gemm *g, float *y, const float *x, const uint16_t *p, size_t ldp,
                            size_t n_row, const int n_vec)
{
#define TILE(n) tile_f16(g, y, x, p, ldp, n, n_vec)
    SWITCH_ROWS(n_row, TILE)
#undef TILE
}

static void gemm_f16(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const uint16_t *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    struct short_gemm g = {ldy, x_row, x_k, n_k, accumulate};
    for (size_t r = 0; r < n_row; r += MAX_ROWS) {
        size_t n = n_row - r < MAX_ROWS ? n_row - r : MAX_ROWS, c = 0;
        for (; c + 16 * MAX_VECS <= n_col; c += 16 * MAX_VECS) {
            rows_f16(&g, y + r * ldy + c, x + r * x_row, p + c, ldp, n, MAX_VECS);
        }
        for (; c < n_col; c += 16) {
            rows_f16(&g, y + r * ldy + c, x + r * x_row, p + c, ldp, n, 1);
        }
    }
}

#endif
