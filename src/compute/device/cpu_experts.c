/* Mixtures of experts, forward. One run of the pool: norm, router, the choice a token; tokens grouped by expert (the
 * pairs of token and expert, sorted by expert, then token); then the pairs in runs of up to RUN_ROWS, each prepared
 * once for all its experts. Gate and up are shared out by cost over (expert, group of outputs), down by output columns,
 * so that every worker adds to columns of its own and a token's sum has one order. */
#include "compute/device/experts.h"

#include <assert.h>
#include <string.h>

#include "compute/device/cpu_input.h"
#include "compute/device/cpu_route.h"
#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum {
    RUN_ROWS = TOK_BLOCK,
    READ_COST = 8 /* of streaming or unpacking a group of weights, in rows */
};

struct dev_experts_space {
    struct dev *dev;
    struct dev_experts_shape shape;
    float *h;             /* [max_tok][n_embd] */
    float *logits;        /* [max_tok][n_expert] */
    int32_t *chosen;      /* [max_tok][n_used] */
    float *weight;        /* [max_tok][n_used] */
    float *shared_weight; /* [max_tok] */
    float *act;           /* [RUN_ROWS][n_ff or n_shared] of a run: its experts' rows, then the shared one's */
    /* pairs sorted by expert, the shared one last as number n_expert; first[e] is the first of e */
    int32_t *pair_tok;
    float *pair_weight;
    size_t *first; /* [n_expert + 2] */
    int n_read;    /* experts with a pair */
};

struct experts {
    struct dev *d;
    const struct dev_experts *p;
    float *x;
    struct dev_experts_space *s;
    struct cpu_input router, up, down, shared_down;
    struct dev_proj proj[7]; /* router; gate and up, of experts and shared; down, of both: their types decide paths */
    size_t n_tok, n_embd, n_expert, n_ff, n_shared;
    bool few; /* tokens, of one run: every worker norms them itself, and one chooses for all: two meetings less */
};

/* Pairs [begin, end) of one run; `split`: the first of the shared expert, or end. */
struct run {
    size_t begin, end, split, expert; /* expert: of the first pair */
};
/* Pairs of one expert within a run. */
struct job {
    size_t expert, begin, end;
};

/* --- memory --- */

static size_t width_of(const struct dev_experts_shape *s)
{
    return (size_t)(s->n_ff > s->n_shared ? s->n_ff : s->n_shared);
}

/* The forms of a run of rows of h, or of both kinds of activations, which never stand together. */
static int reserve(struct dev *d, const struct dev_experts_shape *s, struct err *e)
{
    size_t n_in = (size_t)s->n_embd > width_of(s) ? (size_t)s->n_embd : width_of(s);
    struct cpu_limits l = {.n_in = n_in, .n_out = n_in};
    int rc = cpu_limits_grow(d, &l, e);
    if (rc) {
        return rc;
    }
    size_t few = 2 * cpu_prepared_bytes(FEW_ROWS, n_in, 0);
    return cpu_reserve(d, cpu_prepared_bytes(RUN_ROWS, n_in, 0) + cpu_prepared_bytes(1, n_in, 0),
                       cpu_linear_worker_bytes(&l) + few, e);
}

