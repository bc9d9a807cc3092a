/* The lines, scales and minima of one part (16 rows x 32 inputs) of a packed block, in vectors of 16: what products
 * with int8 activations and the float readers start from. Everything is a function of a constant type, so that a
 * kernel is written once and compiled for each quantization. The layouts are those of packed.h. */
#ifndef KERNELS_LINES_VEC_H
#define KERNELS_LINES_VEC_H

#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

enum { LINES = 8 };

/* --- facts of a type --- */

/* runs of 16 inputs have scales of their own; else runs of 32 */
ALWAYS_INLINE bool type_run16(const enum quant_type t)
{
    return t == QUANT_Q2_K || t == QUANT_Q3_K || t == QUANT_Q6_K;
}

ALWAYS_INLINE bool type_has_min(const enum quant_type t)
{
    return t == QUANT_Q4_1 || t == QUANT_Q5_1 || t == QUANT_Q2_K || t == QUANT_Q4_K || t == QUANT_Q5_K;
}

/* codes are all of four bits, and values of them are a straight line */
ALWAYS_INLINE bool type_is_nibble(const enum quant_type t)
{
    return t == QUANT_Q4_0 || t == QUANT_Q4_1 || t == QUANT_Q4_K;
}

/* An unsigned line holds code + 2^shift; -1: code itself. MXFP4's codes are -12..12. */
ALWAYS_INLINE int type_zero_shift(const enum quant_type t)
{
    switch (t) {
    case QUANT_Q8_0:
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS:
        return 7;
    case QUANT_Q6_K:
        return 5;
    case QUANT_Q5_0:
    case QUANT_MXFP4:
        return 4;
    case QUANT_Q4_0:
        return 3;
    case QUANT_Q3_K:
        return 2;
    default:
        return -1;
    }
}

ALWAYS_INLINE size_t type_packed_bytes(const enum quant_type t)
{
    switch (t) {
    case QUANT_Q8_0:
        return sizeof(struct packed_q8_0);
    case QUANT_Q4_1:
        return sizeof(struct packed_q4_1);
    case QUANT_Q5_0:
        return sizeof(struct packed_q5_0);
    case QUANT_Q5_1:
        return sizeof(struct packed_q5_1);
    case QUANT_Q2_K:
        return sizeof(struct packed_q2_k);
    case QUANT_Q3_K:
        return sizeof(struct packed_q3_k);
    case QUANT_Q4_K:
        return sizeof(struct packed_q4_k);
    case QUANT_Q5_K:
        return sizeof(struct packed_q5_k);
    case QUANT_Q6_K:
        return sizeof(struct packed_q6_k);
    case QUANT_IQ4_XS:
        return sizeof(struct packed_iq4_xs);
    case QUANT_MXFP4:
        return sizeof(struct packed_mxfp4);
    default:
        return sizeof(struct packed_q4_0);
    }
}

ALWAYS_INLINE size_t type_n_part(const enum quant_type t)
{
    bool k = t == QUANT_Q2_K || t == QUANT_Q3_K || t == QUANT_Q4_K || t == QUANT_Q5_K || t == QUANT_Q6_K;
    return k || t == QUANT_IQ4_XS ? PARTS_K : 1;
}

/* --- lines --- */

ALWAYS_INLINE i16 i16_bytes(uint8_t b)
{
    return i16_set((int32_t)(b * 0x01010101u));
}

ALWAYS_INLINE void nibble_lines(i16 w[LINES], const uint8_t q[4][64])
{
    const i16 low = i16_bytes(15);
    UNROLL
    for (int j = 0; j < 4; j++) {
        i16 line = i16_load_once(q[j]);
        w[j] = i16_and(line, low);
        w[j + 4] = i16_and(i16_right(line, 4), low);
    }
}

ALWAYS_INLINE void crumb_lines(i16 w[LINES], const uint8_t q[2][64])
{
    const i16 low = i16_bytes(3);
    UNROLL
    for (int h = 0; h < 2; h++) {
        i16 line = i16_load_once(q[h]);
        w[4 * h] = i16_and(line, low);
        w[4 * h + 1] = i16_and(i16_right(line, 2), low);
        w[4 * h + 2] = i16_and(i16_right(line, 4), low);
        w[4 * h + 3] = i16_and(i16_right(line, 6), low);
    }
}

/* w |= what is left of `bits` where `mask` is one (a macro: shifts want constants) */
#define OR_BITS(w, bits, mask) (w) = i16_or((w), i16_and((bits), i16_bytes(mask)))

