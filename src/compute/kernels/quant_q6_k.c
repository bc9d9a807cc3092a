/* Q6_K: 256 values in 16 runs of 16; value = d * scale * (q - 32), q in 0..63, scale a signed byte of the run.
 * File block: 128 bytes of the low four bits: byte 64 h + i holds value 128 h + i in its low and value 128 h + 64 + i
 * in its high nibble, i < 64; 64 bytes of the two high bits: byte 32 h + i holds values 128 h + 32 s + i at bit 2 s;
 * 16 scales; d, float16.
 * Source: ggml-quants.c (dequantize_row_q6_K). */
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

enum { BLOCK_BYTES = 210, AT_HIGH = 128, AT_SCALE = 192, AT_D = 208 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    int low = b[k / 128 * 64 + k % 64] >> k % 128 / 64 * 4 & 15;
    return low | (b[AT_HIGH + k / 128 * 32 + k % 32] >> k % 128 / 32 * 2 & 3) << 4;
}

static void q6_k_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 256, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b + AT_D));
        for (size_t k = 0; k < 256; k++) {
            float scale = d * (float)(int8_t)b[AT_SCALE + k / 16];
            y[i + k] = scale * (float)(file_quant(b, k) - 32);
        }
    }
}

const struct quant quant_q6_k = {
    .name = "Q6_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .dequantize = q6_k_dequantize,
};
