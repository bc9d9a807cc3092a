/* Layouts of packed blocks: 16 output rows x 32 inputs, or x 256 where a file shares scales among 256 values; each is
 * as large as its 16 rows in a file. Here are the layouts, how they are written, and how one value is read; quant_*.c
 * use the latter, lines_vec.h reads whole lines. Private to kernels.
 *
 * A part is 32 inputs. "Line" = 64 bytes that hold 4 inputs of each of the 16 rows, at byte row * 4 + i: one load gives
 * each 32-bit lane the 4 inputs of its row, which is what the dot products of four bytes want; a part has 8 lines, line
 * j of inputs 4j..4j+3. Codes of other than 8 bits are split so that lines come out by shifts and masks:
 *   nibbles[4][64]  low nibbles: line j, high nibbles: line 4 + j
 *   crumbs[2][64]   two bits: byte of crumbs[j / 4] at bit 2 (j % 4): line j
 *   bits[64]        one bit: bit j: line j
 * Scales: [run][row], so that 16 rows are one vector. Six-bit ones go in pairs: pair i has its low bits in
 * low[i] (first | second << 4) and its high ones in high[i / 2] (first | second << 2, at bit 4 (i % 2)). */
#ifndef KERNELS_PACKED_H
#define KERNELS_PACKED_H

#include <string.h>

#include "compute/kernels/kern.h"

enum { PARTS_K = QUANT_K / KERN_K }; /* parts of a block of 256 inputs */

struct packed_q8_0 {
    uint16_t d[KERN_ROWS]; /* scales, float16 */
    int8_t q[8][64];
};
struct packed_q4_0 { /* IQ4_NL too */
    uint16_t d[KERN_ROWS];
    uint8_t q[4][64];
};
struct packed_q4_1 {
    uint16_t d[KERN_ROWS];
    uint16_t m[KERN_ROWS]; /* minima, float16 */
    uint8_t q[4][64];
};
struct packed_q5_0 {
    uint16_t d[KERN_ROWS];
    uint8_t q[4][64];
    uint8_t bit4[64];
};
struct packed_q5_1 {
    uint16_t d[KERN_ROWS];
    uint16_t m[KERN_ROWS];
    uint8_t q[4][64];
    uint8_t bit4[64];
};
struct packed_mxfp4 {
    uint8_t e[KERN_ROWS]; /* exponents */
    uint8_t q[4][64];
};
struct packed_q2_k {
    uint16_t d[KERN_ROWS];
    uint16_t m[KERN_ROWS];                 /* scale of the minima */
    uint8_t scale[2 * PARTS_K][KERN_ROWS]; /* scale | min << 4 */
    uint8_t q[PARTS_K][2][64];
};
struct packed_q3_k {
    uint16_t d[KERN_ROWS];
    uint8_t low[PARTS_K][KERN_ROWS]; /* a pair is the scales of both runs of a part */
    uint8_t high[PARTS_K / 2][KERN_ROWS];
    struct {
        uint8_t q[2][64];
        uint8_t bit2[64];
    } part[PARTS_K];
};
struct packed_q4_k {
    uint16_t d[KERN_ROWS];
    uint16_t m[KERN_ROWS];
    uint8_t low[PARTS_K][KERN_ROWS]; /* a pair is scale and min of a part */
    uint8_t high[PARTS_K / 2][KERN_ROWS];
    uint8_t q[PARTS_K][4][64];
};
struct packed_q5_k {
    uint16_t d[KERN_ROWS];
    uint16_t m[KERN_ROWS];
    uint8_t low[PARTS_K][KERN_ROWS];
    uint8_t high[PARTS_K / 2][KERN_ROWS];
    struct {
        uint8_t q[4][64];
        uint8_t bit4[64];
    } part[PARTS_K];
};
struct packed_q6_k {
    uint16_t d[KERN_ROWS];
    int8_t scale[2 * PARTS_K][KERN_ROWS];
    struct {
        uint8_t q[4][64];
        uint8_t bits45[2][64];
    } part[PARTS_K];
};
struct packed_iq4_xs {
    uint16_t d[KERN_ROWS];
    uint8_t low[PARTS_K / 2][KERN_ROWS]; /* a pair is the scales of two parts */
    uint8_t high[PARTS_K / 4][KERN_ROWS];
    uint8_t q[PARTS_K][4][64];
};
struct packed_16 { /* float16 and bfloat16, k-major */
    uint16_t v[KERN_K][KERN_ROWS];
};
struct packed_32 { /* float32, k-major: the panel itself */
    float v[KERN_K][KERN_ROWS];
};

/* --- reading one value: row r, input k of the part --- */

static inline int nibble_at(const uint8_t q[4][64], size_t r, size_t k)
{
    return q[k % 16 / 4][r * 4 + k % 4] >> k / 16 * 4 & 15;
}
static inline int crumb_at(const uint8_t q[2][64], size_t r, size_t k)
{
    return q[k / 16][r * 4 + k % 4] >> k % 16 / 4 * 2 & 3;
}
static inline int bit_at(const uint8_t bits[64], size_t r, size_t k)
{
    return bits[r * 4 + k % 4] >> k / 4 & 1;
}
/* Number i of the pairs of six bits, first and second counted one after the other. */
static inline int six_bits_at(const uint8_t (*low)[KERN_ROWS], const uint8_t (*high)[KERN_ROWS], size_t i, size_t r)
{
    size_t pair = i / 2, second = i % 2;
    return (low[pair][r] >> 4 * second & 15) | (high[pair / 2][r] >> (4 * (pair % 2) + 2 * second) & 3) << 4;
}

/* --- writing a row r of a zeroed block --- */

static inline void six_bits_put(uint8_t (*low)[KERN_ROWS], uint8_t (*high)[KERN_ROWS], size_t i, size_t r, int v)
{
    size_t pair = i / 2, second = i % 2;
    low[pair][r] |= (uint8_t)((v & 15) << 4 * second);
    high[pair / 2][r] |= (uint8_t)(v >> 4 << (4 * (pair % 2) + 2 * second));
}

/* The codes of one row of a part, four a word, byte i of word j that of input 4j + i: as many bits as the code has. */
struct quads {
    uint32_t q[8];
};
static inline void word_put(uint8_t line[64], size_t r, uint32_t word)
{
    memcpy(line + 4 * r, &word, sizeof(word));
}
/* Bits 0..3 of the codes. */
static inline void nibbles_put(uint8_t q[4][64], size_t r, const struct quads *c)
{
    for (size_t j = 0; j < 4; j++) {
        word_put(q[j], r, (c->q[j] & 0x0f0f0f0fu) | (c->q[j + 4] & 0x0f0f0f0fu) << 4);
    }
}
/* Bits `at` and `at` + 1 of the codes. */
static inline void crumbs_put(uint8_t q[2][64], size_t r, const struct quads *c, int at)
{
    for (size_t h = 0; h < 2; h++) {
        uint32_t word = 0;
        for (size_t j = 0; j < 4; j++) {
            word |= (c->q[4 * h + j] >> at & 0x03030303u) << 2 * j;
        }
        word_put(q[h], r, word);
    }
}
/* Bit `at` of the codes. */
static inline void bits_put(uint8_t bits[64], size_t r, const struct quads *c, int at)
{
    uint32_t word = 0;
    for (size_t j = 0; j < 8; j++) {
        word |= (c->q[j] >> at & 0x01010101u) << j;
    }
    word_put(bits, r, word);
}

#endif
