/* Products of packed weights with int8 activations for AVX2, several rows at a time: each line of the weights is loaded
 * or unpacked once for STEP rows, whose sums of a part fill eight registers. A tile (kern_q8_avx2.c) keeps half a part
 * of the weights in registers instead and stores the sums of every row between the halves. Steps win with one to five
 * rows, are no slower up to eight and, for the codes of four bits, win with many; in between unpacking costs what is
 * won. One core of Zen 3, weights in the cache, GOPS of tiles and steps: Q4_0 at 2, 3, 4 rows 133, 153, 159 and 153,
 * 174, 189, at 64 rows 193 and 200, or, where the core's other thread works for somebody else, 129 and 149; Q8_0 at 2,
 * 3, 4 rows 84, 93, 99 and 100, 110, 114, at 5 97 and 105; one row of Q4_K 19.0 and 23.1 GB/s. The bits agree. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/lines_vec.h"
#include "compute/kernels/q8_avx2.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { STEP = 4, FEW_ROWS = 8, PASS = 64, MANY_ROWS = 32 };

/* The value stands in a register here: sums grow in the order that is written, and a line is loaded once. Left to
 * itself the compiler makes all products of a part first and keeps them on the stack. */
#define IN_ORDER(v) __asm__ volatile("" : "+x"((v).lo), "+x"((v).hi))

/* A part of a weight block. For many rows its lines and scales are kept; else they are made where they are used. */
struct part {
    const char *block;
    size_t index;
    const struct block_scales *shared;
    const char *codes; /* see part_codes */
    const char *lines; /* [LINES][64] */
    struct part_scales scale;
};

/* The codes of part i, of Q4_K, stand where a block that began so much later would have its first ones. */
ALWAYS_INLINE const char *part_codes(const char *packed, size_t i, const enum quant_type t)
{
    return type_n_part(t) > 1 ? packed + i * sizeof(((const struct packed_q4_k *)packed)->q[0]) : packed;
}

/* Codes as VPMADDUBSW wants them, except for the sign of those of 8 bits. */
ALWAYS_INLINE void part_lines(i16 w[LINES], const struct part *p, const enum quant_type t)
{
    if (type_is_wide(t)) {
        signed_lines(w, p->codes, 0, t);
    } else {
        unsigned_lines(w, p->codes, 0, t);
    }
}

/* Loaded here and not above the loop over the rows, for which there are not registers enough. */
ALWAYS_INLINE __m256i load_here(const char *p)
{
    __m256i v;
    __asm__ volatile("vmovdqa\t%1, %0" : "=x"(v) : "m"(*(const __m256i *)(const void *)p));
    return v;
}

ALWAYS_INLINE i16 part_line(struct part *p, const int j, const bool kept, const enum quant_type t)
{
    if (kept) {
        return (i16){load_here(p->lines + 64 * j), load_here(p->lines + 64 * j + 32)};
    }
    i16 w[LINES];                 /* of which one is used, and only that computed */
    __asm__("" : "+r"(p->codes)); /* else all are unpacked at the first */
    part_lines(w, p, t);
    IN_ORDER(w[j]);
    return w[j];
}

/* s[r] = the lines of a part times the bytes q + r * ld. */
ALWAYS_INLINE void dots(i16 s[STEP], struct part *p, const int8_t *q, size_t ld, const int n_row, const bool kept,
                        const enum quant_type t)
{
    UNROLL
    for (int j = 0; j < LINES; j++) {
        i16 code = part_line(p, j, kept, t), line = type_is_wide(t) ? magnitude(code) : code;
        UNROLL
        for (int r = 0; r < n_row; r++) {
            i16 two = products(line, code, quad(q + (size_t)r * ld + 4 * j), t);
            if (type_is_wide(t)) {
                two = widen(two);
                s[r] = j == 0 ? two : i16_add(s[r], two);
            } else {
                s[r] = j == 0 ? two : add_words(s[r], two);
            }
            IN_ORDER(s[r]);
        }
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        s[r] = type_is_wide(t) ? s[r] : widen(s[r]);
    }
}

