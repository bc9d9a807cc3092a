/* Products of few rows with keys and values in int8, by definition. */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

static void gemm_kv(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const struct kern_kv_panel *p,
                    size_t n_row, size_t n_col, size_t n_k, bool accumulate)
{
    for (size_t r = 0; r < n_row; r++) {
        for (size_t c = 0; c < n_col; c++) {
            float acc = accumulate ? y[r * ldy + c] : 0;
            for (size_t k = 0; k < n_k; k++) {
                size_t at = p->across ? k / KERN_K * p->ld_scale + c : k * p->ld_scale + c / KERN_K;
                acc += x[r * x_row + k * x_k] * ((float)p->q[k * p->ld + c] * f16_value(p->scale[at]));
            }
            y[r * ldy + c] = acc;
        }
    }
}

void kern_kv_fill_scalar(struct kern *k)
{
    k->gemm_kv = gemm_kv;
}
