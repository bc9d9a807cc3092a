/* Steps over flat arrays: copies, sums of squares, scaling, AdamW. Work is cut into pieces of fixed size, so that sums
 * have one order whatever the number of workers. */
#include <string.h>

#include "compute/device/cpu_int.h"

enum {
    PIECE = 4096,    /* values */
    N_PARTIAL = 1024 /* pieces are summed in rounds of so many */
};

struct optimizer_work {
    struct dev *d;
    float *p, *m, *v;
    const float *g;
    size_t n;
    float a;
    const struct dev_adamw *opt;
    double *partial; /* [pieces of this round] */
    size_t first, n_piece;
};

static double piece_squares(const float *g, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) sum += (double)g[i] * (double)g[i];
    return sum;
}

static void squares_worker(void *arg, int worker, int n_worker)
{
    const struct optimizer_work *w = arg;
    size_t begin, end;
    pool_share(w->n_piece, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t at = (w->first + i) * PIECE, n = w->n - at < PIECE ? w->n - at : PIECE;
        w->partial[i] = piece_squares(w->g + at, n);
    }
}

double dev_sum_squares(struct dev *d, const float *g, size_t n)
{
    double partial[N_PARTIAL], sum = 0.0;
    size_t n_piece = (n + PIECE - 1) / PIECE;
    for (size_t first = 0; first < n_piece; first += N_PARTIAL) {
        size_t count = n_piece - first < N_PARTIAL ? n_piece - first : N_PARTIAL;
        struct optimizer_work w = {.d = d, .g = g, .n = n, .partial = partial, .first = first, .n_piece = count};
        pool_run(d->pool, squares_worker, &w);
        for (size_t i = 0; i < count; i++) sum += partial[i];
    }
    return sum;
}

static void scale_worker(void *arg, int worker, int n_worker)
{
    const struct optimizer_work *w = arg;
    size_t begin, end;
    pool_share(w->n, PIECE, worker, n_worker, &begin, &end);
    if (begin < end) w->d->kern.scale(w->p + begin, w->a, end - begin);
}

void dev_scale(struct dev *d, float *g, float a, size_t n)
{
    struct optimizer_work w = {.d = d, .p = g, .n = n, .a = a};
    pool_run(d->pool, scale_worker, &w);
}

static void copy_worker(void *arg, int worker, int n_worker)
{
    const struct optimizer_work *w = arg;
    size_t begin, end;
    pool_share(w->n, PIECE, worker, n_worker, &begin, &end);
    if (begin < end) memcpy(w->p + begin, w->g + begin, (end - begin) * sizeof(float));
}

void dev_copy(struct dev *d, float *dst, const float *src, size_t n)
{
    struct optimizer_work w = {.d = d, .p = dst, .g = src, .n = n};
    pool_run(d->pool, copy_worker, &w);
}

/* Too little for a second worker: factors of adapters. */
void dev_copy_block(struct dev *d, float *dst, size_t dst_stride, const float *src, size_t src_stride, size_t n_row,
                    size_t n_col)
{
    (void)d;
    for (size_t r = 0; r < n_row; r++) {
        memcpy(dst + r * dst_stride, src + r * src_stride, n_col * sizeof(float));
    }
}

static void adamw_worker(void *arg, int worker, int n_worker)
{
    const struct optimizer_work *w = arg;
    const struct dev_adamw *o = w->opt;
    size_t begin, end;
    pool_share(w->n, PIECE, worker, n_worker, &begin, &end);
    if (begin < end)
        w->d->kern.adamw(w->p + begin, w->m + begin, w->v + begin, w->g + begin, end - begin, o->lr, o->b1, o->b2,
                         o->eps, o->decay, o->c1, o->c2);
}

void dev_adamw(struct dev *d, float *p, float *m, float *v, const float *g, size_t n, const struct dev_adamw *opt)
{
    struct optimizer_work w = {.d = d, .p = p, .m = m, .v = v, .g = g, .n = n, .opt = opt};
    pool_run(d->pool, adamw_worker, &w);
}
