/* Products of packed weights with int8 activations for many rows, AVX-512: a run of parts of two groups is unpacked
 * once, into the first-level cache, and read for all rows, a tile of them at a time. Every activation that is broadcast
 * serves both groups, since loads are what limits a product of one. Arithmetic and bits are those of few rows, which
 * kern_q8_avx512.c computes, and the last of an odd number of groups. */
#if defined(__SANITIZE_ADDRESS__)
#define KERN_COMPACT
#endif
#include <string.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/lines_vec.h"
#include "compute/kernels/q8_avx512.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

/* Fewer rows are faster in one tile that unpacks for itself, up to the largest that there is; where runs of 16 inputs
 * have a scale registers hold fewer rows, of it and of a tile here. GOPS of that tile and of a run, two cores of
 * Emerald Rapids, at 5, 8, 12, 16 rows: Q4_0 587 and 511, 660 and 612, 715 and 671, in another run 898 and 825; Q8_0
 * 388 and 304, 453 and 377, 473 and 450, 818 and 714; Q4_K 498 and 429, 559 and 512, 632 and 594, 811 and 764; at 5, 6,
 * 8 rows Q6_K 478 and 452, 505 and 498, 556 and 576. */
ALWAYS_INLINE size_t many_rows_min(const enum quant_type t)
{
    return type_run16(t) ? 8 : 25;
}

enum { RUN = 9, SUMS = 16, RUN_TILE = 7, RUN_TILE16 = 6, AHEAD = 2 };

struct run {
    struct part part[RUN][2];
};

/* What the sums of a tile's rows over a run are added to: minus what unsigned bytes will have too much; and the sums of
 * the activations as floats, for minima. Runs of 16 inputs have two a part. */
struct run_start {
    _Alignas(64) int32_t zero[RUN_TILE][SUMS];
    _Alignas(64) float sum[RUN_TILE][SUMS];
};

/* The lines of a later run, asked for a few at a time while this one is worked on: all at once would fill the buffers
 * that wait for memory, and the core with them (16 rows of
 * Q4_0 from memory, a core of Emerald Rapids: 257 GOPS, so 335). */
struct ahead {
    const char *at, *end;
    size_t step; /* lines */
};

ALWAYS_INLINE void ask_ahead(struct ahead *a)
{
    for (size_t i = 0; i < a->step && a->at < a->end; i++, a->at += 64) {
        __builtin_prefetch(a->at);
    }
}

/* n parts of group g from part `at` of its blocks on */
ALWAYS_INLINE void run_unpack(struct run *run, const int g, const char *packed, size_t at, size_t n,
                              const enum quant_type t)
{
    const size_t n_part = type_n_part(t);
    for (size_t i = 0; i < n; i++) {
        const char *block = packed + (at + i) / n_part * type_packed_bytes(t);
        size_t part = (at + i) % n_part;
        unsigned_lines(run->part[i][g].w, block, part, t);
        part_scales(&run->part[i][g].s, block, part, t);
    }
}

/* n parts of n_row rows of x */
ALWAYS_INLINE void run_begin(struct run_start *s, const struct q8_rows *x, const int n_row, size_t n,
                             const enum quant_type t)
{
    const size_t n_sum = type_run16(t) ? 2 : 1, ld = x->n_k / KERN_K * n_sum;
    const int32_t *sum = type_run16(t) ? x->sum16 : x->sum;
    const int shift = type_zero_shift(t);
    for (int r = 0; r < n_row; r++, sum += ld) {
        i16 v = v16_bits(v16_load_n((const float *)(const void *)sum, n * n_sum)); /* a load moves bits as they are */
        if (shift >= 0) {
            i16_store(s->zero[r], i16_sub(i16_set(0), i16_left(v, (unsigned)shift)));
        }
        if (type_has_min(t)) {
            v16_store(s->sum[r], i16_to_float(v));
        }
    }
}

ALWAYS_INLINE i16 broadcast4(const struct row_bases *q, const int r, const int offset)
{
    int32_t word;
    memcpy(&word, (const char *)row_at(q, r) + offset, sizeof(word));
    return i16_set(word);
}

