/* Coarse linear operations, forward: residual projection and output head. Each is one run of the pool: workers prepare
 * the input, then take parts of the output groups until none is left. */
#include <string.h>

#include "compute/device/cpu_input.h"
#include "ground/base/mem.h"

size_t cpu_linear_shared_bytes(const struct cpu_limits *l)
{
    return cpu_prepared_bytes(TOK_BLOCK, l->n_in, l->rank) + round_up(TOK_BLOCK * sizeof(struct row_place), 64) +
           2 * round_up(TOK_BLOCK * l->n_kv_dim * sizeof(float), 64);
}

size_t cpu_linear_worker_bytes(const struct cpu_limits *l)
{
    size_t tile = TOK_BLOCK * cpu_tile_ld(BESIDE_GROUPS) * sizeof(float);
    return cpu_prepared_bytes(FEW_ROWS, l->n_in, l->rank) + 2 * tile + round_up(cpu_product_bytes(l->n_in), 64) +
           cpu_kv_store_bytes(l->d_head) + 256;
}

/* --- residual projection --- */

void cpu_join_rows(const struct dev *d, const struct dev_join *join, size_t n, size_t row0, size_t n_row, int worker,
                   int n_worker, float *x)
{
    struct carve own = carve_begin(&d->worker[worker]);
    float *h = carve_take(&own, n * sizeof(float));
    size_t begin, end;
    pool_share(n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = row0 + begin; r < row0 + end; r++) {
        const float *y = join->y + r * n;
        if (join->norm) {
            d->kern.rms_norm(h, y, join->norm, n, join->eps);
            y = h;
        }
        if (join->scale == 1.0f) {
            d->kern.add(x + r * n, y, n);
        } else {
            d->kern.axpy(x + r * n, join->scale, y, n);
        }
    }
}

struct linear_add {
    struct dev *d;
    struct cpu_input in;
    const struct dev_join *join;
    float *x;
    size_t n_tok;
};

static void linear_add_run(void *arg, int worker, int n_worker)
{
    const struct linear_add *p = arg;
    const struct dev_mat *w = p->in.proj[0]->w;
    size_t n_out = w->n_out, step = cpu_take_groups(p->d, p->in.path[0], w->n_group, w->group_bytes, p->n_tok), begin,
           end;
    float *out = p->join ? p->join->y : p->x;
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &in);
        while (pool_take(p->d->pool, w->n_group, step, worker, &begin, &end)) {
            cpu_project_out(p->d, &p->in, &in, 0, begin, end, out + row * n_out, !p->join, own);
        }
        if (p->join) {
            pool_barrier(p->d->pool);
            cpu_join_rows(p->d, p->join, n_out, row, in.rows.n_row, worker, n_worker, p->x);
        }
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool); /* the shared block is written again */
        }
    }
}

void dev_linear_add(struct dev *d, const struct dev_batch *b, const struct dev_proj *proj, const struct dev_join *join,
                    const float *y, float *x)
{
    struct linear_add p = {.d = d, .in = {.b = b, .x = y}, .join = join, .x = x, .n_tok = (size_t)b->n_tok};
    cpu_input_init(d, &p.in, &proj, 1, p.n_tok);
    pool_run(d->pool, linear_add_run, &p);
}

/* --- output head --- */

enum { HEAD_GROUPS = 8 * TILE_GROUPS }; /* the head has thousands of groups: parts of it may be larger */

struct head {
    struct dev *d;
    struct cpu_input in;
    float *logits; /* [n_row][n_vocab] */
    size_t n_row;
    float scale, softcap;
};

/* Columns [begin, end) of a block of rows, scaled and capped. */
static void finish_logits(const struct head *p, size_t row, size_t n_row, size_t begin, size_t end)
{
    for (size_t r = row; r < row + n_row && begin < end; r++) {
        float *logits = p->logits + r * p->in.proj[0]->w->n_out + begin;
        if (p->softcap > 0) {
            p->d->kern.softcap(logits, end - begin, p->scale, p->softcap);
        } else if (p->scale != 1.0f) {
            p->d->kern.scale(logits, p->scale, end - begin);
        }
    }
}

static void head_run(void *arg, int worker, int n_worker)
{
    const struct head *p = arg;
    size_t n_group = p->in.proj[0]->w->n_group, n_vocab = p->in.proj[0]->w->n_out, begin, end;
    for (size_t row = 0; row < p->n_row; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_row - row), worker, n_worker, &shared, &own, &in);
        while (pool_take(p->d->pool, n_group, HEAD_GROUPS, worker, &begin, &end)) {
            cpu_project_out(p->d, &p->in, &in, 0, begin, end, p->logits + row * n_vocab, false, own);
            finish_logits(p, row, in.rows.n_row, begin * KERN_ROWS, min_size(end * KERN_ROWS, n_vocab));
        }
        if (row + TOK_BLOCK < p->n_row) {
            pool_barrier(p->d->pool);
        }
    }
}

void dev_head(struct dev *d, const struct dev_batch *b, const struct dev_head *h, const float *x, const int32_t *rows,
              int n_row, float *logits)
{
    struct head p = {.d = d,
                     .in = {.b = b, .x = x, .norm = h->norm, .eps = h->eps, .pick = rows},
                     .logits = logits,
                     .scale = h->scale > 0 ? h->scale : 1.0f,
                     .softcap = h->softcap,
                     .n_row = (size_t)n_row};
    const struct dev_proj *proj = &h->out;
    cpu_input_init(d, &p.in, &proj, 1, p.n_row);
    pool_run(d->pool, head_run, &p);
}
