/* Q3_K: 256 values in 16 runs of 16; value = d * (scale - 32) * (q - 4), q in 0..7, scale 0..63 of the run.
 * File block: 32 bytes, bit s of byte i the third bit of value 32 s + i; 64 bytes, the two low bits of a value: byte
 * 32 h + i holds values 128 h + 32 s + i at bit 2 s; 12 bytes of scales: the low four bits of run r in nibble r / 8 of
 * byte r % 8, the two high ones at bit 2 (r / 4) of byte 8 + r % 4; d, float16.
 * Source: ggml-quants.c (dequantize_row_q3_K). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 110, AT_Q = 32, AT_SCALE = 96, AT_D = 108 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return (b[AT_Q + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3) | (b[k % 32] >> k / 32 & 1) << 2;
}

/* The six bits of the scale of run r. */
static int file_scale(const uint8_t *b, size_t r)
{
    const uint8_t *s = b + AT_SCALE;
    return (s[r % 8] >> r / 8 * 4 & 15) | (s[8 + r % 4] >> r / 4 * 2 & 3) << 4;
}

static void q3_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(file_scale(b, k / 16) - 32);
            y[i + k] = scale * (float)(file_quant(b, k) - 4);
        }
    }
}

const struct quant quant_q3_k = {
    .name = "Q3_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .dequantize = q3_k_dequantize,
};
