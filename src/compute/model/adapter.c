/* LoRA adapters in memory: one flat array, views of it, initial values. Files are adapter_load.c and adapter_save.c. */
#include <math.h>
#include <string.h>

#include "compute/model/adapter_int.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"

const char *const adapter_site_name[SITE_COUNT] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                   "gate_proj", "up_proj", "down_proj"};

int adapter_site_find(const char *name)
{
    for (int i = 0; i < SITE_COUNT; i++) {
        if (str_eq(adapter_site_name[i], name)) {
            return i;
        }
    }
    return -1;
}

static int check_target(struct adapter_target t, struct err *e)
{
    if (t.rank < 1 || t.rank > ADAPTER_MAX_RANK) {
        return err_set(e, ERR_INPUT, "rank", "cannot make an adapter of rank %d: 1 to %d would be right", t.rank,
                       ADAPTER_MAX_RANK);
    }
    return isfinite(t.alpha) && t.alpha > 0
               ? 0
               : err_set(e, ERR_INPUT, "alpha", "cannot make an adapter with alpha %g: a number above 0 would be right",
                         (double)t.alpha);
}

static int check_options(const struct adapter_options *o, struct err *e)
{
    int rc = check_target((struct adapter_target){o->rank, o->alpha}, e);
    if (rc) {
        return rc;
    }
    if (o->sites == 0 || o->sites >= 1U << SITE_COUNT) {
        return err_set(e, ERR_INPUT, "target_modules", "cannot make an adapter that sits on no known matrix");
    }
    return 0;
}

static float base_scale(const struct adapter *a, const struct adapter_view *v)
{
    return v->on.alpha / (a->opt.use_rslora ? sqrtf((float)v->on.rank) : (float)v->on.rank);
}

/* What every matrix carries; the sites of the options become those that any layer has. */
static int take_targets(struct adapter *a, const struct adapter_target *target, struct err *e)
{
    int rc = 0;
    unsigned sites = 0;
    for (size_t i = 0; !rc && i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        bool on = target ? target[i].rank != 0 : a->opt.sites >> (i % SITE_COUNT) & 1U;
        if (on) {
            a->view[i].on = target ? target[i] : (struct adapter_target){a->opt.rank, a->opt.alpha};
            sites |= 1U << (i % SITE_COUNT);
            rc = check_target(a->view[i].on, e);
        }
    }
    a->opt.sites = sites;
    a->opt.target = NULL;
    return rc ? rc : check_options(&a->opt, e);
}

/* Offsets of all views; the number of parameters is known afterwards. */
static void lay_out(struct adapter *a)
{
    for (int i = 0; i < a->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            struct adapter_view *v = adapter_view_at(a, i, (enum adapter_site)s);
            model_site_shape(&a->params, (enum adapter_site)s, &v->n_out, &v->n_in);
            if (v->on.rank > 0) {
                v->a = a->n_param;
                v->b = v->a + (size_t)v->on.rank * v->n_in;
                v->m = v->b + (size_t)v->on.rank * v->n_out;
                a->n_param = v->m + (a->opt.use_dora ? v->n_out : 0);
            }
        }
    }
}

static int make_loras(struct adapter *a, const struct model *m, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        struct adapter_view *v = &a->view[i];
        if (v->on.rank > 0) {
            rc = dev_lora_new(a->dev, &v->lora, a->param + v->a, a->param + v->b, v->on.rank, v->n_in, v->n_out,
                              base_scale(a, v), e);
        }
        if (!rc && v->lora && a->opt.use_dora) {
            const struct dev_mat *w = m->layer[i / SITE_COUNT].w[i % SITE_COUNT];
            rc = dev_lora_set_magnitude(a->dev, v->lora, w, a->param + v->m, e);
        }
    }
    return rc;
}

