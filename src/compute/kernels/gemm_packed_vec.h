/* Products of few rows with packed weights that are floats, vectors of 16: they are read once, in the order in which
 * they lie, and become float32 in registers. Panels of them, written and read again, halve the speed of decoding: what
 * counts here is how fast memory gives them. */
#ifndef KERNELS_GEMM_PACKED_VEC_H
#define KERNELS_GEMM_PACKED_VEC_H

#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#include "compute/kernels/vec.h"

/* How far ahead to ask, as kern_q8_avx512.c does. */
enum { ASK_FAR_BYTES = 8 << 10, ASK_NEAR_BYTES = 6 << 10 };

/* Bytes of the 16 weights of an input. */
ALWAYS_INLINE size_t input_bytes(const enum quant_type t)
{
    return KERN_ROWS * (t == QUANT_F32 ? sizeof(float) : sizeof(uint16_t));
}

ALWAYS_INLINE v16 input_weights(const char *p, const enum quant_type t)
{
    const void *at = p;
    return t == QUANT_F32 ? v16_load(at) : (t == QUANT_F16 ? v16_from_f16(at) : v16_from_bf16(at));
}

/* Rows of a tile: their sums, the weights and, with AVX2, one input fill the registers. */
#if defined(__AVX512F__) || defined(TAILOR_SIMDE)
enum { PACKED_ROWS = 24 };
/* clang-format off */
#define EACH_ROWS(X) \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) \
    X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24)
/* clang-format on */
#else
enum { PACKED_ROWS = 6 };
#define EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

ALWAYS_INLINE void input_add(v16 *acc, const float *x, size_t ldx, v16 w, const int n_row)
{
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = v16_fma(v16_set(x[(size_t)r * ldx]), w, acc[r]);
    }
}

/* One group, n_row rows, a constant. */
ALWAYS_INLINE void tile_packed(float *y, size_t ldy, const float *x, size_t ldx, const char *packed, size_t n_k,
                               const int n_row, const enum quant_type t)
{
    const size_t bytes = input_bytes(t), line = 64 / bytes;
    v16 acc[PACKED_ROWS];
    size_t k = 0;
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = v16_set(0);
    }
    for (; k + line <= n_k; k += line) {
        prefetch_far(packed + k * bytes, 64, ASK_FAR_BYTES);
        prefetch_near(packed + k * bytes, 64, ASK_NEAR_BYTES);
        UNROLL
        for (size_t i = 0; i < line; i++) {
            input_add(acc, x + k + i, ldx, input_weights(packed + (k + i) * bytes, t), n_row);
        }
    }
    for (; k < n_k; k++) {
        input_add(acc, x + k, ldx, input_weights(packed + k * bytes, t), n_row);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v16_store(y + (size_t)r * ldy, acc[r]);
    }
}

/* Rows in tiles of nearly the same size. */
ALWAYS_INLINE void gemm_packed(float *y, size_t ldy, const float *x, size_t ldx, const char *packed, size_t group_bytes,
                               size_t n_group, size_t n_row, size_t n_k, const enum quant_type t)
{
    for (size_t i = 0; i < n_group; i++, packed += group_bytes) {
        size_t n_tile = (n_row + PACKED_ROWS - 1) / PACKED_ROWS, size;
        for (size_t r = 0; n_tile > 0; n_tile--, r += size) {
            size = (n_row - r + n_tile - 1) / n_tile;
            switch (size) {
#define CASE(n)                                                                             \
    case n:                                                                                 \
        tile_packed(y + r * ldy + i * KERN_ROWS, ldy, x + r * ldx, ldx, packed, n_k, n, t); \
        break;
                EACH_ROWS(CASE)
#undef CASE
            }
        }
    }
}

#define GEMM_PACKED(TYPE, name)                                                                       \
    static void name##_gemm_few(float *y, size_t ldy, const float *x, size_t ldx, const void *packed, \
                                size_t group_bytes, size_t n_group, size_t n_row, size_t n_k)         \
    {                                                                                                 \
        gemm_packed(y, ldy, x, ldx, packed, group_bytes, n_group, n_row, n_k, QUANT_##TYPE);          \
    }
GEMM_PACKED(F32, f32)
GEMM_PACKED(F16, f16)
GEMM_PACKED(BF16, bf16)
#undef GEMM_PACKED

static inline void gemm_packed_fill(struct kern *k)
{
    k->quant[QUANT_F32].gemm_few = f32_gemm_few;
    k->quant[QUANT_F16].gemm_few = f16_gemm_few;
    k->quant[QUANT_BF16].gemm_few = bf16_gemm_few;
}

#endif
