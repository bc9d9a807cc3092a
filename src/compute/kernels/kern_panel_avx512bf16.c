/* Readers of packed weights in bfloat16, for the products of VDPBF16PS and of tiles: the float32 values of the AVX-512
 * readers, rounded two vectors at a time by VCVTNE2PS2BF16 (nearest even; subnormals, which no weight needs, become
 * zero) and interleaved into the pairs that both want. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/panel_vec.h"

/* Bytes ahead, to the second level and to the first, of the groups that are unpacked in turn, so that the second level
 * has those that come after them. Granite Rapids, 1.5B Q4_0, tokens a second of 16, 32 and 64 rows: with 16 KiB and 1
 * KiB 225, 389, 470; 64 KiB and 512 242, 377, 481; 128 KiB and 512 251, 394, 494. */
enum { FAR_BYTES = 128 << 10, NEAR_BYTES = 512 };

/* out[16][2]: lane i of a, lane i of b */
static inline void store_pairs(uint16_t *out, v16 a, v16 b)
{
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                                6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a); /* the 16 of a, then the 16 of b */
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(interleave, both));
}

ALWAYS_INLINE void put_pairs(void *out, size_t k, v16 a, v16 b, v16 c, v16 d)
{
    uint16_t *panel = (uint16_t *)out + k * KERN_ROWS;
    store_pairs(panel, a, b);
    store_pairs(panel + 32, c, d);
}

ALWAYS_INLINE void type_panel_bf16(uint16_t *panel, const char *packed, size_t part, size_t n_part,
                                   const enum quant_type t)
{
    const size_t of_block = type_n_part(t), part_bytes = type_packed_bytes(t) / of_block;
    for (size_t i = part; i < part + n_part; i++, panel += KERN_K * KERN_ROWS) {
        const char *block = packed + i / of_block * type_packed_bytes(t);
        prefetch_far(block + i % of_block * part_bytes, part_bytes, FAR_BYTES);
        prefetch_near(block + i % of_block * part_bytes, part_bytes, NEAR_BYTES);
        part_values(panel, block, i % of_block, t, put_pairs);
    }
}

/* Inputs of a quarter: the eight nibbles of line `q` of each row, or two lines of bytes. */
ALWAYS_INLINE void type_quarter(uint16_t *panel, const char *packed, size_t part, const int q, const enum quant_type t)
{
    const size_t part_bytes = type_packed_bytes(t) / type_n_part(t);
    struct part_scales s;
    prefetch_far(packed + part * part_bytes + (size_t)q * (part_bytes / 4), part_bytes / 4, FAR_BYTES);
    part_scales(&s, packed, part, t);
    if (type_is_nibble(t)) {
        nibble_line(panel, straight_nibbles(packed, part, t), &s, (size_t)q, t, put_pairs);
    } else {
        i16 w[LINES]; /* the compiler leaves out those that are not read */
        signed_lines(w, packed, part, t);
        byte_line(panel, w, &s, 2 * (size_t)q, t, put_pairs);
        byte_line(panel, w, &s, 2 * (size_t)q + 1, t, put_pairs);
    }
}

ALWAYS_INLINE void type_quarter_bf16(uint16_t *panel, const char *packed, size_t part, size_t q,
                                     const enum quant_type t)
{
    switch (q) {
    case 0:
        type_quarter(panel, packed, part, 0, t);
        break;
    case 1:
        type_quarter(panel, packed, part, 1, t);
        break;
    case 2:
        type_quarter(panel, packed, part, 2, t);
        break;
    default:
        type_quarter(panel, packed, part, 3, t);
    }
}

/* n inputs, an even number */
static inline void f32_inputs(uint16_t *panel, const float *v, size_t n)
{
    for (size_t k = 0; k < n; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_load(v), v16_load(v + KERN_ROWS));
    }
}

static inline void f16_inputs(uint16_t *panel, const uint16_t *v, size_t n)
{
    for (size_t k = 0; k < n; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_from_f16(v), v16_from_f16(v + KERN_ROWS));
    }
}

