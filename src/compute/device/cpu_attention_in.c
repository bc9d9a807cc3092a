/* Norm, projections to q, k, v, rotation, and the store of k and v into their pages. */
#include <assert.h>
#include <string.h>

#include "compute/device/cpu_input.h"
#include "compute/kernels/half.h"
#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"

struct attention_in {
    struct dev *d;
    struct cpu_input in;
    const struct dev_attn_in *p;
    float *q;
    struct dev_kv *kv;
    int layer;
    size_t n_tok;
};

/* One block of rows in shared scratch. */
struct attention_in_block {
    struct cpu_prepared in;
    struct row_place *place; /* [n_row] */
    float *k, *v;            /* [n_row][n_kv_head * d_head] */
};

/* Groups [begin, end) of q, k and v, which are one list. */
static void project_part(const struct attention_in *p, const struct attention_in_block *b, size_t begin, size_t end,
                         struct carve c)
{
    size_t first = 0;
    float *out[] = {p->q + b->in.row0 * p->in.proj[0]->w->n_out, b->k, b->v};
    for (int i = 0; i < 3; i++) {
        size_t n = p->in.proj[i]->w->n_group;
        size_t from = begin > first ? begin - first : 0, to = end > first ? min_size(end - first, n) : 0;
        if (from < to) {
            cpu_project_out(p->d, &p->in, &b->in, i, from, to, out[i], false, c);
        }
        first += n;
    }
}

static void project_all(const struct attention_in *p, const struct attention_in_block *b, int worker, struct carve c)
{
    size_t total = 0, begin, end;
    for (int i = 0; i < 3; i++) {
        total += p->in.proj[i]->w->n_group;
    }
    size_t step = cpu_take_groups(p->d, p->in.path[0], total, p->in.proj[0]->w->group_bytes, b->in.rows.n_row);
    while (pool_take(p->d->pool, total, step, worker, &begin, &end)) {
        project_part(p, b, begin, end, c);
    }
}

/* A head of one token in int8 with its scales. */
static void store_q8(const struct dev *d, const struct dev_kv *kv, void *head, bool is_v, size_t slot, const float *x,
                     size_t n, void *scratch)
{
    struct q8_rows q = {.q = scratch, .n_k = n};
    q.d = (float *)(void *)(q.q + round_up(n, 64));
    q.sum = (int32_t *)(void *)(q.d + n / KERN_K);
    q.sum16 = q.sum + n / KERN_K;
    d->kern.quantize_q8(&q, x, n, 1, n);
    int8_t *to = (int8_t *)head + (is_v ? slot * n : slot);
    uint16_t *scale = kv_scales(kv, head) + (is_v ? slot * (n / KERN_K) : slot);
    for (size_t i = 0; i < n; i++) {
        to[i * (is_v ? 1 : DEV_PAGE)] = q.q[i];
    }
    for (size_t i = 0; i < n / KERN_K; i++) {
        scale[i * (is_v ? 1 : DEV_PAGE)] = f16_bits(q.d[i]);
    }
}

/* Elements i at dst + i * stride, float32 or float16. */
static void store_head(const struct dev *d, const struct dev_kv *kv, void *head, size_t offset, size_t stride,
                       const float *x, size_t n, uint16_t *half)
{
    if (!kv->is_f16) {
        float *dst = (float *)head + offset;
        for (size_t i = 0; i < n; i++) {
            dst[i * stride] = x[i];
        }
        return;
    }
    uint16_t *dst = (uint16_t *)head + offset;
    if (stride == 1) {
        d->kern.f32_to_f16(dst, x, n);
        return;
    }
    d->kern.f32_to_f16(half, x, n);
    for (size_t i = 0; i < n; i++) {
        dst[i * stride] = half[i];
    }
}

/* Values of q and k before their norms, where the backward pass wants them. */
static void keep_raw(const struct attention_in *p, const struct attention_in_block *b, size_t begin, size_t end)
{
    const struct dev_attn_in *a = p->p;
    size_t n_q = a->q.w->n_out, n_k = a->k.w->n_out, row0 = b->in.row0;
    if (a->q_raw && begin < end) {
        memcpy(a->q_raw + (row0 + begin) * n_q, p->q + (row0 + begin) * n_q, (end - begin) * n_q * sizeof(float));
        memcpy(a->k_raw + (row0 + begin) * n_k, b->k + begin * n_k, (end - begin) * n_k * sizeof(float));
    }
}

/* Norms of q and k: of whole rows, or of each head. Each worker its rows; others read them after a barrier. */
static void norm_rows(const struct attention_in *p, const struct attention_in_block *b, int worker, int n_worker)
{
    const struct dev_attn_in *a = p->p;
    size_t n_q = a->q.w->n_out, n_k = a->k.w->n_out, begin, end, step_q = a->full_norm ? n_q : (size_t)a->d_head,
           step_k = a->full_norm ? n_k : (size_t)a->d_head;
    pool_share(b->in.rows.n_row, 1, worker, n_worker, &begin, &end);
    keep_raw(p, b, begin, end);
    for (size_t r = begin; r < end; r++) {
        float *q = p->q + (b->in.row0 + r) * n_q, *k = b->k + r * n_k;
        for (size_t i = 0; i < n_q; i += step_q) {
            p->d->kern.rms_norm(q + i, q + i, a->q_norm, step_q, a->eps);
        }
        for (size_t i = 0; i < n_k; i += step_k) {
            p->d->kern.rms_norm(k + i, k + i, a->k_norm, step_k, a->eps);
        }
    }
}