/* bit j of the bytes becomes bit 4 of line j */
ALWAYS_INLINE void or_bit4(i16 w[LINES], const uint8_t bits[64])
{
    i16 b = i16_load_once(bits);
    OR_BITS(w[0], i16_left(b, 4), 16);
    OR_BITS(w[1], i16_left(b, 3), 16);
    OR_BITS(w[2], i16_left(b, 2), 16);
    OR_BITS(w[3], i16_left(b, 1), 16);
    OR_BITS(w[4], b, 16);
    OR_BITS(w[5], i16_right(b, 1), 16);
    OR_BITS(w[6], i16_right(b, 2), 16);
    OR_BITS(w[7], i16_right(b, 3), 16);
}

/* bit j of the bytes becomes bit 2 of line j */
ALWAYS_INLINE void or_bit2(i16 w[LINES], const uint8_t bits[64])
{
    i16 b = i16_load_once(bits);
    OR_BITS(w[0], i16_left(b, 2), 4);
    OR_BITS(w[1], i16_left(b, 1), 4);
    OR_BITS(w[2], b, 4);
    OR_BITS(w[3], i16_right(b, 1), 4);
    OR_BITS(w[4], i16_right(b, 2), 4);
    OR_BITS(w[5], i16_right(b, 3), 4);
    OR_BITS(w[6], i16_right(b, 4), 4);
    OR_BITS(w[7], i16_right(b, 5), 4);
}

/* crumbs become bits 4 and 5 */
ALWAYS_INLINE void or_bits45(i16 w[LINES], const uint8_t q[2][64])
{
    UNROLL
    for (int h = 0; h < 2; h++) {
        i16 b = i16_load_once(q[h]);
        OR_BITS(w[4 * h], i16_left(b, 4), 48);
        OR_BITS(w[4 * h + 1], i16_left(b, 2), 48);
        OR_BITS(w[4 * h + 2], b, 48);
        OR_BITS(w[4 * h + 3], i16_right(b, 2), 48);
    }
}

/* Where a type whose codes are looked up has its nibbles. */
ALWAYS_INLINE const uint8_t (*table_nibbles(const void *packed, size_t part, const enum quant_type t))[64]
{
    switch (t) {
    case QUANT_IQ4_NL:
        return ((const struct packed_q4_0 *)packed)->q;
    case QUANT_IQ4_XS:
        return ((const struct packed_iq4_xs *)packed)->q[part];
    default:
        return ((const struct packed_mxfp4 *)packed)->q;
    }
}

ALWAYS_INLINE bool type_is_table(const enum quant_type t)
{
    return t == QUANT_IQ4_NL || t == QUANT_IQ4_XS || t == QUANT_MXFP4;
}

/* Codes from the 16 of a table, each with `add` added (modulo 256). */
ALWAYS_INLINE void table_lines(i16 w[LINES], const void *packed, size_t part, uint8_t add, const enum quant_type t)
{
    const int8_t *codes = t == QUANT_MXFP4 ? quant_mxfp4_values : quant_iq4_values;
    const i16 table = i16_add8(i16_load_table(codes), i16_bytes(add));
    nibble_lines(w, table_nibbles(packed, part, t));
    UNROLL
    for (int j = 0; j < LINES; j++) {
        w[j] = i16_lookup(table, w[j]);
    }
}

/* Codes as they are stored, unsigned. */
ALWAYS_INLINE void stored_lines(i16 w[LINES], const void *packed, size_t part, const enum quant_type t)
{
    const struct packed_q5_k *q5_k = packed;
    const struct packed_q3_k *q3_k = packed;
    const struct packed_q6_k *q6_k = packed;
    switch (t) {
    case QUANT_Q4_0:
        nibble_lines(w, ((const struct packed_q4_0 *)packed)->q);
        break;
    case QUANT_Q4_1:
        nibble_lines(w, ((const struct packed_q4_1 *)packed)->q);
        break;
    case QUANT_Q5_0:
        nibble_lines(w, ((const struct packed_q5_0 *)packed)->q);
        or_bit4(w, ((const struct packed_q5_0 *)packed)->bit4);
        break;
    case QUANT_Q5_1:
        nibble_lines(w, ((const struct packed_q5_1 *)packed)->q);
        or_bit4(w, ((const struct packed_q5_1 *)packed)->bit4);
        break;
    case QUANT_Q2_K:
        crumb_lines(w, ((const struct packed_q2_k *)packed)->q[part]);
        break;
    case QUANT_Q3_K:
        crumb_lines(w, q3_k->part[part].q);
        or_bit2(w, q3_k->part[part].bit2);
        break;
    case QUANT_Q4_K:
        nibble_lines(w, ((const struct packed_q4_k *)packed)->q[part]);
        break;
    case QUANT_Q5_K:
        nibble_lines(w, q5_k->part[part].q);
        or_bit4(w, q5_k->part[part].bit4);
        break;
    default: /* Q6_K */
        nibble_lines(w, q6_k->part[part].q);
        or_bits45(w, q6_k->part[part].bits45);
    }
}

