/* Attention over a compressed cache, forward: what differs from keys and values of their own. A page is [DEV_PAGE]
 * rows of latent and key, and those of several pages make a run in float32. As it stands a run is the panel of the
 * product of weights with values; for scores it is the other operand, and the queries, transposed once an item, are the
 * panel. (Runs of 128 positions rather than pages of 32: sums of 128 rows x 512 values are written a quarter as often.)
 */
#include "compute/device/cpu_attention.h"

#include <string.h>

#include "ground/base/mem.h"

enum { LANES = 16, RUN = 128, FEW_ROWS_F16 = 8 };

size_t cpu_attention_latent_bytes(size_t n_row, size_t d_head)
{
    return (n_row * (d_head + RUN) + RUN * d_head) * sizeof(float) + 3 * 64;
}

void cpu_attention_latent_begin(const struct attention *p, struct work *w, struct carve *c)
{
    size_t ld = round_up(w->n_row, LANES), d = (size_t)p->p->d_head;
    w->latent.ld = ld;
    w->latent.q = carve_take(c, ld * d * sizeof(float));
    w->latent.rows = carve_take(c, RUN * d * sizeof(float));
    w->latent.score = carve_take(c, ld * RUN * sizeof(float));
}

void cpu_attention_latent_rows(const struct attention *p, const struct span *at, float *to)
{
    size_t d = (size_t)p->p->d_head, offset = (size_t)at->slot * d, n = (size_t)at->n * d;
    const void *page = kv_head(p->kv, at->page, p->layer, false, 0);
    if (p->kv->is_f16) {
        p->d->kern.f16_to_f32(to, (const uint16_t *)page + offset, n);
    } else {
        memcpy(to, (const float *)page + offset, n * sizeof(float));
    }
}

/* The span joins the run; true when there is no room for another one. */
static bool add_to_run(const struct attention *p, struct work *w, const struct span *at)
{
    struct work_latent *l = &w->latent;
    if (l->run_n == 0) {
        l->run_pos = at->pos;
        l->run_row0 = at->row0;
    }
    cpu_attention_latent_rows(p, at, l->rows + (size_t)l->run_n * (size_t)p->p->d_head);
    l->run_n += at->n;
    return l->run_n + DEV_PAGE > RUN;
}

/* --- scores --- */

static void score_run(const struct attention *p, struct work *w)
{
    struct work_latent *l = &w->latent;
    size_t d = (size_t)p->p->d_head, n = (size_t)l->run_n, ld = l->ld, n_row = w->n_row - l->run_row0;
    float *score = w->score + l->run_row0 * w->ld + (l->run_pos - w->base);
    if (n > 0) {
        cpu_gemm(p->d)(l->score, ld, l->rows, d, 1, l->q + l->run_row0, ld, n, n_row, d, false);
    }
    for (size_t r = 0; r < n_row; r++) {
        for (size_t i = 0; i < n; i++) {
            score[r * w->ld + i] = l->score[i * ld + r];
        }
    }
    l->run_n = 0;
}

static void score_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    (void)it;
    if (add_to_run(p, w, at)) {
        score_run(p, w);
    }
}

void cpu_attention_latent_scores(const struct attention *p, const struct item *it, struct work *w)
{
    size_t d = (size_t)p->p->d_head, ld = w->latent.ld;
    for (size_t r = 0; r < w->n_row; r++) {
        for (size_t i = 0; i < d; i++) {
            w->latent.q[i * ld + r] = w->q[r * d + i];
        }
    }
    cpu_attention_each_span(p, it, w, score_span);
    score_run(p, w);
}

/* --- values --- */

static void value_run(const struct attention *p, struct work *w)
{
    struct work_latent *l = &w->latent;
    size_t d = (size_t)p->p->d_head, dv = kv_value_len(&p->kv->shape), n_row = w->n_row - l->run_row0;
    const float *weight = w->score + l->run_row0 * w->ld + (l->run_pos - w->base);
    if (l->run_n > 0) {
        p->d->kern.gemm_f32(w->out + l->run_row0 * dv, dv, weight, w->ld, 1, l->rows, d, n_row, dv, (size_t)l->run_n,
                            l->run_pos > w->base);
    }
    l->run_n = 0;
}

static void value_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    (void)it;
    if (add_to_run(p, w, at)) {
        value_run(p, w);
    }
}

/* Few rows take a page in float16 as it stands. */
static void value_span_f16(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    (void)it;
    size_t d = (size_t)p->p->d_head, dv = kv_value_len(&p->kv->shape), n_row = w->n_row - at->row0;
    const uint16_t *page = kv_head(p->kv, at->page, p->layer, false, 0);
    const float *weight = w->score + at->row0 * w->ld + (at->pos - w->base);
    p->d->kern.gemm_f16(w->out + at->row0 * dv, dv, weight, w->ld, 1, page + (size_t)at->slot * d, d, n_row, dv,
                        (size_t)at->n, at->pos > w->base);
}

void cpu_attention_latent_values(const struct attention *p, const struct item *it, struct work *w)
{
    bool as_is = p->kv->is_f16 && w->n_row <= FEW_ROWS_F16 && kv_value_len(&p->kv->shape) % LANES == 0;
    cpu_attention_each_span(p, it, w, as_is ? value_span_f16 : value_span);
    value_run(p, w);
}

static void gather_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    (void)it;
    size_t d = (size_t)p->p->d_head, dv = kv_value_len(&p->kv->shape);
    cpu_attention_latent_rows(p, at, w->latent.rows);
    for (size_t i = 0; i < (size_t)at->n; i++) {
        memcpy(w->v_all + ((size_t)(at->pos - w->base) + i) * dv, w->latent.rows + i * d, dv * sizeof(float));
    }
}

void cpu_attention_latent_gather(const struct attention *p, const struct item *it, struct work *w)
{
    cpu_attention_each_span(p, it, w, gather_span);
}
