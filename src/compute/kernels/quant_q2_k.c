/* Q2_K: 256 values in 16 runs of 16; value = d * scale * q - dmin * min, q in 0..3, scale and min 0..15 of the run.
 * File block: 16 bytes, the scale of a run in the low and its min in the high nibble; 64 bytes, two bits a value: byte
 * 32 h + i holds values 128 h + 32 s + i at bit 2 s; d and dmin, float16.
 * Source: ggml-quants.c (dequantize_row_q2_K). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 84, AT_Q = 16, AT_D = 80, AT_DMIN = 82 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return b[AT_Q + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3;
}

static void q2_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D)), dmin = f16_value(load_u16(b + AT_DMIN));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(b[k / 16] & 15), min = dmin * (float)(b[k / 16] >> 4);
            y[i + k] = scale * (float)file_quant(b, k) - min;
        }
    }
}

const struct quant quant_q2_k = {
    .name = "Q2_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .dequantize = q2_k_dequantize,
};
