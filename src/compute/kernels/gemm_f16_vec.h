/* Products of few rows with a panel in float16, vectors of 16: decode's attention. The panel is converted in registers,
 * once for MAX_ROWS rows; one sum an output, k ascending, as gemm_f32. */
#ifndef KERNELS_GEMM_F16_VEC_H
#define KERNELS_GEMM_F16_VEC_H

#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
enum { MAX_ROWS = 8, MAX_VECS = 2 };
#else
enum { MAX_ROWS = 4, MAX_VECS = 1 }; /* a vector of 16 is two registers, and there are 16 */
#endif

/* What one product is told, so that the tiles have few arguments. */
struct gemm_f16 {
    size_t ldy, x_row, x_k, ldp, n_k;
    bool accumulate;
};

/* n_row rows x n_vec vectors; both constants. */
ALWAYS_INLINE void tile_f16(const struct gemm_f16 *g, float *y, const float *x, const uint16_t *p, const int n_row,
                            const int n_vec)
{
    v16 acc[MAX_ROWS][MAX_VECS];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = g->accumulate ? v16_load(y + (size_t)r * g->ldy + 16 * c) : v16_set(0);
        }
    }
    for (size_t k = 0; k < g->n_k; k++, x += g->x_k, p += g->ldp) {
        v16 w[MAX_VECS];
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            w[c] = v16_from_f16(p + 16 * c);
        }
        UNROLL
        for (int r = 0; r < n_row; r++) {
            v16 a = v16_set(x[(size_t)r * g->x_row]);
            UNROLL
            for (int c = 0; c < n_vec; c++) {
                acc[r][c] = v16_fma(a, w[c], acc[r][c]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            v16_store(y + (size_t)r * g->ldy + 16 * c, acc[r][c]);
        }
    }
}

#define ROWS(n)                         \
    case n:                             \
        tile_f16(g, y, x, p, n, n_vec); \
        break
/* 1 to MAX_ROWS rows. */
ALWAYS_INLINE void rows_f16(const struct gemm_f16 *g, float *y, const float *x, const uint16_t *p, size_t n_row,
                            const int n_vec)
{
    switch (n_row) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
        ROWS(5);
        ROWS(6);
        ROWS(7);
        ROWS(8);
#endif
    }
}
#undef ROWS

static void gemm_f16(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const uint16_t *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    struct gemm_f16 g = {ldy, x_row, x_k, ldp, n_k, accumulate};
    for (size_t r = 0; r < n_row; r += MAX_ROWS) {
        size_t n = n_row - r < MAX_ROWS ? n_row - r : MAX_ROWS, c = 0;
        for (; c + 16 * MAX_VECS <= n_col; c += 16 * MAX_VECS) {
            rows_f16(&g, y + r * ldy + c, x + r * x_row, p + c, n, MAX_VECS);
        }
        for (; c < n_col; c += 16) {
            rows_f16(&g, y + r * ldy + c, x + r * x_row, p + c, n, 1);
        }
    }
}

#endif
