/* Float products for AVX-512. Fast order: tiles of 6 x 64, ROWS x 32 or ROWS x 16 outputs in registers, k ascending,
 * one fused multiply-add a step; k in chunks of CHUNK so that a strip of p stays in the first-level cache, the sums
 * waiting in y between chunks (a float stored and loaded again is the same float, so the bits do not depend on the
 * chunks). Reference order: 16 accumulators, one a lane of k, for 16 columns at a time. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_chunks.h"

enum { CHUNK = 256, MAX_ROWS = 16, MAX_COLS = 8 };

/* One k: the value of every row, `at` bytes behind its base, times a line of p. */
ALWAYS_INLINE void add_step(__m512 acc[MAX_ROWS][MAX_COLS], const struct row_bases *x, size_t at, const float *p,
                            const int n_row, const int n_vec, __mmask16 last)
{
    __m512 v[MAX_COLS];
    UNROLL
    for (int c = 0; c < n_vec; c++) {
        v[c] = _mm512_maskz_loadu_ps(c == n_vec - 1 ? last : 0xffff, p + 16 * c);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        __m512 a = _mm512_set1_ps(*(const float *)((const char *)row_at(x, r) + at));
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = _mm512_fmadd_ps(a, v[c], acc[r][c]);
        }
    }
}

/* n_row x (16 * n_vec) outputs; the last vector is masked. n_row, n_vec and unit (consecutive k lie beside each other,
 * which lets four of them share what moves the pointers) are constants. */
ALWAYS_INLINE void tile_of(const struct gemm *g, size_t r0, size_t c0, const int n_row, const int n_vec, __mmask16 last,
                           const bool unit)
{
    struct row_bases x = row_bases(g->x + r0 * g->x_row, g->x_row * sizeof(float), n_row);
    size_t x_step = g->x_k * sizeof(float), ldp = g->ldp, k = g->n_k;
    const float *p = g->p + c0;
    float *y = g->y + r0 * g->ldy + c0;
    __m512 acc[MAX_ROWS][MAX_COLS];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            __mmask16 m = c == n_vec - 1 ? last : 0xffff;
            acc[r][c] = g->accumulate ? _mm512_maskz_loadu_ps(m, y + (size_t)r * g->ldy + 16 * c) : _mm512_setzero_ps();
        }
    }
    for (; unit && k >= 4; k -= 4) {
        UNROLL
        for (size_t i = 0; i < 4; i++, p += ldp) {
            add_step(acc, &x, i * sizeof(float), p, n_row, n_vec, last);
        }
        rows_advance(&x, 4 * sizeof(float), n_row);
    }
    for (; k > 0; k--, p += ldp) {
        gemm_fetch(g, &x, p, n_vec);
        add_step(acc, &x, 0, p, n_row, n_vec, last);
        rows_advance(&x, x_step, n_row);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            _mm512_mask_storeu_ps(y + (size_t)r * g->ldy + 16 * c, c == n_vec - 1 ? last : 0xffff, acc[r][c]);
        }
    }
}

ALWAYS_INLINE void tile(const struct gemm *g, size_t r0, size_t c0, const int n_row, const int n_vec, __mmask16 last)
{
    tile_of(g, r0, c0, n_row, n_vec, last, false);
}

/* Whole tiles of 6 rows of a strip of 64 columns; returns the rows that are done. Fewer instructions a product than in
 * any other tile, which counts where another process computes on the same core. */
static size_t strip_64(const struct gemm *g, size_t n_row, size_t c0)
{
    size_t r = 0;
    for (; r + 6 <= n_row; r += 6) {
        tile_of(g, r, c0, 6, 4, 0xffff, true);
    }
    return r;
}

/* Rows from r on of a strip of 32 columns (the last 16 masked). */
static void strip_32(const struct gemm *g, size_t r, size_t n_row, size_t c0, __mmask16 last)
{
    for (; r + 12 <= n_row; r += 12) {
        tile(g, r, c0, 12, 2, last);
    }
    if (r + 8 <= n_row) {
        tile(g, r, c0, 8, 2, last);
        r += 8;
    }
    if (r + 4 <= n_row) {
        tile(g, r, c0, 4, 2, last);
        r += 4;
    }
    if (r + 2 <= n_row) {
        tile(g, r, c0, 2, 2, last);
        r += 2;
    }
    if (r < n_row) {
        tile(g, r, c0, 1, 2, last);
    }
}

