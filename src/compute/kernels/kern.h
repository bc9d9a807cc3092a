/* CPU kernels: one table of functions. The scalar file is the definition; AVX2, AVX-512 and AMX files overwrite
 * entries. What the table holds:
 *
 *   - quantization readers (one file a quantization): the packed block, 16 output rows x 32 or 256 inputs;
 *   - products of a panel with rows, in the `reference` order and in the fast order;
 *   - products of packed quantized weights with int8 activations;
 *   - element-wise steps, which have ONE arithmetic, equal bit for bit on every instruction set.
 *
 * Arithmetic of the reference entries and of every element-wise entry: no fused multiply-add; a sum over k goes into
 * 16 lanes (lane = k mod 16, k ascending), then lane[i] += lane[i+8], += lane[i+4], += lane[i+2], += lane[i+1];
 * exp, tanh, sin, cos from kmath.h. So their bits do not depend on instruction set, threads, batch or schedule.
 * Fast entries: float sums use fused multiply-add with k ascending, one accumulator per output, whatever n_row:
 * the bits of a row never depend on how many rows are computed with it. */
#ifndef KERNELS_KERN_H
#define KERNELS_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

/* A packed block: 16 output rows x 32 inputs, or x 256 (K-quants) in parts of 32. */
enum { KERN_ROWS = 16, KERN_K = 32, QUANT_K = 256 };

enum quant_type {
    QUANT_F32,
    QUANT_F16,
    QUANT_BF16,
    QUANT_Q8_0,
    QUANT_Q4_0,
    QUANT_Q4_1,
    QUANT_Q5_0,
    QUANT_Q5_1,
    QUANT_Q2_K,
    QUANT_Q3_K,
    QUANT_Q4_K,
    QUANT_Q5_K,
    QUANT_Q6_K,
    QUANT_IQ4_NL,
    QUANT_IQ4_XS,
    QUANT_MXFP4,
    QUANT_COUNT
};

/* Levels by generation; each includes the one before. AVX512 = F BW DQ VL VNNI, and the bf16 product where the CPU has
 * AVX512_BF16 that is worth using; AMX = tile int8 bf16 (+ permission). */
enum kern_isa { KERN_SCALAR, KERN_AVX2, KERN_AVX512, KERN_AMX };

/* Facts about a quantization that do not depend on the instruction set. */
struct quant {
    const char *name;    /* "Q4_1" */
    int block_len;       /* values in a block of the file format: 1 (floats), 32 or 256 */
    size_t block_bytes;  /* bytes of that block in a file */
    int packed_k;        /* inputs of a packed block: block_len, 32 for floats */
    size_t packed_bytes; /* bytes of one packed block (16 x packed_k): at most 1.05 x the file's */
    int scale_at[2];     /* where a block of the file has its float16 scales; -1: none */
    /* file -> float32, bit for bit as ggml; n values, a multiple of block_len */
    void (*dequantize)(float *y, const void *blocks, size_t n);
    /* float32 -> file, round to nearest as ggml's reference quantizer; NULL for a type that cannot be written */
    void (*quantize)(void *blocks, const float *x, size_t n);
    /* What the codes stand for moved by delta[n], to the nearest code that there is: scales and minima stay, and so
     * does a code whose delta is less than half a step. NULL for a type whose values are no even steps of a scale */
    void (*move)(void *blocks, const float *delta, size_t n);
    /* Row r of a packed block that is zeroed: the packed_k values at `row` in the file format (one block, or 32
     * floats). n_k <= packed_k of them are present; less than all of them in floats only. */
    void (*pack_row)(void *packed, size_t r, const void *row, int n_k);
};
extern const struct quant *const quants[QUANT_COUNT];

/* One packed block from 16 rows of the file format; row[r] NULL: zeros (rows that pad the matrix). */
void quant_pack(const struct quant *q, void *packed, const void *const row[KERN_ROWS], int n_k);

/* Random blocks of an integer quantization, of the file format: fill them with random bytes and set the scales h[0] and
 * h[1] (float16) of each; MXFP4 takes the exponent of the first. */
void quant_set_scales(enum quant_type type, void *block, const uint16_t h[2]);
/* Scales that give such values about this deviation, and a mean as near 0 as the codes allow. */
void quant_scales_for(enum quant_type type, float deviation, uint16_t h[2]);

/* n_k activations quantized in blocks of 32 to int8: x ~ d[b] * q[k]; or, fine, to two such bytes:
 * x ~ d[b] * (256 * high + low), of which some blocks may have the high one alone: x ~ d[b] * high.
 * sum[b] = sum of these integers over the block, sum16 over its halves. */
