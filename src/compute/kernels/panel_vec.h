/* Readers of packed weights in float32 (panel and rows), vectors of 16: the bits of quant_read.h. A line is one vector
 * of 16 words, a word the 4 inputs of a row, so shifting by 8 i leaves input i of every row: the panel comes out
 * k-major without any shuffle. */
#ifndef KERNELS_PANEL_VEC_H
#define KERNELS_PANEL_VEC_H

#include "compute/kernels/kern_int.h"
#include "compute/kernels/lines_vec.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

/* What becomes of the values of inputs k .. k + 3 of a part, each of 16 rows. */
typedef void put_fn(void *out, size_t k, v16 a, v16 b, v16 c, v16 d);

ALWAYS_INLINE v16 scaled(v16 code, const struct part_scales *s, const int half, const enum quant_type t)
{
    v16 v = v16_mul(code, s->d[half]);
    return type_has_min(t) ? v16_add(v, s->m[half]) : v;
}

/* value of the nibble that stands at bit `shift` of each word (a macro: shifts want constants) */
#define NIBBLE_AT(line, shift) scaled(v16_from_nibbles(i16_right(line, shift), zero), s, 0, t)

/* The inputs of line j. */
ALWAYS_INLINE void nibble_line(void *out, const uint8_t q[4][64], const struct part_scales *s, const size_t j,
                               const enum quant_type t, put_fn *put)
{
    const float zero = t == QUANT_Q4_0 ? 8 : 0;
    i16 line = i16_load(q[j]);
    put(out, 4 * j, NIBBLE_AT(line, 0), NIBBLE_AT(line, 8), NIBBLE_AT(line, 16), NIBBLE_AT(line, 24));
    put(out, 4 * j + 16, NIBBLE_AT(line, 4), NIBBLE_AT(line, 12), NIBBLE_AT(line, 20), NIBBLE_AT(line, 28));
}

/* value of the signed byte that a word has after so many bits have gone to the left */
#define BYTE_AT(line, left) \
    scaled(i16_to_float(i16_right_signed(left ? i16_left(line, left) : (line), 24)), s, (int)j / 4, t)

ALWAYS_INLINE void byte_line(void *out, const i16 w[LINES], const struct part_scales *s, const size_t j,
                             const enum quant_type t, put_fn *put)
{
    put(out, 4 * j, BYTE_AT(w[j], 24), BYTE_AT(w[j], 16), BYTE_AT(w[j], 8), BYTE_AT(w[j], 0));
}

ALWAYS_INLINE const uint8_t (*straight_nibbles(const void *packed, size_t part, const enum quant_type t))[64]
{
    switch (t) {
    case QUANT_Q4_0:
        return ((const struct packed_q4_0 *)packed)->q;
    case QUANT_Q4_1:
        return ((const struct packed_q4_1 *)packed)->q;
    default:
        return ((const struct packed_q4_k *)packed)->q[part];
    }
}

/* All 32 inputs of a part, with its scales. */
ALWAYS_INLINE void part_values(void *out, const void *packed, size_t part, const struct part_scales *s,
                               const enum quant_type t, put_fn *put)
{
    if (type_is_nibble(t)) {
        UNROLL
        for (size_t j = 0; j < LINES / 2; j++) {
            nibble_line(out, straight_nibbles(packed, part, t), s, j, t, put);
        }
    } else {
        i16 w[LINES];
        signed_lines(w, packed, part, t);
        UNROLL
        for (size_t j = 0; j < LINES; j++) {
            byte_line(out, w, s, j, t, put);
        }
    }
}

ALWAYS_INLINE void put_floats(void *out, size_t k, v16 a, v16 b, v16 c, v16 d)
{
    float *panel = (float *)out + k * KERN_ROWS;
    v16_store(panel, a);
    v16_store(panel + 16, b);
    v16_store(panel + 32, c);
    v16_store(panel + 48, d);
}

ALWAYS_INLINE void type_panel(float *panel, const char *packed, size_t n_block, const enum quant_type t)
{
    for (size_t b = 0; b < n_block; b++, packed += type_packed_bytes(t)) {
        for (size_t part = 0; part < type_n_part(t); part++, panel += KERN_K * KERN_ROWS) {
            struct part_scales s;
            part_scales(&s, packed, part, t);
            part_values(panel, packed, part, &s, t, put_floats);
        }
    }
}

static void f16_panel(float *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t i = 0; i < n_block * KERN_K * KERN_ROWS; i += 16) {
        v16_store(panel + i, v16_from_f16(v + i));
    }
}

static void bf16_panel(float *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t i = 0; i < n_block * KERN_K * KERN_ROWS; i += 16) {
        v16_store(panel + i, v16_from_bf16(v + i));
    }
}

/* The 16 bytes of rows r .. r + 3 in lines j .. j + 3, each in the order of the file's block: four times four words
 * transposed. */