int dev_experts_space_new(struct dev *d, struct dev_experts_space **out, const struct dev_experts_shape *shape,
                          struct err *e)
{
    *out = NULL;
    struct dev_experts_space *s = mem_try_alloc(sizeof(*s));
    if (!s) {
        return err_set(e, ERR_NOMEM, NULL, "cannot reserve a step of %d tokens: out of memory", shape->max_tok);
    }
    s->dev = d;
    s->shape = *shape;
    size_t n_tok = (size_t)shape->max_tok, n_used = (size_t)shape->n_used, n_expert = (size_t)shape->n_expert;
    size_t n_pair = n_tok * (n_used + (shape->n_shared ? 1 : 0));
    s->h = mem_try_array(n_tok, (size_t)shape->n_embd * sizeof(float));
    s->logits = mem_try_array(n_tok, n_expert * sizeof(float));
    s->chosen = mem_try_array(n_tok, n_used * sizeof(int32_t));
    s->weight = mem_try_array(n_tok, n_used * sizeof(float));
    s->shared_weight = mem_try_array(n_tok, sizeof(float));
    s->act = mem_try_array(RUN_ROWS, width_of(shape) * sizeof(float));
    s->pair_tok = mem_try_array(n_pair, sizeof(int32_t));
    s->pair_weight = mem_try_array(n_pair, sizeof(float));
    s->first = mem_try_array(n_expert + 2, sizeof(size_t));
    bool whole = s->h && s->logits && s->chosen && s->weight && s->shared_weight && s->act && s->pair_tok &&
                 s->pair_weight && s->first;
    int rc = whole ? reserve(d, shape, e)
                   : err_set(e, ERR_NOMEM, NULL, "cannot reserve a step of %d tokens: out of memory", shape->max_tok);
    if (rc) {
        dev_experts_space_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void dev_experts_space_free(struct dev_experts_space *s)
{
    if (s) {
        mem_free(s->h);
        mem_free(s->logits);
        mem_free(s->chosen);
        mem_free(s->weight);
        mem_free(s->shared_weight);
        mem_free(s->act);
        mem_free(s->pair_tok);
        mem_free(s->pair_weight);
        mem_free(s->first);
        mem_free(s);
    }
}

/* --- choosing --- */

static void norm_rows(const struct experts *p, int worker, int n_worker)
{
    const struct dev_experts *m = p->p;
    size_t begin, end;
    pool_share(p->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        float *h = p->s->h + t * p->n_embd;
        p->d->kern.rms_norm(h, p->x + t * p->n_embd, m->norm, p->n_embd, m->eps);
        float gate = m->shared_weight ? p->d->kern.dot(h, m->shared_weight, p->n_embd) : 0;
        p->s->shared_weight[t] = m->shared_weight ? 1.0f / (1.0f + kmath_expf(-gate)) : 1.0f;
    }
}

static void route_logits(const struct experts *p, int worker, int n_worker)
{
    size_t begin, end;
    pool_share(p->p->router.w->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t row = 0; row < p->n_tok; row += TOK_BLOCK) {
        struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
        struct cpu_prepared in;
        cpu_prepare(p->d, &p->router, row, min_size(TOK_BLOCK, p->n_tok - row), worker, n_worker, &shared, &own, &in);
        cpu_project_out(p->d, &p->router, &in, 0, begin, end, p->s->logits + row * p->n_expert, false, own);
        if (row + TOK_BLOCK < p->n_tok) {
            pool_barrier(p->d->pool);
        }
    }
}

static void choose(const struct experts *p, int worker, int n_worker)
{
    size_t n_used = (size_t)p->p->router.n_used, begin, end;
    pool_share(p->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t t = begin; t < end; t++) {
        cpu_route(&p->d->kern, &p->p->router, p->n_expert, p->s->logits + t * p->n_expert, p->s->chosen + t * n_used,
                  p->s->weight + t * n_used);
    }
}

static void choose_few(const struct experts *p)
{
    choose(p, 0, 1);
    for (size_t t = 0; t < p->n_tok; t++) {
        p->s->shared_weight[t] = 1.0f;
    }
}

/* Pairs by expert, then token: counts, their sums, and every pair to its place. */
static void group_pairs(const struct experts *p)
{
    struct dev_experts_space *s = p->s;
    size_t n_used = (size_t)p->p->router.n_used, n = p->n_tok * n_used, *first = s->first, *next = first + 1;
    memset(first, 0, (p->n_expert + 2) * sizeof(*first));
    for (size_t i = 0; i < n; i++) {
        first[s->chosen[i] + 2]++;
    }
    for (size_t e = 2; e < p->n_expert + 2; e++) {
        first[e] += first[e - 1];
    }
    for (size_t i = 0; i < n; i++) { /* next[e] moves from the first of e to the first of e + 1 */
        size_t at = next[s->chosen[i]]++;
        s->pair_tok[at] = (int32_t)(i / n_used);
        s->pair_weight[at] = s->weight[i];
    }
    s->n_read = 0;
    for (size_t e = 0; e < p->n_expert; e++) {
        s->n_read += first[e + 1] > first[e];
    }
    first[p->n_expert + 1] = n + (p->n_shared ? p->n_tok : 0);
    for (size_t t = 0; t < p->n_tok && p->n_shared; t++) {
        s->pair_tok[n + t] = (int32_t)t;
        s->pair_weight[n + t] = s->shared_weight[t];
    }
}

/* --- runs and jobs --- */

/* The run from pair `begin` on, which is one of `expert` or of a later one: it ends where an expert does, unless the
 * rows of one are too many. */
static struct run run_from(const struct experts *p, size_t begin, size_t expert)
{
    const size_t *first = p->s->first;
    while (first[expert + 1] <= begin) {
        expert++;
    }
    struct run r = {.begin = begin, .end = begin, .expert = expert};
    for (size_t e = expert; e <= p->n_expert && first[e + 1] - begin <= RUN_ROWS; e++) {
        r.end = first[e + 1];
    }
    r.end = r.end == begin ? begin + RUN_ROWS : r.end;
    size_t shared = first[p->n_expert];
    r.split = shared < begin ? begin : min_size(shared, r.end);
    return r;
}

/* The next job of a run; false after the last. *at starts at the run's begin, job->expert at the run's. */
static bool next_job(const struct experts *p, const struct run *r, size_t *at, struct job *job)
{
    if (*at >= r->end) {
        return false;
    }
    while (p->s->first[job->expert + 1] <= *at) {
        job->expert++;
    }
    job->begin = *at;
    job->end = *at = min_size(p->s->first[job->expert + 1], r->end);
    return true;
}

/* Where the activation of pair i of the run stands. */
static float *act_of(const struct experts *p, const struct run *r, size_t pair)
{
    float *shared = p->s->act + (r->split - r->begin) * p->n_ff;
    return pair < r->split ? p->s->act + (pair - r->begin) * p->n_ff : shared + (pair - r->split) * p->n_shared;
}

/* --- gate and up --- */

static const struct dev_mat *up_mat(const struct experts *p, const struct job *j, bool is_up)
{
    if (j->expert == p->n_expert) {
        return is_up ? p->p->shared_up : p->p->shared_gate;
    }
    return dev_stack_at(is_up ? p->p->up : p->p->gate, j->expert);
}

static size_t job_cost(const struct job *j)
{
    return j->end - j->begin + READ_COST;
}

/* Groups [g0, g1) of one job: the activations of its pairs. c: two tiles and a panel. */
static void gate_up_tile(const struct experts *p, const struct run *r, const struct job *j,
                         const struct cpu_prepared *in, size_t g0, size_t g1, struct carve c)
{
    size_t tile_bytes = (size_t)TOK_BLOCK * TILE_COLS * sizeof(float);
    float *gate = carve_take(&c, tile_bytes), *up = carve_take(&c, tile_bytes);
    bool shared = j->expert == p->n_expert;
    const struct dev_mat *w_gate = up_mat(p, j, false), *w_up = up_mat(p, j, true);
    struct cpu_rows rows = cpu_rows_from(&p->up, in, j->begin - r->begin, j->end - j->begin);
    cpu_product(p->d, p->up.path[shared ? 2 : 0], w_gate, &rows, g0, g1, gate, TILE_COLS, false, c);
    cpu_product(p->d, p->up.path[shared ? 3 : 1], w_up, &rows, g0, g1, up, TILE_COLS, false, c);
    size_t col = g0 * KERN_ROWS, n_col = min_size(g1 * KERN_ROWS, w_gate->n_out) - col;
    for (size_t i = 0; i < rows.n_row; i++) {
        float *g = gate + i * TILE_COLS, *u = up + i * TILE_COLS;
        if (p->p->router.weighs_input && !shared) { /* both are linear in their input */
            p->d->kern.scale(g, p->s->pair_weight[j->begin + i], n_col);
            p->d->kern.scale(u, p->s->pair_weight[j->begin + i], n_col);
        }
        p->d->kern.swiglu(act_of(p, r, j->begin + i) + col, g, u, n_col);
    }
}

/* A worker's part of the list of (job, group): from cost `from` to cost `to` of the whole. */
static void gate_up_part(const struct experts *p, const struct run *r, const struct cpu_prepared *in, size_t from,
                         size_t to, struct carve c)
{
    struct job j = {.expert = r->expert};
    size_t base = 0;
    for (size_t at = r->begin; next_job(p, r, &at, &j);) {
        size_t cost = job_cost(&j), n_group = up_mat(p, &j, false)->n_group;
        size_t g = from > base ? min_size((from - base + cost - 1) / cost, n_group) : 0;
        size_t end = to > base ? min_size((to - base + cost - 1) / cost, n_group) : 0;
        for (; g < end; g += TILE_GROUPS) {
            gate_up_tile(p, r, &j, in, g, min_size(g + TILE_GROUPS, end), c);
        }
        base += cost * n_group;
    }
}

static void gate_up(const struct experts *p, const struct run *r, int worker, int n_worker)
{
    struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
    struct cpu_prepared in;
    struct job j = {.expert = r->expert};
    size_t total = 0;
    for (size_t at = r->begin; next_job(p, r, &at, &j);) {
        total += job_cost(&j) * up_mat(p, &j, false)->n_group;
    }
    cpu_prepare(p->d, &p->up, r->begin, r->end - r->begin, worker, n_worker, &shared, &own, &in);
    gate_up_part(p, r, &in, total * (size_t)worker / (size_t)n_worker, total * (size_t)(worker + 1) / (size_t)n_worker,
                 own);
}

/* --- down --- */

/* Groups [g0, g1) of one job, onto x. rows: of the job. c: a tile and a panel. */
static void down_tile(const struct experts *p, const struct job *j, enum cpu_path path, const struct cpu_rows *rows,
                      size_t g0, size_t g1, struct carve c)
{
    bool shared = j->expert == p->n_expert;
    const struct dev_mat *w = shared ? p->p->shared_down : dev_stack_at(p->p->down, j->expert);
    float *tile = carve_take(&c, (size_t)TOK_BLOCK * TILE_COLS * sizeof(float));
    size_t col = g0 * KERN_ROWS, n_col = min_size(g1 * KERN_ROWS, p->n_embd) - col;
    cpu_product(p->d, path, w, rows, g0, g1, tile, TILE_COLS, false, c);
    for (size_t i = 0; i < rows->n_row; i++) {
        float weight = p->p->router.weighs_input && !shared ? 1.0f : p->s->pair_weight[j->begin + i];
        float *x = p->x + (size_t)p->s->pair_tok[j->begin + i] * p->n_embd + col;
        p->d->kern.axpy(x, weight, tile + i * TILE_COLS, n_col);
    }
}

static void down(const struct experts *p, const struct run *r, int worker, int n_worker)
{
    struct carve shared = carve_begin(&p->d->shared), own = carve_begin(&p->d->worker[worker]);
    struct cpu_input in[2] = {p->down, p->shared_down};
    size_t n_row[2] = {r->split - r->begin, r->end - r->split}, begin, end;
    struct cpu_prepared ready[2];
    for (int k = 0; k < 2; k++) {
        in[k].x = act_of(p, r, k == 0 ? r->begin : r->split);
        if (n_row[k] > 0) {
            cpu_prepare(p->d, &in[k], 0, n_row[k], worker, n_worker, &shared, &own, &ready[k]);
        }
    }
    pool_share((p->n_embd + KERN_ROWS - 1) / KERN_ROWS, 1, worker, n_worker, &begin, &end);
    struct job j = {.expert = r->expert};
    for (size_t at = r->begin; next_job(p, r, &at, &j);) {
        int k = j.expert == p->n_expert;
        struct cpu_rows rows = cpu_rows_from(&in[k], &ready[k], j.begin - (k ? r->split : r->begin), j.end - j.begin);
        for (size_t g = begin; g < end; g += TILE_GROUPS) {
            down_tile(p, &j, in[k].path[0], &rows, g, min_size(g + TILE_GROUPS, end), own);
        }
    }
}

/* --- the whole --- */

static void experts_run(void *arg, int worker, int n_worker)
{
    const struct experts *p = arg;
    struct pool *pool = p->d->pool;
    if (!p->few) {
        norm_rows(p, worker, n_worker);
        pool_barrier(pool);
    }
    route_logits(p, worker, n_worker);
    pool_barrier(pool);
    if (!p->few) {
        choose(p, worker, n_worker);
        pool_barrier(pool);
    } else if (worker == 0) {
        choose_few(p);
    }
    if (worker == 0) {
        group_pairs(p);
    }
    pool_barrier(pool);
    size_t n_pair = p->s->first[p->n_expert + 1], expert = 0;
    for (size_t at = 0; at < n_pair;) {
        struct run r = run_from(p, at, expert);
        gate_up(p, &r, worker, n_worker);
        pool_barrier(pool);
        down(p, &r, worker, n_worker);
        at = r.end;
        expert = r.expert;
        if (at < n_pair) {
            pool_barrier(pool); /* the shared block is written again */
        }
    }
}

/* Inputs of the products. Rows an expert has on average decide about paths that depend on their number. */
static void init_inputs(struct experts *p, const struct dev_batch *b)
{
    const struct dev_experts *m = p->p;
    size_t n_used = (size_t)m->router.n_used, per_expert = (p->n_tok * n_used + p->n_expert - 1) / p->n_expert;
    const struct dev_mat *of[] = {m->router.w,  dev_stack_at(m->gate, 0), dev_stack_at(m->up, 0), m->shared_gate,
                                  m->shared_up, dev_stack_at(m->down, 0), m->shared_down};
    const struct dev_proj *proj[N_ELEM(of)];
    for (size_t i = 0; i < N_ELEM(of); i++) {
        p->proj[i] = (struct dev_proj){.w = of[i], .fine = m->fine};
        proj[i] = &p->proj[i];
    }
    const struct cpu_input normed = {.b = b, .x = p->s->h};
    p->router = p->few ? (struct cpu_input){.b = b, .x = p->x, .norm = m->norm, .eps = m->eps} : normed;
    cpu_input_init(p->d, &p->router, proj, 1, p->n_tok);
    p->up = p->router;
    p->up.pick = p->s->pair_tok;
    cpu_input_init(p->d, &p->up, proj + 1, p->n_shared ? 4 : 2, per_expert);
    p->down = p->shared_down = (struct cpu_input){.b = b};
    cpu_input_init(p->d, &p->down, proj + 5, 1, per_expert);
    if (p->n_shared) {
        cpu_input_init(p->d, &p->shared_down, proj + 6, 1, p->n_tok);
    }
}

void dev_experts(struct dev *d, const struct dev_batch *b, const struct dev_experts *m, float *x,
                 struct dev_experts_space *s)
{
    const struct dev_experts_shape *shape = &s->shape;
    assert(b->n_tok <= shape->max_tok && dev_stack_n(m->gate) == (size_t)shape->n_expert);
    struct experts p = {.d = d,
                        .p = m,
                        .x = x,
                        .s = s,
                        .n_tok = (size_t)b->n_tok,
                        .n_embd = (size_t)shape->n_embd,
                        .n_expert = (size_t)shape->n_expert,
                        .n_ff = (size_t)shape->n_ff,
                        .n_shared = m->shared_gate ? (size_t)shape->n_shared : 0};
    size_t n_pair = p.n_tok * ((size_t)m->router.n_used + (p.n_shared ? 1 : 0));
    p.few = p.n_tok <= FEW_ROWS && n_pair <= RUN_ROWS && !m->shared_weight; /* which is met by the normed row */
    init_inputs(&p, b);
    pool_run(d->pool, experts_run, &p);
}

int dev_experts_n_read(const struct dev_experts_space *s)
{
    return s->n_read;
}
