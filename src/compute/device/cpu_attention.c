/* Attention over block tables, forward. The unit of work is an item: a run of query tokens of one segment with all
 * heads that share a key-value head, so that K and V are read (and converted) once for all of them.
 *
 * The scores of a row are kept whole: softmax sees them by absolute position, its 16 lanes start at a multiple of 16,
 * and the sum over V ascends (PRECISION_REFERENCE: 16 lanes by position). So no bit depends on blocks, runs or batch.
 * Items that take bfloat16, in PRECISION_AUTO alone, are the matter of cpu_attention_bf16.c. */
#include "compute/device/cpu_attention.h"
#include "compute/device/cpu_latent_expand.h"
#include "compute/kernels/half.h"

#include <assert.h>
#include <string.h>

#include "ground/base/mem.h"

enum {
    MAX_ROWS = 128,          /* query rows (tokens x heads) of an item */
    SCORE_FLOATS = 96 << 10, /* scores of an item: 384 KiB stay in L2 */
    WIDE_ROWS = 8,           /* however long the context, so many rows share one reading of K and V */
    FEW_QUERY_ROWS = 8,      /* up to so many, pages are not converted in memory */
    ITEM_COST = 64,          /* of starting an item, in rows x positions */
    LANES = 16
};
static const float MASKED = -1e30f; /* exp is 0 after any scale, and no infinity meets a subtraction */

static int min_int(int a, int b)
{
    return a < b ? a : b;
}
static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static size_t score_floats(size_t n_pos)
{
    size_t wide = WIDE_ROWS * (round_up(n_pos, LANES) + LANES);
    return wide > SCORE_FLOATS ? wide : SCORE_FLOATS;
}

size_t cpu_attention_worker_bytes(const struct dev *d, const struct cpu_limits *l)
{
    size_t floats = 2 * MAX_ROWS * l->d_head + score_floats(l->n_pos) + 2 * DEV_PAGE * l->d_head;
    if (d->opt.precision == PRECISION_REFERENCE) {
        floats += l->n_pos * l->d_head;
    }
    size_t latent = l->n_latent > 0 ? cpu_attention_latent_bytes(MAX_ROWS, l->d_head) : 0;
    return floats * sizeof(float) + cpu_attention_bf16_bytes(MAX_ROWS, l->d_head) + latent + 6 * 64;
}

/* Rows that an item over n_pos positions may have. */
static int max_rows(int n_pos)
{
    size_t ld = round_up((size_t)n_pos, LANES) + LANES;
    int n = (int)(SCORE_FLOATS / ld);
    return n < WIDE_ROWS ? WIDE_ROWS : n > MAX_ROWS ? MAX_ROWS : n;
}

/* --- items, in a fixed order --- */

typedef void (*item_fn)(void *arg, const struct item *it);

/* Heads of an item, of a group of n that would make n_item items in a step: fewer where threads would have none. */
static int split_heads(const struct attention *p, int n, int n_item)
{
    int pieces = (p->d->opt.n_thread + n_item - 1) / n_item;
    return max_int(1, (n + pieces - 1) / pieces);
}

/* Items of one head: their keys and values are made once for all rows. */
static void each_expanded_item(const struct attention *p, const struct dev_segment *s, item_fn fn, void *arg)
{
    for (int t = 0; t < s->n_tok; t += CPU_EXPAND_TOK) {
        for (int h = 0; h < p->p->n_head; h++) {
            struct item it = {s, t, min_int(CPU_EXPAND_TOK, s->n_tok - t), h, 1, 0};
            fn(arg, &it);
        }
    }
}

static void each_item_of_segment(const struct attention *p, const struct dev_segment *s, item_fn fn, void *arg)
{
    if (cpu_latent_expands(p->d, p->p->expand, s)) {
        each_expanded_item(p, s, fn, arg);
        return;
    }
    int group = p->p->n_head / p->p->n_kv_head;
    int cap = cpu_attention_takes_bf16(p, s) ? MAX_ROWS : max_rows(s->first_pos + s->n_tok);
    int toks = max_int(1, cap / group), n_block = (s->n_tok + toks - 1) / toks;
    int heads = min_int(split_heads(p, group, n_block * p->p->n_kv_head * p->b->n_segment), cap);
    for (int t = 0; t < s->n_tok; t += toks) {
        for (int h = 0; h < p->p->n_kv_head; h++) {
            for (int g = 0; g < group; g += heads) {
                struct item it = {s, t, min_int(toks, s->n_tok - t), h * group + g, min_int(heads, group - g), h};
                fn(arg, &it);
            }
        }
    }
}

static void each_item(const struct attention *p, item_fn fn, void *arg)
{
    for (int i = 0; i < p->b->n_segment; i++) {
        each_item_of_segment(p, &p->b->segment[i], fn, arg);
    }
}

