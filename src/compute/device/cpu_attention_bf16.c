/* Attention in bfloat16, forward, for many rows: pages of float16 become panels of pairs, positions are taken in runs
 * whose scores and weights stay in the second-level cache however long the context is. Scores and sums are float32;
 * queries, keys, weights and values are rounded to 8 bits of precision, far below what the rounding of the matrix
 * products' inputs does to an answer. */
#include "compute/device/cpu_attention.h"

#include <string.h>

#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"

enum {
    MIN_ROWS = 16, /* of a segment; a decode step is as fast in float32 */
    RUN = CPU_ATTENTION_RUN,
    LD = CPU_ATTENTION_LD,
    LANES = 16
};

bool cpu_attention_takes_bf16(const struct attention *p, const struct dev_segment *s)
{
    return p->d->opt.precision == PRECISION_AUTO && p->d->kern.gemm_bf16 && p->kv->is_f16 &&
           p->kv->shape.n_latent == 0 && p->lse == NULL && s->n_tok * (p->p->n_head / p->p->n_kv_head) >= MIN_ROWS &&
           p->p->d_head % KERN_K == 0;
}

size_t cpu_attention_bf16_bytes(size_t n_row, size_t d_head)
{
    return (n_row * (d_head + RUN) + (DEV_PAGE + RUN) * d_head) * sizeof(uint16_t) + 2 * n_row * sizeof(float) + 6 * 64;
}

void cpu_attention_bf16_begin(const struct attention *p, struct work *w, struct carve *c)
{
    size_t dh = (size_t)p->p->d_head;
    struct work_bf16 *b = &w->bf16;
    b->q = carve_take(c, w->n_row * dh * sizeof(uint16_t));
    b->weight = carve_take(c, w->n_row * RUN * sizeof(uint16_t));
    b->k = carve_take(c, DEV_PAGE * dh * sizeof(uint16_t));
    b->v = carve_take(c, RUN * dh * sizeof(uint16_t));
    b->max = carve_take(c, w->n_row * sizeof(float));
    b->sum = carve_take(c, w->n_row * sizeof(float));
    b->run_n = 0;
}

/* Scores of the run's positions in [from, to) of its columns become weights, the others 0. What the row has summed so
 * far shrinks when they hold a larger score. */
static void weigh(const struct attention *p, struct work *w, size_t row, size_t from, size_t to)
{
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head;
    uint16_t *weight = b->weight + row * RUN;
    memset(weight, 0, from * sizeof(*weight));
    memset(weight + to, 0, (round_up((size_t)b->run_n, DEV_PAGE) - to) * sizeof(*weight));
    if (from == to) {
        return;
    }
    float old = b->max[row];
    float *score = w->score + row * LD + from, scale = p->p->scale;
    if (p->p->softcap > 0) {
        p->d->kern.softcap(score, to - from, scale, p->p->softcap);
        scale = 1.0f;
    }
    float sum = p->d->kern.exp_bf16(weight + from, score, to - from, scale, &b->max[row]);
    float shrink = kmath_expf(old - b->max[row]);
    b->sum[row] = b->sum[row] * shrink + sum;
    if (b->run_pos > w->base && shrink < 1.0f) {
        p->d->kern.scale(w->out + row * dh, shrink, dh);
    }
}

static size_t within(int pos, int n)
{
    return (size_t)(pos < 0 ? 0 : pos > n ? n : pos);
}

static void finish_run(const struct attention *p, const struct item *it, struct work *w)
{
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head, row0 = b->run_row0;
    if (b->run_n == 0) {
        return;
    }
    for (size_t r = row0; r < w->n_row; r++) {
        int t = it->tok0 + (int)r / it->n_head, pos = it->s->first_pos + t;
        size_t to = within(pos + 1 - b->run_pos, b->run_n);
        size_t from = within(first_seen(p, it->s, t) - b->run_pos, (int)to);
        weigh(p, w, r, from, to);
    }
    p->d->kern.gemm_bf16(w->out + row0 * dh, dh, b->weight + row0 * RUN, RUN, b->v, RUN * LANES, w->n_row - row0,
                         dh / LANES, round_up((size_t)b->run_n, DEV_PAGE), b->run_pos > w->base);
    b->run_n = 0;
}

/* Scores of the span, up to 15 columns more: of the next span, or of none. */
static void add_keys(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    const struct kern *k = &p->d->kern;
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head, n_col = round_up((size_t)at->n, LANES), stride = dh * LANES;
    const uint16_t *page = kv_head(p->kv, at->page, p->layer, false, it->kv_head);
    k->pairs_bf16(b->k, stride, page + at->slot, DEV_PAGE, dh, n_col);
    k->gemm_bf16(w->score + at->row0 * LD + (at->pos - b->run_pos), LD, b->q + at->row0 * dh, dh, b->k, stride,
                 w->n_row - at->row0, n_col / LANES, dh, false);
}

/* A page stands as 32 positions, those that it lacks as zeros. */
static void add_values(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    struct work_bf16 *b = &w->bf16;
    size_t dh = (size_t)p->p->d_head, n = (size_t)at->n, used = round_up(n, 2) * LANES;
    const uint16_t *page = kv_head(p->kv, at->page, p->layer, true, it->kv_head);
    uint16_t *to = b->v + (size_t)(at->pos - b->run_pos) * LANES;
    p->d->kern.pairs_bf16(to, RUN * LANES, page + (size_t)at->slot * dh, dh, n, dh);
    for (size_t g = 0; g < dh / LANES && used < DEV_PAGE * LANES; g++) {
        memset(to + g * RUN * LANES + used, 0, (DEV_PAGE * LANES - used) * sizeof(*to));
    }
}

/* A run goes on while pages are full: the next column is the next position. */
static void add_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    struct work_bf16 *b = &w->bf16;
    if (b->run_n == 0) {
        b->run_pos = at->pos;
        b->run_row0 = at->row0;
    }
    add_keys(p, it, w, at);
    add_values(p, it, w, at);
    b->run_n = at->pos - b->run_pos + at->n;
    if (at->n < DEV_PAGE || b->run_n == RUN) {
        finish_run(p, it, w);
    }
}

void cpu_attention_bf16(const struct attention *p, const struct item *it, struct work *w)
{
    size_t dh = (size_t)p->p->d_head;
    p->d->kern.f32_to_bf16(w->bf16.q, w->q, w->n_row * dh, 1.0f);
    for (size_t r = 0; r < w->n_row; r++) {
        w->bf16.max[r] = -1e30f;
        w->bf16.sum[r] = 0;
    }
    cpu_attention_each_span(p, it, w, add_span);
    finish_run(p, it, w);
    for (size_t r = 0; r < w->n_row; r++) {
        p->d->kern.scale(w->out + r * dh, 1.0f / w->bf16.sum[r], dh);
    }
}
