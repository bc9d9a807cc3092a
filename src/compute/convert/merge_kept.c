/* How much of an adapter survives in a merged file of few bits. Rounding to another grid is noise, but to the grid that
 * the base had already it puts most weights back where they were: the file is then the base again, nearly. Owns the
 * matrix in hand. */
#include "compute/convert/merge.h"
#include "compute/kernels/quantize.h"
#include "ground/base/mem.h"

/* One matrix: as it is written, as it should be, as it was. */
struct matrix {
    uint8_t *bytes;
    float *written, *merged, *base;
    size_t n;
};

static void matrix_deinit(struct matrix *x)
{
    mem_free(x->bytes);
    mem_free(x->written);
    mem_free(x->merged);
    mem_free(x->base);
    *x = (struct matrix){0};
}

static int read_matrix(struct matrix *x, const struct merge_input *in, const struct model_file *made,
                       const struct tensor_info *t, struct err *e)
{
    int q = quant_find(tensor_type_info(t->type)->name);
    x->n = (size_t)(t->shape[0] * t->shape[1]);
    x->bytes = mem_try_array((size_t)t->n_bytes, 1);
    x->written = mem_try_array(x->n, sizeof(float));
    x->merged = mem_try_array(x->n, sizeof(float));
    x->base = mem_try_array(x->n, sizeof(float));
    if (q < 0 || x->bytes == NULL || x->written == NULL || x->merged == NULL || x->base == NULL)
        return err_set(e, ERR_NOMEM, t->name, "cannot merge into tensor \"%s\": no memory for %zu values", t->name,
                       x->n);
    int rc = model_file_read(made, t, x->bytes, 0, (size_t)t->n_bytes, e);
    if (rc == 0) quants[q]->dequantize(x->written, x->bytes, x->n);
    if (rc == 0) rc = adapter_merged(in->adapter, in->model, t->name, x->merged, x->n, e);
    return rc != 0 ? rc : adapter_unmerged(in->model, t->name, x->base, x->n, e);
}

int merge_kept(const struct merge_input *in, const char *path, double *kept, struct err *e)
{
    struct model_file *made;
    double along = 0, all = 0;
    int rc = model_file_open(&made, path, e);
    if (rc != 0) return rc;
    for (size_t i = 0; rc == 0 && i < model_file_n_tensor(made); i++) {
        const struct tensor_info *t = model_file_tensor(made, i);
        struct matrix x = {0};
        struct err ignored; /* where it does not sit */
        if (adapter_merged(in->adapter, in->model, t->name, NULL, 0, &ignored) != 0) continue;
        rc = read_matrix(&x, in, made, t, e);
        for (size_t j = 0; rc == 0 && j < x.n; j++) {
            double change = (double)x.merged[j] - (double)x.base[j];
            along += change * ((double)x.written[j] - (double)x.base[j]);
            all += change * change;
        }
        matrix_deinit(&x);
    }
    model_file_close(made);
    *kept = all > 0 ? along / all : 1;
    return rc;
}