struct q8_rows {
    int8_t *q;      /* [n_row][n_k], fine: [n_row][n_k / 32][2][32]; n_k a multiple of 32 (padded with zeros) */
    float *d;       /* [n_row][n_k / 32] */
    int32_t *sum;   /* [n_row][n_k / 32] */
    int32_t *sum16; /* [n_row][n_k / 16] */
    size_t n_k;     /* from one row to the next; a product may read less of them */
    bool fine;      /* bytes are -127..127 in both forms */
    const uint8_t
        *wide; /* [n_k / 32], 0: a block of every row has no low byte (zeros stand there); NULL: none is such */
};
/* Bytes a value. */
static inline size_t q8_bytes(const struct q8_rows *x)
{
    return x->fine ? 2 : 1;
}
/* Block b of a row has two bytes. */
static inline bool q8_is_wide(const struct q8_rows *x, size_t b)
{
    return x->fine && (!x->wide || x->wide[b]);
}
/* The same from a row and an input on; k a multiple of 32. */
static inline struct q8_rows q8_rows_from(const struct q8_rows *x, size_t row, size_t k)
{
    size_t block = row * (x->n_k / KERN_K) + k / KERN_K;
    return (struct q8_rows){.q = x->q + (row * x->n_k + k) * q8_bytes(x),
                            .d = x->d + block,
                            .sum = x->sum + block,
                            .sum16 = x->sum16 + 2 * block,
                            .n_k = x->n_k,
                            .fine = x->fine,
                            .wide = x->wide ? x->wide + k / KERN_K : NULL};
}

/* y[n_row][ldy] (16 * n_group columns) = x . W^T for groups of 16 rows that lie group_bytes apart, over n_block packed
 * blocks of inputs of x; accumulate: the sums go on from y, and cutting them between blocks changes no bits. */
typedef void (*kern_gemm_q8_fn)(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,
                                const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate);

/* Readers of one quantization. `packed` points at the first packed block wanted; the blocks of one group of 16 rows
 * are consecutive along k; n_block counts packed blocks, of packed_k inputs each. */
struct kern_quant {
    /* panel[n_block * packed_k][16] float32: the dequantized weights, k-major */
    void (*panel)(float *panel, const void *packed, size_t n_block);
    /* part `part` (32 inputs) of one block as rows: out[16][ld] float32 (32 columns written): for products with the
     * transpose */
    void (*rows)(float *out, size_t ld, const void *packed, size_t part);
    /* Where gemm_bf16 is, else NULL: the same two in bf16, in pairs along the reduction:
     * panel_bf16[n_part * 32 / 2][16][2] (k pairs; n_part parts of 32 inputs, from `part` of the first block on), the
     * weights over KERN_BF16_TIMES, within half a unit and an eighth of one, and 2^-11 of what their scales allow;
     * rows_bf16: out[8][ld][2] (row pairs; 32 columns written), rounded to nearest even */
    void (*panel_bf16)(uint16_t *panel, const void *packed, size_t part, size_t n_part);
    void (*rows_bf16)(uint16_t *out, size_t ld, const void *packed, size_t part);
    kern_gemm_q8_fn gemm_q8; /* NULL for float types */
    /* Of float types, else NULL: y[n_row][ldy] (16 * n_group columns) = x[n_row][ldx] . W^T for groups that lie
     * group_bytes apart, for few rows; the bits of gemm_f32 on panels. NULL where there is no faster way than those. */
    void (*gemm_few)(float *y, size_t ldy, const float *x, size_t ldx, const void *packed, size_t group_bytes,
                     size_t n_group, size_t n_row, size_t n_k);
};

/* Groups of 16 rows of packed weights, group_bytes apart. */
struct kern_groups {
    enum quant_type type;
    const uint8_t *packed;
    size_t group_bytes, n_group;
};
enum { KERN_PRODUCT_ROOM = 32 << 10 }; /* bytes, what product_bf16 needs for panels */
/* What panels in bf16 are divided by and inputs multiplied with, so that weights of any model are below one: the range
 * in which the fastest readers can make them. */
#define KERN_BF16_TIMES 16.0f

/* y[r][c] (= or +=) sum_k x[r * x_row + k * x_k] * p[k * ldp + c],  r < n_row, c < n_col, k < n_k.
 * The one float product: forward, backward (transposed x by strides), attention. Any n_row, n_col, n_k >= 1. */
typedef void (*kern_gemm_fn)(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const float *p, size_t ldp,
                             size_t n_row, size_t n_col, size_t n_k, bool accumulate);

/* y = activation(gate) * up. */
typedef void (*kern_glu_fn)(float *y, const float *gate, const float *up, size_t n);

