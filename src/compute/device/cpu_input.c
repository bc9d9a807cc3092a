/* Preparing the input of a coarse operation, and one projection of it with bias and adapters. Everything here is local
 * to a row, so its bits depend neither on blocks nor on threads. */
#include "compute/device/cpu_input.h"

#include <string.h>

#include "ground/base/mem.h"

static size_t max_rank(const struct dev_proj *p, size_t n)
{
    for (int i = 0; i < p->n_lora; i++) {
        if (p->lora[i] && (size_t)p->lora[i]->rank > n) {
            n = (size_t)p->lora[i]->rank;
        }
    }
    return n;
}

static bool has_gain(const struct dev_proj *p)
{
    for (int i = 0; i < p->n_lora; i++) {
        if (p->lora[i] && p->lora[i]->gain) {
            return true;
        }
    }
    return false;
}

void cpu_input_init(const struct dev *d, struct cpu_input *in, const struct dev_proj *const *proj, int n_proj,
                    size_t n_row)
{
    in->n_proj = n_proj;
    in->n_in = proj[0]->w->n_in;
    in->ld_u = 0;
    in->fine = FINE_NONE;
    in->need_x = in->need_q8 = in->need_q16 = in->need_bf16 = in->has_gain = false;
    for (int i = 0; i < n_proj; i++) {
        in->proj[i] = proj[i];
        in->path[i] = cpu_path_choose(d, in->b->mode, proj[i]->w->type, proj[i]->fine, n_row);
        in->need_x |= in->path[i] == PATH_REF || in->path[i] == PATH_F32;
        in->need_q8 |= in->path[i] == PATH_Q8;
        in->need_q16 |= in->path[i] == PATH_Q16;
        in->need_bf16 |= in->path[i] == PATH_BF16;
        if (in->path[i] == PATH_Q16 && proj[i]->fine > in->fine) {
            in->fine = proj[i]->fine;
        }
        in->ld_u = max_rank(proj[i], in->ld_u);
        in->has_gain |= has_gain(proj[i]);
    }
    in->need_x |= in->ld_u > 0;
}

/* The forms are written, not only pointed at: there is something to prepare before the products. */
static bool has_work(const struct cpu_input *in)
{
    return in->norm || in->pick || in->need_q8 || in->need_q16 || in->need_bf16 || in->ld_u > 0;
}

static struct q8_rows carve_q8(struct carve *c, size_t n_row, size_t n_in, bool fine)
{
    size_t stride = cpu_row_stride(n_in), n_scale = n_row * (stride / KERN_K);
    struct q8_rows q = {.n_k = stride, .fine = fine};
    q.q = carve_take(c, n_row * stride * q8_bytes(&q));
    q.d = carve_take(c, n_scale * sizeof(float));
    q.sum = carve_take(c, n_scale * sizeof(int32_t));
    q.sum16 = carve_take(c, 2 * n_scale * sizeof(int32_t));
    return q;
}

void cpu_prepared_carve(const struct cpu_input *in, size_t row0, size_t n_row, struct carve *c, struct cpu_prepared *p)
{
    *p = (struct cpu_prepared){.row0 = row0, .rows = {.x = in->x + row0 * in->n_in, .ldx = in->n_in, .n_row = n_row}};
    if (in->norm || in->pick) {
        p->h = carve_take(c, n_row * in->n_in * sizeof(float));
        p->rows.x = p->h;
    }
    if (in->need_q8) {
        p->rows.q8 = carve_q8(c, n_row, in->n_in, false);
    }
    if (in->need_q16) {
        p->rows.q16 = carve_q8(c, n_row, in->n_in, true);
    }
    if (in->need_bf16) {
        p->rows.ld_bf16 = cpu_row_stride(in->n_in * sizeof(uint16_t)) / sizeof(uint16_t);
        p->rows.bf16 = carve_take(c, n_row * p->rows.ld_bf16 * sizeof(uint16_t));
    }
    for (int i = 0; i < in->n_proj && in->ld_u > 0; i++) {
        p->u[i] = carve_take(c, n_row * in->ld_u * sizeof(float));
    }
}

