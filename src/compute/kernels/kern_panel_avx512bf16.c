/* Readers of packed weights in bfloat16, for the products of VDPBF16PS and of tiles: the float32 values of the AVX-512
 * readers, rounded two vectors at a time by VCVTNE2PS2BF16 (nearest even; subnormals, which no weight needs, become
 * zero) and interleaved into the pairs that both want. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/panel_vec.h"

/* out[16][2]: lane i of a, lane i of b */
static inline void store_pairs(uint16_t *out, v16 a, v16 b)
{
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                                6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a); /* the 16 of a, then the 16 of b */
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(interleave, both));
}

/* The pairs of a line of nibbles: inputs k0, k0 + 1 and k0 + 2, k0 + 3, from bit `first` of the words. */
#define Q4_0_PAIRS(out, first)                                            \
    store_pairs((out), Q4_0_AT(line, first), Q4_0_AT(line, (first) + 8)); \
    store_pairs((out) + 32, Q4_0_AT(line, (first) + 16), Q4_0_AT(line, (first) + 24))
#define Q4_1_PAIRS(out, first)                                            \
    store_pairs((out), Q4_1_AT(line, first), Q4_1_AT(line, (first) + 8)); \
    store_pairs((out) + 32, Q4_1_AT(line, (first) + 16), Q4_1_AT(line, (first) + 24))

static void q4_0_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        prefetch_ahead((const char *)p, sizeof(*p));
        v16 d = v16_from_f16(p->d);
        for (size_t j = 0; j < 4; j++) {
            i16 line = i16_load(p->q[j]);
            Q4_0_PAIRS(panel + 64 * j, 0);
            Q4_0_PAIRS(panel + 256 + 64 * j, 4);
        }
    }
}

static void q4_1_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const struct packed_q4_1 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        prefetch_ahead((const char *)p, sizeof(*p));
        v16 d = v16_from_f16(p->d), m = v16_from_f16(p->m);
        for (size_t j = 0; j < 4; j++) {
            i16 line = i16_load(p->q[j]);
            Q4_1_PAIRS(panel + 64 * j, 0);
            Q4_1_PAIRS(panel + 256 + 64 * j, 4);
        }
    }
}

static void q8_0_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const struct packed_q8_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        prefetch_ahead((const char *)p, sizeof(*p));
        v16 d = v16_from_f16(p->d);
        for (size_t j = 0; j < 8; j++) {
            i16 line = i16_load(p->q[j]);
            v16 v0 = v16_mul(i16_to_float(i16_right_signed(i16_left(line, 24), 24)), d);
            v16 v1 = v16_mul(i16_to_float(i16_right_signed(i16_left(line, 16), 24)), d);
            v16 v2 = v16_mul(i16_to_float(i16_right_signed(i16_left(line, 8), 24)), d);
            v16 v3 = v16_mul(i16_to_float(i16_right_signed(line, 24)), d);
            store_pairs(panel + 64 * j, v0, v1);
            store_pairs(panel + 64 * j + 32, v2, v3);
        }
    }
}

static void f32_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const float *v = packed;
    for (size_t k = 0; k < n_block * KERN_K; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_load(v), v16_load(v + KERN_ROWS));
    }
}

static void f16_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t k = 0; k < n_block * KERN_K; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_from_f16(v), v16_from_f16(v + KERN_ROWS));
    }
}

static void bf16_panel_bf16(uint16_t *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t k = 0; k < n_block * KERN_K; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_from_bf16(v), v16_from_bf16(v + KERN_ROWS));
    }
}

/* Rows 2i and 2i + 1 of a block that was read as float32 rows of KERN_K values, as pairs. */
static inline void rows_to_pairs(uint16_t *out, size_t ld, const float *rows)
{
    for (size_t r = 0; r < KERN_ROWS; r += 2, out += 2 * ld) {
        const float *a = rows + r * KERN_K, *b = a + KERN_K;
        store_pairs(out, v16_load(a), v16_load(b));
        store_pairs(out + 32, v16_load(a + 16), v16_load(b + 16));
    }
}

static void q4_0_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    q4_0_rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void q4_1_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    q4_1_rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void q8_0_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    q8_0_rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void f32_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    quant_f32_scalar.rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void f16_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    quant_f16_scalar.rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void bf16_rows_bf16(uint16_t *out, size_t ld, const void *packed)
{
    float rows[KERN_ROWS * KERN_K];
    quant_bf16_scalar.rows(rows, KERN_K, packed);
    rows_to_pairs(out, ld, rows);
}

static void pairs_bf16(uint16_t *out, size_t p_stride, const uint16_t *x, size_t ldx, size_t n_row, size_t n_col)
{
    for (size_t r = 0; r < n_row; r += 2, x += 2 * ldx, out += 2 * KERN_ROWS) {
        for (size_t c = 0; c < n_col; c += KERN_ROWS) {
            v16 odd = r + 1 < n_row ? v16_from_f16(x + ldx + c) : v16_set(0);
            store_pairs(out + c / KERN_ROWS * p_stride, v16_from_f16(x + c), odd);
        }
    }
}

#define FILL(TYPE, name)                           \
    k->quant[TYPE].panel_bf16 = name##_panel_bf16; \
    k->quant[TYPE].rows_bf16 = name##_rows_bf16
void kern_panel_fill_avx512bf16(struct kern *k)
{
    FILL(QUANT_F32, f32);
    FILL(QUANT_F16, f16);
    FILL(QUANT_BF16, bf16);
    FILL(QUANT_Q8_0, q8_0);
    FILL(QUANT_Q4_0, q4_0);
    FILL(QUANT_Q4_1, q4_1);
    k->pairs_bf16 = pairs_bf16;
}
#endif
