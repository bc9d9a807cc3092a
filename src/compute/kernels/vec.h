/* The vectors of 16 that the instruction-set flags of the including file allow: the bodies that AVX2 and AVX-512 share
 * (*_vec.h) include this. Private to kernels. */
#ifndef KERNELS_VEC_H
#define KERNELS_VEC_H

#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
#include "compute/kernels/vec_avx512.h"
#else
#include "compute/kernels/vec_avx2.h"
#endif

#endif