/* Products of `first` to `last` rows take longer a row than one of first - 1, as another kernel or one more tile begins
 * there: who has so many rows that can wait takes first - 1 of them at a time. Lists of them ascend, no ranges touch,
 * and one of zeros is the end. */
struct kern_slow {
    int first, last;
};

enum { KERN_READS = 2 };

/* Loops that measure what the machine can do at this level (compute/measure/floors.h). Each does n rounds on registers
 * and returns the number of operations done, a multiply-add counting two. bf16 is NULL where there is no instruction.
 */
struct kern_floor {
    double (*fp32)(size_t n); /* float32 multiply-adds */
    double (*int8)(size_t n); /* signed bytes times bytes, the best of this level */
    double (*int4)(size_t n); /* 4-bit weights times bytes */
    double (*bf16)(size_t n); /* bfloat16 products summed in float32 */
    /* Two ways to read memory, of which the faster counts; each returns the bytes read. p aligned to 64. */
    double (*read[KERN_READS])(const void *p, size_t size);
};

/* A panel [n_k][ld] in int8 with float16 scales. Keys (across): one for 32 k of a column, scale[k / 32 * ld_scale + c],
 * n_k a multiple of 32; values: one for 32 columns of a k, scale[k * ld_scale + c / 32]. */
struct kern_kv_panel {
    const int8_t *q;
    size_t ld;
    const uint16_t *scale;
    size_t ld_scale;
    bool across;
};

struct kern {
    enum kern_isa isa;
    struct kern_quant quant[QUANT_COUNT];

    kern_gemm_fn gemm_ref;            /* reference order */
    kern_gemm_fn gemm_f32;            /* fast order: fma, k ascending; accumulate continues from y */
    size_t gemm_few_rows;             /* up to so many rows quant[].gemm_few is faster than panels and gemm_f32 */
    const struct kern_slow *slow_f32; /* of both */
    size_t gemm_cols;                 /* columns of a panel that serve gemm_f32 best when rows are many: 16, 32 or 64 */
    /* When rows are many gemm_q8 is best served with so many at a time, of one byte, and with a run of inputs of so
     * many bytes for all groups of a part. */
    size_t q8_rows, q8_run_bytes;
    const struct kern_slow *slow_q8; /* of gemm_q8 */
    /* gemm_f32 on a panel in float16, the same bits as after f16_to_f32; for few rows, and n_col a multiple of 16. */
    void (*gemm_f16)(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const uint16_t *p, size_t ldp,
                     size_t n_row, size_t n_col, size_t n_k, bool accumulate);
    /* gemm_f32 on keys or values in int8, the same bits as on their products with the scales; for few rows, and n_col a
     * multiple of 16. */
    void (*gemm_kv)(float *y, size_t ldy, const float *x, size_t x_row, size_t x_k, const struct kern_kv_panel *p,
                    size_t n_row, size_t n_col, size_t n_k, bool accumulate);
    /* y[n_row][ldy] (16 * n_group columns) (+)= x . p; x bf16 [n_row][ldx];
     * p: n_group panels [n_k / 2][16][2], each p_stride elements after the one before. n_k a multiple of 32.
     * Set at level AMX (tiles), and at level AVX512 on AMD's CPUs with AVX512_BF16, whose VDPBF16PS runs at twice the
     * rate of float32; NULL elsewhere: there float32 or int8 products are faster. Products of bfloat16 are exact,
     * sums are float32, k ascending, rounded once a product; subnormals count as zero. */
    void (*gemm_bf16)(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                      size_t n_row, size_t n_group, size_t n_k, bool accumulate);
    /* gemm_bf16 with the panels of packed weights, the same bits as with panel_bf16's: for many rows, where unpacking
     * can go on beside the products (tiles); else NULL. k: the table itself. room: KERN_PRODUCT_ROOM bytes, aligned to
     * 64. */
    void (*product_bf16)(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                         const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room);
    /* Where product_bf16 is: from so many rows on it is faster than gemm_q8 with activations of one byte, of two. */
    size_t bf16_min_rows[2];
    const struct kern_slow *slow_bf16; /* of product_bf16, or of gemm_bf16 where there is none */
    /* Where gemm_bf16 is: float16 x[n_row][ldx], n_col a multiple of 16, as the panels that it reads:
     * out[c / 16 * p_stride + (r / 2 * 16 + c % 16) * 2 + r % 2] = x[r][c]. An odd last row is paired with zeros. */
    void (*pairs_bf16)(uint16_t *out, size_t p_stride, const uint16_t *x, size_t ldx, size_t n_row, size_t n_col);
    /* Where gemm_bf16 is, the steps between two such products: within 1e-5 of their value, then rounded to bfloat16.
     * exp_bf16: y = exp(x * scale - max), scale > 0, max the largest of *max and x * scale, which becomes *max; returns
     * the sum before rounding.
     * swiglu_bf16: y = silu(gate) * up * KERN_BF16_TIMES, the input of a product with panels. */
    float (*exp_bf16)(uint16_t *y, const float *x, size_t n, float scale, float *max);
    void (*swiglu_bf16)(uint16_t *y, const float *gate, const float *up, size_t n);

