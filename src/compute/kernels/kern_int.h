/* What the files of this folder share: facts of the quantizations and the functions by which each instruction-set file
 * puts its entries into the table. Private to kernels. */
#ifndef KERNELS_KERN_INT_H
#define KERNELS_KERN_INT_H

#include "compute/kernels/kern.h"
#include "compute/kernels/packed.h"

/* One quantization: facts, and its scalar readers (quant_*.c). */
extern const struct quant quant_f32, quant_f16, quant_bf16, quant_q8_0, quant_q4_0, quant_q4_1, quant_q5_0, quant_q5_1,
    quant_q2_k, quant_q3_k, quant_q4_k, quant_q5_k, quant_q6_k, quant_iq4_nl, quant_iq4_xs, quant_mxfp4;
extern const struct kern_quant quant_f32_scalar, quant_f16_scalar, quant_bf16_scalar, quant_q8_0_scalar,
    quant_q4_0_scalar, quant_q4_1_scalar, quant_q5_0_scalar, quant_q5_1_scalar, quant_q2_k_scalar, quant_q3_k_scalar,
    quant_q4_k_scalar, quant_q5_k_scalar, quant_q6_k_scalar, quant_iq4_nl_scalar, quant_iq4_xs_scalar,
    quant_mxfp4_scalar;

/* The integer quantizations, as X(TYPE, name). */
/* clang-format off */
#define QUANT_INTEGERS(X)                                                                          \
    X(Q8_0, q8_0) X(Q4_0, q4_0) X(Q4_1, q4_1) X(Q5_0, q5_0) X(Q5_1, q5_1) X(Q2_K, q2_k) X(Q3_K, q3_k) \
    X(Q4_K, q4_k) X(Q5_K, q5_k) X(Q6_K, q6_k) X(IQ4_NL, iq4_nl) X(IQ4_XS, iq4_xs) X(MXFP4, mxfp4)
/* clang-format on */

/* What the four bits of IQ4_NL and IQ4_XS, and of MXFP4 (twice the value) stand for. */
extern const int8_t quant_iq4_values[16], quant_mxfp4_values[16];

/* The scale and min of run r in the 12 bytes that Q4_K and Q5_K files have for their 8 runs: the first four are the low
 * six bits of bytes r and r + 4, the others the nibbles of byte r + 4 with the two upper bits of bytes r - 4 and r.
 * Source: ggml-quants.c (get_scale_min_k4). */
struct scale_min {
    int scale, min; /* 0..63 */
};
static inline struct scale_min quant_scale_min_k4(const uint8_t *s, size_t r)
{
    if (r < 4) {
        return (struct scale_min){s[r] & 63, s[r + 4] & 63};
    }
    return (struct scale_min){(s[r + 4] & 15) | s[r - 4] >> 6 << 4, s[r + 4] >> 4 | s[r] >> 6 << 4};
}

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
void kern_kv_fill_scalar(struct kern *k);
void kern_floor_fill_scalar(struct kern *k);
void kern_gemm_fill_avx2(struct kern *k);
void kern_q8_fill_avx2(struct kern *k);
void kern_q8_steps_fill_avx2(struct kern *k); /* after the one above */
void kern_gemm_f16_fill_avx2(struct kern *k);
void kern_panel_fill_avx2(struct kern *k);
void kern_rows_fill_avx2(struct kern *k);
void kern_train_fill_avx2(struct kern *k);
void kern_convert_fill_avx2(struct kern *k);
void kern_kv_fill_avx2(struct kern *k);
void kern_floor_fill_avx2(struct kern *k);
void kern_gemm_fill_avx512(struct kern *k);
void kern_q8_fill_avx512(struct kern *k);
void kern_q8_runs_fill_avx512(struct kern *k); /* after the one above: only CPUs whom runs serve */
void kern_gemm_f16_fill_avx512(struct kern *k);
void kern_panel_fill_avx512(struct kern *k);
void kern_rows_fill_avx512(struct kern *k);
void kern_train_fill_avx512(struct kern *k);
void kern_convert_fill_avx512(struct kern *k);
void kern_kv_fill_avx512(struct kern *k);
void kern_floor_fill_avx512(struct kern *k);
void kern_gemm_fill_avx512bf16(struct kern *k);
void kern_panel_fill_avx512bf16(struct kern *k);
void kern_rows_fill_avx512bf16(struct kern *k);
void kern_panel_fill_avx512fp16(struct kern *k); /* after that of bf16, for CPUs with AVX512_FP16 */
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
