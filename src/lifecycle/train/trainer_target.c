/* What a run trains: an adapter on the model, or all weights of it. Makes it, brings new parameters into the model, and
 * saves it under the name that says which it is (adapter/, model/). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/sys/digest.h"
#include "lifecycle/train/adapter_shape.h"
#include "lifecycle/train/trainer_int.h"

static int contradicts(const struct trainer *t, const char *field, const char *has, struct err *e)
{
    return err_set(e, ERR_USAGE, field, "cannot start from \"%s\": its %s is %s, the run is given another",
                   t->cfg->adapter_init, field, has);
}

/* What the run says of the adapter's shape must be what the adapter has; what it does not say is filled in. */
static int settle(const struct trainer *t, const char *field, const char *has, bool same, struct err *e)
{
    if (param_is_set(t->rq->fields, field)) return same ? 0 : contradicts(t, field, has, e);
    return param_set_text(t->rq->fields, field, has, e);
}

static int settle_shape(const struct trainer *t, struct err *e)
{
    const struct train_config *c = t->cfg;
    const struct adapter_options *o = adapter_get_options(t->own);
    char rank[32], alpha[32], sites[160] = "";
    snprintf(rank, sizeof(rank), "%d", o->rank);
    snprintf(alpha, sizeof(alpha), "%.9g", (double)o->alpha);
    for (int i = 0; i < SITE_COUNT; i++) {
        size_t n = strlen(sites);
        if (o->sites >> i & 1) snprintf(sites + n, sizeof(sites) - n, "%s%s", n > 0 ? "," : "", adapter_site_name[i]);
    }
    if (o->use_dora != c->use_dora)
        return contradicts(t, "adapter", o->use_dora ? "dora" : "lora, without magnitudes", e);
    int rc = settle(t, "rank", rank, o->rank == c->rank, e);
    if (rc == 0) rc = settle(t, "alpha", alpha, fabsf(o->alpha - c->alpha) <= 1e-6f * fabsf(c->alpha), e);
    if (rc == 0) rc = settle(t, "use_rslora", o->use_rslora ? "true" : "false", o->use_rslora == c->use_rslora, e);
    if (rc == 0) rc = settle(t, "target_modules", sites, o->sites == c->sites, e);
    return rc;
}

static int check_base(const struct trainer *t, struct err *e)
{
    const struct tensor_info *w = model_file_find(t->rq->file, "blk.0.attn_q.weight");
    if (!t->cfg->needs_quantized || w == NULL || tensor_type_info(w->type)->block_len > 1) return 0;
    return err_set(e, ERR_UNSUPPORTED, t->cfg->base,
                   "cannot tune \"%s\" with adapter qlora: its weights are %s, not quantized", t->cfg->base,
                   tensor_type_info(w->type)->name);
}

/* A fresh adapter of the shape that the fields say. */
static int new_adapter(struct trainer *t, struct adapter_options *o, struct err *e)
{
    const struct model_params *p = model_params(t->rq->model);
    if (!t->cfg->by_pattern) return adapter_new(&t->own, t->rq->model, o, e);
    struct adapter_target *target = mem_try_array((size_t)p->n_layer * SITE_COUNT, sizeof(*target));
    int rc = target == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot make an adapter: out of memory")
                            : adapter_shape_select(t->rq->fields, p, o, target, e);
    if (rc == 0) rc = adapter_new(&t->own, t->rq->model, o, e);
    mem_free(target);
    return rc;
}

/* The frozen adapters under the one that is trained, and, for methods that compare with it, what was there before. */
static int stack_adapters(struct trainer *t, struct err *e)
{
    const struct train_config *c = t->cfg;
    struct adapter *frozen[TRAIN_MAX_STACK] = {NULL};
    float *grads;
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n_adapter; i++) {
        rc = adapter_load(&frozen[i], t->rq->model, c->adapters[i], e);
        if (rc == 0 && adapter_get_options(frozen[i])->use_dora)
            rc = err_set(e, ERR_UNSUPPORTED, c->adapters[i],
                         "cannot tune over adapter \"%s\": it has magnitudes (DoRA), which change what stands below "
                         "them; merge it into the base first",
                         c->adapters[i]);
    }
    const struct adapter *const *below = (const struct adapter *const *)frozen;
    if (rc == 0) rc = adapter_stack_new(&t->stack, t->rq->model, below, (size_t)c->n_adapter, t->own, e);
    if (rc == 0) t->adapter = adapter_stack_whole(t->stack);
    if (rc == 0) rc = adapter_grads(t->adapter, &grads, e);
    if (rc == 0 && c->method.kind != METHOD_SFT)
        rc = adapter_stack_new(&t->below, t->rq->model, below, (size_t)c->n_adapter, NULL, e);
    if (rc == 0 && t->below != NULL) t->reference = adapter_stack_whole(t->below);
    for (int i = 0; i < c->n_adapter; i++) adapter_free(frozen[i]);
    return rc;
}

static int make_adapter(struct trainer *t, struct err *e)
{
    const struct train_config *c = t->cfg;
    struct adapter_options o = {.rank = c->rank,
                                .alpha = c->alpha,
                                .use_rslora = c->use_rslora,
                                .sites = c->sites,
                                .seed = c->seed,
                                .use_dora = c->use_dora};
    int rc = c->adapter_init != NULL ? adapter_load(&t->own, t->rq->model, c->adapter_init, e) : new_adapter(t, &o, e);
    if (rc == 0 && c->adapter_init != NULL) rc = settle_shape(t, e);
    if (rc != 0) return rc;
    t->n_param = adapter_n_param(t->own);
    t->params = adapter_params(t->own);
    t->adapter = t->own;
    rc = adapter_grads(t->own, &t->grads, e);
    if (rc == 0 && c->merge_aware) rc = absorber_new(&t->absorber, t->rq->model, t->rq->file, t->own, e);
    return rc == 0 && c->n_adapter > 0 ? stack_adapters(t, e) : rc;
}

