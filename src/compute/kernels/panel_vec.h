/* Readers of packed weights in float32 (panel and rows), vectors of 16: the bits of quant_*.c. A line of a packed
 * block is one vector of 16 words, a word the 4 inputs of a row, so shifting by 8 i leaves input i of every row: the
 * panel comes out k-major without any shuffle. Include after vec_avx2.h or vec_avx512.h. */
#ifndef KERNELS_PANEL_VEC_H
#define KERNELS_PANEL_VEC_H

#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

/* (q - 8) * d of the input that stands at bit `shift` of each word (a macro: shifts want constants) */
#define Q4_0_AT(line, shift) v16_mul(v16_sub(i16_to_float(i16_and(i16_right(line, shift), nibble)), eight), d)

static void q4_0_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_0 *p = packed;
    const i16 nibble = i16_set(15);
    const v16 eight = v16_set(8);
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

#define Q4_1_AT(line, shift) v16_add(v16_mul(i16_to_float(i16_and(i16_right(line, shift), nibble)), d), m)

static void q4_1_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_1 *p = packed;
    const i16 nibble = i16_set(15);
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

/* The 16 bytes of row r in lines j .. j + 3: the order of the file's block. */
static inline __m128i row_bytes(const void *line, size_t r)
{
    int32_t w[4];
    for (size_t j = 0; j < 4; j++) {
        memcpy(&w[j], (const char *)line + 64 * j + 4 * r, 4);
    }
    return _mm_set_epi32(w[3], w[2], w[1], w[0]);
}

static void q4_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_0 *p = packed;
    const i16 nibble = i16_set(15);
    const v16 eight = v16_set(8);
    for (size_t r = 0; r < KERN_ROWS; r++) {
        v16 d = v16_set(f16_value(p->d[r]));
        i16 q = i16_from_u8(row_bytes(p->q, r));
        v16_store(out + r * ld, v16_mul(v16_sub(i16_to_float(i16_and(q, nibble)), eight), d));
        v16_store(out + r * ld + 16, v16_mul(v16_sub(i16_to_float(i16_right(q, 4)), eight), d));
    }
}

static void q4_1_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q4_1 *p = packed;
    const i16 nibble = i16_set(15);
    for (size_t r = 0; r < KERN_ROWS; r++) {
        v16 d = v16_set(f16_value(p->d[r])), m = v16_set(f16_value(p->m[r]));
        i16 q = i16_from_u8(row_bytes(p->q, r));
        v16_store(out + r * ld, v16_add(v16_mul(i16_to_float(i16_and(q, nibble)), d), m));
        v16_store(out + r * ld + 16, v16_add(v16_mul(i16_to_float(i16_right(q, 4)), d), m));
    }
}

static void q8_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q8_0 *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        v16 d = v16_set(f16_value(p->d[r]));
        v16_store(out + r * ld, v16_mul(i16_to_float(i16_from_s8(row_bytes(p->q[0], r))), d));
        v16_store(out + r * ld + 16, v16_mul(i16_to_float(i16_from_s8(row_bytes(p->q[4], r))), d));
    }
}

static void panel_fill(struct kern *k)
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
