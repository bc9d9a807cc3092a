/* Backward pass of attention on the CPU. Probabilities are computed again from the log-sum-exp that forward kept
 * (Dao et al., FlashAttention, algorithm 4):
 *   P = exp(scale q k - lse), D = rowsum(dout * out), dS = P (dout V^T - D) scale,
 *   dV = P^T dout, dK = dS^T q, dQ = dS K.
 *
 * A segment owns the pages of its own tokens and reads those of its prefix. First every (segment, head of K) computes
 * its dQ, and dK, dV of its own pages; then every (page of a prefix, head of K) adds what the segments after it give,
 * their rows in order. No two workers write one place, and each sum has one order.
 *
 * Gradients of K lie in their pages as [DEV_PAGE][d_head], unlike K itself: only backward operations read them. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "compute/device/cpu_backward_int.h"
#include "ground/base/mem.h"

/* Consecutive rows of the batch that read a page as prefix. */
struct page_run {
    int32_t page;
    int n_pos, first_pos; /* of the page's tokens that count */
    int row0, n_row;
};

struct attn_back {
    struct dev *d;
    const struct dev_batch *b;
    const struct dev_attn *p;
    const float *dout, *q, *out, *lse;
    const struct dev_kv *kv;
    struct dev_kv *dkv;
    int layer, dkv_layer;
    float *dq;
    /* scratch */
    float *delta;  /* [n_tok][n_head]: D */
    int32_t *pos;  /* [n_tok] */
    float *k_rows; /* [n_page][n_kv_head][DEV_PAGE][d_head]: K turned */
    float *v_cols; /* [n_page][n_kv_head][d_head][DEV_PAGE]: V turned */
    int32_t *own;  /* [n_own] pages of this batch */
    int n_own;
    struct page_run *run;
    int n_run;
    atomic_int next_segment, next_run;
};

/* Rows of one query head against one page. */
struct tile {
    int row0, n_row, head, kv_head;
    int32_t page;
    int n_pos, first_pos;
    float *s, *ds; /* [ATTN_ROWS][ATTN_LD] */
};

/* --- the shape of the batch --- */

static void add_prefix_block(struct attn_back *w, const struct dev_segment *s, int depth, int first_pos,
                             int32_t *at_depth)
{
    const struct dev_block *k = &s->block[depth];
    int32_t r = at_depth[depth];
    if (r >= 0 && w->run[r].page == k->page && w->run[r].row0 + w->run[r].n_row == s->first_tok) {
        w->run[r].n_row += s->n_tok;
        return;
    }
    assert(w->n_run < w->kv->n_page);
    w->run[w->n_run] = (struct page_run){k->page, k->n_tok, first_pos, s->first_tok, s->n_tok};
    at_depth[depth] = w->n_run++;
}

/* Positions of rows, pages that segments own, and runs of rows that share a prefix page. */
static void survey(struct attn_back *w, struct carve *c)
{
    size_t n_page = (size_t)w->kv->n_page;
    int32_t *at_depth = carve_take(c, n_page * sizeof(int32_t));
    for (size_t i = 0; i < n_page; i++) at_depth[i] = -1;
    for (int k = 0; k < w->b->n_segment; k++) {
        const struct dev_segment *s = &w->b->segment[k];
        for (int i = 0; i < s->n_tok; i++) w->pos[s->first_tok + i] = s->first_pos + i;
        int at = 0;
        for (int i = 0; i < s->n_block; at += s->block[i++].n_tok) {
            if (at < s->first_pos) {
                assert(at + s->block[i].n_tok <= s->first_pos);
                add_prefix_block(w, s, i, at, at_depth);
            } else {
                w->own[w->n_own++] = s->block[i].page;
            }
        }
    }
}

/* --- parts --- */

static void transpose(float *to, size_t ld_to, const float *from, size_t ld_from, size_t n_row, size_t n_col)
{
    for (size_t r0 = 0; r0 < n_row; r0 += 8) {
        for (size_t c = 0; c < n_col; c++)
            for (size_t r = r0; r < r0 + 8 && r < n_row; r++) to[c * ld_to + r] = from[r * ld_from + c];
    }
}