/* After the products, not above them, where they would wait on the stack. */
ALWAYS_INLINE void part_scales_here(struct part *p, const enum quant_type t)
{
    __asm__("" : "+r"(p->block));
    part_scales_in(&p->scale, p->shared, p->block, p->index, t);
}

/* acc[r] += what a part adds to n_row rows; in the order of quant_read.h. wide: of both bytes. */
ALWAYS_INLINE void step(v16 *acc, struct part *p, const struct x_part *x, const int n_row, const bool wide,
                        const bool kept, const enum quant_type t)
{
    i16 s[STEP], low[STEP];
    dots(s, p, x->q, x->ld_q, n_row, kept, t);
    if (wide) {
        dots(low, p, x->q + KERN_K, x->ld_q, n_row, kept, t);
    }
    if (!kept) {
        part_scales_here(p, t);
    }
    if (n_row > 2) {
        __asm__("" : "+r"(acc)); /* else they are loaded above and wait on the stack */
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        size_t at = (size_t)r * x->ld_scale;
        i16 joined = wide ? i16_add(i16_left(s[r], 8), low[r]) : s[r];
        v16 v = run_sum(joined, &p->scale, x->sum[at], t);
        acc[r] = v16_fma(v, v16_set(x->d[at]), acc[r]);
    }
}

/* At most STEP rows, constant. */
ALWAYS_INLINE void few_rows(float *y, size_t ldy, const char *packed, const struct q8_rows *x, const int n_row,
                            size_t n_block, bool accumulate, const enum quant_type t)
{
    const size_t n_part = type_n_part(t), part_bytes = type_packed_bytes(t) / n_part;
    struct x_part at = x_part_of(x, 0, 0);
    struct block_scales shared;
    v16 acc[STEP];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = accumulate ? v16_load(y + (size_t)r * ldy) : v16_set(0);
    }
    for (size_t b = 0; b < n_block; b++, packed += type_packed_bytes(t)) {
        block_scales(&shared, packed, t);
        for (size_t i = 0; i < n_part; i++) {
            struct part p = {.block = packed, .index = i, .shared = &shared, .codes = part_codes(packed, i, t)};
            prefetch_near(packed + i * part_bytes, part_bytes, NEAR_BYTES);
            if (q8_is_wide(x, b * n_part + i)) {
                step(acc, &p, &at, n_row, true, false, t);
            } else {
                step(acc, &p, &at, n_row, false, false, t);
            }
            x_part_next(&at, q8_bytes(x));
        }
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v16_store(y + (size_t)r * ldy, acc[r]);
    }
}

/* Part i of a group, unpacked into lines. */
ALWAYS_INLINE void part_keep(struct part *p, char *lines, const char *packed, size_t i, const enum quant_type t)
{
    const size_t n_part = type_n_part(t);
    const char *block = packed + i / n_part * type_packed_bytes(t);
    i16 w[LINES];
    p->codes = part_codes(block, i % n_part, t);
    p->lines = lines;
    part_scales(&p->scale, block, i % n_part, t);
    part_lines(w, p, t);
    UNROLL
    for (int j = 0; j < LINES; j++) {
        i16_store(lines + 64 * j, w[j]);
    }
}

/* All rows with part i. */
ALWAYS_INLINE void all_steps(v16 *acc, struct part *p, const struct q8_rows *x, size_t n_row, size_t i, const bool wide,
                             const enum quant_type t)
{
    for (size_t r = 0; r < n_row; r += STEP) {
        struct x_part at = x_part_of(x, r, i);
        step(acc + r, p, &at, STEP, wide, true, t);
    }
}

/* n_row <= PASS rows, a multiple of STEP; their sums stand in the first-level cache. A part is unpacked while the one
 * before it is worked on. */
