/* Constants of the float32 exponential, shared by the scalar definition and its vector versions, which perform the
 * same operations in the same order. Polynomial and split of ln 2: Cephes (S. Moshier), expf.c. Private to kernels. */
#ifndef KERNELS_KMATH_CONST_H
#define KERNELS_KMATH_CONST_H

#include <stdint.h>

#define EXPF_LOW        (-105.0f) /* exp rounds to zero from here down */
#define EXPF_HIGH       89.0f     /* and overflows from here up */
#define EXPF_LOG2E      1.44269504088896341f
#define EXPF_ROUND      12582912.0f         /* 1.5 * 2^23: adding it rounds to an integer that stands in the low bits */
#define EXPF_ROUND_BITS INT32_C(0x4b400000) /* of EXPF_ROUND as an integer */
#define EXPF_LN2_HI     0.693359375f
#define EXPF_LN2_LO     (-2.12194440e-4f)
#define EXPF_P0         1.9875691500e-4f
#define EXPF_P1         1.3981999507e-3f
#define EXPF_P2         8.3334519073e-3f
#define EXPF_P3         4.1665795894e-2f
#define EXPF_P4         1.6666665459e-1f
#define EXPF_P5         5.0000001201e-1f

/* gelu with tanh: t = x (A + B x^2), A = 2 sqrt(2 / pi), B = 0.044715 A */
#define GELU_A 1.5957691216057308f
#define GELU_B 0.07135481627159471f

#endif
