/* Products of packed weights with int8 activations for AVX-512: VPDPBUSD, one 32-bit lane an output row, four inputs
 * a step, the activations broadcast from memory. A part of a weight block is unpacked into eight registers and used for
 * up to TILE activation rows, whose sums stand in registers as far as these suffice, or for the many rows of a pass,
 * whose sums stand in the first-level cache; either way the order of a row's sum is k alone. Fine activations are two
 * bytes: the sum of the high ones is shifted before that of the low ones is added to it. Every product takes a load.
 * Where the CPU does two products a cycle that is what limits them, and more rows than a tile has are faster in runs
 * (kern_q8_runs_avx512.c); where it does one (Zen 4), tiles and passes serve any number. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KERN_COMPACT
#endif
#include <string.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/lines_vec.h"
#include "compute/kernels/q8_avx512.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

/* Up to the largest tile the time of a step grows with every row, beyond it two tiles unpack the weights twice: with
 * tiles of 8 a step of 9 rows took longer than two thirds of one of 12 (Q4_0, Zen 4: 500 of 620 GOPS). From 13 rows on
 * sums do not all stay in registers, which Zen 4, slow to store them, pays for. Where there are more, tiles of up to
 * BEST_TILE leave registers to spare and are faster there (prefill of 1.5B 231 -> 247 tokens a second). A pass of up to
 * PASS rows goes in steps of STEP_MIN to STEP. */
enum { TILE = 24, HALF_WIDE_TILE = 12, BEST_TILE = 9, STEP_MIN = 5, STEP = 8, PASS = 64 };

/* Which weights are asked for ahead: none, those FAR_BYTES ahead into the second level, or those NEAR_BYTES ahead into
 * the first as well. */
enum ask { ASK_NONE, ASK_FAR, ASK_BOTH };
enum { FAR_BYTES = 8192, NEAR_BYTES = 6144 };

/* What suits a core: the rows of its largest tile, and what it asks for with one row and with more.
 *
 * Granite Rapids: from memory the two distances should be near each other (more than a page apart they seem to be two
 * streams to the prefetcher of the CPU), from the last-level cache far ahead. One row, GB/s where a plain loop reads
 * 33.5 (Q4_0 from memory) and 47 to 51 (128 MB of Q4_1, partly from the cache): with 16 and 1 KiB 27.1 and 49.4, with
 * 3 and 1.5 33.0 and 39.9, with 6 and 3 31.6 and 47.0, with 8 and 4 28.4 and 48.7, with 8 and 6 32.0 and 48.4; with
 * none 28.0 and 36.3.
 *
 * Zen 4: with one row weights come as fast as a plain loop reads them if none are asked for, and the first level is no
 * place for what is wanted later. GB/s of both, of the far ones, of none and of the plain loop: Q4_0, one row 39.9,
 * 38.9, 46.3 and 44.0; three rows 31.3, 49.1, 42.9 and 50.3; Q8_0, eight rows 28.0, 34.0, 22.1 and 49.2. */
struct core {
    size_t tile;
    enum ask one, more;
};
static const struct core whole = {.tile = TILE, .one = ASK_BOTH, .more = ASK_BOTH};
static const struct core half_wide = {.tile = HALF_WIDE_TILE, .one = ASK_NONE, .more = ASK_FAR};

ALWAYS_INLINE void prefetch_part(const char *p, const size_t n_bytes, enum ask ask)
{
    if (ask != ASK_NONE) {
        prefetch_far(p, n_bytes, FAR_BYTES);
        if (ask == ASK_BOTH) {
            prefetch_near(p, n_bytes, NEAR_BYTES);
        }
    }
}

/* s + w . q, q the four bytes at `offset` of row r, for every output row at once. Written out because GCC 12 loads and
 * broadcasts in an instruction of its own, and both compilers keep stride + offset for each of the 32 addresses,
 * on the stack: together a tenth of the speed. Without optimization, or with a sanitizer, the constants that the
 * written form needs are none to the compiler: then the intrinsic does it. */