static uint64_t item_cost(const struct attention *p, const struct item *it)
{
    int last = it->s->first_pos + it->tok0 + it->n_tok;
    return (uint64_t)(it->n_tok * it->n_head) * (uint64_t)(last - first_seen(p, it->s, it->tok0)) + ITEM_COST;
}

/* --- one item --- */

static void load_queries(const struct attention *p, const struct item *it, struct work *w)
{
    size_t dh = (size_t)p->p->d_head, width = (size_t)p->p->n_head * dh, n = (size_t)it->n_head * dh;
    for (int t = 0; t < it->n_tok; t++) {
        size_t row = (size_t)(it->s->first_tok + it->tok0 + t);
        memcpy(w->q + (size_t)t * n, p->q + row * width + (size_t)it->head0 * dh, n * sizeof(float));
    }
}

void cpu_attention_each_span(const struct attention *p, const struct item *it, struct work *w, span_fn fn)
{
    int pos = 0, first = it->s->first_pos + it->tok0;
    for (int i = 0; i < it->s->n_block && pos < w->end; i++) {
        const struct dev_block *blk = &it->s->block[i];
        int from = max_int(pos, w->base), to = min_int(pos + blk->n_tok, w->end);
        if (from < to) {
            struct span at = {.pos = from,
                              .n = to - from,
                              .slot = from - pos,
                              .page = blk->page,
                              .next_page = to < w->end && i + 1 < it->s->n_block ? blk[1].page : -1,
                              .row0 = (size_t)(max_int(from - first, 0) * it->n_head)};
            fn(p, it, w, &at);
        }
        pos += blk->n_tok;
    }
}

/* A head of int8 elements times their scales: exact. n_tok: tokens of V that are wanted, from the page's first on. */
static const float *widen_q8(const struct attention *p, void *head, bool is_v, int n_tok, float *out)
{
    size_t dh = (size_t)p->p->d_head, width = is_v ? dh : DEV_PAGE, n_row = is_v ? (size_t)n_tok : dh;
    const int8_t *q = head;
    const uint16_t *scale = kv_scales(p->kv, head);
    for (size_t i = 0; i < n_row; i++) {
        for (size_t c = 0; c < width; c++) {
            size_t at = is_v ? i * (dh / KERN_K) + c / KERN_K : i / KERN_K * DEV_PAGE + c;
            out[i * width + c] = (float)q[i * width + c] * f16_value(scale[at]);
        }
    }
    return out;
}

/* The panel of a head of K or V: the page itself, or converted into scratch. */
static const float *load_head(const struct attention *p, const struct item *it, const struct span *at, bool is_v,
                              float *scratch)
{
    void *head = kv_head(p->kv, at->page, p->layer, is_v, it->kv_head);
    if (p->kv->is_q8) {
        return widen_q8(p, head, is_v, at->slot + at->n, scratch);
    }
    if (!p->kv->is_f16) {
        return head;
    }
    size_t n = is_v ? (size_t)(at->slot + at->n) * (size_t)p->p->d_head : p->kv->head_len;
    p->d->kern.f16_to_f32(scratch, head, n);
    return scratch;
}

/* A product with a page in float16 as it stands, for few rows. */
static bool takes_f16(const struct attention *p, const struct work *w, size_t n_col)
{
    return p->kv->is_f16 && w->n_row <= FEW_QUERY_ROWS && n_col % LANES == 0;
}
static bool takes_q8(const struct attention *p, const struct work *w, size_t n_col)
{
    return p->kv->is_q8 && w->n_row <= FEW_QUERY_ROWS && n_col % LANES == 0;
}

/* A head of a page is too short for the processor's own prefetcher to get going: ask for the next while this one is
 * worked on. */
static void *short_head(const struct attention *p, const struct item *it, const struct span *at, bool is_v)
{
    if (at->next_page >= 0) {
        const char *next = kv_head(p->kv, at->next_page, p->layer, is_v, it->kv_head);
        for (size_t i = 0; i < p->kv->head_bytes; i += 64) {
            __builtin_prefetch(next + i, 0, 2);
        }
    }
    return kv_head(p->kv, at->page, p->layer, is_v, it->kv_head);
}

/* The span of a head in int8 as it stands. */
static struct kern_kv_panel q8_panel(const struct attention *p, const struct item *it, const struct span *at, bool is_v)
{
    size_t dh = (size_t)p->p->d_head, slot = (size_t)at->slot;
    void *head = short_head(p, it, at, is_v);
    const uint16_t *scale = kv_scales(p->kv, head);
    if (is_v) {
        return (struct kern_kv_panel){(int8_t *)head + slot * dh, dh, scale + slot * (dh / KERN_K), dh / KERN_K, false};
    }
    return (struct kern_kv_panel){(int8_t *)head + slot, DEV_PAGE, scale + slot, DEV_PAGE, true};
}

