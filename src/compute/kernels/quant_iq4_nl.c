/* IQ4_NL: 32 values share a float16 scale d; value = d * t[q], q in 0..15, t a fixed table of 16 signed bytes that are
 * denser near zero. File block: d, then 16 bytes; byte i holds value i in its low and value 16 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_iq4_nl). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

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

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q4_0 *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    for (size_t j = 0; j < 4; j++) { /* the nibbles of a file are those of lines */
        memcpy(&p->q[j][r * 4], b + 2 + 4 * j, 4);
    }
}

static void iq4_nl_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q4_0 *p = packed;
    (void)part; /* there is one */
    for (size_t r = 0; r < KERN_ROWS; r++) {
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = quant_iq4_values[nibble_at(p->q, r, k)];
        }
    }
}

const struct quant quant_iq4_nl = {
    .name = "IQ4_NL",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_q4_0),
    .scale_at = {0, -1},
    .dequantize = iq4_nl_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_iq4_nl, .run = 32, .has_min = false, .part = iq4_nl_part};
QUANT_READERS(iq4_nl, form);