/* Matrices that the layers of a model do not have: experts stand in their place, or a compressed cache. */
static int check_sites(const struct model *m, const struct adapter *a, struct err *e)
{
    for (int i = 0; i < m->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            bool there = m->layer[i].w[s] && !m->layer[i].latent;
            if (adapter_view_at(a, i, (enum adapter_site)s)->on.rank > 0 && !there) {
                return err_set(e, ERR_UNSUPPORTED, adapter_site_name[s],
                               "cannot use an adapter on %s: layer %d of this %s model has no such matrix",
                               adapter_site_name[s], i, m->params.architecture);
            }
        }
    }
    return 0;
}

/* A fused matrix has one pair of factors in a file, and magnitudes of a part of it alone have no place there. */
static int check_module(const struct adapter *a, int layer, const struct adapter_module *m, struct err *e)
{
    int n_on = 0;
    struct adapter_target first = adapter_module_target(a, layer, m);
    for (int i = 0; i < m->n; i++) {
        struct adapter_target on = adapter_view_at(a, layer, m->first + (enum adapter_site)i)->on;
        n_on += on.rank > 0;
        if (on.rank > 0 && (on.rank != first.rank || memcmp(&on.alpha, &first.alpha, sizeof(on.alpha)) != 0)) {
            return err_set(e, ERR_UNSUPPORTED, m->name,
                           "cannot use other ranks or alphas on parts of %s: this %s model keeps it as one matrix",
                           m->name, a->params.architecture);
        }
    }
    if (a->opt.use_dora && n_on != 0 && n_on != m->n) {
        return err_set(e, ERR_UNSUPPORTED, m->name,
                       "cannot use DoRA on a part of %s: this %s model keeps it as one matrix, of which all parts "
                       "are needed or none",
                       m->name, a->params.architecture);
    }
    return 0;
}

static int check_fused(const struct adapter *a, struct err *e)
{
    int n, rc = 0;
    const struct adapter_module *module = adapter_modules(&a->params, &n);
    for (int i = 0; !rc && i < n * a->params.n_layer; i++) {
        rc = check_module(a, i / n, &module[i % n], e);
    }
    return rc;
}

int adapter_make(struct adapter **out, const struct model *m, const struct adapter_options *opt, struct err *e)
{
    *out = NULL;
    int rc = opt->target ? 0 : check_options(opt, e);
    if (rc) {
        return rc;
    }
    struct adapter *a = mem_try_alloc(sizeof(*a));
    if (!a) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make an adapter: out of memory");
    }
    *a = (struct adapter){.dev = m->dev, .params = m->params, .opt = *opt};
    a->view = mem_try_array((size_t)m->params.n_layer * SITE_COUNT, sizeof(a->view[0]));
    if (!a->view) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot make an adapter: no memory for %d layers", m->params.n_layer);
        goto out;
    }
    rc = take_targets(a, opt->target, e);
    rc = rc ? rc : check_sites(m, a, e);
    rc = rc ? rc : check_fused(a, e);
    if (!rc) {
        lay_out(a);
        rc = dev_alloc(a->dev, &a->param, a->n_param, e);
    }
    if (!rc) {
        rc = make_loras(a, m, e);
    }
    if (rc) {
        goto out;
    }
    *out = a;
    a = NULL;
out:
    adapter_free(a);
    return rc;
}

/* Kaiming uniform with a = sqrt 5: the bound is 1 / sqrt(n_in) (He et al. 2015, as torch.nn.Linear and PEFT). */
static int init_a(struct adapter *a, struct err *e)
{
    for (size_t i = 0; i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        const struct adapter_view *v = &a->view[i];
        size_t n = (size_t)v->on.rank * v->n_in;
        if (!v->lora) {
            continue;
        }
        float *x = mem_try_array(n, sizeof(float));
        if (!x) {
            return err_set(e, ERR_NOMEM, NULL, "cannot make an adapter: out of memory");
        }
        double bound = 1.0 / sqrt((double)v->n_in);
        for (size_t k = 0; k < n; k++) {
            x[k] = (float)((2.0 * rng_unit(a->opt.seed, i, k) - 1.0) * bound);
        }
        dev_write(a->dev, a->param + v->a, x, n);
        mem_free(x);
    }
    return 0;
}

