/* Backward pass of linear operations on the CPU: products with the transpose of packed matrices, adapters, and the norm
 * before them. Attention, the head, gradients of the weights themselves and the optimizer have files of their own.
 *
 * With y = x W^T + scale * (x A^T) B^T:  dU = scale * dy B,  dx = dy W + dU A,  dA = dU^T x,  dB = scale * dy^T U.
 * With magnitudes dy is first multiplied by m / norm, and dm = sum of dy y / norm with y before the multiplication.
 * Every one of them is the float product with other strides. Work is split by tokens (dU), by columns (dx, dA) or by
 * rows of dB, never along a sum, so bits do not depend on the number of workers. */
#include "compute/device/cpu_backward_int.h"

#include <assert.h>
#include <string.h>

#include "ground/base/mem.h"

/* --- products with the transpose --- */

enum cpu_path back_path(const struct dev *d, const struct dev_mat *m, size_t n_row)
{
    enum cpu_path path = cpu_path_choose(d, DEV_TRAIN, m->type, false, n_row);
    /* the bf16 product writes whole groups of columns */
    return path == PATH_BF16 && m->n_in % KERN_K != 0 ? PATH_F32 : path;
}

size_t back_columns_bytes(void)
{
    return (size_t)BACK_K * BACK_BLOCKS * KERN_K * sizeof(float) + KERN_ROWS * KERN_K * sizeof(uint16_t) + 128;
}

/* Rows of the panels that a product of n is cut into: all alike, since a short one costs its sums as much traffic as a
 * long one (576 = 288 + 288, not 512 + 64). */
static size_t panel_rows(size_t n)
{
    size_t n_panel = (n + BACK_K - 1) / BACK_K;
    return round_up((n + n_panel - 1) / n_panel, KERN_ROWS);
}

/* Blocks that stand beside each other in a panel. */
static size_t wide_blocks(const struct dev *d)
{
    return d->kern.gemm_cols > KERN_K ? d->kern.gemm_cols / KERN_K : 1;
}

/* Blocks [b0, b1) of rows [k0, k0 + n_k) as floats beside each other, [n_k][32 (b1 - b0)]. */
static void rows_float(const struct dev *d, const struct dev_mat *m, size_t k0, size_t n_k, size_t b0, size_t b1,
                       float *panel)
{
    size_t ld = (b1 - b0) * KERN_K;
    for (size_t g = 0; g * KERN_ROWS < n_k; g++) {
        for (size_t b = b0; b < b1; b++)
            d->kern.quant[m->type].rows(panel + g * KERN_ROWS * ld + (b - b0) * KERN_K, ld,
                                        mat_block(m, k0 / KERN_ROWS + g, b * KERN_K), mat_part(m, b * KERN_K));
    }
}

static void columns_float(const struct dev *d, kern_gemm_fn gemm, const struct dev_mat *m, const struct back_rows *r,
                          size_t b0, size_t b1, float *dx, size_t lddx, bool accumulate, struct carve c)
{
    float *panel = carve_take(&c, (size_t)BACK_K * (b1 - b0) * KERN_K * sizeof(float));
    size_t step = panel_rows(m->n_out), wide = wide_blocks(d);
    for (size_t k0 = 0; k0 < m->n_out; k0 += step) {
        size_t n_k = min_size(m->n_out - k0, step);
        for (size_t b = b0; b < b1; b += wide)
            rows_float(d, m, k0, n_k, b, min_size(b + wide, b1), panel + (b - b0) * KERN_K * step);
        for (size_t i = 0; i < r->n_row; i += BACK_ROWS) {
            for (size_t b = b0; b < b1; b += wide) {
                size_t to = min_size(b + wide, b1);
                gemm(dx + i * lddx + b * KERN_K, lddx, r->dy + i * r->ldy + k0, r->ldy, 1,
                     panel + (b - b0) * KERN_K * step, (to - b) * KERN_K, min_size(r->n_row - i, BACK_ROWS),
                     min_size(to * KERN_K, m->n_in) - b * KERN_K, n_k, accumulate || k0 > 0);
            }
        }
    }
}