static void score_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    size_t dh = (size_t)p->p->d_head, n_row = w->n_row - at->row0, n_col = round_up((size_t)at->n, LANES);
    float *score = w->score + at->row0 * w->ld + (at->pos - w->base);
    const float *q = w->q + at->row0 * dh;
    if (takes_f16(p, w, n_col)) { /* up to 15 columns past the span: of the next one, or of the padding */
        const uint16_t *page = short_head(p, it, at, false);
        p->d->kern.gemm_f16(score, w->ld, q, dh, 1, page + at->slot, DEV_PAGE, n_row, n_col, dh, false);
        return;
    }
    if (takes_q8(p, w, n_col)) {
        struct kern_kv_panel page = q8_panel(p, it, at, false);
        p->d->kern.gemm_kv(score, w->ld, q, dh, 1, &page, n_row, n_col, dh, false);
        return;
    }
    const float *k = load_head(p, it, at, false, w->k);
    cpu_gemm(p->d)(score, w->ld, q, dh, 1, k + at->slot, DEV_PAGE, n_row, (size_t)at->n, dh, false);
}

static void value_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    size_t dh = (size_t)p->p->d_head, n_row = w->n_row - at->row0, slot = (size_t)at->slot, n = (size_t)at->n;
    float *out = w->out + at->row0 * dh;
    const float *weight = w->score + at->row0 * w->ld + (at->pos - w->base);
    if (takes_f16(p, w, dh)) {
        const uint16_t *page = short_head(p, it, at, true);
        p->d->kern.gemm_f16(out, dh, weight, w->ld, 1, page + slot * dh, dh, n_row, dh, n, at->pos > w->base);
        return;
    }
    if (takes_q8(p, w, dh)) {
        struct kern_kv_panel page = q8_panel(p, it, at, true);
        p->d->kern.gemm_kv(out, dh, weight, w->ld, 1, &page, n_row, dh, n, at->pos > w->base);
        return;
    }
    const float *v = load_head(p, it, at, true, w->v);
    p->d->kern.gemm_f32(out, dh, weight, w->ld, 1, v + slot * dh, dh, n_row, dh, n, at->pos > w->base);
}

static void gather_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    size_t dh = (size_t)p->p->d_head;
    const float *v = load_head(p, it, at, true, w->v);
    memcpy(w->v_all + (size_t)(at->pos - w->base) * dh, v + (size_t)at->slot * dh, (size_t)at->n * dh * sizeof(float));
}

/* Scores of n positions as softmax sees them, and the scale that is left to apply. */
static float cap_scores(const struct attention *p, float *score, size_t n)
{
    if (p->p->softcap <= 0) {
        return p->p->scale;
    }
    p->d->kern.softcap(score, n, p->p->scale, p->p->softcap);
    return 1.0f;
}

/* Softmax of every row over the positions it sees; weights of the others are 0. */
static void soften(const struct attention *p, const struct item *it, struct work *w)
{
    for (size_t r = 0; r < w->n_row; r++) {
        int t = it->tok0 + (int)r / it->n_head, pos = it->s->first_pos + t, seen = first_seen(p, it->s, t);
        int start = seen / LANES * LANES;
        float *row = w->score + r * w->ld;
        float scale = cap_scores(p, row + (start - w->base), (size_t)(pos + 1 - start));
        for (int i = start; i < seen; i++) {
            row[i - w->base] = MASKED;
        }
        float lse = p->d->kern.softmax(row + (start - w->base), (size_t)(pos + 1 - start), scale);
        memset(row, 0, (size_t)(start - w->base) * sizeof(float));
        memset(row + (pos + 1 - w->base), 0, (size_t)(w->end - pos - 1) * sizeof(float));
        if (p->lse) {
            p->lse[(size_t)(it->s->first_tok + t) * (size_t)p->p->n_head + (size_t)it->head0 + r % (size_t)it->n_head] =
                lse;
        }
    }
}

static void store_output(const struct attention *p, const struct item *it, const struct work *w)
{
    size_t dh = kv_value_len(&p->kv->shape), width = (size_t)p->p->n_head * dh, n = (size_t)it->n_head * dh;
    for (int t = 0; t < it->n_tok; t++) {
        size_t row = (size_t)(it->s->first_tok + it->tok0 + t);
        memcpy(p->out + row * width + (size_t)it->head0 * dh, w->out + (size_t)t * n, n * sizeof(float));
    }
}