ALWAYS_INLINE void pass(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t n_row, size_t n_block,
                        bool accumulate, const enum quant_type t)
{
    const size_t n_part = n_block * type_n_part(t), part_bytes = type_packed_bytes(t) / type_n_part(t);
    _Alignas(64) char lines[2][LINES * 64];
    struct part p[2];
    v16 acc[PASS];
    for (size_t r = 0; r < n_row; r++) {
        acc[r] = accumulate ? v16_load(y + r * ldy) : v16_set(0);
    }
    part_keep(&p[0], lines[0], packed, 0, t);
    for (size_t i = 0; i < n_part; i++) {
        prefetch_near(packed + i * part_bytes, part_bytes, NEAR_BYTES);
        if (i + 1 < n_part) {
            part_keep(&p[(i + 1) % 2], lines[(i + 1) % 2], packed, i + 1, t);
        }
        if (q8_is_wide(x, i)) {
            all_steps(acc, &p[i % 2], x, n_row, i, true, t);
        } else {
            all_steps(acc, &p[i % 2], x, n_row, i, false, t);
        }
    }
    for (size_t r = 0; r < n_row; r++) {
        v16_store(y + r * ldy, acc[r]);
    }
}

/* The first of n_row rows, as many as a step has. */
ALWAYS_INLINE size_t first_rows(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t n_row,
                                size_t n_block, bool accumulate, const enum quant_type t)
{
    switch (n_row) {
    case 1:
        few_rows(y, ldy, packed, x, 1, n_block, accumulate, t);
        return 1;
    case 2:
        few_rows(y, ldy, packed, x, 2, n_block, accumulate, t);
        return 2;
    case 3:
        few_rows(y, ldy, packed, x, 3, n_block, accumulate, t);
        return 3;
    default:
        few_rows(y, ldy, packed, x, STEP, n_block, accumulate, t);
        return STEP;
    }
}

/* The rows that are taken together; the others are left to tiles. */
ALWAYS_INLINE size_t group_gemm_q8(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t n_row,
                                   size_t n_block, bool accumulate, const enum quant_type t)
{
    size_t done = 0;
    while (type_is_nibble(t) && n_row >= MANY_ROWS && n_row - done >= STEP) {
        size_t n = n_row - done < PASS ? (n_row - done) / STEP * STEP : PASS;
        struct q8_rows at = q8_rows_from(x, done, 0);
        pass(y + done * ldy, ldy, packed, &at, n, n_block, accumulate, t);
        done += n;
    }
    if (n_row - done > FEW_ROWS) {
        return done;
    }
    while (done < n_row) {
        struct q8_rows at = q8_rows_from(x, done, 0);
        done += first_rows(y + done * ldy, ldy, packed, &at, n_row - done, n_block, accumulate, t);
    }
    return done;
}

ALWAYS_INLINE void steps_gemm_q8(float *y, size_t ldy, const char *packed, size_t group_bytes, size_t n_group,
                                 const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate,
                                 const enum quant_type t)
{
    for (size_t g = 0; g < n_group; g++) {
        const char *group = packed + g * group_bytes;
        float *out = y + g * KERN_ROWS;
        size_t done = group_gemm_q8(out, ldy, group, x, n_row, n_block, accumulate, t);
        if (done < n_row) {
            struct q8_rows rest = q8_rows_from(x, done, 0);
            kern_q8_tiles_avx2[t](out + done * ldy, ldy, group, group_bytes, 1, &rest, n_row - done, n_block,
                                  accumulate);
        }
    }
}

/* Types whose lines are little work to unpack, and common. */
#define STEP_TYPES(X) X(Q8_0, q8_0) X(Q4_0, q4_0) X(Q4_1, q4_1) X(Q4_K, q4_k)

#define GEMM_Q8_STEPS(TYPE, name)                                                                            \
    static void name##_gemm_q8(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group, \
                               const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)       \
    {                                                                                                        \
        steps_gemm_q8(y, ldy, packed, group_bytes, n_group, x, n_row, n_block, accumulate, QUANT_##TYPE);    \
    }
STEP_TYPES(GEMM_Q8_STEPS)

#define FILL(TYPE, name) k->quant[QUANT_##TYPE].gemm_q8 = name##_gemm_q8;
void kern_q8_steps_fill_avx2(struct kern *k)
{
    STEP_TYPES(FILL)
}
#endif
