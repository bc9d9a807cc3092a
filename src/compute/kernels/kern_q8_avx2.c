/* Products of packed weights with int8 activations for AVX2: two registers of 8 output rows, one 32-bit lane an output
 * row, the activations broadcast from memory. VPMADDUBSW adds two products of an unsigned with a signed byte in 16
 * bits, so how many of its results may be added before VPMADDWD widens them depends on the largest code:
 *   up to 15    eight, all 32 inputs (8 x 2 x 15 x 127 = 30480)
 *   up to 31    four, 16 inputs (4 x 2 x 31 x 127 = 31496)
 *   up to 63    two, 8 inputs (2 x 2 x 63 x 127 = 32004)
 *   8 bits      one: |code| times the activation with the code's sign (2 x 128 x 127 = 32512)
 * What limits the speed is loads, so each broadcast serves both registers: a part is gone through in two halves of 16
 * inputs, whose weights fill eight registers and are used for up to TILE activation rows. The sums of the rows stand in
 * the first-level cache. The order of a row's sum is k alone. Fine activations are two bytes: their sums are joined
 * when they are in 32 bits. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/lines_vec.h"
#include "compute/kernels/q8_avx2.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { TILE = 16, QUADS = 4 };

/* Half of a part: 16 inputs of 16 rows. */
struct half {
    i16 w[QUADS];       /* unsigned codes; of 8 bits: their magnitude */
    i16 found[QUADS];   /* of 8 bits: the signed bytes that were looked up; Q8_0: */
    const int8_t *code; /* where they are */
};

/* sums of 16 inputs fit 16 bits, and twice as many do */
ALWAYS_INLINE bool type_is_narrow(const enum quant_type t)
{
    return type_is_nibble(t) || t == QUANT_Q2_K || t == QUANT_Q3_K;
}

/* which is 0 or 1: inputs 0..15 or 16..31 */
ALWAYS_INLINE void half_unpack(struct half *h, const void *packed, size_t part, const int which,
                               const enum quant_type t)
{
    i16 w[LINES]; /* of which half is used, and only that computed */
    if (!type_is_wide(t)) {
        unsigned_lines(w, packed, part, t);
    } else {
        signed_lines(w, packed, part, t);
    }
    h->code = t == QUANT_Q8_0 ? ((const struct packed_q8_0 *)packed)->q[QUADS * which] : NULL;
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        i16 line = w[QUADS * which + j];
        h->found[j] = line;
        h->w[j] = type_is_wide(t) ? magnitude(line) : line;
    }
}

/* Sums of code * activation over 16 inputs: in 32 bits, narrow ones as two 16-bit values a row. */
ALWAYS_INLINE i16 half_dot(const struct half *h, const int8_t *q, const enum quant_type t)
{
    const int n_add = type_is_wide(t) ? 1 : (t == QUANT_Q6_K ? 2 : 4);
    i16 sum = {_mm256_setzero_si256(), _mm256_setzero_si256()}, words = sum;
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        i16 code = t == QUANT_Q8_0 ? i16_load(h->code + 64 * j) : h->found[j];
        i16 two = products(h->w[j], code, quad(q + 4 * j), t);
        words = j % n_add == 0 ? two : add_words(words, two);
        if (j % n_add == n_add - 1 && !type_is_narrow(t)) {
            sum = j < n_add ? widen(words) : i16_add(sum, widen(words));
        }
    }
    return type_is_narrow(t) ? words : sum;
}

/* Those of both bytes of fine activations; else s[1] is not set. */
ALWAYS_INLINE void half_dots(i16 s[2], const struct half *h, const int8_t *q, const enum quant_type t, const bool fine)
{
    s[0] = half_dot(h, q, t);
    if (fine) {
        s[1] = half_dot(h, q + KERN_K, t);
    }
}

/* In 32 bits, both bytes as one value. */
ALWAYS_INLINE i16 joined(const i16 s[2], const enum quant_type t, const bool fine)
{
    i16 high = type_is_narrow(t) ? widen(s[0]) : s[0];
    if (!fine) {
        return high;
    }
    return i16_add(i16_left(high, 8), type_is_narrow(t) ? widen(s[1]) : s[1]);
}

/* The same of both halves of a part. */
ALWAYS_INLINE i16 joined_halves(const i16 a[2], const i16 b[2], const enum quant_type t, const bool fine)
{
    i16 s[2];
    for (int i = 0; i < (fine ? 2 : 1); i++) {
        s[i] = type_is_narrow(t) ? add_words(a[i], b[i]) : i16_add(a[i], b[i]);
    }
    return joined(s, t, fine);
}

