/* Vectors of 16 for AVX2: v16 holds 16 float32, i16 16 int32, in two registers each; the names and meanings of
 * vec_avx512.h. Private to kernels; included by one instruction-set file at a time. */
#ifndef KERNELS_VEC_AVX2_H
#define KERNELS_VEC_AVX2_H

#include "compute/kernels/intrinsics.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    __m256 lo, hi;
} v16;
typedef struct {
    __m256i lo, hi;
} i16;

/* all ones in the first n lanes of 8; n may be negative or above 8 */
static inline __m256i v8_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

static inline v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
static inline void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
static inline v16 v16_load_n(const float *p, size_t n)
{
    return (v16){_mm256_maskload_ps(p, v8_mask((int)n)), _mm256_maskload_ps(p + 8, v8_mask((int)n - 8))};
}
static inline void v16_store_n(float *p, v16 a, size_t n)
{
    _mm256_maskstore_ps(p, v8_mask((int)n), a.lo);
    _mm256_maskstore_ps(p + 8, v8_mask((int)n - 8), a.hi);
}
static inline v16 v16_fill_n(v16 a, size_t n, float fill)
{
    __m256 f = _mm256_set1_ps(fill);
    return (v16){_mm256_blendv_ps(f, a.lo, _mm256_castsi256_ps(v8_mask((int)n))),
                 _mm256_blendv_ps(f, a.hi, _mm256_castsi256_ps(v8_mask((int)n - 8)))};
}
static inline v16 v16_set(float a)
{
    return (v16){_mm256_set1_ps(a), _mm256_set1_ps(a)};
}
static inline v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
static inline v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
static inline v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
static inline v16 v16_div(v16 a, v16 b)
{
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
static inline v16 v16_sqrt(v16 a)
{
    return (v16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
static inline v16 v16_max(v16 a, v16 b)
{
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
static inline v16 v16_min(v16 a, v16 b)
{
    return (v16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
static inline v16 v16_addsub(v16 a, v16 b)
{
    return (v16){_mm256_addsub_ps(a.lo, b.lo), _mm256_addsub_ps(a.hi, b.hi)};
}
static inline v16 v16_swap_pairs(v16 a)
{
    return (v16){_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
static inline v16 v16_load_twice(const float *p)
{
    __m256 a = _mm256_loadu_ps(p);
    return (v16){_mm256_permutevar8x32_ps(a, _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0)),
                 _mm256_permutevar8x32_ps(a, _mm256_set_epi32(7, 7, 6, 6, 5, 5, 4, 4))};
}

static inline v16 v16_from_f16(const uint16_t *p)
{
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(p + 8)))};
}
static inline void v16_to_f16(uint16_t *p, v16 a)
{
    _mm_storeu_si128((__m128i_u *)p, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i_u *)(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline i16 i16_from_u16(const uint16_t *p)
{
    return (i16){_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)p)),
                 _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)(p + 8)))};
}
static inline void i16_to_u16(uint16_t *p, i16 a)
{
    __m256i packed = _mm256_packus_epi32(a.lo, a.hi); /* quarters 0 2 1 3 */
    _mm256_storeu_si256((__m256i_u *)p, _mm256_permute4x64_epi64(packed, 0xd8));
}

static inline i16 v16_bits(v16 a)
{
    return (i16){_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
}
static inline v16 i16_as_float(i16 a)
{
    return (v16){_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}
static inline v16 i16_to_float(i16 a)
{
    return (v16){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
static inline i16 i16_load(const void *p)
{
    return (i16){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i_u *)p + 1)};
}
/* the same; where registers suffice it is loaded once, however often it is used */
static inline i16 i16_load_once(const void *p)
{
    return i16_load(p);
}
/* 16 bytes in every quarter, and the bytes of a looked up in such a table (each 0..15) */
static inline i16 i16_load_table(const int8_t *p)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i_u *)p));
    return (i16){t, t};
}
static inline i16 i16_lookup(i16 table, i16 a)
{
    return (i16){_mm256_shuffle_epi8(table.lo, a.lo), _mm256_shuffle_epi8(table.hi, a.hi)};
}
/* sums of bytes, modulo 256 */
static inline i16 i16_add8(i16 a, i16 b)
{
    return (i16){_mm256_add_epi8(a.lo, b.lo), _mm256_add_epi8(a.hi, b.hi)};
}
static inline void i16_store(void *p, i16 a)
{
    _mm256_storeu_si256(p, a.lo);
    _mm256_storeu_si256((__m256i_u *)p + 1, a.hi);
}
static inline i16 i16_set(int32_t a)
{
    return (i16){_mm256_set1_epi32(a), _mm256_set1_epi32(a)};
}
static inline i16 i16_add(i16 a, i16 b)
{
    return (i16){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
static inline i16 i16_sub(i16 a, i16 b)
{
    return (i16){_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
static inline i16 i16_and(i16 a, i16 b)
{
    return (i16){_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
static inline i16 i16_or(i16 a, i16 b)
{
    return (i16){_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
static inline i16 i16_where_greater(i16 a, i16 b, i16 yes, i16 no)
{
    return (i16){_mm256_blendv_epi8(no.lo, yes.lo, _mm256_cmpgt_epi32(a.lo, b.lo)),
                 _mm256_blendv_epi8(no.hi, yes.hi, _mm256_cmpgt_epi32(a.hi, b.hi))};
}
#define i16_left(a, n)         ((i16){_mm256_slli_epi32((a).lo, (n)), _mm256_slli_epi32((a).hi, (n))})
#define i16_right(a, n)        ((i16){_mm256_srli_epi32((a).lo, (n)), _mm256_srli_epi32((a).hi, (n))})
#define i16_right_signed(a, n) ((i16){_mm256_srai_epi32((a).lo, (n)), _mm256_srai_epi32((a).hi, (n))})
static inline v16 v16_from_nibbles(i16 a, float minus)
{
    return v16_sub(i16_to_float(i16_and(a, i16_set(15))), v16_set(minus));
}
static inline i16 i16_from_u8(__m128i a)
{
    return (i16){_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(a, a))};
}
static inline i16 i16_from_s8(__m128i a)
{
    return (i16){_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(a, a))};
}

static inline i16 i16_max(i16 a, i16 b)
{
    return (i16){_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
static inline int32_t i16_max_lane(i16 a)
{
    __m256i b = _mm256_max_epi32(a.lo, a.hi);
    __m128i c = _mm_max_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    c = _mm_max_epi32(c, _mm_unpackhi_epi64(c, c));
    return _mm_cvtsi128_si32(_mm_max_epi32(c, _mm_shuffle_epi32(c, 1)));
}
static inline int32_t i16_sum(i16 a)
{
    __m256i b = _mm256_add_epi32(a.lo, a.hi);
    __m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
    c = _mm_add_epi32(c, _mm_unpackhi_epi64(c, c));
    return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 1)));
}
static inline i16 v16_round(v16 a)
{
    return (i16){_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
static inline void i16_to_s8(int8_t *p, i16 a, i16 b)
{
    __m256i c = _mm256_packs_epi32(a.lo, a.hi), d = _mm256_packs_epi32(b.lo, b.hi);
    __m256i bytes = _mm256_packs_epi16(c, d); /* words a0 a8 b0 b8 a4 a12 b4 b12, named by their first value */
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
    _mm256_storeu_si256((__m256i_u *)p, bytes);
}

static inline float v16_sum(v16 a)
{
    __m256 b = _mm256_add_ps(a.lo, a.hi);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
static inline float v16_max_lane(v16 a)
{
    __m256 b = _mm256_max_ps(a.hi, a.lo);
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
