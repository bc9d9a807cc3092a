/* Readers of packed integer weights in bfloat16, for tiles, by float16 arithmetic: 32 values an instruction, those of
 * the two inputs of a pair beside each other from the start, where floats take two instructions and a third that rounds
 * both, which is slow. Emerald Rapids, a part of 16 x 32 weights within the caches: Q4_0 22 ns instead of 35, Q4_K 27
 * instead of 45, Q6_K 30 instead of 50, Q8_0 23 instead of 42.
 *
 * A float16 is a bfloat16 with three more bits of fraction and three less of exponent. Values below one are computed
 * 2^16 times as large, shifted right by three, and have 96 = 127 - 15 - 16 added to their exponent, which are bits of
 * their own, so that the sign, which the shift left in their place, goes in the same step. A value is rounded twice,
 * its scale and minimum once before, and zero becomes 2^-31. Where scales do not fit that the part is read by floats.
 */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/bf16_pairs.h"

/* Of each row, in both of its words, as the values of a panel times 2^16. */
struct half_scales {
    __m512h d[2], m[2];
};

/* The largest magnitude of a code. */
ALWAYS_INLINE int type_max_code(const enum quant_type t)
{
    switch (t) {
    case QUANT_Q8_0:
        return 128;
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS:
        return 127;
    case QUANT_Q6_K:
        return 32;
    case QUANT_Q5_1:
    case QUANT_Q5_K:
        return 31;
    case QUANT_Q5_0:
        return 16;
    case QUANT_Q4_1:
    case QUANT_Q4_K:
        return 15;
    case QUANT_MXFP4:
        return 12;
    case QUANT_Q4_0:
        return 8;
    case QUANT_Q3_K:
        return 4;
    default: /* Q2_K */
        return 3;
    }
}

/* No value is too large for float16, and no scale but zero so small that the 2^-31 were a hundredth of it. */
ALWAYS_INLINE bool scales_fit(const struct part_scales *s, const enum quant_type t)
{
    const int n = type_run16(t) ? 2 : 1;
    __mmask16 fit = 0xffff;
    for (int h = 0; h < n; h++) {
        v16 d = _mm512_abs_ps(s->d[h]), most = v16_mul(d, v16_set((float)type_max_code(t)));
        most = type_has_min(t) ? v16_add(most, _mm512_abs_ps(s->m[h])) : most;
        fit &= _mm512_cmp_ps_mask(most, v16_set(0.99f * KERN_BF16_TIMES), _CMP_LE_OQ);
        fit &= _mm512_cmp_ps_mask(d, v16_set(0), _CMP_EQ_OQ) | _mm512_cmp_ps_mask(d, v16_set(0x1p-20f), _CMP_GE_OQ);
    }
    return fit == 0xffff;
}

ALWAYS_INLINE __m512h twice_half(v16 v)
{
    __m512i w = _mm512_cvtepu16_epi32(
        _mm512_cvtps_ph(v16_mul(v, v16_set(0x1p16f / KERN_BF16_TIMES)), _MM_FROUND_TO_NEAREST_INT));
    return _mm512_castsi512_ph(i16_or(w, i16_left(w, 16)));
}

ALWAYS_INLINE void half_scales(struct half_scales *out, const struct part_scales *s, const enum quant_type t)
{
    out->d[0] = out->d[1] = twice_half(s->d[0]);
    if (type_has_min(t)) {
        out->m[0] = out->m[1] = twice_half(s->m[0]);
    }
    if (type_run16(t)) {
        out->d[1] = twice_half(s->d[1]);
    }
    if (type_run16(t) && type_has_min(t)) {
        out->m[1] = twice_half(s->m[1]);
    }
}

/* inputs k and k + 1 of the part, of all rows */
ALWAYS_INLINE void put_codes(uint16_t *panel, const size_t k, __m512i codes, const struct half_scales *s,
                             const enum quant_type t)
{
    const int h = (int)(k / 16);
    __m512h c = _mm512_castsi512_ph(codes);
    __m512h v = type_has_min(t) ? _mm512_fmadd_ph(c, s->d[h], s->m[h]) : _mm512_mul_ph(c, s->d[h]);
    __m512i to_nearest = _mm512_mulhrs_epi16(_mm512_castph_si512(v), _mm512_set1_epi16(1 << 12));
    const __m512i kept = _mm512_set1_epi16((short)0x8fff), raised = _mm512_set1_epi16(96 << 7);
    enum { A_AND_B_OR_C = 0xea };
    i16_store(panel + k * KERN_ROWS, _mm512_ternarylogic_epi32(to_nearest, kept, raised, A_AND_B_OR_C));
}

