/* What the float products of AVX2 and AVX-512 share: their arguments, k in chunks, and fetching ahead. */
#ifndef KERNELS_GEMM_CHUNKS_H
#define KERNELS_GEMM_CHUNKS_H

#include <stdbool.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/unroll.h"

enum {
    GEMM_FAR = 128, /* floats between consecutive k from which the tile fetches ahead, since no hardware does: */
    GEMM_AHEAD = 12 /* so many steps. Gradients of weights, AVX-512: 8 -> 27 flops a cycle */
};

/* One product's arguments, so that the tiles have few. */
struct gemm {
    float *y;
    const float *x, *p;
    size_t ldy, x_row, x_k, ldp, n_k;
    bool accumulate;
};

/* n_row x n_col outputs of one chunk of k. */
typedef void gemm_chunk_fn(const struct gemm *g, size_t n_row, size_t n_col);

/* The product in chunks of at most `most` k, all alike. */
ALWAYS_INLINE void gemm_chunks(const struct gemm *whole, size_t most, gemm_chunk_fn *chunk, size_t n_row, size_t n_col)
{
    size_t n_chunk = (whole->n_k + most - 1) / most;
    struct gemm g = *whole;
    for (size_t i = 0; i < n_chunk; i++) {
        size_t from = whole->n_k * i / n_chunk, to = whole->n_k * (i + 1) / n_chunk;
        g.x = whole->x + from * whole->x_k;
        g.p = whole->p + from * whole->ldp;
        g.n_k = to - from;
        g.accumulate = whole->accumulate || i > 0;
        chunk(&g, n_row, n_col);
    }
}

/* The lines of a step that is still to come: of the first row, and n_line of p. */
ALWAYS_INLINE void gemm_fetch(const struct gemm *g, const struct row_bases *x, const float *p, const int n_line)
{
    if (g->x_k > GEMM_FAR) {
        _mm_prefetch((const char *)row_at(x, 0) + GEMM_AHEAD * g->x_k * sizeof(float), _MM_HINT_T0);
    }
    if (g->ldp > GEMM_FAR) {
        UNROLL
        for (int i = 0; i < n_line; i++) {
            _mm_prefetch((const char *)(p + GEMM_AHEAD * g->ldp + 16 * i), _MM_HINT_T0);
        }
    }
}

#endif