static size_t turned_offset(const struct attn_back *w, int32_t page, int kv_head)
{
    return ((size_t)page * (size_t)w->p->n_kv_head + (size_t)kv_head) * w->kv->head_len;
}

static void turn_page(const struct attn_back *w, int32_t page, int h)
{
    size_t d_head = (size_t)w->p->d_head, at = turned_offset(w, page, h);
    transpose(w->k_rows + at, d_head, kv_head(w->kv, page, w->layer, false, h), DEV_PAGE, d_head, DEV_PAGE);
    transpose(w->v_cols + at, DEV_PAGE, kv_head(w->kv, page, w->layer, true, h), d_head, DEV_PAGE, d_head);
}

/* First position that a position sees. */
static int first_visible(const struct attn_back *w, int pos)
{
    int seen = w->p->window > 0 ? pos - w->p->window + 1 : 0;
    if (w->p->chunk > 0 && pos - pos % w->p->chunk > seen) seen = pos - pos % w->p->chunk;
    return seen > 0 ? seen : 0;
}

/* Row i of a tile: columns [*lo, *hi) are visible to it. */
static void visible(const struct attn_back *w, const struct tile *t, int i, int *lo, int *hi)
{
    int pos = w->pos[t->row0 + i] - t->first_pos;
    *hi = pos + 1 < t->n_pos ? pos + 1 : t->n_pos;
    if (*hi < 0) *hi = 0;
    *lo = first_visible(w, t->first_pos + pos) - t->first_pos;
    if (*lo < 0) *lo = 0;
    if (*lo > *hi) *lo = *hi;
}

/* Scores as the softmax saw them; with a cap their slope by the scaled scores goes to slope. */
static void make_scores(const struct attn_back *w, float *s, float *slope, int n)
{
    float cap = w->p->softcap;
    if (cap <= 0) {
        w->d->kern.scale(s, w->p->scale, (size_t)n);
        return;
    }
    w->d->kern.softcap(s, (size_t)n, w->p->scale, cap);
    for (int c = 0; c < n; c++) slope[c] = 1.0f - (s[c] / cap) * (s[c] / cap);
}

/* s: scores -> P; ds: dout V^T -> dS; both 0 where the row does not look. The exponential is the one of the loss
 * kernel: its value at the target, one past the page, is thrown away. */
static void finish_row(const struct attn_back *w, const struct tile *t, int i)
{
    const struct kern *k = &w->d->kern;
    float *s = t->s + (size_t)i * ATTN_LD, *ds = t->ds + (size_t)i * ATTN_LD, scale = w->p->scale;
    float slope[DEV_PAGE];
    size_t at = (size_t)(t->row0 + i) * (size_t)w->p->n_head + (size_t)t->head;
    float lse = w->lse[at], delta = w->delta[at];
    int lo, hi;
    visible(w, t, i, &lo, &hi);
    make_scores(w, s, slope, t->n_pos);
    s[t->n_pos] = lse;
    k->cross_entropy_backward(s, s, (size_t)t->n_pos + 1, lse, (size_t)t->n_pos, 1.0f);
    for (int c = 0; c < t->n_pos; c++) ds[c] = s[c] * (ds[c] - delta) * scale;
    for (int c = 0; c < t->n_pos && w->p->softcap > 0; c++) ds[c] *= slope[c];
    for (int c = 0; c < lo; c++) s[c] = ds[c] = 0.0f;
    for (int c = hi; c < t->n_pos; c++) s[c] = ds[c] = 0.0f;
}

