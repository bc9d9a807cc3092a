/* Stacks of packed matrices: one allocation, a struct dev_mat for each part of it. */
#include "compute/device/stack.h"

#include "compute/device/cpu_int.h"
#include "ground/base/mem.h"

struct dev_stack {
    size_t n;
    uint8_t *packed;
    struct slab *slab;   /* that packed lies in; NULL: it stands alone */
    struct dev_mat *mat; /* [n], each with its part of packed */
};

int dev_stack_new(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                  struct err *e)
{
    *out = NULL;
    struct dev_stack *s = mem_try_alloc(sizeof(*s));
    struct dev_mat one;
    int rc = s ? cpu_mat_shape(&one, d, type, n_out, n_in, e)
               : err_set(e, ERR_NOMEM, NULL, "cannot hold %zu matrices: out of memory", n);
    if (rc) {
        goto out;
    }
    size_t mat_bytes = one.n_group * one.group_bytes, n_bytes;
    bool fits = mul_size(n, mat_bytes, &n_bytes);
    s->packed = fits ? cpu_slab_take(d, n_bytes, &s->slab) : NULL;
    s->mat = mem_try_array(n, sizeof(s->mat[0]));
    if (!s->packed || !s->mat) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot hold %zu matrices of %zu x %zu of type %s: %zu bytes wanted", n, n_out,
                     n_in, quants[type]->name, fits ? n_bytes : SIZE_MAX);
        goto out;
    }
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->mat[i] = one;
        s->mat[i].packed = s->packed + i * mat_bytes;
    }
    *out = s;
    s = NULL;
out:
    dev_stack_free(s);
    return rc;
}

void dev_stack_put(struct dev *d, struct dev_stack *s, size_t idx, const void *rows, size_t row0, size_t n_row)
{
    struct dev_mat all = s->mat[idx]; /* and those behind it, as one */
    if (all.n_out % KERN_ROWS == 0) {
        all.n_out *= s->n - idx;
        all.n_group *= s->n - idx;
    }
    dev_mat_put(d, &all, rows, row0, n_row);
}

void dev_stack_free(struct dev_stack *s)
{
    if (s) {
        mem_free(s->slab ? NULL : s->packed);
        cpu_slab_leave(s->slab);
        mem_free(s->mat);
        mem_free(s);
    }
}

size_t dev_stack_n(const struct dev_stack *s)
{
    return s->n;
}

const struct dev_mat *dev_stack_at(const struct dev_stack *s, size_t idx)
{
    return &s->mat[idx];
}

size_t dev_stack_bytes(const struct dev_stack *s)
{
    return s ? s->n * dev_mat_bytes(s->mat) : 0;
}