#if defined(TAILOR_SIMDE) || !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
ALWAYS_INLINE __m512i dot4(__m512i s, __m512i w, const struct row_bases *q, const int r, const int offset)
{
    int32_t word;
    memcpy(&word, (const char *)row_at(q, r) + offset, sizeof(word));
    return _mm512_dpbusd_epi32(s, w, _mm512_set1_epi32(word));
}
#else
struct readable { /* "reads memory from here on" */
    char bytes[1 << 30];
};
#define DOT4(address)                                \
    __asm__("vpdpbusd\t" address "%{1to16%}, %1, %0" \
            : "+v"(s)                                \
            : "v"(w), "r"(p), "r"(stride), "i"(offset), "m"(*(const struct readable *)p))
ALWAYS_INLINE __m512i dot4(__m512i s, __m512i w, const struct row_bases *q, const int r, const int offset)
{
    const char *p = q->base[r / 4];
    size_t stride = r % 4 == 3 ? q->stride3 : q->stride;
    if (r % 4 == 0) {
        DOT4("%c4(%2)");
    } else if (r % 4 == 2) {
        DOT4("%c4(%2,%3,2)");
    } else {
        DOT4("%c4(%2,%3)");
    }
    return s;
}
#endif

/* The activations' scales and sums of a tile: of a part, of its halves. */
struct x_scales {
    struct row_bases d, sum, sum16;
};

/* exact sums of code * activation, from those of the unsigned bytes */
ALWAYS_INLINE v16 exact(i16 s, const int32_t *sum, const enum quant_type t)
{
    if (type_zero_shift(t) >= 0) { /* what they have too much: 2^shift times the sum of the activations */
        s = i16_sub(s, i16_left(i16_set(*sum), (unsigned)type_zero_shift(t)));
    }
    return i16_to_float(s);
}

ALWAYS_INLINE v16 sum_as_float(const int32_t *sum)
{
    return i16_to_float(i16_set(*sum));
}

/* acc + what a part adds to row r, in the order of quant_read.h; half: of runs of 16 */
ALWAYS_INLINE v16 add_run32(v16 acc, i16 s, const struct part *p, const struct x_scales *x, const int r,
                            const enum quant_type t)
{
    v16 v = v16_mul(exact(s, row_at(&x->sum, r), t), p->s.d[0]);
    if (type_has_min(t)) {
        v = v16_fma(p->s.m[0], sum_as_float(row_at(&x->sum, r)), v);
    }
    return v16_fma(v, v16_set(*(const float *)row_at(&x->d, r)), acc);
}

ALWAYS_INLINE v16 add_runs16(v16 acc, v16 v, const struct part *p, const struct x_scales *x, const int r,
                             const enum quant_type t)
{
    const int32_t *sum16 = row_at(&x->sum16, r);
    if (type_has_min(t)) {
        v = v16_fma(p->s.m[0], sum_as_float(sum16), v);
        v = v16_fma(p->s.m[1], sum_as_float(sum16 + 1), v);
    }
    return v16_fma(v, v16_set(*(const float *)row_at(&x->d, r)), acc);
}

/* s[r] += the unsigned bytes of lines first .. first + n - 1 times one byte of the activations: 0 or, of fine ones, 1.
 * The rows go through the steps side by side: one row alone is a chain of n latencies. */
ALWAYS_INLINE void dots_of_byte(i16 s[TILE], const struct part *p, const struct row_bases *q, const int n_row,
                                const int first, const int n, const int byte)
{
    UNROLL
    for (int j = 0; j < n; j++) {
        UNROLL
        for (int r = 0; r < n_row; r++) {
            s[r] = dot4(s[r], p->w[first + j], q, r, 4 * (first + j) + KERN_K * byte);
        }
    }
}

/* wide: of both bytes */
ALWAYS_INLINE void dots(i16 s[TILE], const struct part *p, const struct row_bases *q, const int n_row, const int first,
                        const int n, bool wide)
{
    UNROLL
    for (int r = 0; r < n_row; r++) {
        s[r] = i16_set(0);
    }
    dots_of_byte(s, p, q, n_row, first, n, 0);
    if (!wide) {
        return;
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        s[r] = i16_left(s[r], 8);
    }
    dots_of_byte(s, p, q, n_row, first, n, 1);
}

