/* Tensors of a file onto the device. A matrix is read by pieces of whole row groups and packed at once, so that beside
 * the packed copy only one piece is in memory. Shapes and types are checked here, with the tensor's name. */
#include "compute/model/model_int.h"
#include "compute/model/packed_file.h"

#include <stdio.h>

#include "ground/base/mem.h"

enum { PIECE_BYTES = 4 << 20 };

static void shape_text(const struct tensor_info *t, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < t->n_dim && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%llu", i ? " x " : "", (unsigned long long)t->shape[i]);
    }
}

int bind_find(const struct model_file *f, const char *name, int n_dim, const size_t *shape,
              const struct tensor_info **out, enum quant_type *type, struct err *e)
{
    const struct tensor_info *t = model_file_find(f, name);
    if (!t) {
        return err_set(e, ERR_INPUT, name, "cannot bind tensor \"%s\": the file has none of this name", name);
    }
    struct tensor_info wanted = {.n_dim = n_dim};
    bool fits = t->n_dim == n_dim;
    for (int i = 0; i < n_dim; i++) {
        wanted.shape[i] = shape[i];
        fits = fits && t->shape[i] == shape[i];
    }
    if (!fits) {
        char have[96], want[96];
        shape_text(t, have, sizeof(have));
        shape_text(&wanted, want, sizeof(want));
        return err_set(e, ERR_INPUT, name, "cannot bind tensor \"%s\": its shape is %s, the hyper-parameters want %s",
                       name, have, want);
    }
    int q = quant_find(tensor_type_info(t->type)->name);
    if (q < 0) {
        return err_set(
            e, ERR_UNSUPPORTED, name,
            "cannot compute with tensor \"%s\": its type is %s; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, "
            "Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4 can be computed",
            name, tensor_type_info(t->type)->name);
    }
    *out = t;
    *type = (enum quant_type)q;
    return 0;
}

/* n_in 0: a vector of n_out values. */
static int find_tensor(const struct model_file *f, const char *name, size_t n_out, size_t n_in,
                       const struct tensor_info **out, enum quant_type *type, struct err *e)
{
    const size_t shape[] = {n_out, n_in};
    return bind_find(f, name, n_in ? 2 : 1, shape, out, type, e);
}

void forget_bound(struct model *m)
{
    for (size_t i = 0; i < m->n_bound; i++) {
        mem_free(m->bound[i].name);
    }
    mem_free(m->bound);
}

/* Rows of a tensor from one of them on. */
struct file_rows {
    const struct model_file *f;
    const struct tensor_info *t;
    size_t row0, row_bytes;
};

static int read_file_rows(void *ctx, void *to, size_t row0, size_t n_row, struct err *e)
{
    const struct file_rows *r = ctx;
    return model_file_read(r->f, r->t, to, (uint64_t)(r->row0 + row0) * r->row_bytes, n_row * r->row_bytes, e);
}

/* Large pieces one after the other, of what the file has in another form. */
static int read_pieces(struct dev *d, struct file_rows *from, struct dev_mat *mat, struct err *e)
{
    size_t n_out = dev_mat_n_out(mat), piece = PIECE_BYTES / from->row_bytes / KERN_ROWS * KERN_ROWS;
    piece = piece < KERN_ROWS ? KERN_ROWS : piece > n_out ? n_out : piece;
    void *rows = mem_try_array(piece, from->row_bytes);
    if (!rows) {
        return err_set(e, ERR_NOMEM, from->t->name, "cannot read tensor \"%s\": no memory for %zu rows of %zu bytes",
                       from->t->name, piece, from->row_bytes);
    }
    int rc = 0;
    for (size_t r = 0; !rc && r < n_out; r += piece) {
        size_t n = n_out - r < piece ? n_out - r : piece;
        rc = read_file_rows(from, rows, r, n, e);
        if (!rc) {
            dev_mat_put(d, mat, rows, r, n);
        }
    }
    mem_free(rows);
    return rc;
}

