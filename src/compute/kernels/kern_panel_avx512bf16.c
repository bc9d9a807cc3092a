/* Readers of packed weights in bfloat16, for the products of VDPBF16PS and of tiles: the float32 values of the AVX-512
 * readers, rounded two vectors at a time by VCVTNE2PS2BF16 (nearest even; subnormals, which no weight needs, become
 * zero) and interleaved into the pairs that both want. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/bf16_pairs.h"

ALWAYS_INLINE void type_panel_bf16(uint16_t *panel, const char *packed, size_t part, size_t n_part,
                                   const enum quant_type t)
{
    const size_t of_block = type_n_part(t);
    for (size_t i = part; i < part + n_part; i++, panel += KERN_K * KERN_ROWS) {
        const char *block = packed + i / of_block * type_packed_bytes(t);
        struct part_scales s;
        panel_prefetch(block, i % of_block, t);
        panel_scales(&s, block, i % of_block, t);
        part_values(panel, block, i % of_block, &s, t, put_pairs);
    }
}

/* n inputs of a panel, an even number, from one value after the other */
#define FLOAT_INPUTS(name, type, load)                                                      \
    static inline void name##_inputs(uint16_t *panel, const type *v, size_t n)              \
    {                                                                                       \
        const v16 part = v16_set(1 / KERN_BF16_TIMES);                                      \
        for (size_t k = 0; k < n; k += 2, panel += 2 * KERN_ROWS, v += 2 * KERN_ROWS) {     \
            store_pairs(panel, v16_mul(load(v), part), v16_mul(load(v + KERN_ROWS), part)); \
        }                                                                                   \
    }
FLOAT_INPUTS(f32, float, v16_load)
FLOAT_INPUTS(f16, uint16_t, v16_from_f16)
FLOAT_INPUTS(bf16, uint16_t, v16_from_bf16)

#define FLOAT_READERS(name, type)                                                                  \
    static void name##_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part) \
    {                                                                                              \
        name##_inputs(panel, (const type *)packed + part * KERN_K * KERN_ROWS, n_part * KERN_K);   \
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

#define READERS(TYPE, name)                                                                        \
    static void name##_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part) \
    {                                                                                              \
        type_panel_bf16(panel, packed, part, n_part, QUANT_##TYPE);                                \
    }                                                                                              \
    static void name##_rows_bf16(uint16_t *out, size_t ld, const void *packed, size_t part)        \
    {                                                                                              \
        float rows[KERN_ROWS * KERN_K];                                                            \
        type_rows(rows, KERN_K, packed, part, QUANT_##TYPE);                                       \
        rows_to_pairs(out, ld, rows);                                                              \
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
    k->quant[QUANT_##TYPE].rows_bf16 = name##_rows_bf16;
void kern_panel_fill_avx512bf16(struct kern *k)
{
    FILL(F32, f32)
    FILL(F16, f16)
    FILL(BF16, bf16)
    QUANT_INTEGERS(FILL)
    k->pairs_bf16 = pairs_bf16;
}
#endif