size_t cpu_prepared_bytes(size_t n_row, size_t n_in, size_t rank)
{
    size_t stride = cpu_row_stride(n_in), q8_scales = stride / KERN_K * (sizeof(float) + 3 * sizeof(int32_t));
    size_t forms = n_in * sizeof(float) + (1 + 2) * stride + 2 * q8_scales + cpu_row_stride(n_in * sizeof(uint16_t));
    size_t row = forms + MAX_PROJ * rank * sizeof(float);
    return n_row * row + (11 + MAX_PROJ) * 64;
}

static size_t batch_row(const struct cpu_input *in, size_t row)
{
    return in->pick ? (size_t)in->pick[row] : row;
}

static void fill_x(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, size_t begin, size_t end,
                   bool keep)
{
    for (size_t i = begin; i < end; i++) {
        size_t row = batch_row(in, p->row0 + i);
        float *h = p->h + i * in->n_in;
        const float *x = in->x + row * in->n_in;
        if (!in->norm) {
            memcpy(h, x, in->n_in * sizeof(float));
            continue;
        }
        float inv = d->kern.rms_norm(h, x, in->norm, in->n_in, in->eps);
        if (keep && in->inv_rms) {
            in->inv_rms[row] = inv;
        }
    }
}

struct cpu_rows cpu_rows_from(const struct cpu_input *in, const struct cpu_prepared *p, size_t row, size_t n_row)
{
    struct cpu_rows part = p->rows;
    part.x += row * part.ldx;
    part.n_row = n_row;
    if (in->need_q8) {
        part.q8 = q8_rows_from(&p->rows.q8, row, 0);
    }
    if (in->need_q16) {
        part.q16 = q8_rows_from(&p->rows.q16, row, 0);
    }
    if (in->need_bf16) {
        part.bf16 += row * part.ld_bf16;
    }
    return part;
}

static void fill_q8(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, size_t begin, size_t end)
{
    const float *x = p->rows.x + begin * p->rows.ldx;
    const struct q8_rows *form[] = {in->need_q8 ? &p->rows.q8 : NULL, in->need_q16 ? &p->rows.q16 : NULL};
    for (size_t i = 0; i < N_ELEM(form); i++) {
        if (form[i]) {
            struct q8_rows part = q8_rows_from(form[i], begin, 0);
            d->kern.quantize_q8(&part, x, p->rows.ldx, end - begin, in->n_in);
        }
    }
}

static void fill_bf16(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        uint16_t *y = p->rows.bf16 + i * p->rows.ld_bf16;
        d->kern.f32_to_bf16(y, p->rows.x + i * in->n_in, in->n_in, KERN_BF16_TIMES);
        memset(y + in->n_in, 0, (p->rows.ld_bf16 - in->n_in) * sizeof(*y));
    }
}

/* The segment of a batch row, NULL when it has none. */
static const struct dev_segment *segment_of(const struct dev_batch *b, size_t row)
{
    for (int k = 0; k < b->n_segment; k++) {
        size_t first = (size_t)b->segment[k].first_tok;
        if (row >= first && row < first + (size_t)b->segment[k].n_tok) {
            return &b->segment[k];
        }
    }
    return NULL;
}

/* The adapter on projection i of block rows [begin, *stop): the longest run from begin that has one and the same. */
static const struct dev_lora *lora_run(const struct cpu_input *in, const struct cpu_prepared *p, int i, size_t begin,
                                       size_t end, size_t *stop)
{
    const struct dev_segment *s = segment_of(in->b, batch_row(in, p->row0 + begin));
    size_t at = begin + 1;
    if (s && !in->pick) {
        size_t last = (size_t)s->first_tok + (size_t)s->n_tok - p->row0;
        at = last < end ? last : end;
    }
    *stop = at;
    return s ? cpu_lora(in->proj[i], s) : NULL;
}

static void fill_u(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, int i, size_t begin,
                   size_t end, bool keep)
{
    for (size_t at = begin, stop; at < end; at = stop) {
        const struct dev_lora *l = lora_run(in, p, i, at, end, &stop);
        if (!l) {
            continue;
        }
        size_t rank = (size_t)l->rank, n = stop - at;
        float *u = p->u[i] + at * in->ld_u;
        cpu_gemm(d)(u, in->ld_u, p->rows.x + at * p->rows.ldx, p->rows.ldx, 1, l->at, rank, n, rank, in->n_in, false);
        for (size_t r = 0; r < n; r++) {
            float *row = u + r * in->ld_u;
            if (keep && in->proj[i]->u) {
                memcpy(in->proj[i]->u + batch_row(in, p->row0 + at + r) * rank, row, rank * sizeof(float));
            }
            d->kern.scale(row, l->scale, rank);
        }
    }
}

