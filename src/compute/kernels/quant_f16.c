/* F16: IEEE half precision. The packed block keeps the 16 bits, k-major. */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

static void f16_dequantize(float *y, const void *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = f16_value(load_u16((const char *)blocks + 2 * i));
    }
}

static void f16_quantize(void *blocks, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h = f16_bits(x[i]);
        memcpy((char *)blocks + 2 * i, &h, sizeof(h));
    }
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_16 *b = packed;
    for (int k = 0; k < n_k; k++) {
        b->v[k][r] = load_u16((const char *)row + 2 * (size_t)k);
    }
}

static void f16_panel(float *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t i = 0; i < n_block * KERN_K * KERN_ROWS; i++) {
        panel[i] = f16_value(v[i]);
    }
}

static void f16_rows(float *out, size_t ld, const void *packed, size_t part)
{
    (void)part; /* there is one */
    const struct packed_16 *b = packed;
    for (int k = 0; k < KERN_K; k++) {
        for (int r = 0; r < KERN_ROWS; r++) {
            out[(size_t)r * ld + (size_t)k] = f16_value(b->v[k][r]);
        }
    }
}

const struct quant quant_f16 = {
    .name = "F16",
    .block_len = 1,
    .block_bytes = sizeof(uint16_t),
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_16),
    .scale_at = {-1, -1},
    .dequantize = f16_dequantize,
    .quantize = f16_quantize,
    .pack_row = pack_row,
};
const struct kern_quant quant_f16_scalar = {.panel = f16_panel, .rows = f16_rows};
