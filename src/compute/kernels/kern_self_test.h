/* What the files of the self-test share: its input, and the checks of the bf16 products and the steps between them.
 * Private to kernels. */
#ifndef KERNELS_KERN_SELF_TEST_H
#define KERNELS_KERN_SELF_TEST_H

#include <math.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { N = 173, SEED = 20261125 };

/* A small multiplicative generator (Numerical Recipes' "ranqd1"): quality does not matter here. */
static inline uint32_t next(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static inline float next_float(uint32_t *state)
{
    return (float)(int32_t)(next(state) >> 8) * 0x1p-22f - 2.0f;
}

static inline void fill(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = next_float(&seed);
    }
}

static inline bool same_bits(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f32_bits(a[i]) != f32_bits(b[i]) && !(isnan(a[i]) && isnan(b[i]))) {
            return false;
        }
    }
    return true;
}

/* The same bits in every entry of a quantization. */
bool kern_quant_panel_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quant_rows_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quant_panel_bf16_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quant_rows_bf16_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quant_gemm_q8_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quant_gemm_few_same(const struct kern *k, const struct kern *scalar, int type);
bool kern_quantize_q8_same(const struct kern *k, const struct kern *scalar);

/* As `same` of struct kern_entry. A table may lack these entries: what is not there is not wrong. */
bool kern_gemm_bf16_same(const struct kern *k, const struct kern *scalar);
bool kern_product_bf16_same(const struct kern *k, const struct kern *scalar);
bool kern_pairs_bf16_same(const struct kern *k, const struct kern *scalar);
bool kern_exp_bf16_same(const struct kern *k, const struct kern *scalar);
bool kern_swiglu_bf16_same(const struct kern *k, const struct kern *scalar);

#endif
