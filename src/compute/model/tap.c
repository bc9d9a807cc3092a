/* Handing the rows of a step to a tap. Reads device memory through the device; changes nothing. */
#include "compute/model/tap.h"

#include <math.h>

#include "compute/model/model_int.h"
#include "ground/base/mem.h"

void model_tap_rows(const struct model *m, const struct model_batch *b, int layer, enum adapter_site site,
                    const float *x, size_t n_in)
{
    if (!b->tap) {
        return;
    }
    float *row = mem_alloc(n_in * sizeof *row);
    for (size_t i = 0; i < (size_t)b->dev.n_tok; i++) {
        dev_read(m->dev, row, x + i * n_in, n_in);
        b->tap->fn(b->tap->arg, layer, site, row, n_in);
    }
    mem_free(row);
}

/* y = x / sqrt(mean(x^2) + eps) * w, in place. */
static void rms_norm(float *x, const float *w, size_t n, float eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    float inv = (float)(1 / sqrt(sum / (double)n + (double)eps));
    for (size_t i = 0; i < n; i++) {
        x[i] = x[i] * inv * w[i];
    }
}

void model_tap_normed(const struct model *m, const struct model_batch *b, int layer, enum adapter_site site,
                      const float *x, const float *norm)
{
    if (!b->tap) {
        return;
    }
    if (!norm) {
        model_tap_rows(m, b, layer, site, x, (size_t)m->params.n_embd);
        return;
    }
    size_t n = (size_t)m->params.n_embd;
    float *row = mem_alloc(n * sizeof *row), *w = mem_alloc(n * sizeof *w);
    dev_read(m->dev, w, norm, n);
    for (size_t i = 0; i < (size_t)b->dev.n_tok; i++) {
        dev_read(m->dev, row, x + i * n, n);
        rms_norm(row, w, n, m->params.rms_eps);
        b->tap->fn(b->tap->arg, layer, site, row, n);
    }
    mem_free(row);
    mem_free(w);
}
