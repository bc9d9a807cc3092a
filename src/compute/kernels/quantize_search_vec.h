/* What the searches share: the vectors, those of the instruction set unless vec_scalar.h was included before, and how
 * numbers are rounded. */
#ifndef KERNELS_QUANTIZE_SEARCH_VEC_H
#define KERNELS_QUANTIZE_SEARCH_VEC_H

#include "compute/kernels/half.h"
#include "compute/kernels/quantize_int.h"
#include "compute/kernels/unroll.h"
#ifndef KERNELS_VEC_SCALAR_H
#include "compute/kernels/vec.h"
#endif

/* On vectors everything is inlined, so that the counts of a type are constants and sums stay in registers. In plain C
 * that gains little, and under sanitizers a compiler would work on it for many minutes. */
#ifdef KERNELS_VEC_SCALAR_H
#define SEARCH static
#else
#define SEARCH ALWAYS_INLINE
#endif

/* 1.5 * 2^23: adding and subtracting it rounds to the nearest integer, ties to even, below 2^22 */
#define ROUND_MAGIC 12582912.0f

/* As float16 holds it, kept finite. */
static inline float f16_near(float v)
{
    float r = f16_value(f16_bits(v));
    return r > 65504.0f ? 65504.0f : r < -65504.0f ? -65504.0f : r;
}

#endif