static void rotate(const struct attention_in *p, float *x, size_t n_head, const float *cos, const float *sin)
{
    const struct dev_rope *rope = p->p->rope;
    if (rope) {
        p->d->kern.rope(x, n_head, (size_t)p->p->d_head, (size_t)rope->n_rot, cos, sin, rope->halves, 1.0f);
    }
    for (size_t h = 0; h < n_head && p->p->rotated_norm; h++) {
        float *head = x + h * (size_t)p->p->d_head;
        p->d->kern.rms_norm(head, head, p->p->rotated_norm, (size_t)p->p->d_head, p->p->eps);
    }
}

/* What queries are multiplied by at a position. */
static float temperature(const struct dev_attn_in *a, int32_t pos)
{
    float step = (float)((pos + 1) / a->temperature_floor);
    return 1.0f + a->temperature_scale * kmath_logf(step + 1.0f);
}

/* Heads [begin, end) of one row, counted over q, then k, then v: rotated, and k and v stored. */
static void finish_row(const struct attention_in *p, const struct attention_in_block *b, size_t r, size_t begin,
                       size_t end, uint16_t *half)
{
    const struct dev_attn_in *a = p->p;
    size_t n_q = (size_t)a->n_head, n_kv = (size_t)a->n_kv_head, dh = (size_t)a->d_head;
    const struct row_place *at = &b->place[r];
    const float *cos = NULL, *sin = NULL;
    assert(at->page >= 0); /* every token of a batch lies in a segment, and its blocks cover it */
    if (a->rope) {
        cpu_rope_row(p->d, b->in.row0 + r, at->pos, &cos, &sin);
    }
    if (begin < n_q) {
        float *q = p->q + ((b->in.row0 + r) * n_q + begin) * dh;
        rotate(p, q, min_size(end, n_q) - begin, cos, sin);
        if (a->temperature_floor > 0) {
            p->d->kern.scale(q, temperature(a, at->pos), (min_size(end, n_q) - begin) * dh);
        }
    }
    for (size_t h = begin > n_q ? begin : n_q; h < end; h++) {
        bool is_v = h >= n_q + n_kv;
        size_t kv_idx = h - n_q - (is_v ? n_kv : 0);
        float *x = (is_v ? b->v : b->k) + (r * n_kv + kv_idx) * dh;
        if (!is_v) {
            rotate(p, x, 1, cos, sin);
        }
        void *head = kv_head(p->kv, at->page, p->layer, is_v, (int)kv_idx);
        size_t slot = (size_t)at->slot;
        if (p->kv->is_q8) {
            store_q8(p->d, p->kv, head, is_v, slot, x, dh, half);
            continue;
        }
        store_head(p->d, p->kv, head, is_v ? slot * dh : slot, is_v ? 1 : DEV_PAGE, x, dh, half);
    }
}

static void finish(const struct attention_in *p, const struct attention_in_block *b, int worker, int n_worker,
                   struct carve c)
{
    size_t per_row = (size_t)(p->p->n_head + 2 * p->p->n_kv_head), begin, end;
    uint16_t *half = carve_take(&c, cpu_kv_store_bytes((size_t)p->p->d_head));
    pool_share(b->in.rows.n_row * per_row, 1, worker, n_worker, &begin, &end);
    while (begin < end) {
        size_t r = begin / per_row, stop = min_size(end, (r + 1) * per_row);
        finish_row(p, b, r, begin - r * per_row, stop - r * per_row, half);
        begin = stop;
    }
}

/* Places and rotary tables of the block, each worker its rows; read after the next barrier. */
static void place_rows(const struct attention_in *p, const struct attention_in_block *b, int worker, int n_worker)
{
    size_t begin, end;
    pool_share(b->in.rows.n_row, 1, worker, n_worker, &begin, &end);
    if (begin < end) {
        cpu_row_places(p->in.b, (int)(b->in.row0 + begin), (int)(end - begin), b->place + begin);
    }
    for (size_t r = begin; r < end && p->p->rope; r++) {
        const float *cos, *sin;
        cpu_rope_row(p->d, b->in.row0 + r, b->place[r].pos, &cos, &sin);
    }
}

static void attention_in_run(void *arg, int worker, int n_worker)
{
    const struct attention_in *p = arg;
    size_t kv_bytes = TOK_BLOCK * (size_t)(p->p->n_kv_head * p->p->d_head) * sizeof(float);
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct attention_in_block b = {.place = carve_take(&shared, TOK_BLOCK * sizeof(struct row_place))};
        b.k = carve_take(&shared, kv_bytes);
        b.v = carve_take(&shared, kv_bytes);
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &b.in);
        place_rows(p, &b, worker, n_worker);
        project_all(p, &b, worker, own);
        pool_barrier(p->d->pool);
        if (p->p->q_norm) {
            norm_rows(p, &b, worker, n_worker);
            pool_barrier(p->d->pool);
        }
        finish(p, &b, worker, n_worker, own);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool);
        }
    }
}

void dev_attention_in(struct dev *d, const struct dev_batch *b, const struct dev_attn_in *a, const float *x, float *q,
                      float *inv_rms, struct dev_kv *kv, int layer)
{
    struct attention_in p = {.d = d,
                             .in = {.b = b, .x = x, .norm = a->norm, .eps = a->eps, .inv_rms = inv_rms},
                             .p = a,
                             .q = q,
                             .kv = kv,
                             .layer = layer,
                             .n_tok = (size_t)b->n_tok};
    assert(d == kv->dev && a->d_head == kv->shape.d_head && a->n_kv_head == kv->shape.n_kv_head);
    const struct dev_proj *proj[] = {&a->q, &a->k, &a->v};
    cpu_input_init(d, &p.in, proj, 3, p.n_tok);
    cpu_rope_begin(d, a->rope);
    pool_run(d->pool, attention_in_run, &p);
}
