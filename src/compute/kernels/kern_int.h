/* What the files of this folder share: the layouts of packed blocks and the functions by which each instruction-set
 * file puts its entries into the table. Private to kernels. */
#ifndef KERNELS_KERN_INT_H
#define KERNELS_KERN_INT_H

#include "compute/kernels/kern.h"

/* Packed blocks, 16 output rows x 32 inputs. "Line" = 64 bytes that hold 4 inputs of each of the 16 rows, at
 * byte row * 4 + i: one load gives each 32-bit lane the 4 inputs of its row, which is what the dot products of
 * four bytes want. 4-bit: line j holds inputs 4j..4j+3 in its low nibbles and 16+4j..16+4j+3 in its high ones. */
struct packed_q4_0 {
    uint16_t d[KERN_ROWS]; /* scales, float16 */
    uint8_t q[4][64];
};
struct packed_q4_1 {
    uint16_t d[KERN_ROWS]; /* scales, float16 */
    uint16_t m[KERN_ROWS]; /* minima, float16 */
    uint8_t q[4][64];
};
struct packed_q8_0 {
    uint16_t d[KERN_ROWS]; /* scales, float16 */
    int8_t q[8][64];       /* line j holds inputs 4j..4j+3 */
};
struct packed_16 { /* float16 and bfloat16, k-major */
    uint16_t v[KERN_K][KERN_ROWS];
};
struct packed_32 { /* float32, k-major: the panel itself */
    float v[KERN_K][KERN_ROWS];
};

/* One quantization: facts, and its scalar readers (quant_*.c). */
extern const struct quant quant_f32, quant_f16, quant_bf16, quant_q8_0, quant_q4_0, quant_q4_1;
extern const struct kern_quant quant_f32_scalar, quant_f16_scalar, quant_bf16_scalar, quant_q8_0_scalar,
    quant_q4_0_scalar, quant_q4_1_scalar;

/* One entry of the table, as the self-test and the fall-back see it: where it stands in struct kern, and a check that
 * compares it with the same entry of the scalar table on fixed random and extreme input. */
struct kern_entry {
    const char *name;
    size_t offset;       /* of the function pointer in struct kern */
    enum kern_isa since; /* the level from which the entry exists */
    bool (*same)(const struct kern *k, const struct kern *scalar);
};
extern const struct kern_entry kern_entries[];
extern const size_t kern_n_entry;

/* All entries of a level, nothing checked. */
void kern_fill(struct kern *k, enum kern_isa isa);
/* Replace every entry of level[isa] that differs from scalar by that of the next lower level which does not, with a
 * warning in the log; the result in *k. level[0] is scalar, level[i] the table of level i. */
void kern_choose(struct kern *k, const struct kern *level, enum kern_isa isa);

/* Each sets the entries that its file implements and leaves the others alone. Called in the order of the levels. */
void kern_gemm_fill_scalar(struct kern *k);
void kern_rows_fill_scalar(struct kern *k);
void kern_train_fill_scalar(struct kern *k);
void kern_convert_fill_scalar(struct kern *k);
void kern_floor_fill_scalar(struct kern *k);
void kern_gemm_fill_avx2(struct kern *k);
void kern_q8_fill_avx2(struct kern *k);
void kern_panel_fill_avx2(struct kern *k);
void kern_rows_fill_avx2(struct kern *k);
void kern_train_fill_avx2(struct kern *k);
void kern_convert_fill_avx2(struct kern *k);
void kern_floor_fill_avx2(struct kern *k);
void kern_gemm_fill_avx512(struct kern *k);
void kern_q8_fill_avx512(struct kern *k);
void kern_panel_fill_avx512(struct kern *k);
void kern_rows_fill_avx512(struct kern *k);
void kern_train_fill_avx512(struct kern *k);
void kern_convert_fill_avx512(struct kern *k);
void kern_floor_fill_avx512(struct kern *k);
void kern_gemm_fill_avx512bf16(struct kern *k);
void kern_panel_fill_avx512bf16(struct kern *k);
void kern_rows_fill_avx512bf16(struct kern *k);
void kern_gemm_fill_amx(struct kern *k);
void kern_floor_fill_amx(struct kern *k);

/* Sum of 16 lanes in the order of the reference: lane[i] += lane[i+8], then +4, +2, +1. */
static inline float lanes_sum(float lane[16])
{
    for (int step = 8; step > 0; step /= 2) {
        for (int i = 0; i < step; i++) {
            lane[i] += lane[i + step];
        }
    }
    return lane[0];
}

/* The larger one; b when either is NaN: what the MAXPS instruction does. */
static inline float max_or_second(float a, float b)
{
    return a > b ? a : b;
}

#endif
