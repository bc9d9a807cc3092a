/* The vectors of 16 that the instruction-set flags of the including file allow: the bodies that AVX2 and AVX-512 share
 * (*_vec.h) include this. Private to kernels. */
#ifndef KERNELS_VEC_H
#define KERNELS_VEC_H

#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
#include "compute/kernels/vec_avx512.h"
#else
#include "compute/kernels/vec_avx2.h"
#endif

static inline v16 v16_from_bf16(const uint16_t *p)
{
    return i16_as_float(i16_left(i16_from_u16(p), 16));
}

#endif
