/* The loss on chosen rows and its gradient, on the CPU. Logits exist for HEAD_ROWS rows at a time and become their own
 * gradient in place: loss = lse - logit[target], dlogits = (softmax - onehot) weight, dh = dlogits W, then the norm. */
#include <assert.h>
#include <string.h>

#include "compute/device/cpu_backward_int.h"
#include "ground/base/mem.h"

struct head_loss {
    struct dev *d;
    const struct dev_head *p;
    const float *x;
    float *dx;
    size_t n_embd, n_vocab, ld_logits;
    float scale, sharpen;     /* 1 / temperature */
    enum cpu_path path, back; /* forward and transposed product */
    /* the chunk in hand */
    const int32_t *rows, *target;
    const float *weight;
    float *loss;
    uint8_t *correct;
    size_t n_row;
    /* scratch */
    struct cpu_rows h;
    float *h_rows, *inv_rms, *logits,
        *dh; /* [HEAD_ROWS][n_embd], [HEAD_ROWS], [HEAD_ROWS][ld_logits], [HEAD_ROWS][n_embd] */
    struct back_rows dlogits;
    struct dev_head_grad g;
};

static void normalize(const struct head_loss *w, int worker, int n_worker)
{
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        float *h = w->h_rows + i * w->n_embd;
        w->inv_rms[i] = w->d->kern.rms_norm(h, w->x + (size_t)w->rows[i] * w->n_embd, w->p->norm, w->n_embd, w->p->eps);
        if (w->path != PATH_BF16) continue;
        uint16_t *h16 = w->h.bf16 + i * w->h.ld_bf16;
        w->d->kern.f32_to_bf16(h16, h, w->n_embd, KERN_BF16_TIMES);
        memset(h16 + w->n_embd, 0, (w->h.ld_bf16 - w->n_embd) * sizeof(uint16_t));
    }
}

static void make_logits(const struct head_loss *w, int worker, int n_worker)
{
    const struct dev_mat *m = w->p->out.w;
    size_t begin, end;
    pool_share(m->n_group, TILE_GROUPS, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g += TILE_GROUPS) {
        size_t to = g + TILE_GROUPS < end ? g + TILE_GROUPS : end;
        cpu_product(w->d, w->path, m, &w->h, g, to, w->logits + g * KERN_ROWS, w->ld_logits, false,
                    carve_begin(&w->d->worker[worker]));
    }
}

static bool is_most_likely(const float *logits, size_t n, size_t target)
{
    float at_target = logits[target];
    for (size_t i = 0; i < n; i++)
        if (logits[i] > at_target) return false;
    return true;
}

/* Logits as the loss sees them. */
static void finish_logits(const struct head_loss *w, float *logits)
{
    const struct kern *k = &w->d->kern;
    if (w->p->out.bias != NULL) k->add(logits, w->p->out.bias, w->n_vocab);
    if (w->p->softcap > 0)
        k->softcap(logits, w->n_vocab, w->scale, w->p->softcap);
    else if (w->scale != 1.0f)
        k->scale(logits, w->scale, w->n_vocab);
    if (w->sharpen != 1.0f) k->scale(logits, w->sharpen, w->n_vocab);
}

/* Gradient of the finished logits, in place, then of the raw ones. finished: scratch for a row. */
static void logits_back(const struct head_loss *w, float *logits, float lse, size_t target, float weight,
                        float *finished)
{
    const struct kern *k = &w->d->kern;
    float cap = w->p->softcap * w->sharpen; /* of the finished ones */
    if (cap > 0) memcpy(finished, logits, w->n_vocab * sizeof(float));
    k->cross_entropy_backward(logits, logits, w->n_vocab, lse, target, weight);
    for (size_t i = 0; i < w->n_vocab && cap > 0; i++) logits[i] *= 1.0f - (finished[i] / cap) * (finished[i] / cap);
    if (w->scale != 1.0f) k->scale(logits, w->scale, w->n_vocab);
    if (w->sharpen != 1.0f) k->scale(logits, w->sharpen, w->n_vocab);
}

static void take_loss(const struct head_loss *w, int worker, int n_worker)
{
    const struct kern *k = &w->d->kern;
    struct carve c = carve_begin(&w->d->worker[worker]);
    float *row = w->dx != NULL && w->p->softcap > 0 ? carve_take(&c, w->n_vocab * sizeof(float)) : NULL;
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        float *logits = w->logits + i * w->ld_logits;
        size_t target = (size_t)w->target[i];
        finish_logits(w, logits);
        float lse = k->log_sum_exp(logits, w->n_vocab);
        if (w->loss != NULL) w->loss[i] = lse - logits[target];
        if (w->correct != NULL) w->correct[i] = is_most_likely(logits, w->n_vocab, target);
        if (w->dx != NULL) logits_back(w, logits, lse, target, w->weight[i], row);
    }
}

