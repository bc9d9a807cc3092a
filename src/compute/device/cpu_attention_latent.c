/* Attention over a compressed cache, forward: what differs from keys and values of their own. A page is [DEV_PAGE]
 * rows of latent and key. As it stands it is the panel of the product of weights with values; for scores it is the
 * other operand, and the queries, transposed once an item, are the panel. */
#include "compute/device/cpu_attention.h"

#include <string.h>

#include "ground/base/mem.h"

enum { LANES = 16, FEW_ROWS_F16 = 8 };

size_t cpu_attention_latent_bytes(size_t n_row, size_t d_head)
{
    return n_row * (d_head + DEV_PAGE) * sizeof(float) + 2 * 64;
}

void cpu_attention_latent_begin(const struct attention *p, struct work *w, struct carve *c)
{
    size_t ld = round_up(w->n_row, LANES);
    w->latent.ld = ld;
    w->latent.q = carve_take(c, ld * (size_t)p->p->d_head * sizeof(float));
    w->latent.score = carve_take(c, ld * DEV_PAGE * sizeof(float));
}

void cpu_attention_latent_queries(const struct attention *p, struct work *w)
{
    size_t d = (size_t)p->p->d_head, ld = w->latent.ld;
    for (size_t r = 0; r < w->n_row; r++) {
        for (size_t i = 0; i < d; i++) {
            w->latent.q[i * ld + r] = w->q[r * d + i];
        }
    }
}

/* The rows of a span in float32: the page itself, or converted into w->k. */
static const float *load_rows(const struct attention *p, struct work *w, const struct span *at)
{
    size_t d = (size_t)p->p->d_head, offset = (size_t)at->slot * d;
    const void *page = kv_head(p->kv, at->page, p->layer, false, 0);
    if (!p->kv->is_f16) {
        return (const float *)page + offset;
    }
    p->d->kern.f16_to_f32(w->k, (const uint16_t *)page + offset, (size_t)at->n * d);
    return w->k;
}

void cpu_attention_latent_scores(const struct attention *p, const struct item *it, struct work *w,
                                 const struct span *at)
{
    (void)it;
    size_t d = (size_t)p->p->d_head, n = (size_t)at->n, ld = w->latent.ld, n_row = w->n_row - at->row0;
    const float *rows = load_rows(p, w, at);
    float *score = w->score + at->row0 * w->ld + (at->pos - w->base);
    cpu_gemm(p->d)(w->latent.score, ld, rows, d, 1, w->latent.q + at->row0, ld, n, n_row, d, false);
    for (size_t r = 0; r < n_row; r++) {
        for (size_t i = 0; i < n; i++) {
            score[r * w->ld + i] = w->latent.score[i * ld + r];
        }
    }
}

void cpu_attention_latent_values(const struct attention *p, const struct item *it, struct work *w,
                                 const struct span *at)
{
    (void)it;
    size_t d = (size_t)p->p->d_head, dv = kv_value_len(&p->kv->shape), n_row = w->n_row - at->row0;
    float *out = w->out + at->row0 * dv;
    const float *weight = w->score + at->row0 * w->ld + (at->pos - w->base);
    bool more = at->pos > w->base;
    if (p->kv->is_f16 && w->n_row <= FEW_ROWS_F16 && dv % LANES == 0) {
        const uint16_t *page = kv_head(p->kv, at->page, p->layer, false, 0);
        p->d->kern.gemm_f16(out, dv, weight, w->ld, 1, page + (size_t)at->slot * d, d, n_row, dv, (size_t)at->n, more);
    } else {
        p->d->kern.gemm_f32(out, dv, weight, w->ld, 1, load_rows(p, w, at), d, n_row, dv, (size_t)at->n, more);
    }
}

void cpu_attention_latent_gather(const struct attention *p, const struct item *it, struct work *w,
                                 const struct span *at)
{
    (void)it;
    size_t d = (size_t)p->p->d_head, dv = kv_value_len(&p->kv->shape);
    const float *rows = load_rows(p, w, at);
    for (size_t i = 0; i < (size_t)at->n; i++) {
        memcpy(w->v_all + ((size_t)(at->pos - w->base) + i) * dv, rows + i * d, dv * sizeof(float));
    }
}