static inline void row_bytes(__m128i out[4], const void *line, size_t r)
{
    const char *at = (const char *)line + 4 * r;
    __m128i a = _mm_loadu_si128((const __m128i_u *)at), b = _mm_loadu_si128((const __m128i_u *)(at + 64));
    __m128i c = _mm_loadu_si128((const __m128i_u *)(at + 128)), d = _mm_loadu_si128((const __m128i_u *)(at + 192));
    __m128i ab_low = _mm_unpacklo_epi32(a, b), cd_low = _mm_unpacklo_epi32(c, d);
    __m128i ab_high = _mm_unpackhi_epi32(a, b), cd_high = _mm_unpackhi_epi32(c, d);
    out[0] = _mm_unpacklo_epi64(ab_low, cd_low);
    out[1] = _mm_unpackhi_epi64(ab_low, cd_low);
    out[2] = _mm_unpacklo_epi64(ab_high, cd_high);
    out[3] = _mm_unpackhi_epi64(ab_high, cd_high);
}

/* A part for reading by rows. */
struct by_rows {
    float d[2][KERN_ROWS], m[2][KERN_ROWS];
    int8_t code[LINES][64]; /* not of nibbles */
};

ALWAYS_INLINE void by_rows_fill(struct by_rows *p, const void *packed, size_t part, const enum quant_type t)
{
    struct part_scales s;
    part_scales(&s, packed, part, t);
    UNROLL
    for (int h = 0; h < 2; h++) {
        v16_store(p->d[h], s.d[h]);
        v16_store(p->m[h], s.m[h]);
    }
    if (!type_is_nibble(t)) {
        i16 w[LINES];
        signed_lines(w, packed, part, t);
        UNROLL
        for (int j = 0; j < LINES; j++) {
            i16_store(p->code[j], w[j]);
        }
    }
}

/* Row r, 16 codes of each half of its inputs. */
ALWAYS_INLINE void put_row(float *out, const struct by_rows *p, size_t r, v16 low, v16 high, const enum quant_type t)
{
    struct part_scales s = {{v16_set(p->d[0][r]), v16_set(p->d[1][r])}, {v16_set(p->m[0][r]), v16_set(p->m[1][r])}};
    v16_store(out, scaled(low, &s, 0, t));
    v16_store(out + 16, scaled(high, &s, 1, t));
}

/* Rows r0 .. r0 + 3 of nibbles. */
ALWAYS_INLINE void nibble_rows(float *out, size_t ld, const uint8_t q[4][64], const struct by_rows *p, size_t r0,
                               const enum quant_type t)
{
    const float zero = t == QUANT_Q4_0 ? 8 : 0;
    __m128i bytes[4];
    row_bytes(bytes, q, r0);
    UNROLL
    for (size_t r = r0; r < r0 + 4; r++) {
        i16 b = i16_from_u8(bytes[r - r0]);
        put_row(out + r * ld, p, r, v16_from_nibbles(b, zero), v16_from_nibbles(i16_right(b, 4), zero), t);
    }
}

/* Rows r0 .. r0 + 3 of signed bytes. */
ALWAYS_INLINE void byte_rows(float *out, size_t ld, const struct by_rows *p, size_t r0, const enum quant_type t)
{
    __m128i low[4], high[4];
    row_bytes(low, p->code[0], r0);
    row_bytes(high, p->code[4], r0);
    UNROLL
    for (size_t r = r0; r < r0 + 4; r++) {
        v16 a = i16_to_float(i16_from_s8(low[r - r0])), b = i16_to_float(i16_from_s8(high[r - r0]));
        put_row(out + r * ld, p, r, a, b, t);
    }
}

ALWAYS_INLINE void type_rows(float *out, size_t ld, const void *packed, size_t part, const enum quant_type t)
{
    struct by_rows p;
    by_rows_fill(&p, packed, part, t);
    for (size_t r = 0; r < KERN_ROWS; r += 4) {
        if (type_is_nibble(t)) {
            nibble_rows(out, ld, straight_nibbles(packed, part, t), &p, r, t);
        } else {
            byte_rows(out, ld, &p, r, t);
        }
    }
}

#define READERS(TYPE, name)                                                         \
    static void name##_panel(float *panel, const void *packed, size_t n_block)      \
    {                                                                               \
        type_panel(panel, packed, n_block, QUANT_##TYPE);                           \
    }                                                                               \
    static void name##_rows(float *out, size_t ld, const void *packed, size_t part) \
    {                                                                               \
        type_rows(out, ld, packed, part, QUANT_##TYPE);                             \
    }
QUANT_INTEGERS(READERS)
#undef READERS

static inline void panel_fill(struct kern *k)
{
    k->quant[QUANT_F16].panel = f16_panel;
    k->quant[QUANT_BF16].panel = bf16_panel;
#define FILL(TYPE, name)                         \
    k->quant[QUANT_##TYPE].panel = name##_panel; \
    k->quant[QUANT_##TYPE].rows = name##_rows;
    QUANT_INTEGERS(FILL)
#undef FILL
}

#endif
