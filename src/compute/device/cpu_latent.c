/* Attention with a compressed cache, forward: what stands before and after the attention itself. Projections share
 * their input as elsewhere; the products by head are jobs of up to HEAD_ROWS rows of one head, each worker a contiguous
 * share of them, with an input of its own. */
#include "compute/device/latent.h"

#include <assert.h>
#include <string.h>

#include "compute/device/cpu_input.h"
#include "compute/device/cpu_latent_expand.h"
#include "ground/base/mem.h"

enum { HEAD_ROWS = 64 };

/* --- products by head --- */

/* y[row][head * y_width + i] = W_head x[row][head * x_width ..]; rows of segments whose keys and values are made keep
 * their first n_kept values instead. */
struct by_head {
    struct dev *d;
    const struct dev_batch *b;
    const struct dev_stack *w;
    const float *x;
    float *y;
    size_t ldx, x_width, ldy, y_width, n_row;
    const struct dev_latent_heads *expand;
    size_t row0, n_kept; /* row0: row of the batch that x begins with */
};

/* Rows [row, row + n_row) of one head. */
static void head_rows(const struct by_head *p, size_t head, size_t row, size_t n_row, struct carve c)
{
    const struct dev_mat *w = dev_stack_at(p->w, head);
    const struct dev_proj proj = {.w = w, .fine = FINE_ALL}, *const first = &proj;
    float *x = carve_take(&c, HEAD_ROWS * w->n_in * sizeof(float));
    float *tile = carve_take(&c, (size_t)HEAD_ROWS * TILE_COLS * sizeof(float));
    for (size_t r = 0; r < n_row; r++) {
        memcpy(x + r * w->n_in, p->x + (row + r) * p->ldx + head * p->x_width, w->n_in * sizeof(float));
    }
    struct cpu_input in = {.b = p->b, .x = x};
    struct cpu_prepared ready;
    cpu_input_init(p->d, &in, &first, 1, p->n_row);
    cpu_prepared_carve(&in, 0, n_row, &c, &ready);
    cpu_prepared_fill(p->d, &in, &ready, 0, n_row, false);
    for (size_t g = 0; g < w->n_group; g += TILE_GROUPS) {
        size_t stop = min_size(g + TILE_GROUPS, w->n_group), col = g * KERN_ROWS;
        size_t n_col = min_size(stop * KERN_ROWS, w->n_out) - col;
        cpu_product(p->d, in.path[0], w, &ready.rows, g, stop, tile, TILE_COLS, false, c);
        for (size_t r = 0; r < n_row; r++) {
            float *y = p->y + (row + r) * p->ldy + head * p->y_width + col;
            memcpy(y, tile + r * TILE_COLS, n_col * sizeof(float));
        }
    }
}

static void keep_rows(const struct by_head *p, size_t head, size_t row, size_t n_row)
{
    for (size_t r = row; r < row + n_row; r++) {
        memcpy(p->y + r * p->ldy + head * p->y_width, p->x + r * p->ldx + head * p->x_width, p->n_kept * sizeof(float));
    }
}

/* The segment of a row: where its rows end, and whether keys and values are made for it. */
static bool is_kept(const struct by_head *p, size_t row, size_t *stop)
{
    for (int i = 0; i < p->b->n_segment; i++) {
        const struct dev_segment *s = &p->b->segment[i];
        size_t begin = (size_t)s->first_tok, end = begin + (size_t)s->n_tok, at = p->row0 + row;
        if (at >= begin && at < end) {
            *stop = end - p->row0;
            return cpu_latent_expands(p->d, p->expand, s);
        }
    }
    *stop = row + 1;
    return false;
}

/* Rows [row, stop) of one head; neighbouring segments that are treated alike are one product. */
static void head_run(const struct by_head *p, size_t head, size_t row, size_t stop, struct carve c)
{
    while (row < stop) {
        size_t end, next;
        bool kept = is_kept(p, row, &end);
        while (end < stop && is_kept(p, end, &next) == kept) {
            end = next;
        }
        end = min_size(end, stop);
        if (kept) {
            keep_rows(p, head, row, end - row);
        } else {
            head_rows(p, head, row, end - row, c);
        }
        row = end;
    }
}

static void each_head(const struct by_head *p, int worker, int n_worker)
{
    size_t blocks = (p->n_row + HEAD_ROWS - 1) / HEAD_ROWS, begin, end;
    pool_share(dev_stack_n(p->w) * blocks, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i % blocks * HEAD_ROWS;
        head_run(p, i / blocks, row, min_size(row + HEAD_ROWS, p->n_row), carve_begin(&p->d->worker[worker]));
    }
}

static size_t by_head_worker_bytes(size_t n_in)
{
    return HEAD_ROWS * (n_in + TILE_COLS) * sizeof(float) + cpu_prepared_bytes(HEAD_ROWS, n_in, 0) +
           cpu_product_bytes(n_in) + 3 * 64;
}