/* One part of a weight block with n_row activation rows. */
ALWAYS_INLINE void part_product(v16 acc[TILE], const struct part *p, const struct row_bases *q,
                                const struct x_scales *x, const int n_row, const enum quant_type t, bool wide)
{
    i16 s[TILE];
    if (!type_run16(t)) {
        dots(s, p, q, n_row, 0, LINES, wide);
        UNROLL
        for (int r = 0; r < n_row; r++) {
            acc[r] = add_run32(acc[r], s[r], p, x, r, t);
        }
        return;
    }
    v16 v[TILE];
    dots(s, p, q, n_row, 0, LINES / 2, wide);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v[r] = v16_mul(exact(s[r], row_at(&x->sum16, r), t), p->s.d[0]);
    }
    dots(s, p, q, n_row, LINES / 2, LINES / 2, wide);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v[r] = v16_fma(exact(s[r], (const int32_t *)row_at(&x->sum16, r) + 1, t), p->s.d[1], v[r]);
        acc[r] = add_runs16(acc[r], v[r], p, x, r, t);
    }
}

/* The rows of x for a tile, the strides that are equal known to be. */
ALWAYS_INLINE void x_begin(struct row_bases *q, struct x_scales *s, const struct q8_rows *x, size_t x_row,
                           const int n_row)
{
    size_t n_scale = x->n_k / KERN_K, row_bytes = x->n_k * q8_bytes(x);
    *q = row_bases(x->q + x_row * row_bytes, row_bytes, n_row);
    s->d = row_bases(x->d + x_row * n_scale, n_scale * sizeof(float), n_row);
    s->sum = row_bases(x->sum + x_row * n_scale, n_scale * sizeof(int32_t), n_row);
    s->sum.stride3 = s->d.stride3;
    s->sum16 = row_bases(x->sum16 + 2 * x_row * n_scale, 2 * n_scale * sizeof(int32_t), n_row);
}

ALWAYS_INLINE void x_advance(struct row_bases *q, struct x_scales *s, const int n_row, size_t part_bytes)
{
    rows_advance(q, part_bytes, n_row);
    rows_advance(&s->d, sizeof(float), n_row);
    rows_advance(&s->sum, sizeof(int32_t), n_row);
    rows_advance(&s->sum16, 2 * sizeof(int32_t), n_row);
}

/* n_row activation rows from x_row on, a constant up to TILE. */
ALWAYS_INLINE void tile(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row,
                        const int n_row, size_t n_block, bool accumulate, enum ask ask, const enum quant_type t)
{
    const size_t n_part = type_n_part(t), part_bytes = type_packed_bytes(t) / n_part;
    const size_t x_bytes = KERN_K * q8_bytes(x);
    struct row_bases q;
    struct x_scales x_scales;
    v16 acc[TILE];
    x_begin(&q, &x_scales, x, x_row, n_row);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = accumulate ? v16_load(y + (size_t)r * ldy) : v16_set(0);
    }
    for (size_t b = 0; b < n_block; b++, packed += type_packed_bytes(t)) {
        for (size_t i = 0; i < n_part; i++) {
            struct part p;
            prefetch_part(packed + i * part_bytes, part_bytes, ask);
            unsigned_lines(p.w, packed, i, t);
            part_scales(&p.s, packed, i, t);
            part_product(acc, &p, &q, &x_scales, n_row, t, q8_is_wide(x, b * n_part + i));
            x_advance(&q, &x_scales, n_row, x_bytes);
        }
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        v16_store(y + (size_t)r * ldy, acc[r]);
    }
}

/* Where runs of 16 inputs have a scale a part has two sums, for which registers do not suffice: passes from so many
 * rows on, and no tile of as many. */
enum { PASS16_MIN = 2 * STEP_MIN };

/* A tile of `size` rows. Every number of rows has a tile of its own: as two smaller ones they would take as long as
 * more rows. */
