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

static int check_options(const struct adapter_options *o, struct err *e)
{
    if (o->rank < 1 || o->rank > ADAPTER_MAX_RANK) {
        return err_set(e, ERR_INPUT, "rank", "cannot make an adapter of rank %d: 1 to %d would be right", o->rank,
                       ADAPTER_MAX_RANK);
    }
    if (!isfinite(o->alpha) || o->alpha <= 0) {
        return err_set(e, ERR_INPUT, "alpha", "cannot make an adapter with alpha %g: a number above 0 would be right",
                       (double)o->alpha);
    }
    if (o->sites == 0 || o->sites >= 1U << SITE_COUNT) {
        return err_set(e, ERR_INPUT, "target_modules", "cannot make an adapter that sits on no known matrix");
    }
    return 0;
}

static float base_scale(const struct adapter_options *o)
{
    return o->use_rslora ? o->alpha / sqrtf((float)o->rank) : o->alpha / (float)o->rank;
}

/* Offsets of all views; the number of parameters is known afterwards. */
static void lay_out(struct adapter *a)
{
    for (int i = 0; i < a->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            struct adapter_view *v = adapter_view_at(a, i, (enum adapter_site)s);
            model_site_shape(&a->params, (enum adapter_site)s, &v->n_out, &v->n_in);
            if (a->opt.sites & 1U << s) {
                v->a = a->n_param;
                v->b = v->a + (size_t)a->opt.rank * v->n_in;
                v->m = v->b + (size_t)a->opt.rank * v->n_out;
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
        if (a->opt.sites & 1U << (i % SITE_COUNT)) {
            rc = dev_lora_new(a->dev, &v->lora, a->param + v->a, a->param + v->b, a->opt.rank, v->n_in, v->n_out,
                              base_scale(&a->opt), e);
        }
        if (!rc && v->lora && a->opt.use_dora) {
            const struct dev_mat *w = m->layer[i / SITE_COUNT].w[i % SITE_COUNT];
            rc = dev_lora_set_magnitude(a->dev, v->lora, w, a->param + v->m, e);
        }
    }
    return rc;
}

/* Matrices that the layers of a model do not have: experts stand in their place, or a compressed cache. */
static int check_sites(const struct model *m, const struct adapter_options *opt, struct err *e)
{
    for (int i = 0; i < m->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            bool there = m->layer[i].w[s] && !m->layer[i].latent;
            if (opt->sites & 1U << s && !there) {
                return err_set(e, ERR_UNSUPPORTED, adapter_site_name[s],
                               "cannot use an adapter on %s: layer %d of this %s model has no such matrix",
                               adapter_site_name[s], i, m->params.architecture);
            }
        }
    }
    return 0;
}

/* Magnitudes of a part of a fused matrix alone have no place in a file. */
static int check_fused(const struct model *m, const struct adapter_options *opt, struct err *e)
{
    int n;
    const struct adapter_module *module = adapter_modules(&m->params, &n);
    for (int i = 0; i < n && opt->use_dora; i++) {
        unsigned all = adapter_module_sites(&module[i]), on = opt->sites & all;
        if (on != 0 && on != all) {
            return err_set(e, ERR_UNSUPPORTED, module[i].name,
                           "cannot use DoRA on a part of %s: this %s model keeps it as one matrix, of which all parts "
                           "are needed or none",
                           module[i].name, m->params.architecture);
        }
    }
    return 0;
}

int adapter_make(struct adapter **out, const struct model *m, const struct adapter_options *opt, struct err *e)
{
    *out = NULL;
    int rc = check_options(opt, e);
    if (rc) {
        return rc;
    }
    rc = check_sites(m, opt, e);
    rc = rc ? rc : check_fused(m, opt, e);
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
    lay_out(a);
    rc = dev_alloc(a->dev, &a->param, a->n_param, e);
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
        size_t n = (size_t)a->opt.rank * v->n_in;
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
            dev_lora_set_scale(a->view[i].lora, base_scale(&a->opt) * factor);
        }
    }
}