/* All lines with `add` added to what is stored, modulo 256. */
ALWAYS_INLINE void shifted_lines(i16 w[LINES], const void *packed, size_t part, uint8_t add, const enum quant_type t)
{
    if (t == QUANT_Q8_0) {
        UNROLL
        for (int j = 0; j < LINES; j++) {
            w[j] = i16_load(((const struct packed_q8_0 *)packed)->q[j]);
        }
    } else {
        stored_lines(w, packed, part, t);
    }
    if (add == 0) {
        return;
    }
    UNROLL
    for (int j = 0; j < LINES; j++) {
        w[j] = i16_add8(w[j], i16_bytes(add));
    }
}

/* code + 2^type_zero_shift, at least 0: what VPDPBUSD and VPMADDUBSW want of weights. */
ALWAYS_INLINE void unsigned_lines(i16 w[LINES], const void *packed, size_t part, const enum quant_type t)
{
    if (type_is_table(t)) {
        table_lines(w, packed, part, (uint8_t)(1 << type_zero_shift(t)), t);
    } else {
        shifted_lines(w, packed, part, t == QUANT_Q8_0 ? 128 : 0, t);
    }
}

/* The codes as signed bytes. */
ALWAYS_INLINE void signed_lines(i16 w[LINES], const void *packed, size_t part, const enum quant_type t)
{
    if (type_is_table(t)) {
        table_lines(w, packed, part, 0, t);
    } else {
        int zero = t == QUANT_Q8_0 || type_zero_shift(t) < 0 ? 0 : 1 << type_zero_shift(t);
        shifted_lines(w, packed, part, (uint8_t)-zero, t);
    }
}

/* --- scales and minima of 16 rows: value = code * d[h] + m[h] for inputs 16 h .. 16 h + 15 of the part --- */

struct part_scales {
    v16 d[2], m[2]; /* both halves equal where runs are of 32; m zero where the type has none */
};

/* 16 rows of small numbers are one short vector of bytes until they become floats. */
ALWAYS_INLINE __m128i bytes_load(const void *p)
{
    return _mm_loadu_si128((const __m128i_u *)p);
}

ALWAYS_INLINE __m128i bytes_and(__m128i a, int8_t mask)
{
    return _mm_and_si128(a, _mm_set1_epi8(mask));
}

/* Pair i of six bits. */
ALWAYS_INLINE void six_bits_pair(__m128i *first, __m128i *second, const uint8_t (*low)[KERN_ROWS],
                                 const uint8_t (*high)[KERN_ROWS], size_t i)
{
    __m128i lo = bytes_load(low[i]), hi = _mm_srl_epi16(bytes_load(high[i / 2]), _mm_cvtsi32_si128((int)(i % 2 * 4)));
    *first = _mm_or_si128(bytes_and(lo, 15), bytes_and(_mm_slli_epi16(hi, 4), 48));
    *second = _mm_or_si128(bytes_and(_mm_srli_epi16(lo, 4), 15), bytes_and(_mm_slli_epi16(hi, 2), 48));
}

/* Number i of six bits, counted one by one. */
ALWAYS_INLINE __m128i six_bits_one(const uint8_t (*low)[KERN_ROWS], const uint8_t (*high)[KERN_ROWS], size_t i)
{
    __m128i lo = _mm_srl_epi16(bytes_load(low[i / 2]), _mm_cvtsi32_si128((int)(i % 2 * 4)));
    __m128i hi = _mm_srl_epi16(bytes_load(high[i / 4]), _mm_cvtsi32_si128((int)(i % 4 * 2)));
    return _mm_or_si128(bytes_and(lo, 15), _mm_slli_epi16(bytes_and(hi, 3), 4));
}

/* What the scales and minima of all parts of a block are multiplied by: d and, where there are minima, -dmin. */
struct block_scales {
    v16 d, m;
};

/* Of blocks of one part: nothing. */
ALWAYS_INLINE void block_scales(struct block_scales *s, const void *packed, const enum quant_type t)
{
    const uint16_t *d = packed, *m = d + KERN_ROWS;
    bool shared = type_n_part(t) > 1;
    s->d = shared ? v16_from_f16(d) : v16_set(0);
    s->m = shared && type_has_min(t) ? v16_mul(v16_from_f16(m), v16_set(-1.0f)) : v16_set(0);
}

/* d * (scale - zero); scales are signed bytes */
ALWAYS_INLINE v16 times_scale(v16 d, __m128i scale, int8_t zero)
{
    __m128i s = zero ? _mm_sub_epi8(scale, _mm_set1_epi8(zero)) : scale;
    return v16_mul(d, i16_to_float(i16_from_s8(s)));
}

