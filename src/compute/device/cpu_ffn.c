/* The feed-forward part of a layer: gate and up with their activation, alone for the tape, or with the projection back
 * in one run of the pool. Between the two products the activation stays in the form that the second one reads. */
#include <string.h>

#include "compute/device/cpu_input.h"
#include "ground/base/mem.h"

struct gate_up {
    struct dev *d;
    struct cpu_input in;
    float *act, *gate, *up; /* [n_tok][n_ff], each may be NULL */
    uint16_t *act_bf16;     /* [n_tok][ld_bf16] instead of act, or NULL */
    size_t ld_bf16;
    bool gelu;
    size_t n_tok, n_ff;
};

static kern_glu_fn cpu_glu(const struct dev *d, bool gelu)
{
    return gelu ? d->kern.geglu : d->kern.swiglu;
}

/* What becomes of n_col values of gate and up, from column col of a row on. */
static void activate(const struct gate_up *p, size_t row, size_t col, const float *gate, const float *up, size_t n_col)
{
    size_t at = row * p->n_ff + col;
    if (p->gate) {
        memcpy(p->gate + at, gate, n_col * sizeof(float));
    }
    if (p->up) {
        memcpy(p->up + at, up, n_col * sizeof(float));
    }
    if (p->act_bf16) {
        p->d->kern.swiglu_bf16(p->act_bf16 + row * p->ld_bf16 + col, gate, up, n_col);
    } else if (p->act) {
        cpu_glu(p->d, p->gelu)(p->act + at, gate, up, n_col);
    }
}

static void gate_up_tiles(const struct gate_up *p, const struct cpu_prepared *in, size_t begin, size_t end,
                          struct carve c)
{
    size_t ld = cpu_tile_ld(TILE_GROUPS), tile_bytes = TOK_BLOCK * ld * sizeof(float);
    float *gate = carve_take(&c, tile_bytes), *up = carve_take(&c, tile_bytes);
    for (size_t g = begin; g < end; g += TILE_GROUPS) {
        size_t g1 = min_size(g + TILE_GROUPS, end), col = g * KERN_ROWS,
               n_col = min_size(g1 * KERN_ROWS, p->n_ff) - col;
        cpu_project(p->d, &p->in, in, 0, g, g1, gate, ld, false, c);
        cpu_project(p->d, &p->in, in, 1, g, g1, up, ld, false, c);
        for (size_t r = 0; r < in->rows.n_row; r++) {
            activate(p, in->row0 + r, col, gate + r * ld, up + r * ld, n_col);
        }
    }
}

/* The block of rows from `row` on: every worker parts of the outputs. */
static void gate_up_block(const struct gate_up *p, size_t row, int worker, int n_worker)
{
    struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
    struct cpu_prepared in;
    const struct dev_mat *w = p->in.proj[0]->w;
    size_t step = cpu_take_groups(p->d, p->in.path[0], w->n_group, 2 * w->group_bytes, p->n_tok), begin, end;
    cpu_prepare(p->d, &p->in, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &in);
    while (pool_take(p->d->pool, w->n_group, step, worker, &begin, &end)) {
        gate_up_tiles(p, &in, begin, end, own);
    }
}

static void gate_up_run(void *arg, int worker, int n_worker)
{
    const struct gate_up *p = arg;
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        gate_up_block(p, row, worker, n_worker);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool); /* the shared block is written again */
        }
    }
}

static struct gate_up gate_up_begin(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *gu,
                                    const float *x)
{
    struct gate_up p = {.d = d,
                        .in = {.b = b, .x = x, .norm = gu->norm, .eps = gu->eps},
                        .gelu = gu->gelu,
                        .n_tok = (size_t)b->n_tok,
                        .n_ff = gu->gate.w->n_out};
    cpu_input_init(d, &p.in, (const struct dev_proj *[]){&gu->gate, &gu->up}, 2, p.n_tok);
    return p;
}

void dev_gate_up(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *gu, const float *x, float *act,
                 float *gate_out, float *up_out, float *inv_rms)
{
    struct gate_up p = gate_up_begin(d, b, gu, x);
    p.in.inv_rms = inv_rms;
    p.act = act;
    p.gate = gate_out;
    p.up = up_out;
    pool_run(d->pool, gate_up_run, &p);
}