/* One block of 16 rows x 32 columns into two panels of 16 columns, rows in pairs. */
static void put_block_bf16(const struct dev *d, const struct dev_mat *m, size_t group, size_t block, uint16_t *left,
                           uint16_t *right, uint16_t *tmp)
{
    d->kern.quant[m->type].rows_bf16(tmp, KERN_K, mat_block(m, group, block * KERN_K), mat_part(m, block * KERN_K));
    for (size_t pair = 0; pair < KERN_ROWS / 2; pair++) {
        memcpy(left + pair * 32, tmp + pair * 64, 32 * sizeof(uint16_t));
        memcpy(right + pair * 32, tmp + pair * 64 + 32, 32 * sizeof(uint16_t));
    }
}

static void columns_bf16(const struct dev *d, const struct dev_mat *m, const struct back_rows *r, size_t b0, size_t b1,
                         float *dx, size_t lddx, bool accumulate, struct carve c)
{
    uint16_t *tmp = carve_take(&c, KERN_ROWS * KERN_K * sizeof(uint16_t));
    uint16_t *panel = carve_take(&c, (size_t)BACK_K * BACK_BLOCKS * KERN_K * sizeof(uint16_t));
    size_t n_group = m->n_group;
    for (size_t g0 = 0; g0 < n_group; g0 += BACK_K / KERN_ROWS) {
        size_t n = n_group - g0 < BACK_K / KERN_ROWS ? n_group - g0 : BACK_K / KERN_ROWS;
        size_t n_k = round_up(n * KERN_ROWS, KERN_K), stride = n_k * KERN_ROWS;
        if (n % 2 != 0) memset(panel, 0, 2 * (b1 - b0) * stride * sizeof(uint16_t));
        for (size_t g = 0; g < n; g++) {
            for (size_t b = b0; b < b1; b++) {
                uint16_t *left = panel + 2 * (b - b0) * stride + g * KERN_ROWS * KERN_ROWS;
                put_block_bf16(d, m, g0 + g, b, left, left + stride, tmp);
            }
        }
        d->kern.gemm_bf16(dx + b0 * KERN_K, lddx, r->bf16 + g0 * KERN_ROWS, r->ld_bf16, panel, stride, r->n_row,
                          2 * (b1 - b0), n_k, accumulate || g0 > 0);
    }
}

struct back_part back_part_of(size_t n_row, size_t n_col, int worker, int n_worker)
{
    size_t n_block = (n_col + KERN_K - 1) / KERN_K, least = SIZE_MAX;
    int across = 1, down = 1;
    for (int rows = 1; rows <= n_worker; rows++) {
        int cols = n_worker / rows;
        size_t blocks = (n_block + (size_t)cols - 1) / (size_t)cols, part = (n_row + (size_t)rows - 1) / (size_t)rows;
        /* a dequantized block costs about as much as its product with two rows */
        size_t cost = blocks * (part + 2);
        if (cost >= least) continue;
        least = cost;
        across = cols;
        down = rows;
    }
    struct back_part p = {0};
    if (worker >= across * down) return p;
    pool_share(n_block, 1, worker % across, across, &p.b0, &p.b1);
    pool_share(n_row, 1, worker / across, down, &p.row0, &p.row1);
    return p;
}

