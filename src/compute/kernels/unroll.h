/* Asks the compiler to unroll a loop of constant count fully, so that arrays indexed by it become registers.
 * Private to kernels. */
#ifndef KERNELS_UNROLL_H
#define KERNELS_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