void cpu_prepared_fill(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, size_t begin,
                       size_t end, bool keep)
{
    if (begin >= end) {
        return;
    }
    if (in->norm || in->pick) {
        fill_x(d, in, p, begin, end, keep);
    }
    fill_q8(d, in, p, begin, end);
    if (in->need_bf16) {
        fill_bf16(d, in, p, begin, end);
    }
    for (int i = 0; i < in->n_proj && in->ld_u > 0; i++) {
        fill_u(d, in, p, i, begin, end, keep);
    }
}

/* The row of x that becomes row i of the block, normed; room: [n_in] */
static const float *sample_row(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p, size_t i,
                               float *room)
{
    const float *x = in->x + batch_row(in, p->row0 + i) * in->n_in;
    if (!in->norm) {
        return x;
    }
    d->kern.rms_norm(room, x, in->norm, in->n_in, in->eps);
    return room;
}

/* The n_wide blocks of the largest weight. */
static void take_largest(uint8_t *wide, float *weight, size_t n_block, size_t n_wide)
{
    memset(wide, 0, n_block);
    for (; n_wide > 0; n_wide--) {
        size_t best = 0;
        for (size_t b = 1; b < n_block; b++) {
            best = weight[b] > weight[best] ? b : best;
        }
        wide[best] = 1;
        weight[best] = -1;
    }
}

/* Which blocks of a prepared block's rows keep their second byte: those with the largest squared error without it, by
 * some of the rows. Every worker finds the same ones. NULL: all of them. */
static const uint8_t *choose_wide(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p,
                                  struct carve *own)
{
    enum { N_SAMPLE = 16 };
    if (!in->need_q16 || in->fine >= FINE_ALL || d->opt.precision != PRECISION_AUTO) {
        return NULL;
    }
    size_t n_row = p->rows.n_row, n_sample = n_row < N_SAMPLE ? n_row : N_SAMPLE;
    size_t n_used = round_up(in->n_in, KERN_K) / KERN_K, n_block = cpu_row_stride(in->n_in) / KERN_K;
    size_t n_wide = (n_used * (size_t)in->fine + FINE_ALL - 1) / FINE_ALL;
    uint8_t *wide = carve_take(own, n_block);
    struct carve c = *own;
    float *room = carve_take(&c, in->n_in * sizeof(float)), *weight = carve_take(&c, n_block * sizeof(float));
    struct q8_rows rounded = carve_q8(&c, 1, in->n_in, false);
    memset(weight, 0, n_block * sizeof(float));
    for (size_t i = 0; i < n_sample; i++) {
        d->kern.quantize_q8(&rounded, sample_row(d, in, p, i * n_row / n_sample, room), in->n_in, 1, in->n_in);
        for (size_t b = 0; b < n_block; b++) {
            weight[b] += rounded.d[b] * rounded.d[b];
        }
    }
    take_largest(wide, weight, n_block, n_wide);
    return wide;
}

void cpu_prepare(struct dev *d, const struct cpu_input *in, size_t row0, size_t n_row, int worker, int n_worker,
                 struct carve *shared, struct carve *own, struct cpu_prepared *p)
{
    if (n_row <= FEW_ROWS) {
        cpu_prepared_carve(in, row0, n_row, own, p);
        cpu_prepared_fill(d, in, p, 0, n_row, worker == 0);
        return;
    }
    cpu_prepared_carve(in, row0, n_row, shared, p);
    if (has_work(in)) {
        size_t begin, end;
        p->rows.q16.wide = choose_wide(d, in, p, own);
        pool_share(n_row, 1, worker, n_worker, &begin, &end);
        cpu_prepared_fill(d, in, p, begin, end, true);
        pool_barrier(d->pool);
    }
}

static void add_bias(const struct dev *d, const float *bias, size_t n_row, size_t n_col, float *tile, size_t ld_tile)
{
    for (size_t r = 0; r < n_row; r++) {
        d->kern.add(tile + r * ld_tile, bias, n_col);
    }
}

