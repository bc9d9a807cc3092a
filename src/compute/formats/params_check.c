/* Hyper-parameters against limits, and against the tensors that come with them. Owns nothing.
 * After both checks model code may multiply sizes and index heads without asking again. */
#include "compute/formats/arch_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

struct range {
    const char *name;
    int value, min, max;
};

static int check_ranges(const struct range *range, size_t n, const char *path, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const struct range *r = &range[i];
        if (r->value < r->min || r->value > r->max) {
            return err_set(e, ERR_INPUT, path, "cannot use \"%s\": %s is %d, from %d to %d would be right", path,
                           r->name, r->value, r->min, r->max);
        }
    }
    return 0;
}

int params_check_sizes(const struct model_params *p, const char *path, struct err *e)
{
    const struct range range[] = {
        {"n_layer", p->n_layer, 1, MODEL_MAX_LAYER},
        {"n_embd", p->n_embd, 1, 1 << 17},
        {"n_head", p->n_head, 1, 4096},
        {"n_kv_head", p->n_kv_head, 1, p->n_head},
        {"d_head", p->d_head, 2, 2 * MODEL_MAX_FREQ},
        {"n_ff", p->n_ff, 1, 1 << 20},
        {"n_vocab", p->n_vocab, 1, 1 << 24},
        {"n_ctx_train", p->n_ctx_train, 1, 1 << 28},
        {"n_rot", p->n_rot, 0, p->d_head},
    };
    return check_ranges(range, N_ELEM(range), path, e);
}

static int check_scales(const struct model_params *p, const char *path, struct err *e)
{
    const struct {
        const char *name;
        float value, min;
    } scale[] = {{"embedding_scale", p->embedding_scale, 1e-9f}, {"residual_scale", p->residual_scale, 1e-9f},
                 {"attn_scale", p->attn_scale, 1e-9f},           {"logit_scale", p->logit_scale, 1e-9f},
                 {"attn_softcap", p->attn_softcap, 0},           {"logit_softcap", p->logit_softcap, 0}};
    for (size_t i = 0; i < N_ELEM(scale); i++) {
        if (!(scale[i].value >= scale[i].min && scale[i].value <= 1e9f)) {
            return err_set(e, ERR_INPUT, path, "cannot use \"%s\": %s is %g, a number above 0 would be right", path,
                           scale[i].name, (double)scale[i].value);
        }
    }
    return 0;
}

static int check_factors(const float *factor, int n, const char *path, struct err *e)
{
    for (int i = 0; i < n; i++) {
        if (!(factor[i] > 0 && isfinite(factor[i]))) {
            return err_set(e, ERR_INPUT, path,
                           "cannot use \"%s\": rope factor %d is %g, a number above 0 would be right", path, i,
                           (double)factor[i]);
        }
    }
    return 0;
}

static int check_rope(const struct model_params *p, const struct model_rope *r, const char *path, struct err *e)
{
    if (!(r->theta >= 1 && isfinite(r->theta)) || !(r->magnitude > 0 && r->magnitude < 1000)) {
        return err_set(e, ERR_INPUT, path,
                       "cannot use \"%s\": rope_theta %g (1 or more) or its magnitude %g is out of range", path,
                       r->theta, (double)r->magnitude);
    }
    int rc = check_factors(r->factor, p->n_rot / 2, path, e);
    return rc || r->n_ctx_short == 0 ? rc : check_factors(r->long_factor, p->n_rot / 2, path, e);
}