void back_columns(const struct dev *d, enum cpu_path path, const struct dev_mat *m, const struct back_rows *r,
                  const struct back_part *part, float *dx, size_t lddx, bool accumulate, struct carve c)
{
    kern_gemm_fn gemm = path == PATH_REF ? d->kern.gemm_ref : d->kern.gemm_f32;
    size_t n = part->b1 - part->b0, n_tile = (n + BACK_BLOCKS - 1) / BACK_BLOCKS, wide = wide_blocks(d);
    struct back_rows rows = {.dy = r->dy + part->row0 * r->ldy, .ldy = r->ldy, .ld_bf16 = r->ld_bf16};
    rows.n_row = part->row1 - part->row0;
    if (path == PATH_BF16) rows.bf16 = r->bf16 + part->row0 * r->ld_bf16;
    if (rows.n_row == 0) return;
    for (size_t t = 0; t < n_tile; t++) {
        size_t from = part->b0 + round_up(n * t / n_tile, wide), to = round_up(n * (t + 1) / n_tile, wide);
        to = part->b0 + min_size(to, n);
        float *y = dx + part->row0 * lddx;
        if (path == PATH_BF16)
            columns_bf16(d, m, &rows, from, to, y, lddx, accumulate, c);
        else
            columns_float(d, gemm, m, &rows, from, to, y, lddx, accumulate, c);
    }
}

void back_convert(const struct dev *d, enum cpu_path path, const struct back_rows *r, size_t n_out, size_t row0,
                  size_t row1)
{
    if (path != PATH_BF16) return;
    for (size_t i = row0; i < row1; i++) {
        d->kern.f32_to_bf16(r->bf16 + i * r->ld_bf16, r->dy + i * r->ldy, n_out, 1.0f);
        memset(r->bf16 + i * r->ld_bf16 + n_out, 0, (r->ld_bf16 - n_out) * sizeof(uint16_t));
    }
}

/* --- projections that share an input --- */

void back_proj_init(struct back_linear *w, int idx, const struct dev_batch *b, const struct dev_proj *p,
                    const struct dev_proj_grad *g, const float *dy, struct carve *c)
{
    struct back_proj *q = &w->proj[idx];
    const struct dev_mat *m = p->w;
    *q = (struct back_proj){.p = p, .l = cpu_lora(p, &b->segment[0]), .path = back_path(w->d, m, w->n_tok)};
    q->dy = dy;
    q->rows = (struct back_rows){.dy = dy, .ldy = m->n_out, .n_row = w->n_tok, .ld_bf16 = round_up(m->n_out, KERN_K)};
    if (q->path == PATH_BF16) q->rows.bf16 = carve_take(c, w->n_tok * q->rows.ld_bf16 * sizeof(uint16_t));
    if (g != NULL) q->g = *g;
    if (q->l == NULL) return;
    if (q->l->gain != NULL) q->rows.dy = q->gained = carve_take(c, w->n_tok * m->n_out * sizeof(float));
    assert((q->g.db == NULL || p->u != NULL) && (q->g.dm == NULL || p->y != NULL));
    q->du = carve_take(c, w->n_tok * (size_t)q->l->rank * sizeof(float));
    q->su = carve_take(c, w->n_tok * (size_t)q->l->rank * sizeof(float));
}

static bool wants_input(const struct back_linear *w)
{
    for (int i = 0; i < w->n_proj; i++)
        if (w->proj[i].g.da != NULL || w->proj[i].g.dw != NULL) return true;
    return false;
}

/* Gradients of rows before they were multiplied by magnitudes. */
static void apply_gain(const struct back_proj *q, size_t row0, size_t row1)
{
    size_t n = q->p->w->n_out;
    for (size_t i = row0; i < row1; i++) {
        const float *dy = q->dy + i * n;
        float *to = q->gained + i * n;
        for (size_t o = 0; o < n; o++) to[o] = dy[o] * q->l->gain[o];
    }
}

