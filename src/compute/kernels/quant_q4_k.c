/* Q4_K: 256 values in 8 runs of 32; value = d * scale * q - dmin * min, q in 0..15, scale and min 0..63 of the run.
 * File block: d and dmin, float16; 12 bytes of scales and mins (quant_scale_min_k4 in kern_int.h); 128 bytes: byte
 * 32 h + i holds value 64 h + i in its low and value 64 h + 32 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q4_K). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 144, AT_SCALE = 4, AT_Q = 16 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return b[AT_Q + k / 64 * 32 + k % 32] >> k / 32 % 2 * 4 & 15;
}

static void q4_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b)), dmin = f16_value(load_u16(b + 2));
        for (size_t k = 0; k < 256; k++) {
            struct scale_min s = quant_scale_min_k4(b + AT_SCALE, k / 32);
            y[i + k] = d * (float)s.scale * (float)file_quant(b, k) - dmin * (float)s.min;
        }
    }
}

const struct quant quant_q4_k = {
    .name = "Q4_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .dequantize = q4_k_dequantize,
};