ALWAYS_INLINE void tile_of(size_t size, float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t r,
                           size_t n_block, bool accumulate, enum ask ask, const enum quant_type t)
{
#define CASE(n)                                                         \
    case n:                                                             \
        if (!type_run16(t) || n < PASS16_MIN) {                         \
            tile(y, ldy, packed, x, r, n, n_block, accumulate, ask, t); \
        }                                                               \
        break
    switch (size) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
        CASE(9);
        CASE(10);
        CASE(11);
        CASE(12);
        CASE(13);
        CASE(14);
        CASE(15);
        CASE(16);
        CASE(17);
        CASE(18);
        CASE(19);
        CASE(20);
        CASE(21);
        CASE(22);
        CASE(23);
        CASE(24);
    }
#undef CASE
}

/* One part of a weight block with n_row activation rows, x the first of them at this part; their sums stand in memory.
 */
ALWAYS_INLINE void part_rows(v16 *sum, const struct part *p, const struct q8_rows *x, const int n_row,
                             const enum quant_type t, bool wide)
{
    struct row_bases q;
    struct x_scales x_scales;
    v16 acc[TILE];
    x_begin(&q, &x_scales, x, 0, n_row);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = sum[r];
    }
    part_product(acc, p, &q, &x_scales, n_row, t, wide);
    UNROLL
    for (int r = 0; r < n_row; r++) {
        sum[r] = acc[r];
    }
}

/* `size` rows: a step of a pass */
ALWAYS_INLINE void part_rows_of(size_t size, v16 *sum, const struct part *p, const struct q8_rows *x,
                                const enum quant_type t, bool wide)
{
    switch (size) {
    case STEP_MIN:
        part_rows(sum, p, x, STEP_MIN, t, wide);
        break;
    case 6:
        part_rows(sum, p, x, 6, t, wide);
        break;
    case 7:
        part_rows(sum, p, x, 7, t, wide);
        break;
    default:
        part_rows(sum, p, x, STEP, t, wide);
    }
}

/* Up to PASS rows, at least 2 * STEP_MIN, one part of the weights after the other for all of them. */
ALWAYS_INLINE void pass(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                        size_t n_block, bool accumulate, enum ask ask, const enum quant_type t)
{
    const size_t n_part = type_n_part(t), part_bytes = type_packed_bytes(t) / n_part;
    size_t n_step = (n_row + STEP - 1) / STEP, size = n_row / n_step, n_larger = n_row % n_step;
    v16 sum[PASS];
    for (size_t r = 0; r < n_row; r++) {
        sum[r] = accumulate ? v16_load(y + r * ldy) : v16_set(0);
    }
    for (size_t b = 0; b < n_block; b++, packed += type_packed_bytes(t)) {
        for (size_t i = 0; i < n_part; i++) {
            struct part p;
            bool wide = q8_is_wide(x, b * n_part + i);
            prefetch_part(packed + i * part_bytes, part_bytes, ask);
            unsigned_lines(p.w, packed, i, t);
            part_scales(&p.s, packed, i, t);
            for (size_t k = 0, r = 0; k < n_step; k++) {
                struct q8_rows at = q8_rows_from(x, x_row + r, (b * n_part + i) * KERN_K);
                size_t n = size + (k < n_larger);
                part_rows_of(n, sum + r, &p, &at, t, wide);
                r += n;
            }
        }
    }
    for (size_t r = 0; r < n_row; r++) {
        v16_store(y + r * ldy, sum[r]);
    }
}

/* A pass unpacks once for all rows and reads the weights evenly, a tile keeps its sums in registers: that wins where
 * there is next to nothing to unpack. GOPS of tiles and passes, Zen 4, 1536 x 8960, both cores: Q6_K 463 and 542 at 13
 * rows, 534 and 590 at 64; Q8_0 456 and 491, 626 and 667; Q5_0 542 and 615, 630 and 660; Q4_K 580 and 603, 620 and 620;
 * Q4_0 634 and 670, but from 24 on 696 and 679. one: rows of one tile */
