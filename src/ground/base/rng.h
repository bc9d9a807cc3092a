/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A draw is a pure function of
 * (seed, stream, counter), so it does not depend on threads, batch or order. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The raw block function: counter[4], key[2] -> out[4]; equal to Random123's known answers. */
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter);
/* Uniform in [0, 1), 53 bits. */
double rng_unit(uint64_t seed, uint64_t stream, uint64_t counter);
/* Standard normal (Box-Muller in double). */
double rng_normal(uint64_t seed, uint64_t stream, uint64_t counter);
/* Uniform in [0, n) without bias (n > 0). */
uint64_t rng_below(uint64_t n, uint64_t seed, uint64_t stream, uint64_t counter);
/* Permutation of 0..n-1 (Fisher-Yates), a function of (seed, stream). */
void rng_shuffle(uint32_t *idx, size_t n, uint64_t seed, uint64_t stream);

#endif
