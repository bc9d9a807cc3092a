/* The whole of a stack, and the way between it and the adapter on its top. Owns the whole. What always holds: on every
 * matrix the first columns of B (rows of A) are those of the frozen adapters in their order, the last are own's. */
#include "compute/model/adapter_stack.h"

#include <math.h>

#include "compute/model/adapter_int.h"
#include "ground/base/mem.h"

struct adapter_stack {
    struct adapter *whole, *own; /* own borrowed, NULL: none */
};

static size_t n_view(const struct model *m)
{
    return (size_t)m->params.n_layer * SITE_COUNT;
}

static float scale_of(const struct adapter *a, const struct adapter_view *v)
{
    return v->on.alpha / (a->opt.use_rslora ? sqrtf((float)v->on.rank) : (float)v->on.rank);
}

/* --- shape --- */

static int refuse_magnitudes(const struct adapter *a, struct err *e)
{
    return !a->opt.use_dora ? 0
                            : err_set(e, ERR_UNSUPPORTED, "dora",
                                      "cannot stack an adapter with magnitudes (DoRA): they change what stands below "
                                      "them; merge it into the base first");
}

/* What the whole carries on each matrix: the sum of ranks, and own's scale where own sits. */
static void add_targets(struct adapter_target *target, size_t n, const struct adapter *a)
{
    for (size_t i = 0; i < n; i++) {
        target[i].rank += a->view[i].on.rank;
    }
}

static void set_alphas(struct adapter_target *target, size_t n, const struct adapter *own)
{
    for (size_t i = 0; i < n; i++) {
        const struct adapter_view *v = own ? &own->view[i] : NULL;
        target[i].alpha = (float)target[i].rank * (v && v->on.rank > 0 ? scale_of(own, v) : 1.0f);
    }
}

static int make_whole(struct adapter_stack *s, const struct model *m, const struct adapter *const *frozen, size_t n,
                      struct err *e)
{
    struct adapter_target *target = mem_try_array(n_view(m), sizeof(*target));
    if (!target) {
        return err_set(e, ERR_NOMEM, NULL, "cannot stack adapters: out of memory");
    }
    for (size_t i = 0; i < n_view(m); i++) {
        target[i] = (struct adapter_target){0};
    }
    for (size_t i = 0; i < n; i++) {
        add_targets(target, n_view(m), frozen[i]);
    }
    if (s->own) {
        add_targets(target, n_view(m), s->own);
    }
    set_alphas(target, n_view(m), s->own);
    struct adapter_options o = {.target = target};
    for (size_t i = 0; i < n_view(m); i++) { /* what the file says first; other matrices are patterns */
        o.rank = target[i].rank > o.rank ? target[i].rank : o.rank;
        o.alpha = target[i].rank == o.rank ? target[i].alpha : o.alpha;
    }
    int rc = adapter_make(&s->whole, m, &o, e);
    mem_free(target);
    return rc;
}

/* --- values --- */

/* B of a matrix times what its scale is beside the whole's. */
static int fold(struct adapter *whole, const struct adapter_view *w, const struct adapter *a,
                const struct adapter_view *v, size_t at, struct err *e)
{
    size_t rank = (size_t)v->on.rank, n = rank * v->n_out;
    float *b = NULL, by = scale_of(a, v) / scale_of(whole, w);
    int rc = dev_alloc(a->dev, &b, n, e);
    if (rc) {
        return rc;
    }
    dev_copy(a->dev, b, a->param + v->b, n);
    dev_scale(a->dev, b, by, n);
    dev_copy_block(a->dev, whole->param + w->b + at, (size_t)w->on.rank, b, rank, v->n_out, rank);
    dev_release(a->dev, b);
    return 0;
}

static int put_frozen(struct adapter *whole, const struct adapter *const *frozen, size_t n, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < (size_t)whole->params.n_layer * SITE_COUNT; i++) {
        const struct adapter_view *w = &whole->view[i];
        size_t at = 0; /* rank taken so far */
        for (size_t k = 0; !rc && k < n; k++) {
            const struct adapter_view *v = &frozen[k]->view[i];
            if (v->on.rank > 0) {
                dev_copy(whole->dev, whole->param + w->a + at * w->n_in, frozen[k]->param + v->a,
                         (size_t)v->on.rank * v->n_in);
                rc = fold(whole, w, frozen[k], v, at, e);
                at += (size_t)v->on.rank;
            }
        }
    }
    return rc;
}

/* Between own and its place in the whole, over arrays of their layouts. */
static void carry(const struct adapter_stack *s, float *own, float *whole, bool down)
{
    for (size_t i = 0; i < (size_t)s->own->params.n_layer * SITE_COUNT; i++) {
        const struct adapter_view *v = &s->own->view[i], *w = &s->whole->view[i];
        size_t rank = (size_t)v->on.rank, all = (size_t)w->on.rank, at = all - rank;
        float *a = whole + w->a + at * w->n_in, *b = whole + w->b + at;
        if (rank > 0 && down) {
            dev_copy(s->own->dev, a, own + v->a, rank * v->n_in);
            dev_copy_block(s->own->dev, b, all, own + v->b, rank, v->n_out, rank);
        } else if (rank > 0) {
            dev_copy(s->own->dev, own + v->a, a, rank * v->n_in);
            dev_copy_block(s->own->dev, own + v->b, rank, b, all, v->n_out, rank);
        }
    }
}

void adapter_stack_put(struct adapter_stack *s)
{
    if (s->own) {
        carry(s, s->own->param, s->whole->param, true);
    }
    adapter_update(s->whole);
}

void adapter_stack_take_grads(struct adapter_stack *s)
{
    carry(s, s->own->grad, s->whole->grad, false);
}

/* --- life --- */

int adapter_stack_new(struct adapter_stack **out, const struct model *m, const struct adapter *const *frozen, size_t n,
                      struct adapter *own, struct err *e)
{
    int rc = own ? refuse_magnitudes(own, e) : 0;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = refuse_magnitudes(frozen[i], e);
    }
    *out = NULL;
    if (rc) {
        return rc;
    }
    struct adapter_stack *s = mem_alloc(sizeof(*s));
    *s = (struct adapter_stack){.own = own};
    rc = make_whole(s, m, frozen, n, e);
    rc = rc ? rc : put_frozen(s->whole, frozen, n, e);
    if (rc) {
        adapter_stack_free(s);
        return rc;
    }
    adapter_stack_put(s);
    *out = s;
    return 0;
}

void adapter_stack_free(struct adapter_stack *s)
{
    if (s) {
        adapter_free(s->whole);
        mem_free(s);
    }
}

struct adapter *adapter_stack_whole(const struct adapter_stack *s)
{
    return s->whole;
}
