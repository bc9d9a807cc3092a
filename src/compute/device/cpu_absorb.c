/* Adapters within the codes of a quantized matrix: what it is with one in it, by the scales that it has. Owns nothing.
 * What always holds: the moves are computed in the reference order, so that the matrix that a run trained with is the
 * one that is written when it is merged, whatever computes either. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <string.h>

void dev_lora_set_absorbed(struct dev_lora *l)
{
    assert(!l->m);
    l->absorbed = true;
}

struct absorb {
    struct dev *d;
    const struct dev_lora *l;
    const struct quant *q;
    size_t row0, n_row, row_bytes; /* of the matrix; of a row in the file's format */
    const uint8_t *from;
    uint8_t *to; /* NULL: into m */
    struct dev_mat *m;
};

/* Row o of the matrix, in place. */
static void move_row(const struct absorb *w, size_t o, uint8_t *row, float *b, float *delta)
{
    const struct dev_lora *l = w->l;
    size_t rank = (size_t)l->rank;
    for (size_t r = 0; r < rank; r++) {
        b[r] = l->b[o * rank + r] * l->scale;
    }
    w->d->kern.gemm_ref(delta, l->n_in, b, rank, 1, l->a, l->n_in, 1, l->n_in, rank, false);
    w->q->move(row, delta, l->n_in);
}

static void absorb_worker(void *arg, int worker, int n_worker)
{
    const struct absorb *w = arg;
    size_t n_group = (w->n_row + KERN_ROWS - 1) / KERN_ROWS, begin, end;
    struct carve c = carve_begin(&w->d->worker[worker]);
    float *b = carve_take(&c, (size_t)w->l->rank * sizeof(float));
    float *delta = carve_take(&c, w->l->n_in * sizeof(float));
    uint8_t *rows = carve_take(&c, KERN_ROWS * w->row_bytes);
    pool_share(n_group, 1, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        size_t at = g * KERN_ROWS, n = w->n_row - at < KERN_ROWS ? w->n_row - at : KERN_ROWS;
        memcpy(rows, w->from + at * w->row_bytes, n * w->row_bytes);
        for (size_t r = 0; r < n; r++) {
            move_row(w, w->row0 + at + r, rows + r * w->row_bytes, b, delta);
        }
        if (w->to) {
            memcpy(w->to + at * w->row_bytes, rows, n * w->row_bytes);
        } else {
            cpu_mat_pack(w->m, g, rows, n, w->row_bytes);
        }
    }
}

static struct absorb absorb_of(struct dev *d, const struct dev_lora *l, enum quant_type type, const void *rows)
{
    const struct quant *q = quants[type];
    assert(q->move && l->n_in % (size_t)q->block_len == 0);
    return (struct absorb){.d = d,
                           .l = l,
                           .q = q,
                           .n_row = l->n_out,
                           .row_bytes = l->n_in / (size_t)q->block_len * q->block_bytes,
                           .from = rows};
}

void dev_lora_absorb(struct dev *d, const struct dev_lora *l, const void *rows, struct dev_mat *w)
{
    struct absorb work = absorb_of(d, l, w->type, rows);
    assert(!w->is_borrowed && w->n_out == l->n_out && w->n_in == l->n_in);
    work.m = w;
    pool_run(d->pool, absorb_worker, &work);
}

void dev_lora_move(struct dev *d, const struct dev_lora *l, enum quant_type type, void *rows, size_t row0, size_t n_row)
{
    struct absorb work = absorb_of(d, l, type, rows);
    assert(row0 + n_row <= l->n_out);
    work.row0 = row0;
    work.n_row = n_row;
    work.to = rows;
    pool_run(d->pool, absorb_worker, &work);
}