static inline void bf16_inputs(uint16_t *panel, const uint16_t *v, size_t n)
{
    for (size_t k = 0; k < n; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {
        store_pairs(panel, v16_from_bf16(v), v16_from_bf16(v + KERN_ROWS));
    }
}

#define FLOAT_READERS(name, type)                                                                     \
    static void name##_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part)    \
    {                                                                                                 \
        name##_inputs(panel, (const type *)packed + part * KERN_K * KERN_ROWS, n_part * KERN_K);      \
    }                                                                                                 \
    static void name##_quarter_bf16(uint16_t *panel, const void *packed, size_t part, size_t quarter) \
    {                                                                                                 \
        size_t at = quarter * (KERN_K / 4) * KERN_ROWS;                                               \
        name##_inputs(panel + at, (const type *)packed + part * KERN_K * KERN_ROWS + at, KERN_K / 4); \
    }
FLOAT_READERS(f32, float)
FLOAT_READERS(f16, uint16_t)
FLOAT_READERS(bf16, uint16_t)

/* Rows 2i and 2i + 1 of a block that was read as float32 rows of KERN_K values, as pairs. */
static inline void rows_to_pairs(uint16_t *out, size_t ld, const float *rows)
{
    for (size_t r = 0; r < KERN_ROWS; r += 2, out += 2 * ld) {
        const float *a = rows + r * KERN_K, *b = a + KERN_K;
        store_pairs(out, v16_load(a), v16_load(b));
        store_pairs(out + 32, v16_load(a + 16), v16_load(b + 16));
    }
}

static void f32_rows_bf16(uint16_t *out, size_t ld, const void *packed, size_t part)
{
    float rows[KERN_ROWS * KERN_K];
    quant_f32_scalar.rows(rows, KERN_K, packed, part);
    rows_to_pairs(out, ld, rows);
}

static void f16_rows_bf16(uint16_t *out, size_t ld, const void *packed, size_t part)
{
    float rows[KERN_ROWS * KERN_K];
    quant_f16_scalar.rows(rows, KERN_K, packed, part);
    rows_to_pairs(out, ld, rows);
}

static void bf16_rows_bf16(uint16_t *out, size_t ld, const void *packed, size_t part)
{
    float rows[KERN_ROWS * KERN_K];
    quant_bf16_scalar.rows(rows, KERN_K, packed, part);
    rows_to_pairs(out, ld, rows);
}

#define READERS(TYPE, name)                                                                           \
    static void name##_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part)    \
    {                                                                                                 \
        type_panel_bf16(panel, packed, part, n_part, QUANT_##TYPE);                                   \
    }                                                                                                 \
    static void name##_quarter_bf16(uint16_t *panel, const void *packed, size_t part, size_t quarter) \
    {                                                                                                 \
        type_quarter_bf16(panel, packed, part, quarter, QUANT_##TYPE);                                \
    }                                                                                                 \
    static void name##_rows_bf16(uint16_t *out, size_t ld, const void *packed, size_t part)           \
    {                                                                                                 \
        float rows[KERN_ROWS * KERN_K];                                                               \
        type_rows(rows, KERN_K, packed, part, QUANT_##TYPE);                                          \
        rows_to_pairs(out, ld, rows);                                                                 \
    }
QUANT_INTEGERS(READERS)
#undef READERS

static void pairs_bf16(uint16_t *out, size_t p_stride, const uint16_t *x, size_t ldx, size_t n_row, size_t n_col)
{
    for (size_t r = 0; r < n_row; r += 2, x += 2 * ldx, out += 2 * KERN_ROWS) {
        for (size_t c = 0; c < n_col; c += KERN_ROWS) {
            v16 odd = r + 1 < n_row ? v16_from_f16(x + ldx + c) : v16_set(0);
            store_pairs(out + c / KERN_ROWS * p_stride, v16_from_f16(x + c), odd);
        }
    }
}

#define FILL(TYPE, name)                                   \
    k->quant[QUANT_##TYPE].panel_bf16 = name##_panel_bf16; \
    k->quant[QUANT_##TYPE].rows_bf16 = name##_rows_bf16;   \
    k->quant[QUANT_##TYPE].quarter_bf16 = name##_quarter_bf16;
void kern_panel_fill_avx512bf16(struct kern *k)
{
    FILL(F32, f32)
    FILL(F16, f16)
    FILL(BF16, bf16)
    QUANT_INTEGERS(FILL)
    k->pairs_bf16 = pairs_bf16;
}
#endif