ALWAYS_INLINE bool in_passes(size_t n_row, size_t one, const enum quant_type t)
{
    bool light = t == QUANT_Q4_0 || t == QUANT_Q4_1 || t == QUANT_IQ4_NL;
    return type_run16(t) ? n_row >= PASS16_MIN : n_row > one && (!light || n_row < 3 * BEST_TILE);
}

typedef void (*rows_fn)(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                        size_t n_block, bool accumulate, enum ask ask);
/* Of a type. */
struct rows_fns {
    rows_fn tile, pass;
};

/* All rows of the groups, in tiles or passes of nearly the same size. The first brings the weights into the caches. */
ALWAYS_INLINE void groups_gemm_q8(float *y, size_t ldy, const char *packed, size_t group_bytes, size_t n_group,
                                  const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate,
                                  const enum quant_type t, const struct core *core, struct rows_fns f)
{
    bool passes = in_passes(n_row, core->tile, t);
    size_t most = passes ? PASS : (n_row <= core->tile ? core->tile : BEST_TILE), n_part = (n_row + most - 1) / most;
    rows_fn rows = passes ? f.pass : f.tile;
    enum ask ask = n_row == 1 ? core->one : core->more;
    for (size_t g = 0; g < n_group; g++) {
        for (size_t r = 0, n = n_part, size; n > 0; n--, r += size) {
            size = (n_row - r + n - 1) / n;
            rows(y + r * ldy + g * KERN_ROWS, ldy, packed + g * group_bytes, x, r, size, n_block, accumulate,
                 r == 0 ? ask : ASK_NONE);
        }
    }
}

/* Tiles and the pass are functions of their own: inlined, they take registers from each other. */
#define ROWS(TYPE, name)                                                                                   \
    __attribute__((noinline)) static void name##_tile(float *y, size_t ldy, const char *packed,            \
                                                      const struct q8_rows *x, size_t x_row, size_t n_row, \
                                                      size_t n_block, bool accumulate, enum ask ask)       \
    {                                                                                                      \
        tile_of(n_row, y, ldy, packed, x, x_row, n_block, accumulate, ask, QUANT_##TYPE);                  \
    }                                                                                                      \
    __attribute__((noinline)) static void name##_pass(float *y, size_t ldy, const char *packed,            \
                                                      const struct q8_rows *x, size_t x_row, size_t n_row, \
                                                      size_t n_block, bool accumulate, enum ask ask)       \
    {                                                                                                      \
        pass(y, ldy, packed, x, x_row, n_row, n_block, accumulate, ask, QUANT_##TYPE);                     \
    }
QUANT_INTEGERS(ROWS)

#define GEMM_Q8_TILES(TYPE, name, suffix, core)                                                                 \
    static void name##suffix(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,      \
                             const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)            \
    {                                                                                                           \
        groups_gemm_q8(y, ldy, packed, group_bytes, n_group, x, n_row, n_block, accumulate, QUANT_##TYPE, core, \
                       (struct rows_fns){name##_tile, name##_pass});                                            \
    }
#define HALF_WIDE(TYPE, name) GEMM_Q8_TILES(TYPE, name, _half_wide_gemm_q8, &half_wide)
QUANT_INTEGERS(HALF_WIDE)
#define WHOLE(TYPE, name) GEMM_Q8_TILES(TYPE, name, _gemm_q8, &whole)
QUANT_INTEGERS(WHOLE)

#define ENTRY(TYPE, name) [QUANT_##TYPE] = name##_gemm_q8,
const kern_gemm_q8_fn kern_q8_tiles_avx512[QUANT_COUNT] = {QUANT_INTEGERS(ENTRY)};

#define FILL(TYPE, name) k->quant[QUANT_##TYPE].gemm_q8 = name##_half_wide_gemm_q8;
/* A run stays in the second level, as one of unpacked weights is in the first: Emerald Rapids, tokens a second of
 * prefill with 128 rows and 256 KiB, with 64 and 32: SmolLM2 2066 and 1868, 0.5B Q4_0 734 and 641. */
void kern_q8_fill_avx512(struct kern *k)
{
    k->q8_rows = 128;
    k->q8_run_bytes = 256 << 10;
    QUANT_INTEGERS(FILL)
}
#endif