/* --- before attention --- */

struct latent_in {
    struct dev *d;
    const struct dev_batch *b;
    const struct dev_latent_in *p;
    struct cpu_input in;
    float *q_out;
    struct dev_kv *kv;
    int layer;
    size_t n_tok, n_head, n_latent, n_rot, d_nope, q_rank;
};

/* One block of rows in shared scratch. */
struct latent_block {
    size_t row0, n_row;
    struct row_place *place;
    float *q, *kv, *q_a; /* [n_row] of q's outputs, latent and key, q_a's outputs */
};

static size_t block_bytes(size_t n_head, size_t d_query, size_t n_kv, size_t q_rank)
{
    return round_up(TOK_BLOCK * sizeof(struct row_place), 64) +
           TOK_BLOCK * (n_head * d_query + n_kv + q_rank) * sizeof(float) + 4 * 64;
}

int dev_latent_reserve(struct dev *d, const struct dev_latent_shape *s, struct err *e)
{
    size_t q_rank = (size_t)s->q_rank, n_latent = (size_t)s->n_latent, n_head = (size_t)s->n_head;
    size_t n_in = (size_t)(s->n_embd > s->q_rank ? s->n_embd : s->q_rank);
    int rc = cpu_limits_grow(d, &(struct cpu_limits){.n_in = n_in, .d_head = (size_t)s->n_rot}, e);
    if (rc) {
        return rc;
    }
    size_t shared = block_bytes(n_head, (size_t)(s->d_nope + s->n_rot), n_latent + (size_t)s->n_rot, q_rank) +
                    cpu_prepared_bytes(TOK_BLOCK, n_in, 0);
    size_t by_k = by_head_worker_bytes((size_t)s->d_nope), by_v = by_head_worker_bytes(n_latent);
    size_t worker = by_k > by_v ? by_k : by_v, made = cpu_latent_expand_bytes(s);
    worker = made > worker ? made : worker;
    return cpu_reserve(d, shared, worker, e);
}

/* The groups of both projections of h are one list; each worker takes a contiguous share of it. */
static void project(const struct latent_in *p, const struct latent_block *b, const struct cpu_prepared *in, int worker,
                    int n_worker, struct carve c)
{
    float *const out[] = {p->q_rank ? b->q_a : b->q, b->kv};
    size_t n[2] = {p->in.proj[0]->w->n_group, p->in.proj[1]->w->n_group}, begin, end;
    pool_share(n[0] + n[1], 1, worker, n_worker, &begin, &end);
    if (begin < n[0]) {
        cpu_project_out(p->d, &p->in, in, 0, begin, min_size(end, n[0]), out[0], false, c);
    }
    if (end > n[0]) {
        cpu_project_out(p->d, &p->in, in, 1, begin > n[0] ? begin - n[0] : 0, end - n[0], out[1], false, c);
    }
}

/* Queries from their own latent. shared: what is left of it after the block. */
static void project_queries(const struct latent_in *p, const struct latent_block *b, int worker, int n_worker,
                            struct carve shared)
{
    const struct dev_proj *proj = &p->p->q;
    struct carve own = carve_begin(&p->d->worker[worker]);
    struct cpu_input in = {.b = p->b, .x = b->q_a, .norm = p->p->q_norm, .eps = p->p->eps};
    struct cpu_prepared ready;
    size_t begin, end;
    cpu_input_init(p->d, &in, &proj, 1, p->n_tok);
    cpu_prepare(p->d, &in, 0, b->n_row, worker, n_worker, &shared, &own, &ready);
    pool_share(proj->w->n_group, 1, worker, n_worker, &begin, &end);
    cpu_project_out(p->d, &in, &ready, 0, begin, end, b->q, false, own);
}

static void store(const struct latent_in *p, const struct row_place *at, const float *x)
{
    size_t width = p->n_latent + p->n_rot, offset = (size_t)at->slot * width;
    void *page = kv_head(p->kv, at->page, p->layer, false, 0);
    if (p->kv->is_f16) {
        p->d->kern.f32_to_f16((uint16_t *)page + offset, x, width);
    } else {
        memcpy((float *)page + offset, x, width * sizeof(float));
    }
}

