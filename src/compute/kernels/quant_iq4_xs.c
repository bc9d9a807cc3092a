/* IQ4_XS: 256 values in 8 runs of 32; value = d * (scale - 32) * t[q], q in 0..15, t the table of IQ4_NL, scale 0..63
 * of the run. File block: d, float16; 2 bytes, the two high bits of the scale of run r at bit 2 r; 4 bytes, its low
 * four bits in nibble r % 2 of byte r / 2; 128 bytes, 16 a run: byte i holds value i in its low and value 16 + i in its
 * high nibble. Source: ggml-quants.c (dequantize_row_iq4_xs). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 136, AT_HIGH = 2, AT_LOW = 4, AT_Q = 8 };

/* The six bits of the scale of run r. */
static int file_scale(const uint8_t *b, size_t r)
{
    return (b[AT_LOW + r / 2] >> r % 2 * 4 & 15) | (load_u16(b + AT_HIGH) >> 2 * r & 3) << 4;
}

static void iq4_xs_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        for (size_t r = 0; r < 8; r++) {
            float scale = f16_value(load_u16(b)) * (float)(file_scale(b, r) - 32);
            const uint8_t *q = b + AT_Q + 16 * r;
            for (size_t j = 0; j < 16; j++) {
                y[i + 32 * r + j] = scale * (float)quant_iq4_values[q[j] & 15];
                y[i + 32 * r + j + 16] = scale * (float)quant_iq4_values[q[j] >> 4];
            }
        }
    }
}

const struct quant quant_iq4_xs = {
    .name = "IQ4_XS",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .dequantize = iq4_xs_dequantize,
};