/* What needs whole rows of tokens: the input again, dU, scaled U. */
static void prepare_rows(const struct back_linear *w, size_t row0, size_t row1)
{
    const struct kern *k = &w->d->kern;
    if (row0 == row1) return;
    if (w->norm.x != NULL && wants_input(w)) {
        for (size_t i = row0; i < row1; i++)
            k->rms_norm(w->h + i * w->n_in, w->norm.x + i * w->n_in, w->norm.w, w->n_in, w->norm.eps);
    }
    for (int i = 0; i < w->n_proj; i++) {
        const struct back_proj *q = &w->proj[i];
        size_t n_out = q->p->w->n_out;
        if (q->gained != NULL) apply_gain(q, row0, row1);
        back_convert(w->d, q->path, &q->rows, n_out, row0, row1);
        if (q->l == NULL) continue;
        size_t rank = (size_t)q->l->rank, n = (row1 - row0) * rank;
        cpu_gemm(w->d)(q->du + row0 * rank, rank, q->rows.dy + row0 * n_out, n_out, 1, q->l->b, rank, row1 - row0, rank,
                       n_out, false);
        k->scale(q->du + row0 * rank, q->l->scale, n);
        if (q->g.db == NULL) continue;
        memcpy(q->su + row0 * rank, q->p->u + row0 * rank, n * sizeof(float));
        k->scale(q->su + row0 * rank, q->l->scale, n);
    }
}

/* One part of the gradient of the input. */
static void finish_input(const struct back_linear *w, const struct back_part *part, struct carve c)
{
    if (part->b0 == part->b1 || part->row0 == part->row1) return;
    size_t c0 = part->b0 * KERN_K, n_col = (part->b1 * KERN_K < w->n_in ? part->b1 * KERN_K : w->n_in) - c0;
    for (int i = 0; i < w->n_proj; i++) {
        const struct back_proj *q = &w->proj[i];
        back_columns(w->d, q->path, q->p->w, &q->rows, part, w->dinput, w->n_in, w->accumulate || i > 0, c);
        if (q->l == NULL || q->l->absorbed) continue;
        size_t rank = (size_t)q->l->rank;
        cpu_gemm(w->d)(w->dinput + part->row0 * w->n_in + c0, w->n_in, q->du + part->row0 * rank, rank, 1, q->l->a + c0,
                       w->n_in, part->row1 - part->row0, n_col, rank, true);
    }
}

/* dA[rank][n_in] += dU^T input */
static void finish_a(const struct back_linear *w, int worker, int n_worker)
{
    const float *input = w->norm.x != NULL ? w->h : w->input;
    size_t begin, end;
    pool_share(w->n_in, KERN_ROWS, worker, n_worker, &begin, &end);
    for (int i = 0; i < w->n_proj && begin < end; i++) {
        const struct back_proj *q = &w->proj[i];
        if (q->l == NULL || q->g.da == NULL) continue;
        size_t rank = (size_t)q->l->rank;
        cpu_gemm(w->d)(q->g.da + begin, w->n_in, q->du, 1, rank, input + begin, w->n_in, rank, end - begin, w->n_tok,
                       true);
    }
}

/* dB[n_out][rank] += dy^T (scale U) */
static void finish_b(const struct back_linear *w, int worker, int n_worker)
{
    for (int i = 0; i < w->n_proj; i++) {
        const struct back_proj *q = &w->proj[i];
        if (q->l == NULL || q->g.db == NULL) continue;
        size_t begin, end, rank = (size_t)q->l->rank, n_out = q->p->w->n_out;
        pool_share(n_out, KERN_ROWS, worker, n_worker, &begin, &end);
        if (begin == end) continue;
        cpu_gemm(w->d)(q->g.db + begin * rank, rank, q->rows.dy + begin, 1, n_out, q->su, rank, end - begin, rank,
                       w->n_tok, true);
    }
}

/* dm[n_out] += dy y / |row of W + scale B A|, tokens in order */
static void finish_m(const struct back_linear *w, int worker, int n_worker)
{
    for (int i = 0; i < w->n_proj; i++) {
        const struct back_proj *q = &w->proj[i];
        if (q->gained == NULL || q->g.dm == NULL) continue;
        size_t begin, end, n = q->p->w->n_out;
        pool_share(n, KERN_ROWS, worker, n_worker, &begin, &end);
        for (size_t t = 0; t < w->n_tok; t++) {
            const float *dy = q->dy + t * n, *y = q->p->y + t * n;
            for (size_t o = begin; o < end; o++)
                if (q->l->norm[o] > 0) q->g.dm[o] += dy[o] * y[o] / q->l->norm[o];
        }
    }
}

