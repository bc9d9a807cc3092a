/* Element-wise steps that end in bfloat16, for AVX-512: between two bf16 products nothing finer than 8 bits survives,
 * so exp is a short polynomial with fused multiply-add, and no pass over memory is made for the rounding alone. */
#include <math.h>
#include <string.h>

#include "compute/kernels/kern_int.h"
#include "compute/kernels/kmath_const.h"
#include "compute/kernels/vec.h"
#if defined(__x86_64__)

/* 2^x within 3e-6 of itself; x below -126 and above 126 as if there. Polynomial on [-1/2, 1/2]: least squares,
 * reweighted towards equal relative errors. */
static inline v16 exp2_fast(v16 x)
{
    x = v16_min(v16_set(126.0f), v16_max(v16_set(-126.0f), x));
    v16 t = v16_add(x, v16_set(EXPF_ROUND));
    v16 f = v16_sub(x, v16_sub(t, v16_set(EXPF_ROUND)));
    v16 p = v16_fma(v16_set(9.58285e-3f), f, v16_set(5.590642e-2f));
    p = v16_fma(p, f, v16_set(0.24024099f));
    p = v16_fma(p, f, v16_set(0.69312419f));
    p = v16_fma(p, f, v16_set(1.0f));
    return i16_as_float(i16_add(v16_bits(p), _mm512_slli_epi32(v16_bits(t), 23))); /* t ends in the integer */
}

static inline void store_bf16(uint16_t *y, v16 a)
{
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(v16_set(0), a);
    _mm256_storeu_si256((__m256i_u *)y, _mm512_castsi512_si256(both));
}

static inline void store_bf16_n(uint16_t *y, v16 a, size_t n)
{
    uint16_t all[16];
    store_bf16(all, a);
    memcpy(y, all, n * sizeof(*y));
}

static float max_scaled(const float *x, size_t n, float scale)
{
    v16 max = v16_set(-INFINITY);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        max = v16_max(v16_load(x + i), max);
    }
    max = i < n ? v16_max(v16_fill_n(v16_load_n(x + i, n - i), n - i, -INFINITY), max) : max;
    return v16_max_lane(max) * scale;
}

static float exp_bf16(uint16_t *y, const float *x, size_t n, float scale, float *max)
{
    float m = max_scaled(x, n, scale);
    *max = m > *max ? m : *max;
    v16 sum = v16_set(0), by = v16_set(scale * EXPF_LOG2E), minus_max = v16_set(-*max * EXPF_LOG2E);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 e = exp2_fast(v16_fma(v16_load(x + i), by, minus_max));
        sum = v16_add(sum, e);
        store_bf16(y + i, e);
    }
    if (i < n) {
        v16 e = v16_fill_n(exp2_fast(v16_fma(v16_load_n(x + i, n - i), by, minus_max)), n - i, 0);
        sum = v16_add(sum, e);
        store_bf16_n(y + i, e, n - i);
    }
    return v16_sum(sum);
}

/* times KERN_BF16_TIMES */
static inline v16 swiglu_16(v16 gate, v16 up)
{
    v16 e = exp2_fast(v16_mul(gate, v16_set(-EXPF_LOG2E)));
    v16 times = v16_mul(gate, v16_set(KERN_BF16_TIMES));
    return v16_div(v16_mul(times, up), v16_add(v16_set(1.0f), e));
}

static void swiglu_bf16(uint16_t *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        store_bf16(y + i, swiglu_16(v16_load(gate + i), v16_load(up + i)));
    }
    if (i < n) {
        store_bf16_n(y + i, swiglu_16(v16_load_n(gate + i, n - i), v16_load_n(up + i, n - i)), n - i);
    }
}

void kern_rows_fill_avx512bf16(struct kern *k)
{
    k->exp_bf16 = exp_bf16;
    k->swiglu_bf16 = swiglu_bf16;
}
#endif
