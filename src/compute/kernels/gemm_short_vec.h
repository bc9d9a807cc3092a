/* What products of few rows share, whatever their panel holds: tiles of sums in registers, vectors of 16. One sum an
 * output, k ascending, as gemm_f32. */
#ifndef KERNELS_GEMM_SHORT_VEC_H
#define KERNELS_GEMM_SHORT_VEC_H

#include <stdbool.h>

#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
enum { MAX_ROWS = 8, MAX_VECS = 2 };
#else
enum { MAX_ROWS = 4, MAX_VECS = 1 }; /* a vector of 16 is two registers, and there are 16 */
#endif

/* What a product is told, so that the tiles have few arguments. */
struct short_gemm {
    size_t ldy, x_row, x_k, n_k;
    bool accumulate;
};

/* Sums of a tile; n_row and n_vec are constants everywhere. */
ALWAYS_INLINE void sums_begin(v16 acc[MAX_ROWS][MAX_VECS], const struct short_gemm *g, const float *y, const int n_row,
                              const int n_vec)
{
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = g->accumulate ? v16_load(y + (size_t)r * g->ldy + 16 * c) : v16_set(0);
        }
    }
}

/* One input of every row times a vector or two of the panel. */
ALWAYS_INLINE void sums_add(v16 acc[MAX_ROWS][MAX_VECS], const struct short_gemm *g, const float *x,
                            const v16 w[MAX_VECS], const int n_row, const int n_vec)
{
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v16 a = v16_set(x[(size_t)r * g->x_row]);
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = v16_fma(a, w[c], acc[r][c]);
        }
    }
}

ALWAYS_INLINE void sums_store(v16 acc[MAX_ROWS][MAX_VECS], const struct short_gemm *g, float *y, const int n_row,
                              const int n_vec)
{
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            v16_store(y + (size_t)r * g->ldy + 16 * c, acc[r][c]);
        }
    }
}

/* The tile of n rows, n a constant: tile(n) for 1 to MAX_ROWS. */
#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
#define MORE_ROWS(tile) \
    case 5:             \
        tile(5);        \
        break;          \
    case 6:             \
        tile(6);        \
        break;          \
    case 7:             \
        tile(7);        \
        break;          \
    case 8:             \
        tile(8);        \
        break;
#else
#define MORE_ROWS(tile)
#endif
#define SWITCH_ROWS(n_row, tile) \
    switch (n_row) {             \
    case 1:                      \
        tile(1);                 \
        break;                   \
    case 2:                      \
        tile(2);                 \
        break;                   \
    case 3:                      \
        tile(3);                 \
        break;                   \
    case 4:                      \
        tile(4);                 \
        break;                   \
        MORE_ROWS(tile)          \
    }

#endif