/* With B zero the lengths of rows are the base's; as magnitudes they leave the base as it is, bit for bit. */
static void init_magnitudes(struct adapter *a)
{
    for (size_t i = 0; a->opt.use_dora && i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        const struct adapter_view *v = &a->view[i];
        if (v->lora) {
            dev_copy(a->dev, a->param + v->m, dev_lora_norms(v->lora), v->n_out);
        }
    }
}

int adapter_new(struct adapter **out, const struct model *m, const struct adapter_options *opt, struct err *e)
{
    int rc = adapter_make(out, m, opt, e);
    if (!rc) {
        rc = init_a(*out, e);
        if (rc) {
            adapter_free(*out);
            *out = NULL;
            return rc;
        }
        init_magnitudes(*out);
        adapter_update(*out);
    }
    return rc;
}

void adapter_free(struct adapter *a)
{
    if (!a) {
        return;
    }
    for (size_t i = 0; a->view && i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        dev_lora_free(a->view[i].lora);
    }
    dev_release(a->dev, a->param);
    dev_release(a->dev, a->grad);
    mem_free(a->view);
    mem_free(a);
}

const struct adapter_options *adapter_get_options(const struct adapter *a)
{
    return &a->opt;
}
struct adapter_target adapter_target_at(const struct adapter *a, int layer, enum adapter_site site)
{
    return adapter_view_at(a, layer, site)->on;
}

size_t adapter_count(const struct model *m, int rank)
{
    size_t n = 0;
    for (int s = 0; s < SITE_COUNT; s++) {
        size_t n_out, n_in;
        model_site_shape(&m->params, (enum adapter_site)s, &n_out, &n_in);
        n += n_out + n_in;
    }
    return n * (size_t)rank * (size_t)m->params.n_layer;
}

int adapter_max_rank(const struct adapter *a)
{
    int most = 0;
    for (size_t i = 0; i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        most = a->view[i].on.rank > most ? a->view[i].on.rank : most;
    }
    return most;
}

int adapter_first_layer(const struct adapter *a)
{
    int i = 0;
    while (i < a->params.n_layer * SITE_COUNT && a->view[i].on.rank == 0) i++;
    return i / SITE_COUNT;
}

size_t adapter_n_param(const struct adapter *a)
{
    return a->n_param;
}
float *adapter_params(struct adapter *a)
{
    return a->param;
}

int adapter_grads(struct adapter *a, float **out, struct err *e)
{
    int rc = a->grad ? 0 : dev_alloc(a->dev, &a->grad, a->n_param, e);
    *out = a->grad;
    return rc;
}

void adapter_update(struct adapter *a)
{
    for (size_t i = 0; i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        if (a->view[i].lora) {
            dev_lora_update(a->dev, a->view[i].lora);
        }
    }
}

const struct dev_lora *adapter_lora(const struct adapter *a, int layer, enum adapter_site site)
{
    return adapter_view_at(a, layer, site)->lora;
}

struct dev_proj_grad adapter_grad(const struct adapter *a, int layer, enum adapter_site site)
{
    const struct adapter_view *v = adapter_view_at(a, layer, site);
    if (!a->grad || !v->lora) {
        return (struct dev_proj_grad){0};
    }
    return (struct dev_proj_grad){
        .da = a->grad + v->a, .db = a->grad + v->b, .dm = a->opt.use_dora ? a->grad + v->m : NULL};
}

void adapter_set_scale(struct adapter *a, float factor)
{
    for (size_t i = 0; i < (size_t)a->params.n_layer * SITE_COUNT; i++) {
        if (a->view[i].lora) {
            dev_lora_set_scale(a->view[i].lora, base_scale(a, &a->view[i]) * factor);
        }
    }
}
