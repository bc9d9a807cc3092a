/* The compiler's vector intrinsics, or, with TAILOR_SIMDE, those that a test has provided under the same names, so that
 * the AVX-512 files run on machines without AVX-512. Private to kernels. */
#ifndef KERNELS_INTRINSICS_H
#define KERNELS_INTRINSICS_H

#if defined(__x86_64__) && !defined(TAILOR_SIMDE)
#include <immintrin.h>
#endif

#endif
