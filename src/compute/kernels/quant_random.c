/* Random blocks of every integer quantization: any codes, scales as wanted. For models of random weights, for the
 * self-test and for tests, none of which should need a quantizer. Owns nothing. */
#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"

void quant_set_scales(enum quant_type type, void *block, const uint16_t h[2])
{
    uint8_t *b = block;
    for (int i = 0; i < 2; i++) {
        if (quants[type]->scale_at[i] >= 0) {
            memcpy(b + quants[type]->scale_at[i], &h[i], sizeof(h[i]));
        }
    }
    if (type == QUANT_MXFP4) {
        b[0] = (uint8_t)(113 + (h[0] >> 10 & 31)); /* the power of two below */
    }
}

/* Mean and deviation of what random codes mean with these scales. */
static void moments(enum quant_type type, float d, float m, double *mean, double *deviation)
{
    enum { N_BLOCK = 64 };
    const struct quant *q = quants[type];
    const uint16_t h[2] = {f16_bits(d), f16_bits(m)};
    uint32_t state = 1;
    double sum = 0, squares = 0, n = N_BLOCK * q->block_len;
    for (int b = 0; b < N_BLOCK; b++) {
        uint8_t block[QUANT_K];
        float x[QUANT_K];
        for (size_t i = 0; i < q->block_bytes; i++) {
            state = state * 1664525u + 1013904223u;
            block[i] = (uint8_t)(state >> 24);
        }
        quant_set_scales(type, block, h);
        q->dequantize(x, block, (size_t)q->block_len);
        for (int i = 0; i < q->block_len; i++) {
            sum += (double)x[i];
            squares += (double)x[i] * (double)x[i];
        }
    }
    *mean = sum / n;
    *deviation = sqrt(squares / n - *mean * *mean);
}

void quant_scales_for(enum quant_type type, float deviation, uint16_t h[2])
{
    double mean_d, mean_m, is;
    moments(type, 1, 0, &mean_d, &is);
    moments(type, 0, 1, &mean_m, &is);
    float m = mean_m != 0 ? (float)(-mean_d / mean_m) : 0; /* minima that bring the mean to zero */
    moments(type, 1, m, &mean_d, &is);
    h[0] = f16_bits(deviation / (float)is);
    h[1] = f16_bits(deviation / (float)is * m);
}
