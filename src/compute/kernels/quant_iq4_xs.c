/* IQ4_XS: 256 values in 8 runs of 32; value = d * (scale - 32) * t[q], q in 0..15, t the table of IQ4_NL, scale 0..63
 * of the run. File block: d, float16; 2 bytes, the two high bits of the scale of run r at bit 2 r; 4 bytes, its low
 * four bits in nibble r % 2 of byte r / 2; 128 bytes, 16 a run: byte i holds value i in its low and value 16 + i in its
 * high nibble. Source: ggml-quants.c (dequantize_row_iq4_xs). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

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

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_iq4_xs *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    for (size_t part = 0; part < PARTS_K; part++) {
        six_bits_put(p->low, p->high, part, r, file_scale(b, part));
        for (size_t j = 0; j < 4; j++) { /* the nibbles of a file are those of lines */
            memcpy(&p->q[part][j][r * 4], b + AT_Q + 16 * part + 4 * j, 4);
        }
    }
}

static void iq4_xs_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_iq4_xs *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        int scale = six_bits_at(p->low, p->high, part, r) - 32;
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]) * (float)scale;
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = quant_iq4_values[nibble_at(p->q[part], r, k)];
        }
    }
}

const struct quant quant_iq4_xs = {
    .name = "IQ4_XS",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_iq4_xs),
    .scale_at = {0, -1},
    .dequantize = iq4_xs_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_iq4_xs, .run = 32, .has_min = false, .part = iq4_xs_part};
QUANT_READERS(iq4_xs, form);
