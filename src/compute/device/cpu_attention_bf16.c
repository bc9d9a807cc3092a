/* The two products of attention in bfloat16, forward: pages of float16 become panels of pairs. Scores and sums stay
 * float32; queries, keys, weights and values are rounded to 8 bits of precision, far below what the rounding of the
 * matrix products' inputs does to an answer. */
#include "compute/device/cpu_attention.h"

#include <string.h>

#include "ground/base/mem.h"

enum {
    MIN_ROWS = 16, /* fewer rows do not pay for the panels: a decode step is as fast in float32 */
    RUN = 512,     /* positions of a panel of values: 64 KiB at 64 values a head stay in L2 */
    LANES = 16
};

bool cpu_attention_takes_bf16(const struct attention *p, size_t n_row)
{
    return p->d->opt.precision == PRECISION_AUTO && p->d->kern.gemm_bf16 && p->kv->is_f16 && p->lse == NULL &&
           n_row >= MIN_ROWS && p->p->d_head % KERN_K == 0;
}

size_t cpu_attention_bf16_bytes(size_t n_score, size_t n_row, size_t d_head)
{
    size_t weights = n_score + n_row * 2 * DEV_PAGE;
    return (n_row * d_head + weights + (DEV_PAGE + RUN) * d_head) * sizeof(uint16_t) + n_row * sizeof(float) + 5 * 64;
}

void cpu_attention_bf16_begin(const struct attention *p, struct work *w, struct carve *c)
{
    size_t dh = (size_t)p->p->d_head;
    struct work_bf16 *b = &w->bf16;
    b->ld = round_up((size_t)(w->end - w->base), DEV_PAGE) + DEV_PAGE; /* the last page is read whole */
    b->q = carve_take(c, w->n_row * dh * sizeof(uint16_t));
    b->weight = carve_take(c, w->n_row * b->ld * sizeof(uint16_t));
    b->inv_sum = carve_take(c, w->n_row * sizeof(float));
    b->k = carve_take(c, DEV_PAGE * dh * sizeof(uint16_t));
    b->v = carve_take(c, RUN * dh * sizeof(uint16_t));
    b->run_n = 0;
}

void cpu_attention_bf16_queries(const struct attention *p, struct work *w)
{
    p->d->kern.f32_to_bf16(w->bf16.q, w->q, w->n_row * (size_t)p->p->d_head);
}

void cpu_attention_bf16_weights(const struct attention *p, const struct item *it, struct work *w)
{
    struct work_bf16 *b = &w->bf16;
    for (size_t r = 0; r < w->n_row; r++) {
        size_t from, n;
        const float *score = cpu_attention_row(p, it, w, r, &from, &n);
        uint16_t *weight = b->weight + r * b->ld;
        b->inv_sum[r] = 1.0f / p->d->kern.exp_bf16(weight + from, score + from, n, p->p->scale);
        memset(weight, 0, from * sizeof(*weight));
        memset(weight + from + n, 0, (b->ld - from - n) * sizeof(*weight));
    }
}

void cpu_attention_bf16_scores(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    const struct kern *k = &p->d->kern;
    size_t dh = (size_t)p->p->d_head, n_col = round_up((size_t)at->n, LANES), stride = dh * LANES;
    const uint16_t *page = kv_head(p->kv, at->page, p->layer, false, it->kv_head);
    k->pairs_bf16(w->bf16.k, stride, page + at->slot, DEV_PAGE, dh, n_col);
    k->gemm_bf16(w->score + at->row0 * w->ld + (at->pos - w->base), w->ld, w->bf16.q + at->row0 * dh, dh, w->bf16.k,
                 stride, w->n_row - at->row0, n_col / LANES, dh, false);
}

static void multiply_run(const struct attention *p, struct work *w)
{
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head;
    if (b->run_n > 0) {
        p->d->kern.gemm_bf16(w->out + b->run_row0 * dh, dh, b->weight + b->run_row0 * b->ld + (b->run_pos - w->base),
                             b->ld, b->v, RUN * LANES, w->n_row - b->run_row0, dh / LANES, (size_t)b->run_n,
                             b->run_pos > w->base);
    }
    b->run_n = 0;
}

/* A page stands as 32 positions, those that it lacks as zeros, so that whatever weight they meet adds nothing. A run
 * goes on while pages are full: the next weight belongs to the next value. */
void cpu_attention_bf16_values(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head, n = (size_t)at->n;
    if (b->run_n == 0) {
        b->run_pos = at->pos;
        b->run_row0 = at->row0;
    }
    const uint16_t *page = kv_head(p->kv, at->page, p->layer, true, it->kv_head);
    uint16_t *to = b->v + (size_t)b->run_n * LANES;
    p->d->kern.pairs_bf16(to, RUN * LANES, page + (size_t)at->slot * dh, dh, n, dh);
    for (size_t g = 0; g < dh / LANES; g++) {
        size_t used = round_up(n, 2) * LANES;
        memset(to + g * RUN * LANES + used, 0, (DEV_PAGE * LANES - used) * sizeof(*to));
    }
    b->run_n += DEV_PAGE;
    if (at->n < DEV_PAGE || b->run_n == RUN) {
        multiply_run(p, w);
    }
}

void cpu_attention_bf16_finish(const struct attention *p, struct work *w)
{
    size_t dh = (size_t)p->p->d_head;
    multiply_run(p, w);
    for (size_t r = 0; r < w->n_row; r++) {
        p->d->kern.scale(w->out + r * dh, w->bf16.inv_sum[r], dh);
    }
}