/* Masters, gradients, the optimizer's state, and the best masters where they are kept: before any of it is taken. */
static int check_full(const struct trainer *t, struct err *e)
{
    uint64_t masters = weights_bytes(t->rq->model) / 2;
    uint64_t need = (t->cfg->early_stop > 0 ? 3 : 2) * masters + optimizer_plan_bytes(t->cfg, masters / sizeof(float));
    if (!model_file_is_gguf(t->rq->file)) {
        if (need <= dev_memory_free(t->dev)) return 0;
        return dev_memory_lack(t->dev, need, "cannot tune in full", "an adapter (lora, dora) takes far less", e);
    }
    return err_set(e, ERR_UNSUPPORTED, t->cfg->base,
                   "cannot tune \"%s\" in full: it is a GGUF file, and what comes out is a Hugging Face directory made "
                   "from the base's; such a directory would be right, or an adapter (lora, qlora, dora)",
                   t->cfg->base);
}

static int make_weights(struct trainer *t, struct err *e)
{
    int rc = check_full(t, e);
    if (rc == 0) rc = weights_new(&t->weights, t->rq->model, e);
    if (rc != 0) return rc;
    t->n_param = weights_n_param(t->weights);
    t->params = weights_params(t->weights);
    return weights_grads(t->weights, &t->grads, e);
}

int trainer_make_target(struct trainer *t, struct err *e)
{
    int rc = check_base(t, e);
    if (rc == 0) rc = t->cfg->full ? make_weights(t, e) : make_adapter(t, e);
    return rc != 0 ? rc : optimizer_new(&t->optimizer, t->dev, t->cfg, t->n_param, t->weights, e);
}

void trainer_updated(struct trainer *t)
{
    if (t->weights != NULL)
        weights_update(t->weights);
    else if (t->stack != NULL)
        adapter_stack_put(t->stack);
    else
        adapter_update(t->own);
    if (t->absorber != NULL) absorber_update(t->absorber);
}

void trainer_zero_grads(struct trainer *t)
{
    float *whole;
    dev_zero(t->dev, t->grads, t->n_param);
    if (t->stack != NULL && adapter_grads(t->adapter, &whole, NULL) == 0)
        dev_zero(t->dev, whole, adapter_n_param(t->adapter));
}

void trainer_take_grads(struct trainer *t)
{
    if (t->stack != NULL) adapter_stack_take_grads(t->stack);
}

/* Where the best adapter is the result, the last one is kept beside it; of a model in full, in the last checkpoint. */
static int save_last(struct trainer *t, const char *const *metadata, struct err *e)
{
    if (t->weights != NULL || t->state.bad_evals == 0) return 0;
    char *path = path_join(t->cfg->output, "adapter-last");
    int rc = adapter_save(t->adapter, path, t->cfg->base, metadata, e);
    mem_free(path);
    return rc;
}

/* Beside the whole, which is an adapter of the base, what this run added to it. */
static int save_own(struct trainer *t, const char *const *metadata, struct err *e)
{
    const char *all[24] = {NULL};
    size_t n = 0;
    if (t->stack == NULL) return 0;
    while (metadata[n] != NULL) n += 2;
    memcpy(all, metadata, n * sizeof(*all));
    all[n] = "over";
    all[n + 1] = "adapter"; /* of the run, which holds what is below it */
    char *path = path_join(t->cfg->output, "adapter-own");
    int rc = adapter_save(t->own, path, t->cfg->base, all, e);
    mem_free(path);
    return rc;
}

void trainer_release(struct trainer *t)
{
    tape_free(t->tape);
    t->tape = NULL;
    optimizer_free(t->optimizer);
    t->optimizer = NULL;
    t->state.optimizer = NULL;
    if (t->weights != NULL) weights_drop_grads(t->weights);
    t->grads = NULL;
}

int trainer_save_target(struct trainer *t, struct err *e)
{
    char step[32], base[MODEL_FINGERPRINT_SIZE], tmpl[DIGEST_HEX_SIZE];
    bool has_template = t->rq->template_text != NULL;
    const char *codes = t->absorber != NULL ? "codes" : NULL;
    const char *metadata[] = {"inputs",
                              t->state.inputs,
                              "step",
                              step,
                              "version",
                              t->rq->version,
                              "base",
                              base,
                              has_template ? "template" : codes,
                              has_template ? tmpl : "moved",
                              has_template ? codes : NULL,
                              "moved",
                              NULL};
    int rc = model_file_fingerprint(t->rq->file, base, e);
    if (rc == 0 && has_template) rc = digest_memory(t->rq->template_text, strlen(t->rq->template_text), tmpl, e);
    if (rc != 0) return rc;
    snprintf(step, sizeof(step), "%llu", (unsigned long long)t->state.step);
    if (t->state.best != NULL) rc = save_last(t, metadata, e);
    if (rc != 0) return rc;
    if (t->state.best != NULL) {
        dev_copy(t->dev, t->params, t->state.best, t->n_param);
        trainer_updated(t);
    }
    char *path = path_join(t->cfg->output, t->weights != NULL ? "model" : "adapter");
    rc = save_own(t, metadata, e);
    /* what an end that was cut off left there is no run's result yet */
    if (rc == 0 && t->weights != NULL) rc = file_remove_tree(path, e);
    if (rc == 0)
        rc = t->weights != NULL ? weights_save(t->weights, t->rq->file, path, e)
                                : adapter_save(t->adapter, path, t->cfg->base, metadata, e);
    mem_free(path);
    return rc;
}