static void linear_worker(void *arg, int worker, int n_worker)
{
    const struct back_linear *w = arg;
    size_t begin, end;
    pool_share(w->n_tok, 8, worker, n_worker, &begin, &end);
    prepare_rows(w, begin, end);
    pool_barrier(w->d->pool);
    struct back_part part = back_part_of(w->n_tok, w->n_in, worker, n_worker);
    finish_input(w, &part, carve_begin(&w->d->worker[worker]));
    finish_a(w, worker, n_worker);
    finish_b(w, worker, n_worker);
    finish_m(w, worker, n_worker);
    back_weights(w, worker, n_worker);
    if (w->norm.x == NULL) return;
    pool_barrier(w->d->pool);
    const struct back_norm_rows rows = {w->dinput, w->norm.x, w->norm.inv_rms, NULL, w->n_tok, w->n_in};
    if (w->norm.dnorm != NULL) back_norm_weights(&rows, w->norm.dnorm, worker, n_worker);
    pool_share(w->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++)
        w->d->kern.rms_norm_backward(w->norm.dx + i * w->n_in, w->dinput + i * w->n_in, w->norm.x + i * w->n_in,
                                     w->norm.w, w->n_in, w->norm.inv_rms[i]);
}

void back_linear_run(struct back_linear *w)
{
    pool_run(w->d->pool, linear_worker, w);
}

static struct back_linear linear_begin(struct dev *d, const struct dev_batch *b, const struct dev_proj *first)
{
    return (struct back_linear){.d = d, .n_tok = (size_t)b->n_tok, .n_in = first->w->n_in};
}

/* Scratch for the normalized input and its gradient; without a norm x is the input and dx its gradient. */
static void linear_take_input(struct back_linear *w, const float *norm, float eps, const float *x, const float *inv_rms,
                              float *dx, float *dnorm, struct carve *c)
{
    if (norm == NULL) {
        w->input = x;
        w->dinput = dx;
        w->accumulate = true;
        return;
    }
    w->norm = (struct back_norm){.x = x, .w = norm, .inv_rms = inv_rms, .eps = eps, .dx = dx, .dnorm = dnorm};
    w->h = carve_take(c, w->n_tok * w->n_in * sizeof(float));
    w->dinput = carve_take(c, w->n_tok * w->n_in * sizeof(float));
}

void dev_linear_backward(struct dev *d, const struct dev_batch *b, const struct dev_proj *p,
                         const struct dev_proj_grad *g, const float *dy, const float *y, float *dx)
{
    struct carve c = carve_begin(&d->shared);
    struct back_linear w = linear_begin(d, b, p);
    w.n_proj = 1;
    back_proj_init(&w, 0, b, p, g, dy, &c);
    w.input = y;
    w.dinput = dx;
    w.accumulate = true;
    back_linear_run(&w);
}

void dev_gate_up_backward(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *p,
                          const struct dev_proj_grad g[2], const float *dgate, const float *dup, const float *x,
                          const float *inv_rms, float *dx, float *dnorm)
{
    struct carve c = carve_begin(&d->shared);
    struct back_linear w = linear_begin(d, b, &p->gate);
    w.n_proj = 2;
    back_proj_init(&w, 0, b, &p->gate, &g[0], dgate, &c);
    back_proj_init(&w, 1, b, &p->up, &g[1], dup, &c);
    linear_take_input(&w, p->norm, p->eps, x, inv_rms, dx, dnorm, &c);
    back_linear_run(&w);
}

/* --- the residual stream --- */

struct join_back {
    struct dev *d;
    const struct dev_join *join;
    size_t n_tok, n;
    const float *dx;
    float *dy, *dnorm;
};

/* dnorm[k] += scale * dx y inv_rms, tokens in order; columns of a worker. */
static void join_weights(const struct join_back *w, int worker, int n_worker)
{
    const struct kern *k = &w->d->kern;
    size_t begin, end, n = w->n;
    pool_share(n, KERN_ROWS, worker, n_worker, &begin, &end);
    for (size_t i = 0; i < w->n_tok && begin < end; i++) {
        const float *y = w->join->y + i * n, *dx = w->dx + i * n;
        float times = back_inv_rms(k, y, n, w->join->eps) * w->join->scale;
        for (size_t c = begin; c < end; c++) w->dnorm[c] += dx[c] * y[c] * times;
    }
}