static void tile_scores(const struct attn_back *w, const struct tile *t)
{
    size_t d_head = (size_t)w->p->d_head, ld = (size_t)w->p->n_head * d_head;
    size_t at = (size_t)t->row0 * ld + (size_t)t->head * d_head, n_row = (size_t)t->n_row, n_pos = (size_t)t->n_pos;
    kern_gemm_fn gemm = cpu_gemm(w->d);
    gemm(t->s, ATTN_LD, w->q + at, ld, 1, kv_head(w->kv, t->page, w->layer, false, t->kv_head), DEV_PAGE, n_row, n_pos,
         d_head, false);
    gemm(t->ds, ATTN_LD, w->dout + at, ld, 1, w->v_cols + turned_offset(w, t->page, t->kv_head), DEV_PAGE, n_row, n_pos,
         d_head, false);
    for (int i = 0; i < t->n_row; i++) finish_row(w, t, i);
}

static void tile_add_dq(const struct attn_back *w, const struct tile *t)
{
    size_t d_head = (size_t)w->p->d_head, ld = (size_t)w->p->n_head * d_head;
    cpu_gemm(w->d)(w->dq + (size_t)t->row0 * ld + (size_t)t->head * d_head, ld, t->ds, ATTN_LD, 1,
                   w->k_rows + turned_offset(w, t->page, t->kv_head), d_head, (size_t)t->n_row, d_head,
                   (size_t)t->n_pos, true);
}

static void tile_add_dkv(const struct attn_back *w, const struct tile *t)
{
    size_t d_head = (size_t)w->p->d_head, ld = (size_t)w->p->n_head * d_head;
    size_t at = (size_t)t->row0 * ld + (size_t)t->head * d_head, n_row = (size_t)t->n_row, n_pos = (size_t)t->n_pos;
    kern_gemm_fn gemm = cpu_gemm(w->d);
    gemm(kv_head(w->dkv, t->page, w->dkv_layer, true, t->kv_head), d_head, t->s, 1, ATTN_LD, w->dout + at, ld, n_pos,
         d_head, n_row, true);
    gemm(kv_head(w->dkv, t->page, w->dkv_layer, false, t->kv_head), d_head, t->ds, 1, ATTN_LD, w->q + at, ld, n_pos,
         d_head, n_row, true);
}

/* --- items of work --- */

/* Rows [row0, row0 + n_row) of a segment, one query head, against all pages they can see. */
static void segment_rows(const struct attn_back *w, const struct dev_segment *s, struct tile *t)
{
    int last_pos = w->pos[t->row0 + t->n_row - 1], first_pos = w->pos[t->row0], at = 0;
    for (int i = 0; i < s->n_block && at <= last_pos; at += s->block[i++].n_tok) {
        if (at + s->block[i].n_tok <= first_visible(w, first_pos)) continue;
        t->page = s->block[i].page;
        t->n_pos = s->block[i].n_tok;
        t->first_pos = at;
        tile_scores(w, t);
        tile_add_dq(w, t);
        if (at >= s->first_pos) tile_add_dkv(w, t);
    }
}

static void segment_item(const struct attn_back *w, int item, struct tile t)
{
    const struct dev_segment *s = &w->b->segment[item / w->p->n_kv_head];
    size_t d_head = (size_t)w->p->d_head, ld = (size_t)w->p->n_head * d_head;
    int group = w->p->n_head / w->p->n_kv_head;
    t.kv_head = item % w->p->n_kv_head;
    for (int i = 0; i < s->n_tok; i++)
        memset(w->dq + (size_t)(s->first_tok + i) * ld + (size_t)(t.kv_head * group) * d_head, 0,
               (size_t)group * d_head * sizeof(float));
    for (int i = 0; i < s->n_tok; i += ATTN_ROWS) {
        t.row0 = s->first_tok + i;
        t.n_row = s->n_tok - i < ATTN_ROWS ? s->n_tok - i : ATTN_ROWS;
        for (int h = 0; h < group; h++) {
            t.head = t.kv_head * group + h;
            segment_rows(w, s, &t);
        }
    }
}

static void run_item(const struct attn_back *w, int item, struct tile t)
{
    const struct page_run *r = &w->run[item / w->p->n_kv_head];
    int group = w->p->n_head / w->p->n_kv_head;
    t.kv_head = item % w->p->n_kv_head;
    t.page = r->page;
    t.n_pos = r->n_pos;
    t.first_pos = r->first_pos;
    for (int i = 0; i < r->n_row; i += ATTN_ROWS) {
        t.row0 = r->row0 + i;
        t.n_row = r->n_row - i < ATTN_ROWS ? r->n_row - i : ATTN_ROWS;
        for (int h = 0; h < group; h++) {
            t.head = t.kv_head * group + h;
            tile_scores(w, &t);
            tile_add_dkv(w, &t);
        }
    }
}

