/* LoRA factors as the forward products want them: transposed copies, unit stride along the outputs. */
#include "compute/device/cpu_int.h"

#include <string.h>

#include "ground/base/mem.h"

int dev_lora_new(struct dev *d, struct dev_lora **out, const float *a, const float *b, int rank, size_t n_in,
                 size_t n_out, float scale, struct err *e)
{
    *out = NULL;
    struct dev_lora *l = mem_try_alloc(sizeof(*l));
    if (!l) {
        return err_set(e, ERR_NOMEM, NULL, "cannot hold an adapter: out of memory");
    }
    *l = (struct dev_lora){.dev = d, .a = a, .b = b, .rank = rank, .n_in = n_in, .n_out = n_out, .scale = scale};
    int rc = dev_alloc(d, &l->at, n_in * (size_t)rank, e);
    if (!rc) {
        rc = dev_alloc(d, &l->bt, n_out * (size_t)rank, e);
    }
    if (!rc) {
        rc = cpu_limits_grow(d, &(struct cpu_limits){.n_in = n_in, .n_out = n_out, .rank = (size_t)rank}, e);
    }
    if (rc) {
        dev_lora_free(l);
        return rc;
    }
    dev_lora_update(d, l);
    *out = l;
    return 0;
}

static void transpose(float *dst, const float *src, size_t n_row, size_t n_col)
{
    for (size_t c = 0; c < n_col; c++) {
        for (size_t r = 0; r < n_row; r++) {
            dst[c * n_row + r] = src[r * n_col + c];
        }
    }
}

void dev_lora_update(struct dev *d, struct dev_lora *l)
{
    transpose(l->at, l->a, (size_t)l->rank, l->n_in);
    transpose(l->bt, l->b, l->n_out, (size_t)l->rank);
    if (l->m) {
        cpu_magnitude_update(d, l);
    }
}

void dev_lora_free(struct dev_lora *l)
{
    if (l) {
        dev_release(l->dev, l->at);
        dev_release(l->dev, l->bt);
        dev_release(l->dev, l->norm);
        dev_release(l->dev, l->gain);
        mem_free(l->square);
        mem_free(l->aa);
        mem_free(l);
    }
}

struct merge {
    struct dev *d;
    const struct dev_lora *l;
    float *out;
};

/* Rows of the matrix: (W + (scale B) A), times gain. */
static void merge_worker(void *arg, int worker, int n_worker)
{
    const struct merge *w = arg;
    const struct dev_lora *l = w->l;
    size_t begin, end, rank = (size_t)l->rank;
    struct carve c = carve_begin(&w->d->worker[worker]);
    float *b = carve_take(&c, rank * sizeof(float));
    pool_share(l->n_out, 1, worker, n_worker, &begin, &end);
    for (size_t o = begin; o < end; o++) {
        float *row = w->out + o * l->n_in;
        memcpy(b, l->b + o * rank, rank * sizeof(float));
        w->d->kern.scale(b, l->scale, rank);
        cpu_gemm(w->d)(row, l->n_in, b, rank, 1, l->a, l->n_in, 1, l->n_in, rank, true);
        if (l->gain) {
            w->d->kern.scale(row, l->gain[o], l->n_in);
        }
    }
}

void dev_lora_merge(struct dev *d, const struct dev_lora *l, const struct dev_mat *w, float *out)
{
    struct merge work = {d, l, out};
    dev_mat_get(d, w, out);
    pool_run(d->pool, merge_worker, &work);
}

int dev_lora_rank(const struct dev_lora *l)
{
    return l->rank;
}
void dev_lora_set_scale(struct dev_lora *l, float scale)
{
    l->scale = scale;
    if (l->m) {
        cpu_magnitude_update(l->dev, l);
    }
}
