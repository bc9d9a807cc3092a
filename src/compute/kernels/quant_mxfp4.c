/* MXFP4: 32 values share a power of two; value = d * t[q], q the four bits of a float with two bits of exponent and one
 * of mantissa, t twice what they mean, d half of 2^(e - 127). File block: e, then 16 bytes; byte i holds value i in its
 * low and value 16 + i in its high nibble.
 * Source: OCP Microscaling Formats 1.0; ggml-quants.c (dequantize_row_mxfp4). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 17 };

const int8_t quant_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void mxfp4_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = e8m0_half(b[0]);
        for (size_t j = 0; j < 16; j++) {
            y[i + j] = (float)quant_mxfp4_values[b[1 + j] & 15] * d;
            y[i + j + 16] = (float)quant_mxfp4_values[b[1 + j] >> 4] * d;
        }
    }
}

const struct quant quant_mxfp4 = {
    .name = "MXFP4",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .dequantize = mxfp4_dequantize,
};
