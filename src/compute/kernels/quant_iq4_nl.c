/* IQ4_NL: 32 values share a float16 scale d; value = d * t[q], q in 0..15, t a fixed table of 16 signed bytes that are
 * denser near zero. File block: d, then 16 bytes; byte i holds value i in its low and value 16 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_iq4_nl). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 18 };

const int8_t quant_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void iq4_nl_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        for (size_t j = 0; j < 16; j++) {
            y[i + j] = d * (float)quant_iq4_values[b[2 + j] & 15];
            y[i + j + 16] = d * (float)quant_iq4_values[b[2 + j] >> 4];
        }
    }
}

const struct quant quant_iq4_nl = {
    .name = "IQ4_NL",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .dequantize = iq4_nl_dequantize,
};
