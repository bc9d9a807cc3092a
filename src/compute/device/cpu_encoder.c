/* What encoders need beside the linear operations: LayerNorm, GELU with the error function, attention in which every
 * token of a segment sees all others. Rows, and heads of segments, are shared among the workers; a row's or a head's
 * numbers depend on nothing else, so neither on threads nor on what else is in the batch. Sums of LayerNorm are in
 * double: its mean is subtracted from values of the same size. */
#include <math.h>
#include <string.h>

#include "compute/device/cpu_int.h"
#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"

enum { QUERY_BLOCK = 64 }; /* queries whose scores are in scratch at a time */

int dev_encoder_reserve(struct dev *d, int max_pos, int d_head, struct err *e)
{
    size_t n = round_up((size_t)max_pos, 16), keys = (size_t)d_head * n, scores = (size_t)QUERY_BLOCK * n;
    return cpu_reserve(d, 0, (keys + scores) * sizeof(float) + 256, e);
}

/* --- values one by one, and row by row --- */

struct rows {
    struct dev *d;
    float *x;
    const float *y, *w, *bias;
    size_t n_row, n;
    float eps;
};

static void add_run(void *arg, int worker, int n_worker)
{
    const struct rows *p = arg;
    size_t begin, end;
    pool_share(p->n, 1, worker, n_worker, &begin, &end);
    p->d->kern.add(p->x + begin, p->y + begin, end - begin);
}

void dev_add(struct dev *d, float *x, const float *y, size_t n)
{
    struct rows p = {.d = d, .x = x, .y = y, .n = n};
    pool_run(d->pool, add_run, &p);
}

static void gelu_run(void *arg, int worker, int n_worker)
{
    const struct rows *p = arg;
    size_t begin, end;
    pool_share(p->n, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        p->x[i] = p->x[i] * 0.5f * (1.0f + kmath_erff(p->x[i] * 0.70710678118654752f));
    }
}

void dev_gelu(struct dev *d, float *x, size_t n)
{
    struct rows p = {.d = d, .x = x, .n = n};
    pool_run(d->pool, gelu_run, &p);
}

static void norm_row(float *x, const float *w, const float *bias, size_t n, float eps)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
    }
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i] - mean;
        squares += v * v;
    }
    double inv = 1.0 / sqrt(squares / (double)n + (double)eps);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(((double)x[i] - mean) * inv) * w[i] + bias[i];
    }
}

static void norm_run(void *arg, int worker, int n_worker)
{
    const struct rows *p = arg;
    size_t begin, end;
    pool_share(p->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        norm_row(p->x + r * p->n, p->w, p->bias, p->n, p->eps);
    }
}

void dev_layer_norm(struct dev *d, float *x, const float *w, const float *bias, size_t n_tok, size_t n, float eps)
{
    struct rows p = {.d = d, .x = x, .w = w, .bias = bias, .n_row = n_tok, .n = n, .eps = eps};
    pool_run(d->pool, norm_run, &p);
}

/* --- attention --- */

struct attention_all {
    struct dev *d;
    const struct dev_batch *b;
    size_t n_head, d_head;
    float scale;
    const float *q, *k, *v;
    float *out;
};

/* One head of one segment. K is transposed once, so that it is the panel of the product with queries; V is one as it
 * stands. */
static void attend(const struct attention_all *p, const struct dev_segment *s, size_t head, struct carve own)
{
    size_t width = p->n_head * p->d_head, n = (size_t)s->n_tok, ld = round_up(n, 16);
    size_t at = (size_t)s->first_tok * width + head * p->d_head;
    kern_gemm_fn gemm = cpu_gemm(p->d);
    float *keys = carve_take(&own, p->d_head * ld * sizeof(float));
    float *scores = carve_take(&own, (size_t)QUERY_BLOCK * ld * sizeof(float));
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < p->d_head; i++) {
            keys[i * ld + t] = p->k[at + t * width + i];
        }
    }
    for (size_t row = 0; row < n; row += QUERY_BLOCK) {
        size_t m = n - row < QUERY_BLOCK ? n - row : QUERY_BLOCK;
        gemm(scores, ld, p->q + at + row * width, width, 1, keys, ld, m, n, p->d_head, false);
        for (size_t r = 0; r < m; r++) {
            (void)p->d->kern.softmax(scores + r * ld, n, p->scale);
        }
        gemm(p->out + at + row * width, width, scores, ld, 1, p->v + at, width, m, p->d_head, n, false);
    }
}

static void attention_run(void *arg, int worker, int n_worker)
{
    const struct attention_all *p = arg;
    size_t begin, end;
    pool_share((size_t)p->b->n_segment * p->n_head, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        attend(p, &p->b->segment[i / p->n_head], i % p->n_head, carve_begin(&p->d->worker[worker]));
    }
}

void dev_attention_all(struct dev *d, const struct dev_batch *b, int n_head, int d_head, float scale, const float *q,
                       const float *k, const float *v, float *out)
{
    struct attention_all p = {.d = d,
                              .b = b,
                              .n_head = (size_t)n_head,
                              .d_head = (size_t)d_head,
                              .scale = scale,
                              .q = q,
                              .k = k,
                              .v = v,
                              .out = out};
    pool_run(d->pool, attention_run, &p);
}