static void join_worker(void *arg, int worker, int n_worker)
{
    const struct join_back *w = arg;
    const struct kern *k = &w->d->kern;
    struct carve c = carve_begin(&w->d->worker[worker]);
    float *scaled = carve_take(&c, w->n * sizeof(float));
    size_t begin, end, n = w->n;
    if (w->dnorm != NULL && w->join->norm != NULL) join_weights(w, worker, n_worker);
    pool_share(w->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const float *y = w->join->y + i * n;
        float *dy = w->dy + i * n, *g = w->join->norm ? scaled : dy;
        memcpy(g, w->dx + i * n, n * sizeof(float));
        k->scale(g, w->join->scale, n);
        if (w->join->norm) {
            memset(dy, 0, n * sizeof(float));
            k->rms_norm_backward(dy, g, y, w->join->norm, n, back_inv_rms(k, y, n, w->join->eps));
        }
    }
}

void dev_join_backward(struct dev *d, const struct dev_batch *b, const struct dev_join *join, size_t n_embd,
                       const float *dx, float *dy, float *dnorm)
{
    struct join_back w = {d, join, (size_t)b->n_tok, n_embd, dx, dy, dnorm};
    pool_run(d->pool, join_worker, &w);
}

/* --- what stands before and after attention --- */

/* Gradients of rotated queries and keys turned back, keys and values gathered from their pages by row. */
struct unrotate {
    struct dev *d;
    const struct dev_batch *b;
    const struct dev_attn_in *p;
    const struct dev_kv *dkv;
    int layer;
    float *dq, *dk, *dv;
    const struct dev_norm_grad *n; /* or NULL */
};

/* Gradients of n heads (or of all at once) after their norm become those before it, in place; raw: what was normed. */
static void unnorm(const struct unrotate *u, float *dy, const float *raw, const float *norm, size_t n, float *tmp)
{
    const struct kern *k = &u->d->kern;
    size_t step = u->p->full_norm ? n : (size_t)u->p->d_head;
    for (size_t i = 0; i < n; i += step) {
        memcpy(tmp, dy + i, step * sizeof(float));
        memset(dy + i, 0, step * sizeof(float));
        k->rms_norm_backward(dy + i, tmp, raw + i, norm, step, back_inv_rms(k, raw + i, step, u->p->eps));
    }
}

static void unrotate_row(const struct unrotate *u, size_t row, const struct row_place *at)
{
    const struct dev_attn_in *p = u->p;
    const struct kern *k = &u->d->kern;
    size_t d_head = (size_t)p->d_head, n_kv = (size_t)p->n_kv_head, n_q = (size_t)p->n_head * d_head;
    float *dk = u->dk + row * n_kv * d_head, *dv = u->dv + row * n_kv * d_head, *dq = u->dq + row * n_q;
    for (size_t h = 0; h < n_kv; h++) {
        const float *from_k = kv_head(u->dkv, at->page, u->layer, false, (int)h);
        const float *from_v = kv_head(u->dkv, at->page, u->layer, true, (int)h);
        memcpy(dk + h * d_head, from_k + (size_t)at->slot * d_head, d_head * sizeof(float));
        memcpy(dv + h * d_head, from_v + (size_t)at->slot * d_head, d_head * sizeof(float));
    }
    if (p->rope) {
        const float *cos, *sin;
        size_t n_rot = (size_t)p->rope->n_rot;
        cpu_rope_row(u->d, row, at->pos, &cos, &sin);
        k->rope(dk, n_kv, d_head, n_rot, cos, sin, p->rope->halves, -1.0f);
        k->rope(dq, (size_t)p->n_head, d_head, n_rot, cos, sin, p->rope->halves, -1.0f);
    }
}

