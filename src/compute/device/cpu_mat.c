/* Packed matrices: made from rows in the file format, group by group, in parallel; and the embedding, which reads
 * single rows of one. One packed copy serves decode, prefill and the backward pass. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "ground/base/mem.h"

/* What a worker reads of a file at a time: it stays in the second-level cache until it is packed. */
enum { FILL_BYTES = 256 << 10 };

int cpu_mat_shape(struct dev_mat *m, struct dev *d, enum quant_type type, size_t n_out, size_t n_in, struct err *e)
{
    assert(n_in % (size_t)quants[type]->block_len == 0);
    size_t packed_k = (size_t)quants[type]->packed_k;
    size_t n_group = (n_out + KERN_ROWS - 1) / KERN_ROWS, n_block = (n_in + packed_k - 1) / packed_k;
    size_t group_bytes, n_bytes;
    if (!mul_size(n_block, quants[type]->packed_bytes, &group_bytes) || !mul_size(n_group, group_bytes, &n_bytes)) {
        return err_set(e, ERR_NOMEM, NULL, "cannot hold a %zu x %zu matrix of type %s: %zu bytes wanted", n_out, n_in,
                       quants[type]->name, SIZE_MAX);
    }
    *m = (struct dev_mat){.dev = d,
                          .type = type,
                          .n_out = n_out,
                          .n_in = n_in,
                          .n_group = n_group,
                          .n_block = n_block,
                          .group_bytes = group_bytes};
    return cpu_limits_grow(d, &(struct cpu_limits){.n_in = n_in, .n_out = n_out}, e);
}

/* packed NULL: memory of its own. */
static int mat_make(struct dev *d, struct dev_mat **out, enum quant_type type, size_t n_out, size_t n_in, void *packed,
                    struct err *e)
{
    *out = NULL;
    struct dev_mat shape;
    int rc = cpu_mat_shape(&shape, d, type, n_out, n_in, e);
    if (rc) {
        return rc;
    }
    struct dev_mat *m = mem_try_alloc(sizeof(*m));
    shape.is_borrowed = packed != NULL;
    shape.packed = packed || !m ? packed : cpu_slab_take(d, dev_mat_bytes(&shape), &shape.slab);
    if (!m || !shape.packed) {
        mem_free(m);
        return err_set(e, ERR_NOMEM, NULL, "cannot hold a %zu x %zu matrix of type %s: %zu bytes wanted", n_out, n_in,
                       quants[type]->name, dev_mat_bytes(&shape));
    }
    *m = shape;
    *out = m;
    return 0;
}

int dev_mat_new(struct dev *d, struct dev_mat **out, enum quant_type type, size_t n_out, size_t n_in, struct err *e)
{
    return mat_make(d, out, type, n_out, n_in, NULL, e);
}

int dev_mat_borrow(struct dev *d, struct dev_mat **out, enum quant_type type, size_t n_out, size_t n_in, void *packed,
                   struct err *e)
{
    return mat_make(d, out, type, n_out, n_in, packed, e);
}

const void *dev_mat_packed(const struct dev_mat *m)
{
    return m->packed;
}

void dev_mat_free(struct dev_mat *m)
{
    if (m) {
        mem_free(m->is_borrowed || m->slab ? NULL : m->packed);
        cpu_slab_leave(m->slab);
        mem_free(m);
    }
}

size_t dev_mat_bytes(const struct dev_mat *m)
{
    return m->n_group * m->group_bytes;
}
enum quant_type dev_mat_type(const struct dev_mat *m)
{
    return m->type;
}
size_t dev_mat_n_out(const struct dev_mat *m)
{
    return m->n_out;
}
size_t dev_mat_n_in(const struct dev_mat *m)
{
    return m->n_in;
}

struct put {
    struct dev_mat *m;
    const uint8_t *rows;
    size_t row0, n_row, row_bytes;
};

static void pack_group(const struct put *p, size_t group)
{
    const struct dev_mat *m = p->m;
    const struct quant *q = quants[m->type];
    uint8_t *dst = m->packed + group * m->group_bytes;
    size_t packed_k = (size_t)q->packed_k;
    for (size_t b = 0; b < m->n_block; b++) {
        const void *row[KERN_ROWS];
        size_t offset = b * packed_k / (size_t)q->block_len * q->block_bytes;
        for (size_t i = 0; i < KERN_ROWS; i++) {
            size_t r = group * KERN_ROWS + i - p->row0;
            row[i] = r < p->n_row ? p->rows + r * p->row_bytes + offset : NULL;
        }
        size_t left = m->n_in - b * packed_k;
        quant_pack(q, dst + b * q->packed_bytes, row, (int)(left < packed_k ? left : packed_k));
    }
}