int bind_read(struct dev *d, const struct model_file *f, const struct tensor_info *t, size_t row0, struct dev_mat *mat,
              struct err *e)
{
    const struct quant *q = quants[dev_mat_type(mat)];
    struct file_rows from = {f, t, row0, dev_mat_n_in(mat) / (size_t)q->block_len * q->block_bytes};
    return tensor_is_stored(t) ? dev_mat_fill(d, mat, read_file_rows, &from, e) : read_pieces(d, &from, mat, e);
}

int bind_note(struct model *m, const char *name, const struct dev_mat *mat, struct err *e)
{
    struct model_bound *b = mem_try_realloc(m->bound, (m->n_bound + 1) * sizeof(*b));
    if (!b) {
        return err_set(e, ERR_NOMEM, name, "cannot load tensor \"%s\": out of memory", name);
    }
    m->bound = b;
    b[m->n_bound++] = (struct model_bound){mem_strdup(name), mat};
    return 0;
}

/* The name under which a matrix is kept packed: of its tensor, or of a part of it. */
static void bound_name(const char *tensor, const struct bind_part *part, char *out, size_t size)
{
    if (part->n_out == part->n_row) {
        snprintf(out, size, "%s", tensor);
    } else {
        snprintf(out, size, "%s rows %zu+%zu", tensor, part->row0, part->n_out);
    }
}

int bind_mat_part(struct model *m, const struct model_file *f, const char *name, const struct bind_part *part,
                  size_t n_in, struct dev_mat **out, struct err *e)
{
    const struct tensor_info *t;
    enum quant_type type;
    int rc = find_tensor(f, name, part->n_row, n_in, &t, &type, e);
    if (rc) {
        return rc;
    }
    char key[256];
    bound_name(name, part, key, sizeof(key));
    void *packed = m->packed ? packed_file_find(m->packed, key, type, part->n_out, n_in) : NULL;
    rc = packed ? dev_mat_borrow(m->dev, out, type, part->n_out, n_in, packed, e)
                : dev_mat_new(m->dev, out, type, part->n_out, n_in, e);
    if (rc) {
        return err_wrap(e, rc, "cannot load tensor \"%s\"", name);
    }
    if (!packed) {
        rc = bind_read(m->dev, f, t, part->row0, *out, e);
    }
    return rc ? rc : bind_note(m, key, *out, e);
}

int bind_mat(struct model *m, const struct model_file *f, const char *name, size_t n_out, size_t n_in,
             struct dev_mat **out, struct err *e)
{
    return bind_mat_part(m, f, name, &(struct bind_part){.n_row = n_out, .n_out = n_out}, n_in, out, e);
}

int bind_vec(struct model *m, const struct model_file *f, const char *name, size_t n, bool must, float **out,
             struct err *e)
{
    return bind_vec_part(m, f, name, &(struct bind_part){.n_row = n, .n_out = n}, must, out, e);
}

int bind_vec_part(struct model *m, const struct model_file *f, const char *name, const struct bind_part *part,
                  bool must, float **out, struct err *e)
{
    size_t n = part->n_row;
    *out = NULL;
    if (!must && !model_file_find(f, name)) {
        return 0;
    }
    const struct tensor_info *t;
    enum quant_type type;
    int rc = find_tensor(f, name, n, 0, &t, &type, e);
    if (rc) {
        return rc;
    }
    void *raw = mem_try_alloc((size_t)t->n_bytes);
    float *value = mem_try_array(n, sizeof(float));
    rc = raw && value ? model_file_read(f, t, raw, 0, (size_t)t->n_bytes, e)
                      : err_set(e, ERR_NOMEM, name, "cannot read tensor \"%s\": out of memory", name);
    if (!rc) {
        rc = dev_alloc(m->dev, out, part->n_out, e);
    }
    if (!rc) {
        quants[type]->dequantize(value, raw, n);
        dev_write(m->dev, *out, value + part->row0, part->n_out);
        m->vector_bytes += part->n_out * sizeof(float);
    }
    mem_free(raw);
    mem_free(value);
    return rc;
}
