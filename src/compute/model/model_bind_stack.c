/* Stacks of matrices onto the device, and small tensors of any type as float32. Matrices are read one after the other,
 * so that beside the packed copy only a piece of one is in memory. */
#include "compute/model/model_int.h"

#include "ground/base/mem.h"

enum { PIECE_BYTES = 4 << 20 };

/* All matrices, whole row groups at a time: as one where rows of several can be packed together. */
static int read_stack(struct dev *d, const struct model_file *f, const struct tensor_info *t, struct dev_stack *s,
                      uint8_t *piece, size_t n_piece, struct err *e)
{
    size_t n_row = (size_t)t->shape[1], n_mat = (size_t)t->shape[0], row_bytes = (size_t)(t->n_bytes / n_mat / n_row);
    bool as_one = n_row % KERN_ROWS == 0;
    n_row *= as_one ? n_mat : 1;
    int rc = 0;
    for (size_t m = 0; !rc && m < (as_one ? 1 : n_mat); m++) {
        for (size_t r = 0; !rc && r < n_row; r += n_piece) {
            size_t n = n_row - r < n_piece ? n_row - r : n_piece;
            rc = model_file_read(f, t, piece, (uint64_t)(m * n_row + r) * row_bytes, n * row_bytes, e);
            if (!rc) {
                dev_stack_put(d, s, m, piece, r, n);
            }
        }
    }
    return rc;
}

int bind_stack(struct model *m, const struct model_file *f, const char *name, size_t n, size_t n_out, size_t n_in,
               struct dev_stack **out, struct err *e)
{
    const size_t shape[] = {n, n_out, n_in};
    const struct tensor_info *t;
    enum quant_type type;
    int rc = bind_find(f, name, 3, shape, &t, &type, e);
    if (rc) {
        return rc;
    }
    rc = dev_stack_new(m->dev, out, type, n, n_out, n_in, e);
    if (rc) {
        return err_wrap(e, rc, "cannot load tensor \"%s\"", name);
    }
    size_t row_bytes = (size_t)(t->n_bytes / (n * n_out)), n_piece = PIECE_BYTES / row_bytes / KERN_ROWS * KERN_ROWS;
    n_piece = n_piece < KERN_ROWS ? KERN_ROWS : n_piece;
    uint8_t *piece = mem_try_array(n_piece, row_bytes);
    if (!piece) {
        return err_set(e, ERR_NOMEM, name, "cannot read tensor \"%s\": no memory for %zu rows of %zu bytes", name,
                       n_piece, row_bytes);
    }
    rc = read_stack(m->dev, f, t, *out, piece, n_piece, e);
    mem_free(piece);
    return rc;
}

/* A matrix [n_out][n_in] in host memory, the caller's. */
static int read_floats(const struct model_file *f, const char *name, size_t n_out, size_t n_in, float **out,
                       struct err *e)
{
    const size_t shape[] = {n_out, n_in};
    const struct tensor_info *t;
    enum quant_type type;
    int rc = bind_find(f, name, 2, shape, &t, &type, e);
    if (rc) {
        return rc;
    }
    void *raw = mem_try_alloc((size_t)t->n_bytes);
    *out = mem_try_array(n_out * n_in, sizeof(float));
    rc = raw && *out ? model_file_read(f, t, raw, 0, (size_t)t->n_bytes, e)
                     : err_set(e, ERR_NOMEM, name, "cannot read tensor \"%s\": out of memory", name);
    if (rc) {
        mem_free(*out);
        *out = NULL;
    } else {
        quants[type]->dequantize(*out, raw, n_out * n_in);
    }
    mem_free(raw);
    return rc;
}

int bind_mat_f32(struct model *m, const struct model_file *f, const char *name, size_t n_out, size_t n_in,
                 struct dev_mat **out, struct err *e)
{
    float *value;
    int rc = read_floats(f, name, n_out, n_in, &value, e);
    if (rc) {
        return rc;
    }
    rc = dev_mat_new(m->dev, out, QUANT_F32, n_out, n_in, e);
    if (!rc) {
        dev_mat_put(m->dev, *out, value, 0, n_out);
    }
    mem_free(value);
    return rc;
}

int bind_row(struct model *m, const struct model_file *f, const char *name, size_t n, float **out, struct err *e)
{
    float *value;
    *out = NULL;
    int rc = read_floats(f, name, 1, n, &value, e);
    if (rc) {
        return rc;
    }
    rc = dev_alloc(m->dev, out, n, e);
    if (!rc) {
        dev_write(m->dev, *out, value, n);
        m->vector_bytes += n * sizeof(float);
    }
    mem_free(value);
    return rc;
}
