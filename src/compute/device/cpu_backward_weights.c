/* Gradients of weights themselves, for tuning in full: matrices, biases, norms, the embedding. Every sum runs over
 * tokens in their order; workers share the weights, so bits do not depend on their number. */
#include <string.h>

#include "compute/device/cpu_backward_int.h"

enum { WEIGHT_COLS = 128 /* inputs at a time: BACK_K rows of so many stay in L2 */ };

void back_matrix(const struct dev *d, float *dw, const float *dy, size_t ldy, const float *x, size_t n_in, size_t n_row,
                 size_t o0, size_t o1)
{
    if (o0 == o1) return;
    for (size_t c = 0; c < n_in; c += WEIGHT_COLS) {
        size_t n_col = n_in - c < WEIGHT_COLS ? n_in - c : WEIGHT_COLS;
        for (size_t t = 0; t < n_row; t += BACK_K)
            cpu_gemm(d)(dw + o0 * n_in + c, n_in, dy + t * ldy + o0, 1, ldy, x + t * n_in + c, n_in, o1 - o0, n_col,
                        n_row - t < BACK_K ? n_row - t : BACK_K, true);
    }
}

static void back_bias(const struct back_proj *q, size_t n_tok, size_t o0, size_t o1)
{
    size_t n = q->p->w->n_out;
    for (size_t t = 0; t < n_tok; t++)
        for (size_t o = o0; o < o1; o++) q->g.dbias[o] += q->dy[t * n + o];
}

void back_weights(const struct back_linear *w, int worker, int n_worker)
{
    const float *input = w->norm.x != NULL ? w->h : w->input;
    for (int i = 0; i < w->n_proj; i++) {
        const struct back_proj *q = &w->proj[i];
        size_t begin, end, n_out = q->p->w->n_out;
        pool_share(n_out, KERN_ROWS, worker, n_worker, &begin, &end);
        if (q->g.dw != NULL) back_matrix(w->d, q->g.dw, q->rows.dy, q->rows.ldy, input, w->n_in, w->n_tok, begin, end);
        if (q->g.dbias != NULL) back_bias(q, w->n_tok, begin, end);
    }
}

void back_norm_weights(const struct back_norm_rows *r, float *dnorm, int worker, int n_worker)
{
    size_t begin, end;
    pool_share(r->n, KERN_ROWS, worker, n_worker, &begin, &end);
    for (size_t i = 0; i < r->n_row && begin < end; i++) {
        size_t at = r->pick != NULL ? (size_t)r->pick[i] : i;
        const float *dh = r->dh + i * r->n, *x = r->x + at * r->n;
        for (size_t c = begin; c < end; c++) dnorm[c] += dh[c] * x[c] * r->inv_rms[i];
    }
}

/* --- the embedding --- */

struct embed_back {
    float *de;
    const int32_t *ids;
    size_t n_tok, n_embd;
    float scale;
    const float *dx;
};

static void embed_worker(void *arg, int worker, int n_worker)
{
    const struct embed_back *w = arg;
    size_t begin, end;
    pool_share(w->n_embd, KERN_ROWS, worker, n_worker, &begin, &end);
    for (size_t t = 0; t < w->n_tok && begin < end; t++) {
        float *de = w->de + (size_t)w->ids[t] * w->n_embd;
        const float *dx = w->dx + t * w->n_embd;
        for (size_t c = begin; c < end; c++) de[c] += w->scale * dx[c];
    }
}

void dev_embed_backward(struct dev *d, float *de, const int32_t *ids, int n_tok, size_t n_embd, float scale,
                        const float *dx)
{
    struct embed_back w = {de, ids, (size_t)n_tok, n_embd, scale, dx};
    pool_run(d->pool, embed_worker, &w);
}