    /* x[n_row][ldx] float32 -> x8 rows 0..n_row-1 (round to nearest even, scale = max|x| / 127, fine: / (256 * 127),
     * and a low byte of -128 becomes -127) */
    void (*quantize_q8)(struct q8_rows *x8, const float *x, size_t ldx, size_t n_row, size_t n_in);
    void (*f32_to_f16)(uint16_t *y, const float *x, size_t n); /* round to nearest even */
    void (*f16_to_f32)(float *y, const uint16_t *x, size_t n);
    /* y = x * times, round to nearest even, NaN kept */
    void (*f32_to_bf16)(uint16_t *y, const float *x, size_t n, float times);

    /* y = x / sqrt(mean(x^2) + eps) * w; returns 1 / sqrt(mean(x^2) + eps). y may be x. */
    float (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* dx += gradient through rms_norm, with inv_rms as rms_norm returned it */
    void (*rms_norm_backward)(float *dx, const float *dy, const float *x, const float *w, size_t n, float inv_rms);
    /* y = silu(gate) * up */
    void (*swiglu)(float *y, const float *gate, const float *up, size_t n);
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n);
    /* y = gelu(gate) * up, the form with tanh: gelu(x) = x / (1 + exp(-t)), t = 2 sqrt(2 / pi) (x + 0.044715 x^3) */
    void (*geglu)(float *y, const float *gate, const float *up, size_t n);
    void (*geglu_backward)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n);
    /* x = cap * tanh(x * scale / cap) in place */
    void (*softcap)(float *x, size_t n, float scale, float cap);
    /* x = softmax(x * scale) in place over n values; returns log(sum(exp(x * scale))) */
    float (*softmax)(float *x, size_t n, float scale);
    /* sum in the 16-lane order: of x, of x * y */
    float (*dot)(const float *x, const float *y, size_t n);
    /* log-sum-exp of x (float32 in, double out is not needed): max + log(sum exp(x - max)) */
    float (*log_sum_exp)(const float *x, size_t n);
    /* g = (exp(x - lse) - onehot(target)) * weight : gradient of cross-entropy on logits; g may be x */
    void (*cross_entropy_backward)(float *g, const float *x, size_t n, float lse, size_t target, float weight);
    void (*add)(float *y, const float *x, size_t n);           /* y += x */
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y += a * x */
    void (*scale)(float *y, float a, size_t n);                /* y *= a */
    /* Rotate n_head heads of d_head values: the first n_rot of each, pairs (2i, 2i+1) or, when halves,
     * (i, i + n_rot/2), by cos[i], sin[i], i < n_rot/2. sign -1 is the inverse (backward). */
    void (*rope)(float *x, size_t n_head, size_t d_head, size_t n_rot, const float *cos, const float *sin, bool halves,
                 float sign);
    /* AdamW with decoupled decay on n values: m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
     * p -= lr * decay * p; p -= lr * (m / c1) / (sqrt(v / c2) + eps)      c1 = 1 - b1^t, c2 = 1 - b2^t */
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n, float lr, float b1, float b2, float eps,
                  float decay, float c1, float c2);
    struct kern_floor floor;
};

/* The highest level this CPU and kernel offer (cpuid, xgetbv, AMX permission). */
enum kern_isa kern_isa_detect(void);
const char *kern_isa_name(enum kern_isa isa); /* "scalar" "avx2" "avx512" "amx" */
/* -ERR_USAGE when name is none of them. */
int kern_isa_parse(const char *name, enum kern_isa *out, struct err *e) MUST_CHECK;

/* Fill the table for a level (not above what the CPU has), run the self-test of every entry against scalar, and fall
 * back entry by entry level with a warning in the log that names what was wrong. Never fails: scalar is the floor. */
void kern_init(struct kern *k, enum kern_isa isa);
/* Compare every entry of k with scalar on fixed random and extreme input; NULL, or the name of the first wrong entry.
 */
const char *kern_self_test(const struct kern *k);

/* QUANT_* by its name ("Q4_1", as GGUF spells it, case-insensitive), -1 when unknown. */
int quant_find(const char *name);

#endif