static void prepare(const struct attn_back *w, int worker, int n_worker)
{
    size_t begin, end, d_head = (size_t)w->p->d_head, n_head = (size_t)w->p->n_head;
    pool_share((size_t)w->n_own * (size_t)w->p->n_kv_head, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++)
        turn_page(w, w->own[i / (size_t)w->p->n_kv_head], (int)(i % (size_t)w->p->n_kv_head));
    pool_share((size_t)w->b->n_tok * n_head, 16, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++)
        w->delta[i] = w->d->kern.dot(w->dout + i * d_head, w->out + i * d_head, d_head);
}

static void attention_worker(void *arg, int worker, int n_worker)
{
    struct attn_back *w = arg;
    struct carve c = carve_begin(&w->d->worker[worker]);
    size_t tile_bytes = (size_t)ATTN_ROWS * ATTN_LD * sizeof(float);
    struct tile t = {0};
    t.s = carve_take(&c, tile_bytes);
    t.ds = carve_take(&c, tile_bytes);
    prepare(w, worker, n_worker);
    pool_barrier(w->d->pool);
    int n_item = w->b->n_segment * w->p->n_kv_head, item;
    while ((item = atomic_fetch_add(&w->next_segment, 1)) < n_item) segment_item(w, item, t);
    if (w->n_run == 0) return;
    pool_barrier(w->d->pool);
    n_item = w->n_run * w->p->n_kv_head;
    while ((item = atomic_fetch_add(&w->next_run, 1)) < n_item) run_item(w, item, t);
}

void dev_attention_backward(struct dev *d, const struct dev_batch *b, const struct dev_attn *p, const float *dout,
                            const float *out, const float *q, const float *lse, const struct dev_kv *kv,
                            struct dev_kv *dkv, int layer, int dkv_layer, float *dq)
{
    assert(!kv->is_f16 && !dkv->is_f16);
    struct attn_back w = {.d = d,
                          .b = b,
                          .p = p,
                          .dout = dout,
                          .q = q,
                          .out = out,
                          .lse = lse,
                          .kv = kv,
                          .dkv = dkv,
                          .layer = layer,
                          .dkv_layer = dkv_layer,
                          .dq = dq};
    struct carve c = carve_begin(&d->shared);
    size_t n_tok = (size_t)b->n_tok, n_page = (size_t)kv->n_page;
    size_t turned_bytes = n_page * (size_t)p->n_kv_head * kv->head_len * sizeof(float);
    w.delta = carve_take(&c, n_tok * (size_t)p->n_head * sizeof(float));
    w.pos = carve_take(&c, n_tok * sizeof(int32_t));
    w.own = carve_take(&c, n_page * sizeof(int32_t));
    w.run = carve_take(&c, n_page * sizeof(struct page_run));
    w.k_rows = carve_take(&c, turned_bytes);
    w.v_cols = carve_take(&c, turned_bytes);
    survey(&w, &c);
    pool_run(d->pool, attention_worker, &w);
}

size_t back_attention_bytes(const struct dev_train_shape *s)
{
    size_t n_tok = (size_t)s->max_tok, n_page = (size_t)s->n_page;
    size_t turned = n_page * (size_t)(s->n_kv_head * s->d_head) * DEV_PAGE * sizeof(float);
    return n_tok * ((size_t)s->n_head * sizeof(float) + sizeof(int32_t)) +
           n_page * (2 * sizeof(int32_t) + sizeof(struct page_run)) + 2 * turned + 64 * 8;
}

size_t back_attention_worker_bytes(const struct dev_train_shape *s)
{
    (void)s;
    return 2 * (size_t)ATTN_ROWS * ATTN_LD * sizeof(float) + 128;
}
