/* Readers of packed weights in float32 (panel and rows), vectors of 16: the bits of quant_*.c. A line of a packed
 * block is one vector of 16 words, a word the 4 inputs of a row, so shifting by 8 i leaves input i of every row: the
 * panel comes out k-major without any shuffle. */
#ifndef KERNELS_PANEL_VEC_H
#define KERNELS_PANEL_VEC_H

#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

/* (q - 8) * d of the input that stands at bit `shift` of each word (a macro: shifts want constants) */
#define Q4_0_AT(line, shift) v16_mul(v16_from_nibbles(i16_right(line, shift), 8), d)

static void q4_0_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        v16 d = v16_from_f16(p->d);
        for (size_t j = 0; j < 4; j++) {
            i16 line = i16_load(p->q[j]);
            float *low = panel + 4 * j * KERN_ROWS, *high = low + 16 * KERN_ROWS;
            v16_store(low, Q4_0_AT(line, 0));
            v16_store(low + 16, Q4_0_AT(line, 8));
            v16_store(low + 32, Q4_0_AT(line, 16));
            v16_store(low + 48, Q4_0_AT(line, 24));
            v16_store(high, Q4_0_AT(line, 4));
            v16_store(high + 16, Q4_0_AT(line, 12));
            v16_store(high + 32, Q4_0_AT(line, 20));
            v16_store(high + 48, Q4_0_AT(line, 28));
        }
    }
}

#define Q4_1_AT(line, shift) v16_add(v16_mul(v16_from_nibbles(i16_right(line, shift), 0), d), m)

static void q4_1_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_1 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        v16 d = v16_from_f16(p->d), m = v16_from_f16(p->m);
        for (size_t j = 0; j < 4; j++) {
            i16 line = i16_load(p->q[j]);
            float *low = panel + 4 * j * KERN_ROWS, *high = low + 16 * KERN_ROWS;
            v16_store(low, Q4_1_AT(line, 0));
            v16_store(low + 16, Q4_1_AT(line, 8));
            v16_store(low + 32, Q4_1_AT(line, 16));
            v16_store(low + 48, Q4_1_AT(line, 24));
            v16_store(high, Q4_1_AT(line, 4));
            v16_store(high + 16, Q4_1_AT(line, 12));
            v16_store(high + 32, Q4_1_AT(line, 20));
            v16_store(high + 48, Q4_1_AT(line, 28));
        }
    }
}

static void q8_0_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q8_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        v16 d = v16_from_f16(p->d);
        for (size_t j = 0; j < 8; j++) {
            i16 line = i16_load(p->q[j]);
            float *out = panel + 4 * j * KERN_ROWS;
            v16_store(out, v16_mul(i16_to_float(i16_right_signed(i16_left(line, 24), 24)), d));
            v16_store(out + 16, v16_mul(i16_to_float(i16_right_signed(i16_left(line, 16), 24)), d));
            v16_store(out + 32, v16_mul(i16_to_float(i16_right_signed(i16_left(line, 8), 24)), d));
            v16_store(out + 48, v16_mul(i16_to_float(i16_right_signed(line, 24)), d));
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

static inline v16 v16_from_bf16(const uint16_t *p)
{
    return i16_as_float(i16_left(i16_from_u16(p), 16));
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

static void q4_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_0 *p = packed;
    float scale[KERN_ROWS];
    v16_store(scale, v16_from_f16(p->d));
    for (size_t r0 = 0; r0 < KERN_ROWS; r0 += 4) {
        __m128i bytes[4];
        row_bytes(bytes, p->q, r0);
        UNROLL
        for (size_t r = r0; r < r0 + 4; r++) {
            v16 d = v16_set(scale[r]);
            i16 q = i16_from_u8(bytes[r - r0]);
            v16_store(out + r * ld, v16_mul(v16_from_nibbles(q, 8), d));
            v16_store(out + r * ld + 16, v16_mul(v16_from_nibbles(i16_right(q, 4), 8), d));
        }
    }
}

static void q4_1_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_1 *p = packed;
    float scale[KERN_ROWS], min[KERN_ROWS];
    v16_store(scale, v16_from_f16(p->d));
    v16_store(min, v16_from_f16(p->m));
    for (size_t r0 = 0; r0 < KERN_ROWS; r0 += 4) {
        __m128i bytes[4];
        row_bytes(bytes, p->q, r0);
        UNROLL
        for (size_t r = r0; r < r0 + 4; r++) {
            v16 d = v16_set(scale[r]), m = v16_set(min[r]);
            i16 q = i16_from_u8(bytes[r - r0]);
            v16_store(out + r * ld, v16_add(v16_mul(v16_from_nibbles(q, 0), d), m));
            v16_store(out + r * ld + 16, v16_add(v16_mul(v16_from_nibbles(i16_right(q, 4), 0), d), m));
        }
    }
}

static void q8_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q8_0 *p = packed;
    float scale[KERN_ROWS];
    v16_store(scale, v16_from_f16(p->d));
    for (size_t r0 = 0; r0 < KERN_ROWS; r0 += 4) {
        __m128i low[4], high[4];
        row_bytes(low, p->q[0], r0);
        row_bytes(high, p->q[4], r0);
        UNROLL
        for (size_t r = r0; r < r0 + 4; r++) {
            v16 d = v16_set(scale[r]);
            v16_store(out + r * ld, v16_mul(i16_to_float(i16_from_s8(low[r - r0])), d));
            v16_store(out + r * ld + 16, v16_mul(i16_to_float(i16_from_s8(high[r - r0])), d));
        }
    }
}

static inline void panel_fill(struct kern *k)
{
    k->quant[QUANT_F16].panel = f16_panel;
    k->quant[QUANT_BF16].panel = bf16_panel;
    k->quant[QUANT_Q8_0].panel = q8_0_panel;
    k->quant[QUANT_Q4_0].panel = q4_0_panel;
    k->quant[QUANT_Q4_1].panel = q4_1_panel;
    k->quant[QUANT_Q8_0].rows = q8_0_rows;
    k->quant[QUANT_Q4_0].rows = q4_0_rows;
    k->quant[QUANT_Q4_1].rows = q4_1_rows;
}

#endif
