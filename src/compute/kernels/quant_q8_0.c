/* Q8_0: 32 values share a float16 scale d; value = d * q, q a signed byte. File block: d, then the 32 bytes.
 * Source: ggml-quants.c (dequantize_row_q8_0, quantize_row_q8_0_ref). */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

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

static void q8_0_pack(void *packed, const void *const row[KERN_ROWS], int n_k)
{
    struct packed_q8_0 *p = packed;
    (void)n_k; /* a block of the file is always whole */
    memset(p, 0, sizeof(*p));
    for (size_t r = 0; r < KERN_ROWS; r++) {
        const uint8_t *b = row[r];
        if (!b) {
            continue;
        }
        p->d[r] = load_u16(b);
        for (size_t j = 0; j < 8; j++) {
            memcpy(&p->q[j][r * 4], b + 2 + 4 * j, 4);
        }
    }
}

static void q8_0_panel(float *panel, const void *packed, size_t n_block)
{
    const struct packed_q8_0 *p = packed;
    for (size_t b = 0; b < n_block; b++, p++, panel += KERN_K * KERN_ROWS) {
        for (size_t r = 0; r < KERN_ROWS; r++) {
            float d = f16_value(p->d[r]);
            for (size_t k = 0; k < KERN_K; k++) {
                panel[k * KERN_ROWS + r] = (float)p->q[k / 4][r * 4 + k % 4] * d;
            }
        }
    }
}

static void q8_0_rows(float *out, size_t ld, const void *packed)
{
    const struct packed_q8_0 *p = packed;
    for (size_t r = 0; r < KERN_ROWS; r++) {
        float d = f16_value(p->d[r]);
        for (size_t k = 0; k < KERN_K; k++) {
            out[r * ld + k] = (float)p->q[k / 4][r * 4 + k % 4] * d;
        }
    }
}

/* Sum over 32 inputs of weight row c times activations q, an exact integer. */
static int32_t q8_0_dot(const struct packed_q8_0 *p, size_t c, const int8_t *q)
{
    int32_t sum = 0;
    for (size_t k = 0; k < KERN_K; k++) {
        sum += (int32_t)p->q[k / 4][c * 4 + k % 4] * q[k];
    }
    return sum;
}

static void q8_0_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    const struct packed_q8_0 *p = packed;
    size_t n_scale = x->n_k / KERN_K;
    for (size_t r = 0; r < n_row; r++) {
        const int8_t *q = x->q + (x_row + r) * x->n_k;
        const float *d = x->d + (x_row + r) * n_scale;
        for (size_t c = 0; c < KERN_ROWS; c++) {
            float acc = 0;
            for (size_t b = 0; b < n_block; b++) {
                float t = (float)q8_0_dot(p + b, c, q + b * KERN_K) * f16_value(p[b].d[c]);
                acc = fmaf(t, d[b], acc);
            }
            y[r * ldy + c] = acc;
        }
    }
}

const struct quant quant_q8_0 = {
    .name = "Q8_0",
    .block_len = 32,
    .block_bytes = BLOCK_BYTES,
    .packed_bytes = sizeof(struct packed_q8_0),
    .dequantize = q8_0_dequantize,
    .quantize = q8_0_quantize,
    .pack = q8_0_pack,
};
const struct kern_quant quant_q8_0_scalar = {.panel = q8_0_panel, .rows = q8_0_rows, .gemm_q8 = q8_0_gemm_q8};
