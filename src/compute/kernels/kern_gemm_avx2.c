/* Float products for AVX2 and FMA. Fast order: tiles of 6 x 16 outputs in twelve registers, k ascending, one fused
 * multiply-add a step; k in chunks of CHUNK so that a strip of p stays in the first-level cache, the sums waiting in y
 * between chunks (a float stored and loaded again is the same float, so the bits do not depend on the chunks).
 * Reference order: lanes 0..7 of k in eight accumulators, then lanes 8..15, for 8 columns at a time. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_chunks.h"

enum { CHUNK = 128, MAX_ROWS = 6, MAX_COLS = 8 };

/* all ones in the first n lanes of 8; n may be negative or above 8 */
ALWAYS_INLINE __m256i lanes_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

/* Vector c of a line; masked ones (n_col < 8 * n_vec columns are there) read and write nothing past them. */
ALWAYS_INLINE __m256 load_cols(const float *p, int c, bool masked, int n_col)
{
    return masked ? _mm256_maskload_ps(p + 8 * c, lanes_mask(n_col - 8 * c)) : _mm256_loadu_ps(p + 8 * c);
}

ALWAYS_INLINE void store_cols(float *p, int c, bool masked, int n_col, __m256 v)
{
    if (masked) {
        _mm256_maskstore_ps(p + 8 * c, lanes_mask(n_col - 8 * c), v);
    } else {
        _mm256_storeu_ps(p + 8 * c, v);
    }
}

/* One k: the value of every row, `at` bytes behind its base, times a line of p. */
ALWAYS_INLINE void add_step(__m256 acc[MAX_ROWS][MAX_COLS], const struct row_bases *x, size_t at, const float *p,
                            const int n_row, const int n_vec, const bool masked, int n_col)
{
    __m256 v[MAX_COLS];
    UNROLL
    for (int c = 0; c < n_vec; c++) {
        v[c] = load_cols(p, c, masked, n_col);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        __m256 a = _mm256_set1_ps(*(const float *)((const char *)row_at(x, r) + at));
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = _mm256_fmadd_ps(a, v[c], acc[r][c]);
        }
    }
}

/* n_row x (8 * n_vec) outputs; both are constants, and unit: consecutive k lie beside each other, which lets four of
 * them share what moves the pointers. */
ALWAYS_INLINE void tile_of(const struct gemm *g, size_t r0, size_t c0, const int n_row, const int n_vec,
                           const bool masked, int n_col, const bool unit)
{
    struct row_bases x = row_bases(g->x + r0 * g->x_row, g->x_row * sizeof(float), n_row);
    size_t x_step = g->x_k * sizeof(float), ldp = g->ldp, k = g->n_k;
    const float *p = g->p + c0;
    float *y = g->y + r0 * g->ldy + c0;
    __m256 acc[MAX_ROWS][MAX_COLS];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            acc[r][c] = g->accumulate ? load_cols(y + (size_t)r * g->ldy, c, masked, n_col) : _mm256_setzero_ps();
        }
    }
    for (; unit && k >= 4; k -= 4) {
        UNROLL
        for (size_t i = 0; i < 4; i++, p += ldp) {
            add_step(acc, &x, i * sizeof(float), p, n_row, n_vec, masked, n_col);
        }
        rows_advance(&x, 4 * sizeof(float), n_row);
    }
    for (; k > 0; k--, p += ldp) {
        gemm_fetch(g, &x, p, (n_vec + 1) / 2);
        add_step(acc, &x, 0, p, n_row, n_vec, masked, n_col);
        rows_advance(&x, x_step, n_row);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int c = 0; c < n_vec; c++) {
            store_cols(y + (size_t)r * g->ldy, c, masked, n_col, acc[r][c]);
        }
    }
}

ALWAYS_INLINE void tile(const struct gemm *g, size_t r0, size_t c0, const int n_row, const int n_vec, const bool masked,
                        int n_col)
{
    tile_of(g, r0, c0, n_row, n_vec, masked, n_col, false);
}

/* All rows of a strip of 16 columns. */
static void strip(const struct gemm *g, size_t n_row, size_t c0)
{
    size_t r = 0;
    for (; g->x_k == 1 && r + 6 <= n_row; r += 6) {
        tile_of(g, r, c0, 6, 2, false, 0, true);
    }
    for (; r + 6 <= n_row; r += 6) {
        tile(g, r, c0, 6, 2, false, 0);
    }
    if (r + 4 <= n_row) {
        tile(g, r, c0, 4, 2, false, 0);
        r += 4;
    }
    if (r + 2 <= n_row) {
        tile(g, r, c0, 2, 2, false, 0);
        r += 2;
    }
    if (r < n_row) {
        tile(g, r, c0, 1, 2, false, 0);
    }
}

