/* Products in bfloat16 for AVX-512 without tiles: VDPBF16PS adds a pair of products to each of 16 sums. Tiles of ROWS x
 * 32 (or x 16) outputs in registers, a pair of k a step, ascending; k in equal chunks of at most CHUNK so that the
 * panels of a strip stay in the first-level cache, the sums waiting in y between chunks (a float stored and loaded
 * again is the same float). One sum an output and one order of k, so the bits of a row depend neither on the tile nor
 * on the rows beside it.
 *
 * VDPBF16PS rounds after each of the two products to nearest even, whatever MXCSR says, and reads and writes subnormals
 * as zero: equal to float32 products of the same values within a rounding a step. */
#include <string.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { CHUNK = 512, MAX_ROWS = 16, MAX_GROUPS = 8, PAIR = 2 };

/* One product's arguments for one chunk of k, so that the tiles have few. */
struct gemm {
    float *y;
    const uint16_t *x, *p;
    size_t ldy, ldx, p_stride, n_k;
    bool accumulate;
};

/* Two neighbours of a row, in every lane. */
ALWAYS_INLINE __m512i pair_set(const void *x)
{
    int pair;
    memcpy(&pair, x, sizeof(pair));
    return _mm512_set1_epi32(pair);
}

/* n_row rows x n_group groups of 16 outputs. n_row and n_group are constants. */
ALWAYS_INLINE void tile(const struct gemm *g, size_t r0, size_t group, const int n_row, const int n_group)
{
    struct row_bases x = row_bases(g->x + r0 * g->ldx, g->ldx * sizeof(uint16_t), n_row);
    struct row_bases p = row_bases(g->p + group * g->p_stride, g->p_stride * sizeof(uint16_t), n_group);
    float *y = g->y + r0 * g->ldy + group * KERN_ROWS;
    __m512 acc[MAX_ROWS][MAX_GROUPS];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_group; c++) {
            acc[r][c] = g->accumulate ? _mm512_loadu_ps(y + (size_t)r * g->ldy + 16 * c) : _mm512_setzero_ps();
        }
    }
    for (size_t k = g->n_k; k > 0; k -= PAIR) {
        __m512i v[MAX_GROUPS];
        UNROLL
        for (int c = 0; c < n_group; c++) {
            v[c] = _mm512_loadu_si512(row_at(&p, c));
        }
        UNROLL
        for (int r = 0; r < n_row; r++) {
            __m512i a = pair_set(row_at(&x, r));
            UNROLL
            for (int c = 0; c < n_group; c++) {
                acc[r][c] = _mm512_dpbf16_ps(acc[r][c], (__m512bh)a, (__m512bh)v[c]);
            }
        }
        rows_advance(&x, PAIR * sizeof(uint16_t), n_row);
        rows_advance(&p, PAIR * KERN_ROWS * sizeof(uint16_t), n_group);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_group; c++) {
            _mm512_storeu_ps(y + (size_t)r * g->ldy + 16 * c, acc[r][c]);
        }
    }
}

#define ROWS(n)                  \
    case n:                      \
        tile(g, r, group, n, 2); \
        break
/* n rows, 1 to 12, of a strip of two groups: as many as leave registers for a pair and two panels. */
static void rows_2(const struct gemm *g, size_t r, size_t group, size_t n)
{
    switch (n) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
        ROWS(7);
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
        ROWS(12);
    }
}

/* All rows of a strip of two groups, in tiles of nearly equal height: a low one takes as long as one of six rows, for
 * the latency of its sums (16 rows as 8 and 8 go at 520 GFLOPS, as 12 and 4 at 470). */
static void strip_2(const struct gemm *g, size_t n_row, size_t group)
{
    for (size_t r = 0, n_tile = (n_row + 11) / 12; n_tile > 0; n_tile--) {
        size_t n = (n_row - r) / n_tile;
        rows_2(g, r, group, n);
        r += n;
    }
}

static void strip_1(const struct gemm *g, size_t n_row, size_t group)
{
    size_t r = 0;
    for (; r + 16 <= n_row; r += 16) {
        tile(g, r, group, 16, 1);
    }
    if (r + 8 <= n_row) {
        tile(g, r, group, 8, 1);
        r += 8;
    }
    if (r + 4 <= n_row) {
        tile(g, r, group, 4, 1);
        r += 4;
    }
    if (r + 2 <= n_row) {
        tile(g, r, group, 2, 1);
        r += 2;
    }
    if (r < n_row) {
        tile(g, r, group, 1, 1);
    }
}

/* One chunk of k over all groups. */
static void chunk(const struct gemm *g, size_t n_row, size_t n_group)
{
    size_t group = 0;
    while (n_row == 1 && group + 8 <= n_group) { /* one row: eight sums in flight hide the latency of the addition */
        tile(g, 0, group, 1, 8);
        group += 8;
    }
    while (n_row <= 3 && group + 4 <= n_group) {
        size_t r = 0;
        for (; r + 2 <= n_row; r += 2) {
            tile(g, r, group, 2, 4);
        }
        if (r < n_row) {
            tile(g, r, group, 1, 4);
        }
        group += 4;
    }
    for (; group + 2 <= n_group; group += 2) {
        strip_2(g, n_row, group);
    }
    if (group < n_group) {
        strip_1(g, n_row, group);
    }
}

static void gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                      size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    size_t n_chunk = (n_k + CHUNK - 1) / CHUNK, step = (n_k / KERN_K + n_chunk - 1) / n_chunk * KERN_K;
    for (size_t k = 0; k < n_k; k += step) {
        struct gemm g = {
            .y = y,
            .x = x + k,
            .p = p + k * KERN_ROWS,
            .ldy = ldy,
            .ldx = ldx,
            .p_stride = p_stride,
            .n_k = n_k - k < step ? n_k - k : step,
            .accumulate = accumulate || k > 0,
        };
        chunk(&g, n_row, n_group);
    }
}

void kern_gemm_fill_avx512bf16(struct kern *k)
{
    k->gemm_bf16 = gemm_bf16;
}
#endif
