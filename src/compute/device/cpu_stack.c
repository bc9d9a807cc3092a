/* Stacks of packed matrices: one allocation, a struct dev_mat for each part of it. */
#include "compute/device/stack.h"

#include <assert.h>

#include "compute/device/cpu_int.h"
#include "ground/base/mem.h"

struct dev_stack {
    size_t n;
    struct dev_mat whole; /* all rows; its slab is that of the stack */
    struct dev_mat *mat;  /* [n], each with its part of whole.packed */
};

/* packed NULL: memory of its own. */
static int stack_make(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                      void *packed, struct err *e)
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
    one.is_borrowed = packed != NULL;
    s->whole = one;
    s->whole.packed = packed || !fits ? packed : cpu_slab_take(d, n_bytes, &s->whole.slab);
    s->mat = mem_try_array(n, sizeof(s->mat[0]));
    if (!s->whole.packed || !s->mat) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot hold %zu matrices of %zu x %zu of type %s: %zu bytes wanted", n, n_out,
                     n_in, quants[type]->name, fits ? n_bytes : SIZE_MAX);
        goto out;
    }
    s->n = n;
    s->whole.n_out *= n;
    s->whole.n_group *= n;
    for (size_t i = 0; i < n; i++) {
        s->mat[i] = one;
        s->mat[i].packed = s->whole.packed + i * mat_bytes;
    }
    *out = s;
    s = NULL;
out:
    dev_stack_free(s);
    return rc;
}

int dev_stack_new(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                  struct err *e)
{
    return stack_make(d, out, type, n, n_out, n_in, NULL, e);
}

int dev_stack_borrow(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                     void *packed, struct err *e)
{
    assert(n_out % KERN_ROWS == 0);
    return stack_make(d, out, type, n, n_out, n_in, packed, e);
}

void dev_stack_free(struct dev_stack *s)
{
    if (s) {
        mem_free(s->whole.is_borrowed || s->whole.slab ? NULL : s->whole.packed);
        cpu_slab_leave(s->whole.slab);
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

struct dev_mat *dev_stack_mat(struct dev_stack *s, size_t idx)
{
    return &s->mat[idx];
}

struct dev_mat *dev_stack_whole(struct dev_stack *s)
{
    return s->mat[0].n_out % KERN_ROWS == 0 ? &s->whole : NULL;
}

size_t dev_stack_bytes(const struct dev_stack *s)
{
    return s ? s->n * dev_mat_bytes(s->mat) : 0;
}