/* d += the unsigned bytes of lines first .. first + n - 1 times one byte of the activations: 0 or, of fine ones, 1. */
ALWAYS_INLINE void run_byte(i16 d[RUN_TILE][2], const struct part p[2], const struct row_bases *q, const int n_row,
                            const int first, const int n, const int byte)
{
    UNROLL
    for (int j = first; j < first + n; j++) {
        UNROLL
        for (int r = 0; r < n_row; r++) {
            i16 x = broadcast4(q, r, 4 * j + KERN_K * byte);
            UNROLL
            for (int g = 0; g < 2; g++) {
                d[r][g] = _mm512_dpbusd_epi32(d[r][g], p[g].w[j], x);
            }
        }
    }
}

/* Exact sums over half a part or a whole one. i: which number of s->zero. */
ALWAYS_INLINE void run_dots(v16 v[RUN_TILE][2], const struct part p[2], const struct row_bases *q, const int n_row,
                            const struct run_start *s, size_t i, const int first, const int n, const enum quant_type t,
                            const bool fine)
{
    i16 d[RUN_TILE][2], zero[RUN_TILE];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        zero[r] = i16_set(type_zero_shift(t) >= 0 ? s->zero[r][i] : 0);
        d[r][0] = d[r][1] = fine ? i16_set(0) : zero[r];
    }
    run_byte(d, p, q, n_row, first, n, 0);
    UNROLL
    for (int r = 0; r < n_row && fine; r++) {
        d[r][0] = i16_add(i16_left(d[r][0], 8), zero[r]);
        d[r][1] = i16_add(i16_left(d[r][1], 8), zero[r]);
    }
    if (fine) {
        run_byte(d, p, q, n_row, first, n, 1);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int g = 0; g < 2; g++) {
            v[r][g] = i16_to_float(d[r][g]);
        }
    }
}

/* The order of part_product, and its bits. */
ALWAYS_INLINE void run_part(v16 acc[RUN_TILE][2], const struct part p[2], const struct row_bases *q,
                            const struct row_bases *d, const int n_row, const struct run_start *s, size_t i,
                            const enum quant_type t, const bool fine)
{
    v16 v[RUN_TILE][2], u[RUN_TILE][2];
    const size_t at = type_run16(t) ? 2 * i : i;
    run_dots(v, p, q, n_row, s, at, 0, type_run16(t) ? LINES / 2 : LINES, t, fine);
    if (type_run16(t)) {
        run_dots(u, p, q, n_row, s, at + 1, LINES / 2, LINES / 2, t, fine);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v16 x_d = v16_set(*(const float *)row_at(d, r));
        UNROLL
        for (int g = 0; g < 2; g++) {
            v16 sum = v16_mul(v[r][g], p[g].s.d[0]);
            if (type_run16(t)) {
                sum = v16_fma(u[r][g], p[g].s.d[1], sum);
            }
            if (type_has_min(t)) {
                sum = v16_fma(p[g].s.m[0], v16_set(s->sum[r][at]), sum);
            }
            if (type_has_min(t) && type_run16(t)) {
                sum = v16_fma(p[g].s.m[1], v16_set(s->sum[r][at + 1]), sum);
            }
            acc[r][g] = v16_fma(sum, x_d, acc[r][g]);
        }
    }
}

/* n_row <= RUN_TILE rows with n parts, onto y or into it. */
ALWAYS_INLINE void run_tile(float *y, size_t ldy, const struct run *run, const struct q8_rows *x, const int n_row,
                            size_t n, bool accumulate, struct ahead *ahead, const enum quant_type t, const bool fine)
{
    const size_t n_byte = fine ? 2 : 1;
    struct run_start start;
    struct row_bases q = row_bases(x->q, x->n_k * n_byte, n_row);
    struct row_bases d = row_bases(x->d, x->n_k / KERN_K * sizeof(float), n_row);
    v16 acc[RUN_TILE][2];
    run_begin(&start, x, n_row, n, t);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int g = 0; g < 2; g++) {
            acc[r][g] = accumulate ? v16_load(y + (size_t)r * ldy + g * KERN_ROWS) : v16_set(0);
        }
    }
    for (size_t i = 0; i < n; i++) {
        ask_ahead(&ahead[0]);
        ask_ahead(&ahead[1]);
        if (fine && q8_is_wide(x, i)) {
            run_part(acc, run->part[i], &q, &d, n_row, &start, i, t, true);
        } else {
            run_part(acc, run->part[i], &q, &d, n_row, &start, i, t, false);
        }
        rows_advance(&q, KERN_K * n_byte, n_row);
        rows_advance(&d, sizeof(float), n_row);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        UNROLL
        for (int g = 0; g < 2; g++) {
            v16_store(y + (size_t)r * ldy + g * KERN_ROWS, acc[r][g]);
        }
    }
}