static struct work work_begin(const struct attention *p, const struct item *it, int worker)
{
    struct carve c = carve_begin(&p->d->worker[worker]);
    size_t dh = (size_t)p->p->d_head, page = DEV_PAGE * dh * sizeof(float);
    struct work w = {.base = first_seen(p, it->s, it->tok0) / LANES * LANES,
                     .end = it->s->first_pos + it->tok0 + it->n_tok,
                     .n_row = (size_t)(it->n_tok * it->n_head)};
    w.ld = round_up((size_t)(w.end - w.base), LANES) + LANES;
    w.q = carve_take(&c, MAX_ROWS * dh * sizeof(float));
    w.out = carve_take(&c, MAX_ROWS * dh * sizeof(float));
    w.k = carve_take(&c, page);
    w.v = carve_take(&c, page);
    bool bf16 = cpu_attention_takes_bf16(p, it->s);
    w.score = carve_take(&c, w.n_row * (bf16 ? CPU_ATTENTION_LD : w.ld) * sizeof(float));
    if (p->d->opt.precision == PRECISION_REFERENCE) {
        w.v_all = carve_take(&c, (size_t)(w.end - w.base) * dh * sizeof(float));
    }
    if (bf16) {
        cpu_attention_bf16_begin(p, &w, &c);
    }
    if (p->kv->shape.n_latent > 0) {
        cpu_attention_latent_begin(p, &w, &c);
    }
    return w;
}

static void weigh_values(const struct attention *p, const struct item *it, struct work *w)
{
    bool latent = p->kv->shape.n_latent > 0;
    if (!w->v_all && latent) {
        cpu_attention_latent_values(p, it, w);
        return;
    }
    if (!w->v_all) {
        cpu_attention_each_span(p, it, w, value_span);
        return;
    }
    size_t dh = kv_value_len(&p->kv->shape);
    if (latent) {
        cpu_attention_latent_gather(p, it, w);
    } else {
        cpu_attention_each_span(p, it, w, gather_span);
    }
    p->d->kern.gemm_ref(w->out, dh, w->score, w->ld, 1, w->v_all, dh, w->n_row, dh, (size_t)(w->end - w->base), false);
}

static void attend(const struct attention *p, const struct item *it, int worker)
{
    if (cpu_latent_expands(p->d, p->p->expand, it->s)) {
        cpu_latent_attend(p, it, worker);
        return;
    }
    struct work w = work_begin(p, it, worker);
    load_queries(p, it, &w);
    if (w.bf16.q) {
        cpu_attention_bf16(p, it, &w);
    } else {
        if (p->kv->shape.n_latent > 0) {
            cpu_attention_latent_scores(p, it, &w);
        } else {
            cpu_attention_each_span(p, it, &w, score_span);
        }
        soften(p, it, &w);
        weigh_values(p, it, &w);
    }
    store_output(p, it, &w);
}

/* --- all items, balanced by cost --- */

struct walk {
    const struct attention *p;
    int worker, n_worker;
    uint64_t total, done;
    int share;         /* whose items are looked at */
    size_t part, mine; /* number of the next item of that share, and of the one that this worker has taken */
};

static void add_cost(void *arg, const struct item *it)
{
    struct walk *w = arg;
    w->total += item_cost(w->p, it);
}

/* An item belongs to the share in whose part of the total cost its middle lies. */
static void attend_if_mine(void *arg, const struct item *it)
{
    struct walk *w = arg;
    uint64_t cost = item_cost(w->p, it), middle = w->done + cost / 2;
    if ((int)(middle * (uint64_t)w->n_worker / w->total) == w->share && w->part++ == w->mine) {
        attend(w->p, it, w->worker);
        w->mine = pool_take_part(w->p->d->pool, w->share);
    }
    w->done += cost;
}

static void attention_run(void *arg, int worker, int n_worker)
{
    struct walk w = {.p = arg, .worker = worker, .n_worker = n_worker};
    each_item(w.p, add_cost, &w);
    for (int i = 0; i < n_worker; i++) { /* its own share, then what slower workers have not begun */
        w.done = w.part = 0;
        w.share = (worker + i) % n_worker;
        w.mine = pool_take_part(w.p->d->pool, w.share);
        each_item(w.p, attend_if_mine, &w);
    }
}

void dev_attention(struct dev *d, const struct dev_batch *b, const struct dev_attn *a, const float *q, float *out,
                   float *lse, const struct dev_kv *kv, int layer)
{
    struct attention p = {d, b, a, q, out, lse, kv, layer};
    assert(a->d_head == kv->shape.d_head && a->n_kv_head == kv->shape.n_kv_head && a->n_head % a->n_kv_head == 0);
    pool_run(d->pool, attention_run, &p);
}