/* A tile of a projection: columns [col0, col0 + n_col) of the rows of a block. */
struct tile {
    const struct dev_proj *proj;
    float *y;
    size_t ld, col0, n_col;
};

/* Rows [at, stop) of a tile, which are those of the operation from row0 on, times the magnitudes. */
static void apply_gain(const struct tile *t, const struct dev_lora *l, size_t row0, size_t at, size_t stop)
{
    const float *gain = l->gain + t->col0;
    for (size_t r = at; r < stop; r++) {
        float *y = t->y + r * t->ld;
        if (t->proj->y) {
            memcpy(t->proj->y + (row0 + r) * l->n_out + t->col0, y, t->n_col * sizeof(float));
        }
        for (size_t c = 0; c < t->n_col; c++) {
            y[c] *= gain[c];
        }
    }
}

/* Bias and adapter l (or NULL) of rows [at, stop). The bias comes last where there are magnitudes: they do not multiply
 * it. */
static void finish_rows(const struct dev *d, const struct tile *t, const struct dev_lora *l, size_t row0,
                        const float *u, size_t ld_u, size_t at, size_t stop)
{
    float *y = t->y + at * t->ld;
    const float *bias = t->proj->bias ? t->proj->bias + t->col0 : NULL;
    if (bias && !(l && l->gain)) {
        add_bias(d, bias, stop - at, t->n_col, y, t->ld);
    }
    if (!l || l->absorbed) {
        return;
    }
    cpu_gemm(d)(y, t->ld, u + at * ld_u, ld_u, 1, l->bt + t->col0, l->n_out, stop - at, t->n_col, (size_t)l->rank,
                true);
    if (!l->gain) {
        return;
    }
    apply_gain(t, l, row0, at, stop);
    if (bias) {
        add_bias(d, bias, stop - at, t->n_col, y, t->ld);
    }
}

void cpu_project(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p, int i, size_t g0,
                 size_t g1, float *tile, size_t ld_tile, bool add, struct carve c)
{
    const struct dev_mat *w = in->proj[i]->w;
    size_t col0 = g0 * KERN_ROWS, n_row = p->rows.n_row;
    size_t n_col = (g1 * KERN_ROWS < w->n_out ? g1 * KERN_ROWS : w->n_out) - col0;
    const struct tile t = {in->proj[i], tile, ld_tile, col0, n_col};
    cpu_product(d, in->path[i], w, &p->rows, g0, g1, tile, ld_tile, add, c);
    if (in->ld_u == 0) {
        finish_rows(d, &t, NULL, p->row0, NULL, 0, 0, n_row);
        return;
    }
    for (size_t at = 0, stop; at < n_row; at = stop) {
        const struct dev_lora *l = lora_run(in, p, i, at, n_row, &stop);
        finish_rows(d, &t, l, p->row0, p->u[i], in->ld_u, at, stop);
    }
}

/* Whole groups go to their place at once; what cannot (columns past the last, sums of a path that does not add) goes
 * through a tile. So does what stays among the sums for long: rows of a tile, unlike those of a matrix, spread over the
 * first-level cache (by AMX 15 % at 1536 columns and inputs). */
void cpu_project_out(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p, int i, size_t begin,
                     size_t end, float *out, bool add, struct carve c)
{
    size_t n_out = in->proj[i]->w->n_out, n_row = p->rows.n_row, most = cpu_most_groups(d, in->path[i]);
    size_t ld = cpu_tile_ld(most);
    float *tile = carve_take(&c, n_row * ld * sizeof(float));
    bool in_place = most == TILE_GROUPS && (!add || (in->path[i] == PATH_BF16 && !in->has_gain));
    for (size_t g = begin, stop; g < end; g = stop) {
        stop = min_size(g + most, end);
        size_t col = g * KERN_ROWS, n_col = min_size(stop * KERN_ROWS, n_out) - col;
        if (in_place && stop * KERN_ROWS <= n_out) {
            cpu_project(d, in, p, i, g, stop, out + col, n_out, add, c);
            continue;
        }
        cpu_project(d, in, p, i, g, stop, tile, ld, false, c);
        for (size_t r = 0; r < n_row; r++) {
            if (add) {
                d->kern.add(out + r * n_out + col, tile + r * ld, n_col);
            } else {
                memcpy(out + r * n_out + col, tile + r * ld, n_col * sizeof(float));
            }
        }
    }
}