void cpu_mat_pack(struct dev_mat *m, size_t group, const uint8_t *rows, size_t n_row, size_t row_bytes)
{
    pack_group(&(struct put){m, rows, group * KERN_ROWS, n_row, row_bytes}, group);
}

static void put_run(void *arg, int worker, int n_worker)
{
    const struct put *p = arg;
    size_t first = p->row0 / KERN_ROWS, n_group = (p->n_row + KERN_ROWS - 1) / KERN_ROWS, begin, end;
    pool_share(n_group, 1, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        pack_group(p, first + g);
    }
}

void dev_mat_put(struct dev *d, struct dev_mat *m, const void *rows, size_t row0, size_t n_row)
{
    assert(row0 % KERN_ROWS == 0 && row0 + n_row <= m->n_out);
    const struct quant *q = quants[m->type];
    struct put p = {m, rows, row0, n_row, m->n_in / (size_t)q->block_len * q->block_bytes};
    pool_run(d->pool, put_run, &p);
}

/* Groups from `next` on are for whoever comes first, so that a file is read from its beginning to its end. */
struct fill {
    struct dev *d;
    struct dev_mat *m;
    dev_read_rows_fn read;
    void *ctx;
    size_t row_bytes, step; /* groups */
    atomic_size_t next;
    atomic_int rc;
    struct err *e; /* of whoever set rc */
};

static int fill_groups(const struct fill *f, size_t first, size_t n, uint8_t *room, struct err *e)
{
    size_t row0 = first * KERN_ROWS, left = f->m->n_out - row0, n_row = left < n * KERN_ROWS ? left : n * KERN_ROWS;
    int rc = f->read(f->ctx, room, row0, n_row, e);
    for (size_t g = first; !rc && g < first + n; g++) {
        pack_group(&(struct put){f->m, room, row0, n_row, f->row_bytes}, g);
    }
    return rc;
}

static void fill_run(void *arg, int worker, int n_worker)
{
    struct fill *f = arg;
    struct carve c = carve_begin(&f->d->worker[worker]);
    uint8_t *room = carve_take(&c, f->step * KERN_ROWS * f->row_bytes);
    size_t n_group = f->m->n_group, g;
    (void)n_worker;
    while (!atomic_load(&f->rc) && (g = atomic_fetch_add(&f->next, f->step)) < n_group) {
        struct err e = {0};
        int none = 0, rc = fill_groups(f, g, n_group - g < f->step ? n_group - g : f->step, room, &e);
        if (rc && atomic_compare_exchange_strong(&f->rc, &none, rc) && f->e) {
            *f->e = e;
        }
    }
}

int dev_mat_fill(struct dev *d, struct dev_mat *m, dev_read_rows_fn read, void *ctx, struct err *e)
{
    const struct quant *q = quants[m->type];
    struct fill f = {d, m, read, ctx, m->n_in / (size_t)q->block_len * q->block_bytes, .e = e};
    size_t room = d->worker[0].size_bytes,
           most = room < FILL_BYTES ? room : FILL_BYTES; /* that of one group there is */
    f.step = most / (KERN_ROWS * f.row_bytes);
    f.step = f.step < 1 ? 1 : f.step;
    pool_run(d->pool, fill_run, &f);
    return atomic_load(&f.rc);
}

struct values {
    const struct dev_mat *m;
    struct dev *d;
    float *out;
    const float *in;
};

/* The rows of a group as float32. */
static void group_values(const struct values *v, size_t group)
{
    float part[KERN_ROWS][KERN_K];
    const struct dev_mat *m = v->m;
    size_t row0 = group * KERN_ROWS, n_row = m->n_out - row0 < KERN_ROWS ? m->n_out - row0 : KERN_ROWS;
    for (size_t k = 0; k < m->n_in; k += KERN_K) {
        size_t n = m->n_in - k < KERN_K ? m->n_in - k : KERN_K;
        v->d->kern.quant[m->type].rows(part[0], KERN_K, mat_block(m, group, k), mat_part(m, k));
        for (size_t r = 0; r < n_row; r++) {
            memcpy(v->out + (row0 + r) * m->n_in + k, part[r], n * sizeof(float));
        }
    }
}

static void get_run(void *arg, int worker, int n_worker)
{
    const struct values *v = arg;
    size_t begin, end;
    pool_share(v->m->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        group_values(v, g);
    }
}