/* Rows' gradients after the norms of q and k become those before. */
static void unnorm_row(const struct unrotate *u, size_t row, float *tmp)
{
    const struct dev_attn_in *p = u->p;
    size_t n_q = (size_t)(p->n_head * p->d_head), n_k = (size_t)(p->n_kv_head * p->d_head);
    unnorm(u, u->dq + row * n_q, p->q_raw + row * n_q, p->q_norm, n_q, tmp);
    unnorm(u, u->dk + row * n_k, p->k_raw + row * n_k, p->k_norm, n_k, tmp);
}

/* dnorm of a norm of n values in steps: tokens, then heads, in order; a worker's columns of a step. */
static void head_norm_weights(const struct unrotate *u, const float *dy, const float *raw, size_t n, float *dnorm,
                              int worker, int n_worker)
{
    const struct kern *k = &u->d->kern;
    size_t step = u->p->full_norm ? n : (size_t)u->p->d_head, begin, end;
    pool_share(step, 8, worker, n_worker, &begin, &end);
    if (dnorm == NULL || begin == end) return;
    for (size_t i = 0; i < (size_t)u->b->n_tok * n; i += step) {
        float inv = back_inv_rms(k, raw + i, step, u->p->eps);
        for (size_t c = begin; c < end; c++) dnorm[c] += dy[i + c] * raw[i + c] * inv;
    }
}

static void unrotate_worker(void *arg, int worker, int n_worker)
{
    const struct unrotate *u = arg;
    size_t n_tok = (size_t)u->b->n_tok, begin, end;
    size_t n_q = (size_t)(u->p->n_head * u->p->d_head), n_k = (size_t)(u->p->n_kv_head * u->p->d_head);
    struct carve c = carve_begin(&u->d->worker[worker]);
    float *tmp = carve_take(&c, n_q * sizeof(float));
    /* the cache of rotary tables holds ROPE_SLOTS rows, one slot each: not more at a time */
    for (size_t row0 = 0; row0 < n_tok; row0 += ROPE_SLOTS) {
        size_t n = n_tok - row0 < ROPE_SLOTS ? n_tok - row0 : ROPE_SLOTS;
        pool_share(n, 1, worker, n_worker, &begin, &end);
        for (size_t i = row0 + begin; i < row0 + end; i++) {
            struct row_place at;
            cpu_row_places(u->b, (int)i, 1, &at);
            unrotate_row(u, i, &at);
        }
        if (row0 + n < n_tok) pool_barrier(u->d->pool);
    }
    if (u->p->q_norm == NULL) return;
    if (u->n != NULL) {
        pool_barrier(u->d->pool);
        head_norm_weights(u, u->dq, u->p->q_raw, n_q, u->n->dq_norm, worker, n_worker);
        head_norm_weights(u, u->dk, u->p->k_raw, n_k, u->n->dk_norm, worker, n_worker);
    }
    pool_barrier(u->d->pool);
    pool_share(n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) unnorm_row(u, i, tmp);
}

void dev_attention_in_backward(struct dev *d, const struct dev_batch *b, const struct dev_attn_in *p,
                               const struct dev_proj_grad g[3], const struct dev_norm_grad *n, float *dq,
                               const struct dev_kv *dkv, int dkv_layer, const float *x, const float *inv_rms, float *dx)
{
    assert(!dkv->is_f16);
    struct carve c = carve_begin(&d->shared);
    struct back_linear w = linear_begin(d, b, &p->q);
    size_t kv_bytes = w.n_tok * (size_t)(p->n_kv_head * p->d_head) * sizeof(float);
    struct unrotate u = {.d = d, .b = b, .p = p, .dkv = dkv, .layer = dkv_layer, .dq = dq, .n = n};
    u.dk = carve_take(&c, kv_bytes);
    u.dv = carve_take(&c, kv_bytes);
    cpu_rope_begin(d, p->rope);
    pool_run(d->pool, unrotate_worker, &u);
    w.n_proj = 3;
    back_proj_init(&w, 0, b, &p->q, &g[0], dq, &c);
    back_proj_init(&w, 1, b, &p->k, &g[1], u.dk, &c);
    back_proj_init(&w, 2, b, &p->v, &g[2], u.dv, &c);
    linear_take_input(&w, p->norm, p->eps, x, inv_rms, dx, n != NULL ? n->dnorm : NULL, &c);
    back_linear_run(&w);
}

