/* Products of a few bytes and what a part of the weights adds to a row: what the two files of int8 products for AVX2
 * share. Private to them. */
#ifndef KERNELS_Q8_AVX2_H
#define KERNELS_Q8_AVX2_H

#include <string.h>

#include "compute/kernels/lines_vec.h"

/* The entries of kern_q8_avx2.c, by type. */
extern const kern_gemm_q8_fn kern_q8_tiles_avx2[QUANT_COUNT];

/* Bytes ahead that are asked for, to the first level; the prefetcher of the CPU is better left to look farther: two
 * cores of Zen 3 that read 33 GB/s go through one row of Q4_0 at 28.9, with a request 16 KiB ahead besides at 27.2,
 * with none at 25.2; Q8_0 28.0, 25.4 and 26.0. */
enum { NEAR_BYTES = 1024 };

/* Rows of activations at one part, and how far the next row is. */
struct x_part {
    size_t ld_q, ld_scale;
    const int8_t *q;
    const float *d;
    const int32_t *sum, *sum16;
};

ALWAYS_INLINE struct x_part x_part_of(const struct q8_rows *x, size_t row, size_t part)
{
    struct q8_rows at = q8_rows_from(x, row, part * KERN_K);
    return (struct x_part){x->n_k * q8_bytes(x), x->n_k / KERN_K, at.q, at.d, at.sum, at.sum16};
}

ALWAYS_INLINE void x_part_next(struct x_part *x, size_t n_byte)
{
    *x = (struct x_part){x->ld_q, x->ld_scale, x->q + KERN_K * n_byte, x->d + 1, x->sum + 1, x->sum16 + 2};
}

#if !defined(__AVX512F__) /* there vectors of 16 are one register */

/* codes that need all 8 bits */
ALWAYS_INLINE bool type_is_wide(const enum quant_type t)
{
    return t == QUANT_Q8_0 || t == QUANT_IQ4_NL || t == QUANT_IQ4_XS;
}

ALWAYS_INLINE i16 magnitude(i16 code)
{
    return (i16){_mm256_abs_epi8(code.lo), _mm256_abs_epi8(code.hi)};
}

/* The same four activations for every row of the weights. */
ALWAYS_INLINE __m256i quad(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof(word));
    return _mm256_set1_epi32(word);
}

ALWAYS_INLINE i16 add_words(i16 a, i16 b)
{
    return (i16){_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
}

/* sums of neighbouring 16-bit values, in 32 bits */
ALWAYS_INLINE i16 widen(i16 a)
{
    const __m256i ones = _mm256_set1_epi16(1);
    return (i16){_mm256_madd_epi16(a.lo, ones), _mm256_madd_epi16(a.hi, ones)};
}

/* Two products of four inputs in each 16 bits. line: unsigned codes, of 8 bits their magnitude; code: these with their
 * sign. */
ALWAYS_INLINE i16 products(i16 line, i16 code, __m256i x, const enum quant_type t)
{
    i16 s = {x, x};
    if (type_is_wide(t)) {
        s = (i16){_mm256_sign_epi8(x, code.lo), _mm256_sign_epi8(x, code.hi)};
    }
    return (i16){_mm256_maddubs_epi16(line.lo, s.lo), _mm256_maddubs_epi16(line.hi, s.hi)};
}

/* exact sums, with what unsigned codes have too much taken off: 2^shift times the sum of the activations */
ALWAYS_INLINE v16 exact(i16 s, int32_t x_sum, const enum quant_type t)
{
    if (type_zero_shift(t) >= 0 && !type_is_wide(t)) {
        s = i16_sub(s, i16_left(i16_set(x_sum), type_zero_shift(t)));
    }
    return i16_to_float(s);
}

/* What runs of 32 inputs with such sums add to a row, but for the scale of the activations. */
ALWAYS_INLINE v16 run_sum(i16 s, const struct part_scales *p, int32_t x_sum, const enum quant_type t)
{
    v16 v = v16_mul(exact(s, x_sum, t), p->d[0]);
    return type_has_min(t) ? v16_fma(p->m[0], v16_set((float)x_sum), v) : v;
}

#endif

#endif
