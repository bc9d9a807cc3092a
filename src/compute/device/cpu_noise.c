/* Noise on embeddings, on the CPU: drawn value by value, so that nothing is kept and nothing depends on an order. */
#include "compute/device/noise.h"

#include <math.h>

#include "compute/device/cpu_int.h"
#include "ground/base/rng.h"

struct noise {
    const struct dev_batch *b;
    float *x, size;
    size_t n_embd;
    uint64_t seed;
    const uint64_t *key;
};

static void noise_worker(void *arg, int worker, int n_worker)
{
    const struct noise *w = arg;
    for (int s = 0; s < w->b->n_segment; s++) {
        const struct dev_segment *g = &w->b->segment[s];
        size_t n = (size_t)g->n_tok * w->n_embd, begin, end;
        float *x = w->x + (size_t)g->first_tok * w->n_embd;
        double times = (double)w->size / sqrt((double)n);
        pool_share(n, 16, worker, n_worker, &begin, &end);
        for (size_t i = begin; i < end; i++) x[i] += (float)(times * (2 * rng_unit(w->seed, w->key[s], i) - 1));
    }
}

void dev_embed_noise(struct dev *d, const struct dev_batch *b, float *x, size_t n_embd, float size, uint64_t seed,
                     const uint64_t *key)
{
    struct noise w = {b, x, size, n_embd, seed, key};
    pool_run(d->pool, noise_worker, &w);
}