/* Latent and key of rows into the cache, the rotated part of their queries to its place. */
static void finish_rows(const struct latent_in *p, const struct latent_block *b, int worker, int n_worker)
{
    const struct kern *k = &p->d->kern;
    size_t d_query = p->d_nope + p->n_rot, d_out = p->n_latent + p->n_rot, begin, end;
    bool halves = p->p->rope->halves;
    pool_share(b->n_row, 1, worker, n_worker, &begin, &end);
    cpu_row_places(p->b, (int)(b->row0 + begin), (int)(end - begin), b->place + begin);
    for (size_t r = begin; r < end; r++) {
        float *kv = b->kv + r * d_out, *q = b->q + r * p->n_head * d_query + p->d_nope;
        float *to = p->q_out + (b->row0 + r) * p->n_head * d_out + p->n_latent;
        const float *cos, *sin;
        assert(b->place[r].page >= 0); /* every token of a batch lies in a segment, and its blocks cover it */
        cpu_rope_row(p->d, b->row0 + r, b->place[r].pos, &cos, &sin);
        k->rms_norm(kv, kv, p->p->kv_norm, p->n_latent, p->p->eps);
        k->rope(kv + p->n_latent, 1, p->n_rot, p->n_rot, cos, sin, halves, 1.0f);
        store(p, &b->place[r], kv);
        for (size_t h = 0; h < p->n_head; h++) {
            memcpy(to + h * d_out, q + h * d_query, p->n_rot * sizeof(float));
        }
        k->rope(to, p->n_head, d_out, p->n_rot, cos, sin, halves, 1.0f);
    }
}

static void latent_in_block(const struct latent_in *p, size_t row, int worker, int n_worker)
{
    struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
    size_t n = min_size(TOK_BLOCK, p->n_tok - row), d_query = p->d_nope + p->n_rot, d_out = p->n_latent + p->n_rot;
    struct latent_block b = {.row0 = row, .n_row = n, .place = carve_take(&shared, n * sizeof(struct row_place))};
    b.q = carve_take(&shared, n * p->n_head * d_query * sizeof(float));
    b.kv = carve_take(&shared, n * d_out * sizeof(float));
    b.q_a = carve_take(&shared, n * p->q_rank * sizeof(float));
    struct carve rest = shared;
    struct cpu_prepared in;
    cpu_prepare(p->d, &p->in, row, n, worker, n_worker, &shared, &own, &in);
    project(p, &b, &in, worker, n_worker, own);
    pool_barrier(p->d->pool);
    if (p->q_rank) {
        project_queries(p, &b, worker, n_worker, rest);
        pool_barrier(p->d->pool);
    }
    finish_rows(p, &b, worker, n_worker);
    struct by_head heads = {.d = p->d,
                            .b = p->b,
                            .w = p->p->k_b,
                            .x = b.q,
                            .y = p->q_out + row * p->n_head * d_out,
                            .ldx = p->n_head * d_query,
                            .x_width = d_query,
                            .ldy = p->n_head * d_out,
                            .y_width = d_out,
                            .n_row = n,
                            .expand = p->p->expand,
                            .row0 = row,
                            .n_kept = p->d_nope};
    each_head(&heads, worker, n_worker);
}

static void latent_in_run(void *arg, int worker, int n_worker)
{
    const struct latent_in *p = arg;
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        latent_in_block(p, row, worker, n_worker);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool); /* the shared block is written again */
        }
    }
}

void dev_latent_in(struct dev *d, const struct dev_batch *b, const struct dev_latent_in *a, const float *x, float *q,
                   struct dev_kv *kv, int layer)
{
    const struct dev_mat *k_b = dev_stack_at(a->k_b, 0);
    struct latent_in p = {.d = d,
                          .b = b,
                          .p = a,
                          .in = {.b = b, .x = x, .norm = a->norm, .eps = a->eps},
                          .q_out = q,
                          .kv = kv,
                          .layer = layer,
                          .n_tok = (size_t)b->n_tok,
                          .n_head = dev_stack_n(a->k_b),
                          .n_latent = k_b->n_out,
                          .n_rot = (size_t)a->rope->n_rot,
                          .d_nope = k_b->n_in,
                          .q_rank = a->q_a.w ? a->q_a.w->n_out : 0};
    assert(kv->shape.n_latent == (int)p.n_latent && kv->shape.d_head == (int)(p.n_latent + p.n_rot));
    const struct dev_proj *proj[] = {a->q_a.w ? &a->q_a : &a->q, &a->kv_a};
    cpu_input_init(d, &p.in, proj, 2, p.n_tok);
    cpu_rope_begin(d, a->rope);
    pool_run(d->pool, latent_in_run, &p);
}

/* --- after attention --- */

static void latent_out_run(void *arg, int worker, int n_worker)
{
    each_head(arg, worker, n_worker);
}

void dev_latent_out(struct dev *d, const struct dev_batch *b, const struct dev_stack *v_b,
                    const struct dev_latent_heads *expand, const float *y, float *out)
{
    size_t n_head = dev_stack_n(v_b), n_latent = dev_stack_at(v_b, 0)->n_in, d_value = dev_stack_at(v_b, 0)->n_out;
    struct by_head p = {.d = d,
                        .b = b,
                        .w = v_b,
                        .x = y,
                        .y = out,
                        .ldx = n_head * n_latent,
                        .x_width = n_latent,
                        .ldy = n_head * d_value,
                        .y_width = d_value,
                        .n_row = (size_t)b->n_tok,
                        .expand = expand,
                        .n_kept = d_value};
    pool_run(d->pool, latent_out_run, &p);
}