static void head_back(const struct head_loss *w, int worker, int n_worker)
{
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    back_convert(w->d, w->back, &w->dlogits, w->n_vocab, begin, end);
    if (w->back == PATH_BF16) pool_barrier(w->d->pool);
    struct back_part part = back_part_of(w->n_row, w->n_embd, worker, n_worker);
    back_columns(w->d, w->back, w->p->out.w, &w->dlogits, &part, w->dh, w->n_embd, false,
                 carve_begin(&w->d->worker[worker]));
    if (w->g.dw != NULL) {
        pool_share(w->n_vocab, KERN_ROWS, worker, n_worker, &begin, &end);
        back_matrix(w->d, w->g.dw, w->logits, w->ld_logits, w->h_rows, w->n_embd, w->n_row, begin, end);
    }
    pool_barrier(w->d->pool);
    const struct back_norm_rows rows = {w->dh, w->x, w->inv_rms, w->rows, w->n_row, w->n_embd};
    if (w->g.dnorm != NULL) back_norm_weights(&rows, w->g.dnorm, worker, n_worker);
    /* equal rows stand together and stay with one worker */
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    while (begin > 0 && begin < w->n_row && w->rows[begin] == w->rows[begin - 1]) begin++;
    while (end > 0 && end < w->n_row && w->rows[end] == w->rows[end - 1]) end++;
    for (size_t i = begin; i < end; i++) {
        size_t at = (size_t)w->rows[i] * w->n_embd;
        w->d->kern.rms_norm_backward(w->dx + at, w->dh + i * w->n_embd, w->x + at, w->p->norm, w->n_embd,
                                     w->inv_rms[i]);
    }
}

static void head_worker(void *arg, int worker, int n_worker)
{
    const struct head_loss *w = arg;
    normalize(w, worker, n_worker);
    pool_barrier(w->d->pool);
    make_logits(w, worker, n_worker);
    pool_barrier(w->d->pool);
    take_loss(w, worker, n_worker);
    if (w->dx == NULL) return;
    pool_barrier(w->d->pool);
    head_back(w, worker, n_worker);
}

static void take_scratch(struct head_loss *w, struct carve *c)
{
    w->h_rows = carve_take(c, HEAD_ROWS * w->n_embd * sizeof(float));
    w->inv_rms = carve_take(c, HEAD_ROWS * sizeof(float));
    w->dh = carve_take(c, HEAD_ROWS * w->n_embd * sizeof(float));
    w->logits = carve_take(c, HEAD_ROWS * w->ld_logits * sizeof(float));
    w->h = (struct cpu_rows){.x = w->h_rows, .ldx = w->n_embd, .ld_bf16 = round_up(w->n_embd, KERN_K)};
    w->dlogits = (struct back_rows){.dy = w->logits, .ldy = w->ld_logits, .ld_bf16 = round_up(w->n_vocab, KERN_K)};
    if (w->path == PATH_BF16) w->h.bf16 = carve_take(c, HEAD_ROWS * w->h.ld_bf16 * sizeof(uint16_t));
    if (w->back == PATH_BF16) w->dlogits.bf16 = carve_take(c, HEAD_ROWS * w->dlogits.ld_bf16 * sizeof(uint16_t));
}

void dev_head_loss(struct dev *d, const struct dev_batch *b, const struct dev_head *p, const float *x,
                   const int32_t *rows, const int32_t *target, const float *weight, int n_row, float *loss,
                   uint8_t *correct, float *dx, const struct dev_head_grad *g)
{
    const struct dev_mat *m = p->out.w;
    assert(cpu_lora(&p->out, &b->segment[0]) == NULL);
    struct head_loss w = {.d = d, .p = p, .x = x, .dx = dx, .n_embd = m->n_in, .n_vocab = m->n_out};
    if (g != NULL) w.g = *g;
    w.scale = p->scale > 0 ? p->scale : 1.0f;
    w.sharpen = p->temperature > 0 ? 1.0f / p->temperature : 1.0f;
    w.ld_logits = m->n_group * KERN_ROWS;
    w.path = cpu_path_choose(d, DEV_TRAIN, m->type, false, (size_t)n_row);
    w.back = back_path(d, m, (size_t)n_row);
    struct carve c = carve_begin(&d->shared);
    take_scratch(&w, &c);
    for (size_t i = 0; i < (size_t)n_row; i += w.n_row) {
        w.n_row = (size_t)n_row - i < HEAD_ROWS ? (size_t)n_row - i : HEAD_ROWS;
        w.rows = rows + i;
        w.target = target + i;
        w.weight = weight == NULL ? NULL : weight + i;
        w.loss = loss == NULL ? NULL : loss + i;
        w.correct = correct == NULL ? NULL : correct + i;
        w.h.n_row = w.dlogits.n_row = w.n_row;
        pool_run(d->pool, head_worker, &w);
    }
}

void dev_log_prob(const struct dev *d, float *logits, size_t n_vocab, float temperature, int32_t id, float *room,
                  float *logp, float *entropy)
{
    const struct kern *k = &d->kern;
    if (temperature != 1.0f) k->scale(logits, 1.0f / temperature, n_vocab);
    float lse = k->log_sum_exp(logits, n_vocab);
    *logp = -(lse - logits[id]);
    memcpy(room, logits, n_vocab * sizeof(float));
    (void)k->softmax(room, n_vocab, 1.0f);
    *entropy = lse - k->dot(room, logits, n_vocab);
}

size_t back_head_bytes(const struct dev *d, const struct dev_train_shape *s)
{
    size_t n_embd = (size_t)s->n_embd, n_vocab = round_up((size_t)s->n_vocab, KERN_K);
    size_t bytes = HEAD_ROWS * (2 * n_embd + n_vocab + 1) * sizeof(float);
    if (d->kern.gemm_bf16 != NULL) bytes += HEAD_ROWS * (n_embd + KERN_K + n_vocab) * sizeof(uint16_t);
    return bytes + 64 * 8;
}