/* All rows of the last n_col < 16 columns. */
static void strip_masked(const struct gemm *g, size_t n_row, size_t c0, int n_col)
{
    size_t r = 0;
    for (; r + 4 <= n_row; r += 4) {
        tile(g, r, c0, 4, 2, true, n_col);
    }
    for (; r < n_row; r++) {
        tile(g, r, c0, 1, 2, true, n_col);
    }
}

/* One chunk of k over all columns. */
static void chunk(const struct gemm *g, size_t n_row, size_t n_col)
{
    size_t c = 0;
    while (n_row == 1 && c + 64 <= n_col) { /* one row: eight sums in flight hide the latency of the addition */
        tile(g, 0, c, 1, 8, false, 0);
        c += 64;
    }
    while (n_row <= 3 && c + 32 <= n_col) {
        size_t r = 0;
        for (; r + 2 <= n_row; r += 2) {
            tile(g, r, c, 2, 4, false, 0);
        }
        if (r < n_row) {
            tile(g, r, c, 1, 4, false, 0);
        }
        c += 32;
    }
    for (; c + 16 <= n_col; c += 16) {
        strip(g, n_row, c);
    }
    if (c < n_col) {
        strip_masked(g, n_row, c, (int)(n_col - c));
    }
}

static void gemm_f32(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    struct gemm g = {y, x, p, ldy, x_row, x_k, ldp, n_k, accumulate};
    gemm_chunks(&g, CHUNK, chunk, n_row, n_col);
}

/* lane[i] = sum of x[k] * p[k] over k mod 16 = first + i, for eight lanes and eight columns of one row */
ALWAYS_INLINE void ref_lanes(__m256 lane[8], const float *x, size_t x_k, const float *p, size_t ldp, size_t n_k,
                             size_t first, const bool masked, __m256i mask)
{
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        lane[i] = _mm256_setzero_ps();
    }
    size_t k = first;
    for (; k + 8 <= n_k; k += 16) {
        UNROLL
        for (size_t i = 0; i < 8; i++) {
            const float *at = p + (k + i) * ldp;
            __m256 v = masked ? _mm256_maskload_ps(at, mask) : _mm256_loadu_ps(at);
            lane[i] = _mm256_add_ps(lane[i], _mm256_mul_ps(_mm256_set1_ps(x[(k + i) * x_k]), v));
        }
    }
    UNROLL
    for (size_t i = 0; i < 7; i++) {
        if (k + i < n_k) {
            const float *at = p + (k + i) * ldp;
            __m256 v = masked ? _mm256_maskload_ps(at, mask) : _mm256_loadu_ps(at);
            lane[i] = _mm256_add_ps(lane[i], _mm256_mul_ps(_mm256_set1_ps(x[(k + i) * x_k]), v));
        }
    }
}

ALWAYS_INLINE __m256 ref_8(const float *x, size_t x_k, const float *p, size_t ldp, size_t n_k, const bool masked,
                           __m256i mask)
{
    __m256 low[8], high[8];
    ref_lanes(low, x, x_k, p, ldp, n_k, 0, masked, mask);
    ref_lanes(high, x, x_k, p, ldp, n_k, 8, masked, mask);
    UNROLL
    for (int i = 0; i < 8; i++) {
        low[i] = _mm256_add_ps(low[i], high[i]);
    }
    UNROLL
    for (int step = 4; step > 0; step /= 2) {
        UNROLL
        for (int i = 0; i < step; i++) {
            low[i] = _mm256_add_ps(low[i], low[i + step]);
        }
    }
    return low[0];
}

static void ref_row(float *y, const float *x, size_t x_k, const float *p, size_t ldp, size_t n_k, size_t n_col,
                    bool accumulate)
{
    __m256i mask = lanes_mask((int)n_col);
    if (n_col >= 8) {
        __m256 sum = ref_8(x, x_k, p, ldp, n_k, false, mask);
        _mm256_storeu_ps(y, accumulate ? _mm256_add_ps(_mm256_loadu_ps(y), sum) : sum);
    } else {
        __m256 sum = ref_8(x, x_k, p, ldp, n_k, true, mask);
        _mm256_maskstore_ps(y, mask, accumulate ? _mm256_add_ps(_mm256_maskload_ps(y, mask), sum) : sum);
    }
}

static void gemm_ref(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t c = 0; c < n_col; c += 8) {
        size_t n = n_col - c < 8 ? n_col - c : 8;
        for (size_t r = 0; r < n_row; r++) {
            ref_row(y + r * ldy + c, x + r * x_row, x_k, p + c, ldp, n_k, n, accumulate);
        }
    }
}

void kern_gemm_fill_avx2(struct kern *k)
{
    k->gemm_ref = gemm_ref;
    k->gemm_f32 = gemm_f32;
    k->gemm_cols = 32;
}
#endif
