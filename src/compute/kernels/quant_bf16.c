/* BF16: the upper 16 bits of float32. The packed block keeps the 16 bits, k-major. */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

static void bf16_dequantize(float *y, const void *blocks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = bf16_value(load_u16((const char *)blocks + 2 * i));
    }
}

static void bf16_quantize(void *blocks, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h = bf16_bits(x[i]);
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

static void bf16_panel(float *panel, const void *packed, size_t n_block)
{
    const uint16_t *v = packed;
    for (size_t i = 0; i < n_block * KERN_K * KERN_ROWS; i++) {
        panel[i] = bf16_value(v[i]);
    }
}

static void bf16_rows(float *out, size_t ld, const void *packed, size_t part)
{
    (void)part; /* there is one */
    const struct packed_16 *b = packed;
    for (int k = 0; k < KERN_K; k++) {
        for (int r = 0; r < KERN_ROWS; r++) {
            out[(size_t)r * ld + (size_t)k] = bf16_value(b->v[k][r]);
        }
    }
}

const struct quant quant_bf16 = {
    .name = "BF16",
    .block_len = 1,
    .block_bytes = sizeof(uint16_t),
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_16),
    .scale_at = {-1, -1},
    .dequantize = bf16_dequantize,
    .quantize = bf16_quantize,
    .pack_row = pack_row,
};
const struct kern_quant quant_bf16_scalar = {.panel = bf16_panel, .rows = bf16_rows};
