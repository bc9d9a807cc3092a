/* Stacks of matrices onto the device, and small tensors of any type as float32. */
#include "compute/model/model_int.h"
#include "compute/model/packed_file.h"
#include "ground/base/mem.h"

/* All matrices of the tensor, as one where each is whole groups of rows. */
static int read_stack(struct dev *d, const struct model_file *f, const struct tensor_info *t, struct dev_stack *s,
                      struct err *e)
{
    struct dev_mat *whole = dev_stack_whole(s);
    if (whole) {
        return bind_read(d, f, t, 0, whole, e);
    }
    int rc = 0;
    for (size_t i = 0; !rc && i < dev_stack_n(s); i++) {
        struct dev_mat *mat = dev_stack_mat(s, i);
        rc = bind_read(d, f, t, i * dev_mat_n_out(mat), mat, e);
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
    bool as_one = m->packed && n_out % KERN_ROWS == 0; /* others are not kept, whatever a file says */
    void *packed = as_one ? packed_file_find(m->packed, name, type, n * n_out, n_in) : NULL;
    rc = packed ? dev_stack_borrow(m->dev, out, type, n, n_out, n_in, packed, e)
                : dev_stack_new(m->dev, out, type, n, n_out, n_in, e);
    if (rc) {
        return err_wrap(e, rc, "cannot load tensor \"%s\"", name);
    }
    if (!packed) {
        rc = read_stack(m->dev, f, t, *out, e);
    }
    struct dev_mat *whole = dev_stack_whole(*out);
    return rc || !whole ? rc : bind_note(m, name, whole, e);
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