/* --- with the projection back --- */

struct ffn {
    struct gate_up gate_up;
    struct cpu_input down;
    const struct dev_join *join;
    float *x;
};

/* The activation as the projection's input, in shared or own scratch unless it stands as wanted. */
static void prepare_down(const struct ffn *p, size_t row, int worker, int n_worker, struct carve *own,
                         struct cpu_prepared *in)
{
    const struct gate_up *gu = &p->gate_up;
    size_t n_row = min_size(TOK_BLOCK, gu->n_tok - row);
    if (gu->act_bf16) {
        struct cpu_rows rows = {.bf16 = gu->act_bf16 + row * gu->ld_bf16, .ld_bf16 = gu->ld_bf16, .n_row = n_row};
        *in = (struct cpu_prepared){.row0 = row, .rows = rows};
        return;
    }
    struct carve shared = carve_begin(&gu->d->shared);
    cpu_prepare(gu->d, &p->down, row, n_row, worker, n_worker, &shared, own, in);
}

static void ffn_run(void *arg, int worker, int n_worker)
{
    const struct ffn *p = arg;
    const struct gate_up *gu = &p->gate_up;
    const struct dev_mat *w = p->down.proj[0]->w;
    size_t step = cpu_take_groups(gu->d, p->down.path[0], w->n_group, w->group_bytes, gu->n_tok), begin, end;
    for (size_t row = 0; row < gu->n_tok; row += TOK_BLOCK) {
        struct carve own = carve_begin(&gu->d->worker[worker]);
        struct cpu_prepared in;
        gate_up_block(gu, row, worker, n_worker);
        pool_barrier(gu->d->pool); /* the activation is whole, and nobody reads x any more */
        prepare_down(p, row, worker, n_worker, &own, &in);
        float *out = (p->join ? p->join->y : p->x) + row * w->n_out;
        while (pool_take(gu->d->pool, w->n_group, step, worker, &begin, &end)) {
            cpu_project_out(gu->d, &p->down, &in, 0, begin, end, out, !p->join, own);
        }
        if (p->join) {
            pool_barrier(gu->d->pool);
            cpu_join_rows(gu->d, p->join, w->n_out, row, in.rows.n_row, worker, n_worker, p->x);
        }
        if (row + TOK_BLOCK < gu->n_tok) {
            pool_barrier(gu->d->pool);
        }
    }
}

void dev_ffn(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *gu, const struct dev_proj *down,
             const struct dev_join *join, float *act, float *x)
{
    struct ffn p = {.gate_up = gate_up_begin(d, b, gu, x), .down = {.b = b, .x = act}, .join = join, .x = x};
    cpu_input_init(d, &p.down, &down, 1, p.gate_up.n_tok);
    bool as_bf16 = !gu->gelu && p.down.path[0] == PATH_BF16 && p.down.ld_u == 0 && p.gate_up.n_ff % KERN_K == 0;
    p.gate_up.act = act;
    p.gate_up.ld_bf16 = cpu_row_stride(p.gate_up.n_ff * sizeof(uint16_t)) / sizeof(uint16_t); /* at most 2 n_ff */
    p.gate_up.act_bf16 = as_bf16 ? (uint16_t *)(void *)act : NULL; /* memory of ours, seen as what is put there */
    pool_run(d->pool, ffn_run, &p);
}

/* --- the activation alone --- */

struct glu {
    struct dev *d;
    bool gelu;
    float *act;
    const float *gate, *up;
    size_t n_tok, n_ff;
};

static void glu_run(void *arg, int worker, int n_worker)
{
    const struct glu *p = arg;
    size_t begin, end;
    pool_share(p->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        cpu_glu(p->d, p->gelu)(p->act + r * p->n_ff, p->gate + r * p->n_ff, p->up + r * p->n_ff, p->n_ff);
    }
}

void dev_glu(struct dev *d, bool gelu, float *act, const float *gate, const float *up, size_t n_tok, size_t n_ff)
{
    pool_run(d->pool, glu_run, &(struct glu){d, gelu, act, gate, up, n_tok, n_ff});
}