/* What a part adds to a row, by the halves a and b of its sums, in the order of quant_read.h. */
ALWAYS_INLINE v16 part_sum(const i16 a[2], const i16 b[2], const struct part_scales *p, int32_t x_sum,
                           const int32_t x_sum16[2], const enum quant_type t, const bool fine)
{
    if (!type_run16(t)) {
        return run_sum(joined_halves(a, b, t, fine), p, x_sum, t);
    }
    v16 v = v16_mul(exact(joined(a, t, fine), x_sum16[0], t), p->d[0]);
    v = v16_fma(exact(joined(b, t, fine), x_sum16[1], t), p->d[1], v);
    if (type_has_min(t)) {
        v = v16_fma(p->m[0], v16_set((float)x_sum16[0]), v);
        v = v16_fma(p->m[1], v16_set((float)x_sum16[1]), v);
    }
    return v;
}

/* One part with n_row <= TILE activation rows. */
ALWAYS_INLINE void part_product(v16 acc[TILE], const void *packed, const struct block_scales *shared, size_t part,
                                struct x_part x, size_t n_row, const enum quant_type t, const bool fine)
{
    i16 low[TILE][2];
    struct half h;
    half_unpack(&h, packed, part, 0, t);
    for (size_t r = 0; r < n_row; r++) {
        half_dots(low[r], &h, x.q + r * x.ld_q, t, fine);
    }
    __asm__("" : "+r"(packed)); /* else the lines of both halves are unpacked above and wait on the stack */
    half_unpack(&h, packed, part, 1, t);
    struct part_scales s;
    part_scales_in(&s, shared, packed, part, t);
    for (size_t r = 0; r < n_row; r++) {
        i16 high[2];
        half_dots(high, &h, x.q + r * x.ld_q + KERN_K / 2, t, fine);
        v16 v = part_sum(low[r], high, &s, x.sum[r * x.ld_scale], x.sum16 + 2 * r * x.ld_scale, t, fine);
        acc[r] = v16_fma(v, v16_set(x.d[r * x.ld_scale]), acc[r]);
    }
}

/* n_row <= TILE activation rows from x_row on. The first tile brings the weights into the caches. */
ALWAYS_INLINE void tile(float *y, size_t ldy, const char *packed, const struct q8_rows *rows, size_t x_row,
                        size_t n_row, size_t n_block, bool accumulate, const enum quant_type t, const bool fine)
{
    const size_t n_part = type_n_part(t), part_bytes = type_packed_bytes(t) / n_part;
    struct x_part x = x_part_of(rows, x_row, 0);
    struct block_scales shared;
    v16 acc[TILE];
    for (size_t r = 0; r < n_row; r++) {
        acc[r] = accumulate ? v16_load(y + r * ldy) : v16_set(0);
    }
    for (size_t b = 0; b < n_block; b++, packed += type_packed_bytes(t)) {
        block_scales(&shared, packed, t);
        for (size_t part = 0; part < n_part; part++) {
            if (x_row == 0) {
                prefetch_near(packed + part * part_bytes, part_bytes, NEAR_BYTES);
            }
            if (fine && q8_is_wide(rows, b * n_part + part)) {
                part_product(acc, packed, &shared, part, x, n_row, t, true);
            } else {
                part_product(acc, packed, &shared, part, x, n_row, t, false);
            }
            x_part_next(&x, fine ? 2 : 1);
        }
    }
    for (size_t r = 0; r < n_row; r++) {
        v16_store(y + r * ldy, acc[r]);
    }
}

ALWAYS_INLINE void group_gemm_q8(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t n_row,
                                 size_t n_block, bool accumulate, const enum quant_type t, const bool fine)
{
    if (n_row == 1) {
        tile(y, ldy, packed, x, 0, 1, n_block, accumulate, t, fine);
        return;
    }
    for (size_t r = 0; r < n_row; r += TILE) {
        size_t n = n_row - r < TILE ? n_row - r : TILE;
        tile(y + r * ldy, ldy, packed, x, r, n, n_block, accumulate, t, fine);
    }
}

ALWAYS_INLINE void type_gemm_q8(float *y, size_t ldy, const char *packed, size_t group_bytes, size_t n_group,
                                const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate,
                                const enum quant_type t, const bool fine)
{
    for (size_t g = 0; g < n_group; g++) {
        group_gemm_q8(y + g * KERN_ROWS, ldy, packed + g * group_bytes, x, n_row, n_block, accumulate, t, fine);
    }
}

QUANT_INTEGERS(GEMM_Q8)

#define ENTRY(TYPE, name) [QUANT_##TYPE] = name##_gemm_q8,
const kern_gemm_q8_fn kern_q8_tiles_avx2[QUANT_COUNT] = {QUANT_INTEGERS(ENTRY)};

/* A run stays in the first level beside the weights of a tile, not only in the second: Zen 3, tokens a second of
 * prefill with 128 rows and 256 KiB, with 64 and 32: SmolLM2 683 and 775, 664 and 699; 1.5B Q4_0 109 and 112. */
void kern_q8_fill_avx2(struct kern *k)
{
    k->q8_rows = 64;
    k->q8_run_bytes = 32 << 10;
    for (int t = 0; t < QUANT_COUNT; t++) {
        k->quant[t].gemm_q8 = kern_q8_tiles_avx2[t];
    }
}
#endif
