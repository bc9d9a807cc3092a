/* Vectors of 16 for AVX-512: v16 holds 16 float32, i16 16 int32, one register each. vec_avx2.h gives the same names
 * two registers wide, so that one body (*_vec.h) is compiled for both and lane i always means k mod 16 = i.
 * Private to kernels; included by one instruction-set file at a time. */
#ifndef KERNELS_VEC_AVX512_H
#define KERNELS_VEC_AVX512_H

#include "compute/kernels/intrinsics.h"
#include <stddef.h>
#include <stdint.h>

typedef __m512 v16;
typedef __m512i i16;

static inline __mmask16 v16_mask(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

static inline v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}
/* the first n < 16 values, zeros after them; nothing else is touched */
static inline v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v16_mask(n), p);
}
static inline void v16_store_n(float *p, v16 a, size_t n)
{
    _mm512_mask_storeu_ps(p, v16_mask(n), a);
}
/* lanes n.. become fill */
static inline v16 v16_fill_n(v16 a, size_t n, float fill)
{
    return _mm512_mask_blend_ps(v16_mask(n), _mm512_set1_ps(fill), a);
}
static inline v16 v16_set(float a)
{
    return _mm512_set1_ps(a);
}
static inline v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}
static inline v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}
static inline v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}
static inline v16 v16_sqrt(v16 a)
{
    return _mm512_sqrt_ps(a);
}
/* a > b ? a : b; b when either is NaN */
static inline v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}
static inline v16 v16_min(v16 a, v16 b)
{
    return _mm512_min_ps(a, b);
}
/* even lanes a - b, odd lanes a + b */
static inline v16 v16_addsub(v16 a, v16 b)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(a, b), 0x5555, a, b);
}
static inline v16 v16_swap_pairs(v16 a)
{
    return _mm512_permute_ps(a, 0xb1);
}
/* 8 values, each twice */
static inline v16 v16_load_twice(const float *p)
{
    const __m512i idx = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(idx, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

static inline v16 v16_from_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p));
}
static inline void v16_to_f16(uint16_t *p, v16 a)
{
    _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline i16 i16_from_u16(const uint16_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p));
}
/* values that fit 16 bits */
static inline void i16_to_u16(uint16_t *p, i16 a)
{
    _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtepi32_epi16(a));
}

static inline i16 v16_bits(v16 a)
{
    return _mm512_castps_si512(a);
}
static inline v16 i16_as_float(i16 a)
{
    return _mm512_castsi512_ps(a);
}
static inline v16 i16_to_float(i16 a)
{
    return _mm512_cvtepi32_ps(a);
}
static inline i16 i16_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
/* the same, held in a register: GCC 12 would load a line twice, once for each use, and half of the lines lie across two
 * cache lines */
static inline i16 i16_load_once(const void *p)
{
    i16 a = _mm512_loadu_si512(p);
#if !defined(TAILOR_SIMDE)
    __asm__("" : "+v"(a));
#endif
    return a;
}
/* 16 bytes in every quarter, and the bytes of a looked up in such a table (each 0..15) */
static inline i16 i16_load_table(const int8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i_u *)p));
}
static inline i16 i16_lookup(i16 table, i16 a)
{
    return _mm512_shuffle_epi8(table, a);
}
/* sums of bytes, modulo 256 */
static inline i16 i16_add8(i16 a, i16 b)
{
    return _mm512_add_epi8(a, b);
}
static inline void i16_store(void *p, i16 a)
{
    _mm512_storeu_si512(p, a);
}
static inline i16 i16_set(int32_t a)
{
    return _mm512_set1_epi32(a);
}
static inline i16 i16_add(i16 a, i16 b)
{
    return _mm512_add_epi32(a, b);
}
static inline i16 i16_sub(i16 a, i16 b)
{
    return _mm512_sub_epi32(a, b);
}
static inline i16 i16_and(i16 a, i16 b)
{
    return _mm512_and_si512(a, b);
}
static inline i16 i16_or(i16 a, i16 b)
{
    return _mm512_or_si512(a, b);
}
/* yes where a > b, signed, else no */
static inline i16 i16_where_greater(i16 a, i16 b, i16 yes, i16 no)
{
    return _mm512_mask_blend_epi32(_mm512_cmpgt_epi32_mask(a, b), no, yes);
}
/* shifts by a constant */
#define i16_left(a, n)         _mm512_slli_epi32((a), (n))
#define i16_right(a, n)        _mm512_srli_epi32((a), (n))
#define i16_right_signed(a, n) _mm512_srai_epi32((a), (n))
/* (low 4 bits of each word) - minus: a table of the 16 values, looked up in one instruction */
static inline v16 v16_from_nibbles(i16 a, float minus)
{
    const v16 count = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_permutexvar_ps(a, _mm512_sub_ps(count, _mm512_set1_ps(minus)));
}
/* 16 bytes, unsigned and signed */
static inline i16 i16_from_u8(__m128i a)
{
    return _mm512_cvtepu8_epi32(a);
}
static inline i16 i16_from_s8(__m128i a)
{
    return _mm512_cvtepi8_epi32(a);
}

static inline i16 i16_max(i16 a, i16 b)
{
    return _mm512_max_epi32(a, b);
}
static inline int32_t i16_max_lane(i16 a)
{
    return _mm512_reduce_max_epi32(a);
}
static inline int32_t i16_sum(i16 a)
{
    return _mm512_reduce_add_epi32(a);
}
/* nearest even */
static inline i16 v16_round(v16 a)
{
    return _mm512_cvtps_epi32(a);
}
/* 32 values of -128..127 to bytes */
static inline void i16_to_s8(int8_t *p, i16 a, i16 b)
{
    _mm_storeu_si128((__m128i_u *)p, _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128((__m128i_u *)(p + 16), _mm512_cvtepi32_epi8(b));
}

/* The tree of the reference order: lanes +8, +4, +2, +1. */
static inline float v16_sum(v16 a)
{
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
static inline float v16_max_lane(v16 a)
{
    __m256 b = _mm256_max_ps(_mm512_extractf32x8_ps(a, 1), _mm512_castps512_ps256(a));
    __m128 c = _mm_max_ps(_mm256_extractf128_ps(b, 1), _mm256_castps256_ps128(b));
    c = _mm_max_ps(_mm_movehl_ps(c, c), c);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(c), c));
}

/* bfloat16 in the low 16 bits, round to nearest even, NaN kept: bf16_bits of half.h */
static inline i16 bf16_round(v16 a)
{
    i16 u = v16_bits(a), upper = i16_right(u, 16);
    i16 odd = i16_and(upper, i16_set(1));
    i16 rounded = i16_right(i16_add(u, i16_add(odd, i16_set(0x7fff))), 16);
    i16 magnitude = i16_and(u, i16_set(INT32_MAX));
    return i16_where_greater(magnitude, i16_set(0x7f800000), i16_or(upper, i16_set(0x40)), rounded);
}

#endif