static void strip_16(const struct gemm *g, size_t n_row, size_t c0, __mmask16 last)
{
    size_t r = 0;
    for (; r + 16 <= n_row; r += 16) {
        tile(g, r, c0, 16, 1, last);
    }
    if (r + 8 <= n_row) {
        tile(g, r, c0, 8, 1, last);
        r += 8;
    }
    if (r + 4 <= n_row) {
        tile(g, r, c0, 4, 1, last);
        r += 4;
    }
    if (r + 2 <= n_row) {
        tile(g, r, c0, 2, 1, last);
        r += 2;
    }
    if (r < n_row) {
        tile(g, r, c0, 1, 1, last);
    }
}

/* One chunk of k over all columns. */
static void chunk(const struct gemm *g, size_t n_row, size_t n_col)
{
    size_t c = 0;
    while (n_row == 1 && c + 128 <= n_col) { /* one row: eight sums in flight hide the latency of the addition */
        tile(g, 0, c, 1, 8, 0xffff);
        c += 128;
    }
    while (n_row <= 3 && c + 64 <= n_col) {
        size_t r = 0;
        for (; r + 2 <= n_row; r += 2) {
            tile(g, r, c, 2, 4, 0xffff);
        }
        if (r < n_row) {
            tile(g, r, c, 1, 4, 0xffff);
        }
        c += 64;
    }
    while (g->x_k == 1 && n_row >= 6 && c + 64 <= n_col) {
        size_t r = strip_64(g, n_row, c);
        strip_32(g, r, n_row, c, 0xffff);
        strip_32(g, r, n_row, c + 32, 0xffff);
        c += 64;
    }
    while (c + 32 <= n_col) {
        strip_32(g, 0, n_row, c, 0xffff);
        c += 32;
    }
    size_t rest = n_col - c;
    if (rest > 16) {
        strip_32(g, 0, n_row, c, (__mmask16)((1u << (rest - 16)) - 1u));
    } else if (rest > 0) {
        strip_16(g, n_row, c, (__mmask16)((1u << rest) - 1u));
    }
}

static void gemm_f32(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    struct gemm g = {y, x, p, ldy, x_row, x_k, ldp, n_k, accumulate};
    gemm_chunks(&g, CHUNK, chunk, n_row, n_col);
}

/* lane[k mod 16] += x[k] * p[k] for 16 columns of one row, then the tree. */
static __m512 ref_16(const float *x, size_t x_k, const float *p, size_t ldp, size_t n_k, __mmask16 mask)
{
    __m512 lane[16];
    UNROLL
    for (int i = 0; i < 16; i++) {
        lane[i] = _mm512_setzero_ps();
    }
    size_t k = 0;
    for (; k + 16 <= n_k; k += 16, x += 16 * x_k, p += 16 * ldp) {
        UNROLL
        for (size_t i = 0; i < 16; i++) {
            __m512 v = _mm512_maskz_loadu_ps(mask, p + i * ldp);
            lane[i] = _mm512_add_ps(lane[i], _mm512_mul_ps(_mm512_set1_ps(x[i * x_k]), v));
        }
    }
    UNROLL
    for (size_t i = 0; i < 15; i++) {
        if (k + i < n_k) {
            __m512 v = _mm512_maskz_loadu_ps(mask, p + i * ldp);
            lane[i] = _mm512_add_ps(lane[i], _mm512_mul_ps(_mm512_set1_ps(x[i * x_k]), v));
        }
    }
    UNROLL
    for (int step = 8; step > 0; step /= 2) {
        UNROLL
        for (int i = 0; i < step; i++) {
            lane[i] = _mm512_add_ps(lane[i], lane[i + step]);
        }
    }
    return lane[0];
}

static void gemm_ref(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t c = 0; c < n_col; c += 16) {
        __mmask16 mask = (__mmask16)(n_col - c >= 16 ? 0xffffu : (1u << (n_col - c)) - 1u);
        for (size_t r = 0; r < n_row; r++) {
            __m512 sum = ref_16(x + r * x_row, x_k, p + c, ldp, n_k, mask);
            float *out = y + r * ldy + c;
            if (accumulate) {
                sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sum);
            }
            _mm512_mask_storeu_ps(out, mask, sum);
        }
    }
}

void kern_gemm_fill_avx512(struct kern *k)
{
    k->gemm_ref = gemm_ref;
    k->gemm_f32 = gemm_f32;
    k->gemm_cols = 64;
}
#endif
