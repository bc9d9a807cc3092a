/* Coarse linear operations, forward: residual projection, gate and up with their activation, output head. Each is one
 * run of the pool: workers prepare the input, then take contiguous shares of the output groups. */
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
    size_t tile = (size_t)TOK_BLOCK * TILE_COLS * sizeof(float);
    return cpu_prepared_bytes(FEW_ROWS, l->n_in, l->rank) + 2 * tile + round_up(cpu_product_bytes(l->n_in), 64) +
           l->d_head * sizeof(uint16_t) + 256;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- residual projection --- */

struct linear_add {
    struct dev *d;
    struct cpu_input in;
    float *x;
    size_t n_tok;
};

static void linear_add_tiles(const struct linear_add *p, const struct cpu_prepared *in, size_t begin, size_t end,
                             struct carve c)
{
    size_t n_out = p->in.proj[0]->w->n_out;
    float *tile = carve_take(&c, (size_t)TOK_BLOCK * TILE_COLS * sizeof(float));
    for (size_t g = begin; g < end; g += TILE_GROUPS) {
        size_t g1 = min_size(g + TILE_GROUPS, end), col = g * KERN_ROWS, n_col = min_size(g1 * KERN_ROWS, n_out) - col;
        cpu_project(p->d, &p->in, in, 0, g, g1, tile, TILE_COLS, c);
        for (size_t r = 0; r < in->rows.n_row; r++) {
            p->d->kern.add(p->x + (in->row0 + r) * n_out + col, tile + r * TILE_COLS, n_col);
        }
    }
}

static void linear_add_run(void *arg, int worker, int n_worker)
{
    const struct linear_add *p = arg;
    size_t begin, end;
    pool_share(p->in.proj[0]->w->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &in);
        linear_add_tiles(p, &in, begin, end, own);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool); /* the shared block is written again */
        }
    }
}

void dev_linear_add(struct dev *d, const struct dev_batch *b, const struct dev_proj *proj, const float *y, float *x)
{
    struct linear_add p = {.d = d, .in = {.b = b, .x = y}, .x = x, .n_tok = (size_t)b->n_tok};
    cpu_input_init(d, &p.in, &proj, 1, p.n_tok);
    pool_run(d->pool, linear_add_run, &p);
}

/* --- gate and up --- */

struct gate_up {
    struct dev *d;
    struct cpu_input in;
    float *act, *gate, *up; /* [n_tok][n_ff], each may be NULL */
    size_t n_tok, n_ff;
};

static void gate_up_tiles(const struct gate_up *p, const struct cpu_prepared *in, size_t begin, size_t end,
                          struct carve c)
{
    size_t tile_bytes = (size_t)TOK_BLOCK * TILE_COLS * sizeof(float);
    float *gate = carve_take(&c, tile_bytes), *up = carve_take(&c, tile_bytes);
    for (size_t g = begin; g < end; g += TILE_GROUPS) {
        size_t g1 = min_size(g + TILE_GROUPS, end), col = g * KERN_ROWS,
               n_col = min_size(g1 * KERN_ROWS, p->n_ff) - col;
        cpu_project(p->d, &p->in, in, 0, g, g1, gate, TILE_COLS, c);
        cpu_project(p->d, &p->in, in, 1, g, g1, up, TILE_COLS, c);
        for (size_t r = 0; r < in->rows.n_row; r++) {
            size_t at = (in->row0 + r) * p->n_ff + col;
            if (p->gate) {
                memcpy(p->gate + at, gate + r * TILE_COLS, n_col * sizeof(float));
            }
            if (p->up) {
                memcpy(p->up + at, up + r * TILE_COLS, n_col * sizeof(float));
            }
            if (p->act) {
                p->d->kern.swiglu(p->act + at, gate + r * TILE_COLS, up + r * TILE_COLS, n_col);
            }
        }
    }
}

static void gate_up_run(void *arg, int worker, int n_worker)
{
    const struct gate_up *p = arg;
    size_t begin, end;
    pool_share(p->in.proj[0]->w->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &in);
        gate_up_tiles(p, &in, begin, end, own);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool);
        }
    }
}

void dev_gate_up(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *gu, const float *x, float *act,
                 float *gate_out, float *up_out, float *inv_rms)
{
    struct gate_up p = {.d = d,
                        .in = {.b = b, .x = x, .norm = gu->norm, .eps = gu->eps, .inv_rms = inv_rms},
                        .act = act,
                        .gate = gate_out,
                        .up = up_out,
                        .n_tok = (size_t)b->n_tok,
                        .n_ff = gu->gate.w->n_out};
    const struct dev_proj *proj[] = {&gu->gate, &gu->up};
    cpu_input_init(d, &p.in, proj, 2, p.n_tok);
    pool_run(d->pool, gate_up_run, &p);
}

struct swiglu {
    struct dev *d;
    float *act;
    const float *gate, *up;
    size_t n_tok, n_ff;
};

static void swiglu_run(void *arg, int worker, int n_worker)
{
    const struct swiglu *p = arg;
    size_t begin, end;
    pool_share(p->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        p->d->kern.swiglu(p->act + r * p->n_ff, p->gate + r * p->n_ff, p->up + r * p->n_ff, p->n_ff);
    }
}

void dev_swiglu(struct dev *d, float *act, const float *gate, const float *up, size_t n_tok, size_t n_ff)
{
    pool_run(d->pool, swiglu_run, &(struct swiglu){d, act, gate, up, n_tok, n_ff});
}

/* --- output head --- */

struct head {
    struct dev *d;
    struct cpu_input in;
    float *logits; /* [n_row][n_vocab] */
    size_t n_row;
};

static void head_tiles(const struct head *p, const struct cpu_prepared *in, size_t begin, size_t end, struct carve c)
{
    size_t n_out = p->in.proj[0]->w->n_out;
    float *tile = carve_take(&c, (size_t)TOK_BLOCK * TILE_COLS * sizeof(float));
    for (size_t g = begin; g < end; g += TILE_GROUPS) {
        size_t g1 = min_size(g + TILE_GROUPS, end), col = g * KERN_ROWS, n_col = min_size(g1 * KERN_ROWS, n_out) - col;
        cpu_project(p->d, &p->in, in, 0, g, g1, tile, TILE_COLS, c);
        for (size_t r = 0; r < in->rows.n_row; r++) {
            memcpy(p->logits + (in->row0 + r) * n_out + col, tile + r * TILE_COLS, n_col * sizeof(float));
        }
    }
}

static void head_run(void *arg, int worker, int n_worker)
{
    const struct head *p = arg;
    size_t begin, end;
    pool_share(p->in.proj[0]->w->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t row = 0; row < p->n_row; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_row - row), worker, n_worker, &shared, &own, &in);
        head_tiles(p, &in, begin, end, own);
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
                     .n_row = (size_t)n_row};
    const struct dev_proj *proj = &h->out;
    cpu_input_init(d, &p.in, &proj, 1, p.n_row);
    pool_run(d->pool, head_run, &p);
}
