/* Random weights of any type for tests of the device: rounded where the type has a quantizer, else of random codes. */
#ifndef TESTS_RANDOM_WEIGHTS_H
#define TESTS_RANDOM_WEIGHTS_H

#include <stdint.h>

#include "compute/kernels/kern.h"
#include "ground/base/rng.h"

/* n values of a type in the file format, made from x (values of this deviation), which becomes what they mean. */
static inline void random_weights(enum quant_type type, uint8_t *file, float *x, size_t n, float deviation)
{
    const struct quant *q = quants[type];
    if (q->quantize != NULL) {
        q->quantize(file, x, n);
    } else {
        uint16_t scale[2];
        quant_scales_for(type, deviation, scale);
        size_t n_byte = n / (size_t)q->block_len * q->block_bytes;
        for (size_t i = 0; i < n_byte; i++) file[i] = (uint8_t)rng_below(256, 17, n, i);
        for (size_t i = 0; i < n_byte; i += q->block_bytes) quant_set_scales(type, file + i, scale);
    }
    q->dequantize(x, file, n);
}

#endif
