/* Noise on embeddings while training (NEFTune; Jain et al. 2023). */
#ifndef DEVICE_NOISE_H
#define DEVICE_NOISE_H

#include "compute/device/device.h"

/* x[n_tok][n_embd] += size * u / sqrt(n * n_embd) for every segment of n tokens, u uniform in (-1, 1). What a segment
 * gets depends on seed, its key and the place in it alone: on neither threads nor the other segments. */
void dev_embed_noise(struct dev *d, const struct dev_batch *b, float *x, size_t n_embd, float size, uint64_t seed,
                     const uint64_t *key);

#endif
