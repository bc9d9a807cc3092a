/* Q5_K: 256 values in 8 runs of 32; value = d * scale * q - dmin * min, q in 0..31, scale and min 0..63 of the run.
 * File block: d and dmin, float16; 12 bytes of scales and mins (quant_scale_min_k4 in kern_int.h); 32 bytes, bit s of
 * byte i the fifth bit of value 32 s + i; 128 bytes of the low four bits: byte 32 h + i holds value 64 h + i in its low
 * and value 64 h + 32 + i in its high nibble.
 * Source: ggml-quants.c (dequantize_row_q5_K). */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 176, AT_SCALE = 4, AT_HIGH = 16, AT_Q = 48 };

/* q of value k of a file block. */
static int file_quant(const uint8_t *b, size_t k)
{
    return (b[AT_Q + k / 64 * 32 + k % 32] >> k / 32 % 2 * 4 & 15) | (b[AT_HIGH + k % 32] >> k / 32 & 1) << 4;
}

static void q5_k_dequantize(float *y, const void *blocks, size_t n)
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

/* The codes of a part of a file block. */
static struct quads file_quads(const uint8_t *b, size_t part)
{
    struct quads c;
    for (size_t j = 0; j < 8; j++) {
        uint32_t low = load_u32(b + AT_Q + part / 2 * 32 + 4 * j) >> part % 2 * 4 & 0x0f0f0f0fu;
        c.q[j] = low | (load_u32(b + AT_HIGH + 4 * j) >> part & 0x01010101u) << 4;
    }
    return c;
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q5_k *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    p->m[r] = load_u16(b + 2);
    for (size_t part = 0; part < PARTS_K; part++) {
        struct scale_min s = quant_scale_min_k4(b + AT_SCALE, part);
        struct quads c = file_quads(b, part);
        six_bits_put(p->low, p->high, 2 * part, r, s.scale);
        six_bits_put(p->low, p->high, 2 * part + 1, r, s.min);
        nibbles_put(p->part[part].q, r, &c);
        bits_put(p->part[part].bit4, r, &c, 4);
    }
}

static void q5_k_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q5_k *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        int scale = six_bits_at(p->low, p->high, 2 * part, r), min = six_bits_at(p->low, p->high, 2 * part + 1, r);
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]) * (float)scale;
        out->m[0][r] = out->m[1][r] = -(f16_value(p->m[r]) * (float)min);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = (int8_t)(nibble_at(p->part[part].q, r, k) | bit_at(p->part[part].bit4, r, k) << 4);
        }
    }
}

const struct quant quant_q5_k = {
    .name = "Q5_K",
    .block_len = 256,
    .block_bytes = BLOCK_BYTES,
    .packed_k = QUANT_K,
    .packed_bytes = sizeof(struct packed_q5_k),
    .scale_at = {0, 2},
    .dequantize = q5_k_dequantize,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q5_k, .run = 32, .has_min = true, .part = q5_k_part};
QUANT_READERS(q5_k, form);
