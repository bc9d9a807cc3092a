/* F32: the quantization that changes nothing. The packed block is the panel itself, k-major. Products with int8
 * activations do not exist: float32 tensors are computed in float32 in every precision. */
#include <string.h>

#include "compute/kernels/kern_int.h"

static void f32_dequantize(float *y, const void *blocks, size_t n)
{
    memcpy(y, blocks, n * sizeof(float));
}

static void f32_quantize(void *blocks, const float *x, size_t n)
{
    memcpy(blocks, x, n * sizeof(float));
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_32 *b = packed;
    for (int k = 0; k < n_k; k++) {
        memcpy(&b->v[k][r], (const char *)row + (size_t)k * sizeof(float), sizeof(float));
    }
}

static void f32_panel(float *panel, const void *packed, size_t n_block)
{
    memcpy(panel, packed, n_block * sizeof(struct packed_32));
}

static void f32_rows(float *out, size_t ld, const void *packed, size_t part)
{
    (void)part; /* there is one */
    const struct packed_32 *b = packed;
    for (int k = 0; k < KERN_K; k++) {
        for (int r = 0; r < KERN_ROWS; r++) {
            out[(size_t)r * ld + (size_t)k] = b->v[k][r];
        }
    }
}

const struct quant quant_f32 = {
    .name = "F32",
    .block_len = 1,
    .block_bytes = sizeof(float),
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_32),
    .scale_at = {-1, -1},
    .dequantize = f32_dequantize,
    .quantize = f32_quantize,
    .pack_row = pack_row,
};
const struct kern_quant quant_f32_scalar = {.panel = f32_panel, .rows = f32_rows};
