/* Float products, scalar: the definition of the reference order, and the fast order without fused multiply-add
 * (where a CPU has no such instruction, its emulation would cost a hundred times a product). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { N_LANE = 16, COLS = 16 };

/* Columns c0 .. c0 + n - 1 of one row: 16 lanes over k for each column. */
static void ref_cols(float *y, const float *x, size_t x_k, const float *p, size_t ldp, size_t n, size_t n_k,
                     bool accumulate)
{
    float lane[N_LANE][COLS] = {0};
    for (size_t k = 0; k < n_k; k++) {
        for (size_t c = 0; c < n; c++) {
            lane[k % N_LANE][c] += x[k * x_k] * p[k * ldp + c];
        }
    }
    for (size_t step = N_LANE / 2; step > 0; step /= 2) {
        for (size_t i = 0; i < step; i++) {
            for (size_t c = 0; c < COLS; c++) {
                lane[i][c] += lane[i + step][c];
            }
        }
    }
    for (size_t c = 0; c < n; c++) {
        y[c] = accumulate ? y[c] + lane[0][c] : lane[0][c];
    }
}

static void gemm_ref(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t c = 0; c < n_col; c += COLS) {
        size_t n = n_col - c < COLS ? n_col - c : COLS;
        for (size_t r = 0; r < n_row; r++) {
            ref_cols(y + r * ldy + c, x + r * x_row, x_k, p + c, ldp, n, n_k, accumulate);
        }
    }
}

static void fast_cols(float *y, const float *x, size_t x_k, const float *p, size_t ldp, size_t n, size_t n_k,
                      bool accumulate)
{
    float acc[COLS] = {0};
    for (size_t c = 0; accumulate && c < n; c++) {
        acc[c] = y[c];
    }
    for (size_t k = 0; k < n_k; k++) {
        for (size_t c = 0; c < n; c++) {
            acc[c] += x[k * x_k] * p[k * ldp + c];
        }
    }
    for (size_t c = 0; c < n; c++) {
        y[c] = acc[c];
    }
}

static void gemm_f32(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t c = 0; c < n_col; c += COLS) {
        size_t n = n_col - c < COLS ? n_col - c : COLS;
        for (size_t r = 0; r < n_row; r++) {
            fast_cols(y + r * ldy + c, x + r * x_row, x_k, p + c, ldp, n, n_k, accumulate);
        }
    }
}

static void gemm_f16(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const uint16_t *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t r = 0; r < n_row; r++) {
        for (size_t c = 0; c < n_col; c++) {
            float acc = accumulate ? y[r * ldy + c] : 0;
            for (size_t k = 0; k < n_k; k++) {
                acc += x[r * x_row + k * x_k] * f16_value(p[k * ldp + c]);
            }
            y[r * ldy + c] = acc;
        }
    }
}

void kern_gemm_fill_scalar(struct kern *k)
{
    static const struct kern_slow none[1];
    k->slow_f32 = k->slow_q8 = k->slow_bf16 = none;
    k->gemm_ref = gemm_ref;
    k->gemm_f32 = gemm_f32;
    k->gemm_cols = 16;
    k->q8_rows = 128;
    k->q8_run_bytes = 256 << 10;
    k->gemm_f16 = gemm_f16;
}
