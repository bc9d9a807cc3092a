/* Q8_0: 32 values share a float16 scale d; value = d * q, q a signed byte. File block: d, then the 32 bytes.
 * Source: ggml-quants.c (dequantize_row_q8_0, quantize_row_q8_0_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/quant_read.h"

enum { BLOCK_BYTES = 34 };

static void q8_0_dequantize(float *y, const void *blocks, size_t n)
{
    const uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        for (size_t j = 0; j < 32; j++) {
            y[i + j] = (float)(int8_t)b[2 + j] * d;
        }
    }
}

static int8_t round_q8(float v)
{
    float r = roundf(v);                                                             /* half away from zero, as ggml */
    return (int8_t)(r >= -127 ? (r <= 127 ? r : 127) : (r < -127 ? -127.0f : 0.0f)); /* NaN -> 0 */
}

static void q8_0_quantize(void *blocks, const float *x, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float amax = 0;
        for (size_t j = 0; j < 32; j++) {
            amax = max_or_second(fabsf(x[i + j]), amax);
        }
        float d = amax / 127.0f, inv = d != 0 ? 1.0f / d : 0.0f;
        uint16_t h = f16_bits(d);
        memcpy(b, &h, sizeof(h));
        for (size_t j = 0; j < 32; j++) {
            b[2 + j] = (uint8_t)round_q8(x[i + j] * inv);
        }
    }
}

static void q8_0_move(void *blocks, const float *delta, size_t n)
{
    uint8_t *b = blocks;
    for (size_t i = 0; i < n; i += 32, b += BLOCK_BYTES) {
        float d = f16_value(load_u16(b));
        for (size_t j = 0; j < 32; j++) {
            b[2 + j] = (uint8_t)(int8_t)quant_moved((int8_t)b[2 + j], delta[i + j], d, -127, 127);
        }
    }
}

static void pack_row(void *packed, size_t r, const void *row, int n_k)
{
    struct packed_q8_0 *p = packed;
    const uint8_t *b = row;
    (void)n_k; /* a block of a file is always whole */
    p->d[r] = load_u16(b);
    for (size_t j = 0; j < 8; j++) {
        memcpy(&p->q[j][r * 4], b + 2 + 4 * j, 4);
    }
}

static void q8_0_part(struct quant_part *out, const void *packed, size_t part)
{
    const struct packed_q8_0 *p = packed;
    (void)part; /* there is one */
    for (size_t r = 0; r < KERN_ROWS; r++) {
        out->d[0][r] = out->d[1][r] = f16_value(p->d[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out->code[k][r] = p->q[k / 4][r * 4 + k % 4];
        }
    }
}

const struct quant quant_q8_0 = {
    .name = "Q8_0",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_k = KERN_K,
    .packed_bytes = sizeof(struct packed_q8_0),
    .scale_at = {0, -1},
    .dequantize = q8_0_dequantize,
    .quantize = q8_0_quantize,
    .move = q8_0_move,
    .pack_row = pack_row,
};
static const struct quant_form form = {.quant = &quant_q8_0, .run = 32, .has_min = false, .part = q8_0_part};
QUANT_READERS(q8_0, form);
