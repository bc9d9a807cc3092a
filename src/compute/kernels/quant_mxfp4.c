/* MXFP4: 32 values share a power of two; value = d * t[q], q the four bits of a float with two bits of exponent and one
 * of mantissa, t twice what they mean, d half of 2^(e - 127). File block: e, then 16 bytes; byte i holds value i in its
 * low and value 16 + i in its high nibble.
 * Source: OCP Microscaling Formats 1.0; ggml-quants.c (dequantize_row_mxfp4). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

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

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_mxfp4 *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->e[r] = b[0];
    for (size_t j = 0; j < 4; j++) { /* the nibbles of a file are those of lines */
        memcpy(&p->q[j][r * 4], b + 1 + 4 * j, 4);
    }
}

static void mxfp4_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_mxfp4 *p = packed;
    (void)part; /* there is one */
    for (size_t r = 0; r < KERN_ROWS; r++) {
        out->d[0][r] = out->d[1][r] = e8m0_half(p->e[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = quant_mxfp4_values[nibble_at(p->q, r, k)];
        }
    }
}

const struct quant quant_mxfp4 = {
    .name = "MXFP4",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_mxfp4),
    .scale_at = {-1, -1},
    .dequantize = mxfp4_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_mxfp4, .run = 32, .has_min = false, .part = mxfp4_part};
QUANT_READERS(mxfp4, form);