/* All rows, eight or more, in tiles of nearly the same size. */
ALWAYS_INLINE void run_rows(float *y, size_t ldy, const struct run *run, const struct q8_rows *x, size_t k,
                            size_t n_row, size_t n, bool accumulate, struct ahead *ahead, const enum quant_type t,
                            const bool fine)
{
    const size_t most = type_run16(t) ? RUN_TILE16 : RUN_TILE;
    size_t n_tile = (n_row + most - 1) / most, size;
    for (size_t r = 0; n_tile > 0; n_tile--, r += size) {
        struct q8_rows at = q8_rows_from(x, r, k);
        size = (n_row - r + n_tile - 1) / n_tile;
        if (size == RUN_TILE) {
            run_tile(y + r * ldy, ldy, run, &at, RUN_TILE, n, accumulate, ahead, t, fine);
        } else if (size == 6) {
            run_tile(y + r * ldy, ldy, run, &at, 6, n, accumulate, ahead, t, fine);
        } else if (size == 5) {
            run_tile(y + r * ldy, ldy, run, &at, 5, n, accumulate, ahead, t, fine);
        } else { /* of eight or nine rows */
            run_tile(y + r * ldy, ldy, run, &at, 4, n, accumulate, ahead, t, fine);
        }
    }
}

/* Parts of a run: at most RUN, whole blocks, runs of nearly the same length (18 parts are two of 9, not 8, 8 and 2). */
ALWAYS_INLINE size_t run_length(size_t n_part, const enum quant_type t)
{
    size_t n_run = (n_part + RUN - 1) / RUN;
    return type_n_part(t) > 1 ? type_n_part(t) : (n_part + n_run - 1) / n_run;
}

/* Two groups. */
ALWAYS_INLINE void many_rows(float *y, size_t ldy, const char *packed, size_t group_bytes, const struct q8_rows *x,
                             size_t n_row, size_t n_block, bool accumulate, const enum quant_type t, const bool fine)
{
    const size_t n_part = n_block * type_n_part(t), length = run_length(n_part, t);
    const size_t run_bytes = length * type_packed_bytes(t) / type_n_part(t);
    struct run run;
    for (size_t at = 0; at < n_part; at += length) {
        size_t n = n_part - at < length ? n_part - at : length, next = at + AHEAD * length;
        const char *p = next < n_part ? packed + next / length * run_bytes
                                      : packed + 2 * group_bytes + (next - n_part) / length * run_bytes;
        size_t step = run_bytes / 64 / length * RUN_TILE / n_row + 1;
        struct ahead ahead[2] = {{p, p + run_bytes, step}, {p + group_bytes, p + group_bytes + run_bytes, step}};
        for (int g = 0; g < 2; g++) {
            run_unpack(&run, g, packed + (size_t)g * group_bytes, at, n, t);
        }
        run_rows(y, ldy, &run, x, at * KERN_K, n_row, n, accumulate || at > 0, ahead, t, fine);
    }
}

ALWAYS_INLINE void type_gemm_q8(float *y, size_t ldy, const char *packed, size_t group_bytes, size_t n_group,
                                const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate,
                                const enum quant_type t, const bool fine)
{
    size_t g = 0;
    for (; n_row >= many_rows_min(t) && g + 2 <= n_group; g += 2) {
        many_rows(y + g * KERN_ROWS, ldy, packed + g * group_bytes, group_bytes, x, n_row, n_block, accumulate, t,
                  fine);
    }
    if (g < n_group) {
        kern_q8_tiles_avx512[t](y + g * KERN_ROWS, ldy, packed + g * group_bytes, group_bytes, n_group - g, x, n_row,
                                n_block, accumulate);
    }
}

QUANT_INTEGERS(GEMM_Q8)

#define FILL(TYPE, name) k->quant[QUANT_##TYPE].gemm_q8 = name##_gemm_q8;
/* Where runs begin: Emerald Rapids, of the rate at 24 rows, has at 25, 28, 32, 40, 48 0.95, 0.96, 0.95, 0.99, 1.03
 * (0.5B Q4_0), 0.97, 1.01, 1.01, 1.05, 1.08 (SmolLM2). */
void kern_q8_runs_fill_avx512(struct kern *k)
{
    static const struct kern_slow slow[] = {{25, 39}, {0}};
    k->slow_q8 = slow;
    QUANT_INTEGERS(FILL)
}
#endif