/* 2^(e - 128): e - 1 as an exponent; below two, a subnormal */
ALWAYS_INLINE v16 from_exponents(const uint8_t *e)
{
    i16 v = i16_from_u8(bytes_load(e));
    i16 small = i16_where_greater(v, i16_set(0), i16_set(0x00400000), i16_set(0x00200000));
    return i16_as_float(i16_where_greater(v, i16_set(1), i16_left(i16_sub(v, i16_set(1)), 23), small));
}

/* Of a part of 256 inputs. */
ALWAYS_INLINE void scales_of_256(struct part_scales *s, const struct block_scales *block, const void *packed,
                                 size_t part, const enum quant_type t)
{
    const struct packed_q2_k *q2_k = packed;
    const struct packed_q3_k *q3_k = packed;
    const struct packed_q4_k *q4_k = packed; /* and Q5_K: the same up to the codes */
    const struct packed_q6_k *q6_k = packed;
    const struct packed_iq4_xs *iq4_xs = packed;
    __m128i a, b;
    switch (t) {
    case QUANT_Q2_K:
        a = bytes_load(q2_k->scale[2 * part]);
        b = bytes_load(q2_k->scale[2 * part + 1]);
        s->d[0] = times_scale(block->d, bytes_and(a, 15), 0);
        s->d[1] = times_scale(block->d, bytes_and(b, 15), 0);
        s->m[0] = times_scale(block->m, bytes_and(_mm_srli_epi16(a, 4), 15), 0);
        s->m[1] = times_scale(block->m, bytes_and(_mm_srli_epi16(b, 4), 15), 0);
        break;
    case QUANT_Q3_K:
        six_bits_pair(&a, &b, q3_k->low, q3_k->high, part);
        s->d[0] = times_scale(block->d, a, 32);
        s->d[1] = times_scale(block->d, b, 32);
        break;
    case QUANT_Q6_K:
        s->d[0] = times_scale(block->d, bytes_load(q6_k->scale[2 * part]), 0);
        s->d[1] = times_scale(block->d, bytes_load(q6_k->scale[2 * part + 1]), 0);
        break;
    case QUANT_IQ4_XS:
        s->d[0] = s->d[1] = times_scale(block->d, six_bits_one(iq4_xs->low, iq4_xs->high, part), 32);
        break;
    default: /* Q4_K, Q5_K */
        six_bits_pair(&a, &b, q4_k->low, q4_k->high, part);
        s->d[0] = s->d[1] = times_scale(block->d, a, 0);
        s->m[0] = s->m[1] = times_scale(block->m, b, 0);
    }
}

/* A part's, with what its block has. */
ALWAYS_INLINE void part_scales_in(struct part_scales *s, const struct block_scales *block, const void *packed,
                                  size_t part, const enum quant_type t)
{
    s->m[0] = s->m[1] = v16_set(0);
    if (type_n_part(t) > 1) {
        scales_of_256(s, block, packed, part, t);
    } else if (t == QUANT_MXFP4) {
        s->d[0] = s->d[1] = from_exponents(((const struct packed_mxfp4 *)packed)->e);
    } else { /* d stands first, then m */
        s->d[0] = s->d[1] = v16_from_f16(packed);
        if (type_has_min(t)) {
            s->m[0] = s->m[1] = v16_from_f16((const uint16_t *)packed + KERN_ROWS);
        }
    }
}

ALWAYS_INLINE void part_scales(struct part_scales *s, const void *packed, size_t part, const enum quant_type t)
{
    struct block_scales block;
    block_scales(&block, packed, t);
    part_scales_in(s, &block, packed, part, t);
}

/* --- products --- */

/* gemm_q8 of a type, from the type_gemm_q8 of the file that includes this. One function for each form of the
 * activations: in one, both would be compiled together, which takes longer. */
#define GEMM_FORM(TYPE, name, fine)                                                                            \
    static void name(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,             \
                     const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)                   \
    {                                                                                                          \
        type_gemm_q8(y, ldy, packed, group_bytes, n_group, x, n_row, n_block, accumulate, QUANT_##TYPE, fine); \
    }
#define GEMM_Q8(TYPE, name)                                                                                       \
    GEMM_FORM(TYPE, name##_gemm_bytes, false)                                                                     \
    GEMM_FORM(TYPE, name##_gemm_fine, true)                                                                       \
    static void name##_gemm_q8(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,      \
                               const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)            \
    {                                                                                                             \
        (x->fine ? name##_gemm_fine : name##_gemm_bytes)(y, ldy, packed, group_bytes, n_group, x, n_row, n_block, \
                                                         accumulate);                                             \
    }

#endif