/* The codes of nibbles as float16, twice, since the fifth bit of an index is the next nibble's. */
ALWAYS_INLINE __m512i nibble_table(const enum quant_type t)
{
#define TWICE(...) _mm512_castph_si512(_mm512_setr_ph(__VA_ARGS__, __VA_ARGS__))
    switch (t) {
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS:
        return TWICE(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    case QUANT_MXFP4:
        return TWICE(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    case QUANT_Q4_0:
        return TWICE(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    default:
        return TWICE(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
#undef TWICE
}

/* Line j: bytes 0 and 1 of each row become its words, then bytes 2 and 3. */
ALWAYS_INLINE void put_nibbles(uint16_t *panel, const uint8_t q[4][64], const size_t j, const struct half_scales *s,
                               const enum quant_type t)
{
    const __m512i first = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13));
    const __m512i second = _mm512_add_epi8(first, _mm512_set1_epi8(2)), table = nibble_table(t);
    __m512i line = i16_load_once(q[j]);
    __m512i a = _mm512_shuffle_epi8(line, first), b = _mm512_shuffle_epi8(line, second);
    put_codes(panel, 4 * j, _mm512_permutexvar_epi16(a, table), s, t);
    put_codes(panel, 4 * j + 2, _mm512_permutexvar_epi16(b, table), s, t);
    put_codes(panel, 4 * j + 16, _mm512_permutexvar_epi16(_mm512_srli_epi16(a, 4), table), s, t);
    put_codes(panel, 4 * j + 18, _mm512_permutexvar_epi16(_mm512_srli_epi16(b, 4), table), s, t);
}

/* Line j of unsigned bytes: the float16 0x6400 + byte is 1024 + byte. */
ALWAYS_INLINE void put_bytes(uint16_t *panel, __m512i line, const size_t j, const struct half_scales *s,
                             const enum quant_type t)
{
    const __m512i pairs = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    const __m512i upper = _mm512_set1_epi8(0x64);
    const int zero = type_zero_shift(t) < 0 ? 0 : 1 << type_zero_shift(t);
    const __m512h less = _mm512_castsi512_ph(_mm512_set1_epi16((short)(0x6400 + zero)));
    __m512i bytes = _mm512_shuffle_epi8(line, pairs);
    __m512h a = _mm512_castsi512_ph(_mm512_unpacklo_epi8(bytes, upper));
    __m512h b = _mm512_castsi512_ph(_mm512_unpackhi_epi8(bytes, upper));
    put_codes(panel, 4 * j, _mm512_castph_si512(_mm512_sub_ph(a, less)), s, t);
    put_codes(panel, 4 * j + 2, _mm512_castph_si512(_mm512_sub_ph(b, less)), s, t);
}

ALWAYS_INLINE void put_part(uint16_t *panel, const void *packed, size_t part, const struct half_scales *s,
                            const enum quant_type t)
{
    if (type_is_nibble(t) || type_is_table(t)) {
        UNROLL
        for (size_t j = 0; j < LINES / 2; j++) {
            put_nibbles(panel, (type_is_table(t) ? table_nibbles : straight_nibbles)(packed, part, t), j, s, t);
        }
        return;
    }
    i16 w[LINES];
    unsigned_lines(w, packed, part, t);
    UNROLL
    for (size_t j = 0; j < LINES; j++) {
        put_bytes(panel, w[j], j, s, t);
    }
}

/* By floats. */
ALWAYS_INLINE void exact_part(uint16_t *panel, const void *packed, size_t part, const enum quant_type t)
{
    struct part_scales s;
    panel_scales(&s, packed, part, t);
    part_values(panel, packed, part, &s, t, put_pairs);
}

typedef void part_fn(uint16_t *panel, const void *packed, size_t part);

ALWAYS_INLINE void type_panel_bf16(uint16_t *panel, const char *packed, size_t part, size_t n_part,
                                   const enum quant_type t, part_fn *exact)
{
    const size_t of_block = type_n_part(t);
    for (size_t i = part; i < part + n_part; i++, panel += KERN_K * KERN_ROWS) {
        const char *block = packed + i / of_block * type_packed_bytes(t);
        struct part_scales s;
        struct half_scales half;
        panel_prefetch(block, i % of_block, t);
        part_scales(&s, block, i % of_block, t);
        if (scales_fit(&s, t)) {
            half_scales(&half, &s, t);
            put_part(panel, block, i % of_block, &half, t);
        } else {
            exact(panel, block, i % of_block);
        }
    }
}

#define READER(TYPE, name)                                                                               \
    __attribute__((noinline)) static void name##_exact(uint16_t *panel, const void *packed, size_t part) \
    {                                                                                                    \
        exact_part(panel, packed, part, QUANT_##TYPE);                                                   \
    }                                                                                                    \
    static void name##_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part)       \
    {                                                                                                    \
        type_panel_bf16(panel, packed, part, n_part, QUANT_##TYPE, name##_exact);                        \
    }
QUANT_INTEGERS(READER)

#define FILL(TYPE, name) k->quant[QUANT_##TYPE].panel_bf16 = name##_panel_bf16;
void kern_panel_fill_avx512fp16(struct kern *k)
{
    QUANT_INTEGERS(FILL)
}
#endif