void dev_mat_get(struct dev *d, const struct dev_mat *m, float *out)
{
    pool_run(d->pool, get_run, &(struct values){.m = m, .d = d, .out = out});
}

/* The rows of a group in the file's format, then packed. */
static void set_run(void *arg, int worker, int n_worker)
{
    const struct values *v = arg;
    struct dev_mat m = *v->m;
    const struct quant *q = quants[m.type];
    size_t row_bytes = m.n_in / (size_t)q->block_len * q->block_bytes, begin, end;
    struct carve c = carve_begin(&v->d->worker[worker]);
    uint8_t *rows = carve_take(&c, KERN_ROWS * row_bytes);
    pool_share(m.n_group, 1, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        size_t row0 = g * KERN_ROWS, n_row = m.n_out - row0 < KERN_ROWS ? m.n_out - row0 : KERN_ROWS;
        for (size_t r = 0; r < n_row; r++) {
            q->quantize(rows + r * row_bytes, v->in + (row0 + r) * m.n_in, m.n_in);
        }
        pack_group(&(struct put){&m, rows, row0, n_row, row_bytes}, g);
    }
}

void dev_mat_set(struct dev *d, struct dev_mat *m, const float *values)
{
    assert(!m->is_borrowed && quants[m->type]->quantize && quants[m->type]->block_len == 1);
    pool_run(d->pool, set_run, &(struct values){.m = m, .d = d, .in = values});
}

static uint64_t add_bytes(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * UINT64_C(1099511628211); /* FNV-1a: differences of a few bits count */
    }
    return h;
}

/* A matrix of two groups and two blocks, of bytes that follow a pattern, as it lies in memory. */
static int layout_of(struct dev *d, enum quant_type type, uint64_t *h, struct err *e)
{
    enum { ROWS = KERN_ROWS + 1, MAX_BYTES = ROWS * 2 * QUANT_K * 4 };
    const struct quant *q = quants[type];
    size_t n_in = 2 * (size_t)q->packed_k, n = ROWS * n_in / (size_t)q->block_len * q->block_bytes;
    struct dev_mat *m;
    uint8_t *rows = mem_try_alloc(MAX_BYTES);
    if (!rows) {
        return err_set(e, ERR_NOMEM, NULL, "cannot look at the layout of packed matrices: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        rows[i] = (uint8_t)(i * 167 + i / 13);
    }
    int rc = dev_mat_new(d, &m, type, ROWS, n_in, e);
    if (!rc) {
        dev_mat_put(d, m, rows, 0, ROWS);
        *h = add_bytes(*h, m->packed, m->n_group * m->group_bytes);
        dev_mat_free(m);
    }
    mem_free(rows);
    return rc;
}

int dev_layout(struct dev *d, uint64_t *out, struct err *e)
{
    *out = UINT64_C(14695981039346656037);
    int rc = 0;
    for (int t = 0; t < QUANT_COUNT && !rc; t++) {
        rc = layout_of(d, (enum quant_type)t, out, e);
    }
    return rc;
}

struct embed {
    struct dev *d;
    float *x;
    const struct dev_mat *m;
    const int32_t *ids;
    size_t n_tok;
    float scale;
};

/* A packed block holds 16 rows: all are read, one is kept. Cheap beside the products of a token. */
static void embed_row(const struct dev *d, float *x, const struct dev_mat *m, size_t row)
{
    float part[KERN_ROWS][KERN_K];
    for (size_t k = 0; k < m->n_in; k += KERN_K) {
        d->kern.quant[m->type].rows(part[0], KERN_K, mat_block(m, row / KERN_ROWS, k), mat_part(m, k));
        size_t left = m->n_in - k;
        memcpy(x + k, part[row % KERN_ROWS], (left < KERN_K ? left : KERN_K) * sizeof(float));
    }
}

static void embed_run(void *arg, int worker, int n_worker)
{
    const struct embed *p = arg;
    size_t begin, end;
    pool_share(p->n_tok, 1, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        float *x = p->x + i * p->m->n_in;
        embed_row(p->d, x, p->m, (size_t)p->ids[i]);
        if (p->scale != 1.0f) {
            p->d->kern.scale(x, p->scale, p->m->n_in);
        }
    }
}

void dev_embed(struct dev *d, float *x, const struct dev_mat *embedding, const int32_t *ids, int n_tok, float scale)
{
    struct embed p = {d, x, embedding, ids, (size_t)n_tok, scale};
    if (n_tok == 1) {
        embed_run(&p, 0, 1);
    } else {
        pool_run(d->pool, embed_run, &p);
    }
}