/* --- the gated product --- */

struct glu_back {
    struct dev *d;
    bool gelu;
    float *dgate, *dup;
    const float *dact, *gate, *up;
    size_t n_tok, n_ff;
};

static void glu_worker(void *arg, int worker, int n_worker)
{
    const struct glu_back *s = arg;
    const struct kern *k = &s->d->kern;
    size_t begin, end;
    pool_share(s->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin * s->n_ff; i < end * s->n_ff; i += s->n_ff)
        (s->gelu ? k->geglu_backward : k->swiglu_backward)(s->dgate + i, s->dup + i, s->dact + i, s->gate + i,
                                                           s->up + i, s->n_ff);
}

void dev_glu_backward(struct dev *d, bool gelu, float *dgate, float *dup, const float *dact, const float *gate,
                      const float *up, size_t n_tok, size_t n_ff)
{
    struct glu_back s = {d, gelu, dgate, dup, dact, gate, up, n_tok, n_ff};
    pool_run(d->pool, glu_worker, &s);
}

/* --- scratch --- */

size_t back_linear_bytes(const struct dev *d, const struct dev_train_shape *s)
{
    size_t n_tok = (size_t)s->max_tok, rank = round_up((size_t)(s->rank > 0 ? s->rank : 1), 16);
    size_t per_tok = 2 * (size_t)s->n_embd + 2 * (size_t)(s->n_kv_head * s->d_head) + MAX_PROJ * 2 * rank;
    size_t attn_out = (size_t)((s->n_head + 2 * s->n_kv_head) * s->d_head), ff_out = 2 * (size_t)s->n_ff;
    size_t widest = attn_out > ff_out ? attn_out : ff_out;
    if (s->magnitudes) per_tok += widest > (size_t)s->n_embd ? widest : (size_t)s->n_embd; /* gradients times gain */
    size_t bytes = n_tok * per_tok * sizeof(float);
    if (d->kern.gemm_bf16 != NULL)
        bytes += n_tok * ((attn_out > ff_out ? attn_out : ff_out) + MAX_PROJ * KERN_K) * sizeof(uint16_t);
    return bytes + 64 * 16; /* each piece begins on a cache line */
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t shared_bytes(const struct dev *d, const struct dev_train_shape *s)
{
    return max_size(back_linear_bytes(d, s), max_size(back_attention_bytes(s), back_head_bytes(d, s)));
}

static size_t worker_bytes(const struct dev_train_shape *s)
{
    size_t widest = max_size((size_t)(s->n_ff > s->n_embd ? s->n_ff : s->n_embd), (size_t)(s->n_head * s->d_head));
    size_t row = round_up((size_t)s->n_vocab * sizeof(float), 64); /* of logits */
    return max_size(max_size(back_columns_bytes(), row),
                    max_size(back_attention_worker_bytes(s), cpu_product_bytes(widest)));
}

int dev_train_reserve(struct dev *d, const struct dev_train_shape *s, struct err *e)
{
    int rc = cpu_reserve(d, shared_bytes(d, s), worker_bytes(s), e);
    if (rc != 0) return rc;
    memset(d->shared.base, 0, d->shared.size_bytes); /* a run that has begun meets no lack of memory later */
    for (int i = 0; i < d->opt.n_thread; i++) memset(d->worker[i].base, 0, d->worker[i].size_bytes);
    return 0;
}

size_t dev_train_bytes(const struct dev *d, const struct dev_train_shape *s)
{
    return shared_bytes(d, s) + (size_t)d->opt.n_thread * worker_bytes(s);
}
