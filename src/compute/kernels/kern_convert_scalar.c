/* Conversions between number formats, scalar, and the int8 quantization of activations. */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

/* A fine value: as 256 * high + low, both in -127..127. Returns what it stands for. */
static int32_t split(int8_t *high, int8_t *low, int32_t v)
{
    int32_t h = (v + 0x8080) / 256 - 128, l = v - 256 * h;
    l = l < -127 ? -127 : l;
    *high = (int8_t)h;
    *low = (int8_t)l;
    return 256 * h + l;
}

/* One block of 32. The maximum is taken over the bits of |x|, where NaN is above infinity is above all numbers: a
 * scale that is not finite makes the whole block not finite, so a broken activation is never hidden. Blocks whose
 * largest value is below 2^-100 become zero. sum16: of both halves. */
static void quantize_block(int8_t *q, float *d, int32_t *sum16, const float *x, bool fine)
{
    const float most = fine ? 256 * 127.0f : 127.0f;
    uint32_t bits = 0;
    for (size_t i = 0; i < KERN_K; i++) {
        uint32_t a = f32_bits(x[i]) & 0x7fffffffu;
        bits = a > bits ? a : bits;
    }
    float amax = bits_f32(bits);
    sum16[0] = sum16[1] = 0;
    *d = amax < 0x1p-100f ? 0.0f : amax / most;
    if (!(amax >= 0x1p-100f && amax < INFINITY)) {
        memset(q, 0, fine ? 2 * KERN_K : KERN_K);
        return;
    }
    float inv = most / amax;
    for (size_t i = 0; i < KERN_K; i++) {
        int32_t v = (int32_t)lrintf(x[i] * inv);
        if (fine) {
            v = split(q + i, q + KERN_K + i, v);
        } else {
            q[i] = (int8_t)v;
        }
        sum16[i / 16] += v;
    }
}

static void quantize_q8(struct q8_rows *x8, const float *x, size_t ldx, size_t n_row, size_t n_in)
{
    size_t n_scale = x8->n_k / KERN_K;
    for (size_t r = 0; r < n_row; r++) {
        for (size_t b = 0; b < n_scale; b++) {
            float padded[KERN_K] = {0};
            size_t at = b * KERN_K, n = at >= n_in ? 0 : (n_in - at < KERN_K ? n_in - at : KERN_K);
            memcpy(padded, x + r * ldx + (n ? at : 0), n * sizeof(float));
            int32_t *sum16 = x8->sum16 + 2 * (r * n_scale + b);
            int8_t *q = x8->q + (r * x8->n_k + at) * q8_bytes(x8);
            quantize_block(q, x8->d + r * n_scale + b, sum16, padded, q8_is_wide(x8, b));
            memset(q + KERN_K, 0, x8->fine && !q8_is_wide(x8, b) ? KERN_K : 0);
            x8->sum[r * n_scale + b] = sum16[0] + sum16[1];
        }
    }
}

static void f32_to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = f16_bits(x[i]);
    }
}

static void f16_to_f32(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = f16_value(x[i]);
    }
}

static void f32_to_bf16(uint16_t *y, const float *x, size_t n, float times)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = bf16_bits(x[i] * times);
    }
}

void kern_convert_fill_scalar(struct kern *k)
{
    k->quantize_q8 = quantize_q8;
    k->f32_to_f16 = f32_to_f16;
    k->f16_to_f32 = f16_to_f32;
    k->f32_to_bf16 = f32_to_bf16;
    k->quant[QUANT_F32] = quant_f32_scalar;
    k->quant[QUANT_F16] = quant_f16_scalar;
    k->quant[QUANT_BF16] = quant_bf16_scalar;
#define FILL(TYPE, name) k->quant[QUANT_##TYPE] = quant_##name##_scalar;
    QUANT_INTEGERS(FILL)
#undef FILL
}