static int check_layers(const struct model_params *p, const char *path, struct err *e)
{
    for (int i = 0; i < p->n_layer; i++) {
        const struct model_layer_params *l = &p->layer[i];
        const struct range range[] = {{"sliding_window", l->window, 0, 1 << 28},
                                      {"attention chunk", l->chunk, 0, 1 << 28},
                                      {"rope of a layer", l->rope, -1, p->n_rope - 1}};
        int rc = check_ranges(range, N_ELEM(range), path, e);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int params_check(const struct model_params *p, const char *path, struct err *e)
{
    const struct range range[] = {
        {"n_rot", p->n_rot, 2, p->d_head},
        {"bos_id", p->bos_id, -1, p->n_vocab - 1},
        {"eos_id", p->eos_id, -1, p->n_vocab - 1},
    };
    int rc = params_check_sizes(p, path, e);
    rc = rc ? rc : check_ranges(range, N_ELEM(range), path, e);
    rc = rc ? rc : check_layers(p, path, e);
    if (rc) {
        return rc;
    }
    if (p->n_head % p->n_kv_head != 0) {
        return err_set(e, ERR_INPUT, path, "cannot use \"%s\": n_head %d is no multiple of n_kv_head %d", path,
                       p->n_head, p->n_kv_head);
    }
    if (p->d_head % 2 != 0 || p->n_rot % 2 != 0) {
        return err_set(e, ERR_INPUT, path, "cannot use \"%s\": d_head %d and n_rot %d must be even", path, p->d_head,
                       p->n_rot);
    }
    if (!(p->rms_eps > 0 && p->rms_eps < 1)) {
        return err_set(e, ERR_INPUT, path, "cannot use \"%s\": rms_eps %g is out of range, 0 to 1 would be right", path,
                       (double)p->rms_eps);
    }
    rc = check_scales(p, path, e);
    for (int i = 0; !rc && i < p->n_rope; i++) {
        rc = check_rope(p, &p->rope[i], path, e);
    }
    return rc;
}

/* Tensors seen, so that one that model code would leave out is noticed. */
struct checker {
    const struct model_file *f;
    const struct model_params *p;
    struct err *e;
    size_t n_seen;
};

/* A tensor of a shape; absent is an error only where it must be there. */
static int check_shape(struct checker *c, const char *name, bool must, int n_dim, const uint64_t *shape)
{
    const char *path = c->f->path;
    const struct tensor_info *t = model_file_find(c->f, name);
    if (!t) {
        return must ? err_set(c->e, ERR_INPUT, path, "cannot use \"%s\": tensor \"%s\" is missing", path, name) : 0;
    }
    c->n_seen++;
    bool right = t->n_dim == n_dim;
    for (int i = 0; right && i < n_dim; i++) {
        right = t->shape[i] == shape[i];
    }
    if (right) {
        return 0;
    }
    char want[80];
    size_t at = 0;
    for (int i = 0; i < n_dim; i++) {
        at += (size_t)snprintf(want + at, sizeof want - at, i ? " x %llu" : "%llu", (unsigned long long)shape[i]);
    }
    return err_set(c->e, ERR_INPUT, path, "cannot use \"%s\": tensor \"%s\" has the wrong shape, %s would be right",
                   path, name, want);
}

static int check_layer(struct checker *c, const struct arch *a, int layer)
{
    struct layer_tensors list;
    char name[96];
    int rc = 0;
    arch_layer_tensors(a, c->p, layer, &list);
    for (size_t i = 0; !rc && i < list.n; i++) {
        const struct layer_tensor *t = &list.at[i];
        snprintf(name, sizeof name, "blk.%d.%s.%s", layer, t->part, t->only_bias ? "bias" : "weight");
        rc = check_shape(c, name, true, t->n_dim, t->shape);
        if (!rc && t->has_bias) {
            snprintf(name, sizeof name, "blk.%d.%s.bias", layer, t->part);
            rc = check_shape(c, name, false, 1, t->shape);
        }
    }
    return rc;
}

/* Whether model code reads a tensor of this name. */
static bool is_known(const struct arch *a, const struct model_params *p, const char *name)
{
    static const char *const known[] = {"token_embd.weight", "output_norm.weight",       "output.weight",
                                        "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    struct layer_tensors list;
    int layer;
    int used = 0;
    for (size_t i = 0; i < N_ELEM(known); i++) {
        if (str_eq(name, known[i])) {
            return true;
        }
    }
    if (sscanf(name, "blk.%d.%n", &layer, &used) != 1 || used == 0 || layer < 0 || layer >= p->n_layer) {
        return false;
    }
    arch_layer_tensors(a, p, layer, &list);
    for (size_t i = 0; i < list.n; i++) {
        size_t n = strlen(list.at[i].part);
        const char *kind = name + used + n;
        if (!strncmp(name + used, list.at[i].part, n) && (str_eq(kind, list.at[i].only_bias ? ".bias" : ".weight") ||
                                                          (str_eq(kind, ".bias") && list.at[i].has_bias))) {
            return true;
        }
    }
    return false;
}

int params_check_tensors(const struct model_file *f, const struct model_params *p, struct err *e)
{
    const struct arch *a = arch_find(p->architecture);
    const uint64_t matrix[] = {(uint64_t)p->n_vocab, (uint64_t)p->n_embd}, vector[] = {(uint64_t)p->n_embd},
                   freqs[] = {(uint64_t)p->n_rot / 2};
    struct checker c = {f, p, e, 0};
    int rc = check_shape(&c, "token_embd.weight", true, 2, matrix);
    rc = rc ? rc : check_shape(&c, "output_norm.weight", true, 1, vector);
    rc = rc ? rc : check_shape(&c, "output.weight", !p->tied_head, 2, matrix);
    rc = rc ? rc : check_shape(&c, "rope_freqs.weight", false, 1, freqs);
    rc = rc ? rc : check_shape(&c, "rope_factors_long.weight", false, 1, freqs);
    rc = rc ? rc : check_shape(&c, "rope_factors_short.weight", false, 1, freqs);
    for (int layer = 0; !rc && layer < p->n_layer; layer++) {
        rc = check_layer(&c, a, layer);
    }
    if (rc || c.n_seen == f->n_tensor) {
        return rc;
    }
    size_t i = 0;
    while (i + 1 < f->n_tensor && is_known(a, p, f->tensor[i].info.name)) {
        i++;
    }
    return err_set(e, ERR_UNSUPPORTED, f->path,
                   "cannot use \"%s\": tensor \"%.64s\" has no place in a model of %d layers of architecture %s",
                   f->path, f->tensor[i].info.name, p->n_layer, p->architecture);
}
