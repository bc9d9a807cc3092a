/* Reads a param_set into struct train_config. Owns the table; keeps nothing else. What always holds: a config that was
 * read without error can be honoured in full by the trainer. */
#include "lifecycle/train/config.h"

#include <string.h>

#include "compute/model/adapter.h"
#include "ground/base/str.h"
#include "lifecycle/train/adapter_shape.h"
#include "lifecycle/train/params.h"

static const struct param table[] = {TRAIN_PARAMS};
const struct param *const train_params = table;
const size_t train_n_param = N_ELEM(table);

static int need(const char *name, const char *value, struct err *e)
{
    if (value != NULL && *value != '\0') return 0;
    return err_set(e, ERR_USAGE, name, "cannot tune: \"%s\" is not given", name);
}

static int read_paths(struct train_config *c, const struct param_set *s, struct err *e)
{
    c->base = param_str(s, "base");
    c->data = param_str(s, "data");
    c->output = param_str(s, "output");
    int rc = need("base", c->base, e);
    if (rc == 0) rc = need("data", c->data, e);
    return rc != 0 ? rc : need("output", c->output, e);
}

static int read_sites(struct train_config *c, const struct param_set *s, struct err *e)
{
    size_t n = param_count(s, "target_modules");
    c->sites = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = param_str_at(s, "target_modules", i);
        if (str_eq(name, "all-linear") && n == 1) {
            c->sites = (1U << SITE_COUNT) - 1;
            return 0;
        }
        int site = adapter_site_find(name);
        if (site < 0 && (strchr(name, '.') != NULL || (n == 1 && adapter_shape_is_pattern(name)))) {
            c->by_pattern = true; /* the model knows whether it has them */
            continue;
        }
        if (site < 0)
            return err_set(e, ERR_USAGE, name,
                           "cannot tune target_modules \"%s\": known are q_proj, k_proj, v_proj, o_proj, gate_proj, "
                           "up_proj, down_proj, and all-linear alone",
                           name);
        c->sites |= 1U << site;
    }
    if (c->sites == 0 && !c->by_pattern)
        return err_set(e, ERR_USAGE, "target_modules", "cannot tune: target_modules is empty");
    return 0;
}

/* Fields that say something of an adapter, where none is made. */
static int refuse_adapter_fields(const struct param_set *s, struct err *e)
{
    static const char *const name[] = {"rank",          "alpha",        "use_rslora", "target_modules", "rank_pattern",
                                       "alpha_pattern", "adapter_init", "adapters",   "merge_aware"};
    for (size_t i = 0; i < N_ELEM(name); i++)
        if (param_is_set(s, name[i]))
            return err_set(e, ERR_USAGE, name[i],
                           "cannot tune with %s and adapter full: all weights are trained, and no "
                           "adapter is made",
                           name[i]);
    return 0;
}

static int read_patterns(struct train_config *c, const struct param_set *s, struct err *e)
{
    json_t *shape;
    int rc = adapter_shape_json(s, &shape, e);
    json_decref(shape);
    c->by_pattern = c->by_pattern || param_count(s, "rank_pattern") > 0 || param_count(s, "alpha_pattern") > 0;
    if (rc != 0 || !c->by_pattern || c->adapter_init == NULL) return rc;
    return err_set(e, ERR_USAGE, "adapter_init",
                   "cannot tune with patterns of names and adapter_init: the adapter has its own ranks and places");
}

/* An adapter in the codes of its base: there is no base without it then, to compare with or to stand below. */
static int read_merge_aware(struct train_config *c, const struct param_set *s, struct err *e)
{
    const char *method = param_str(s, "method");
    c->merge_aware = param_bool(s, "merge_aware");
    const char *other = c->use_dora                                      ? "adapter dora"
                        : c->n_adapter > 0                               ? "adapters"
                        : str_eq(method, "dpo") || str_eq(method, "kto") ? "a method that compares with the base"
                        : str_eq(method, "grpo") && param_is_set(s, "beta") && param_float(s, "beta") > 0
                            ? "a beta above 0, which compares with the base"
                            : NULL;
    if (!c->merge_aware || other == NULL) return 0;
    return err_set(e, ERR_USAGE, "merge_aware", "cannot tune with merge_aware and %s", other);
}

/* Adapters that stand below the one that is trained. */
static int read_stack(struct train_config *c, const struct param_set *s, struct err *e)
{
    size_t n = param_count(s, "adapters");
    if (n > TRAIN_MAX_STACK)
        return err_set(e, ERR_USAGE, "adapters", "cannot tune over %zu adapters: at most %d are accepted", n,
                       TRAIN_MAX_STACK);
    if (n > 0 && c->use_dora)
        return err_set(e, ERR_USAGE, "adapters",
                       "cannot tune with adapters and adapter dora: magnitudes are of the base alone; lora is needed, "
                       "or a base with the adapters merged into it");
    for (size_t i = 0; i < n; i++) c->adapters[i] = param_str_at(s, "adapters", i);
    c->n_adapter = (int)n;
    return 0;
}

static int read_adapter(struct train_config *c, const struct param_set *s, struct err *e)
{
    c->full = str_eq(param_str(s, "adapter"), "full");
    if (c->full) return refuse_adapter_fields(s, e);
    c->use_dora = str_eq(param_str(s, "adapter"), "dora");
    c->rank = (int)param_int(s, "rank");
    c->alpha = (float)param_float(s, "alpha");
    c->needs_quantized = str_eq(param_str(s, "adapter"), "qlora");
    c->use_rslora = param_bool(s, "use_rslora");
    c->adapter_init = param_str(s, "adapter_init");
    int rc = read_stack(c, s, e);
    if (rc == 0) rc = read_merge_aware(c, s, e);
    if (rc == 0) rc = read_sites(c, s, e);
    return rc != 0 ? rc : read_patterns(c, s, e);
}

/* Which optimizer, and that nothing is said that it does not look at. Lion has betas of its own (its authors'). */
static int read_optimizer_kind(struct train_config *c, struct param_set *s, struct err *e)
{
    static const char *const name[] = {[OPTIMIZER_ADAMW] = "adamw",
                                       [OPTIMIZER_ADAMW8] = "adamw8bit",
                                       [OPTIMIZER_LION] = "lion",
                                       [OPTIMIZER_ADAFACTOR] = "adafactor"};
    const char *said = param_str(s, "optimizer");
    for (int i = 0; i < (int)N_ELEM(name); i++)
        if (str_eq(said, name[i])) c->optimizer = (enum train_optimizer)i;
    bool has_eps = c->optimizer == OPTIMIZER_ADAMW || c->optimizer == OPTIMIZER_ADAMW8;
    bool has_betas = c->optimizer != OPTIMIZER_ADAFACTOR;
    const char *lost = !has_eps && param_is_set(s, "eps")       ? "eps"
                       : !has_betas && param_is_set(s, "betas") ? "betas"
                                                                : NULL;
    if (lost != NULL)
        return err_set(e, ERR_USAGE, lost, "cannot tune with %s and optimizer %s: that optimizer has none", lost, said);
    if (c->optimizer == OPTIMIZER_ADAFACTOR && !c->full)
        return err_set(e, ERR_USAGE, "optimizer",
                       "cannot tune with optimizer adafactor and adapter %s: it saves state of whole matrices, with "
                       "adapter full",
                       param_str(s, "adapter"));
    return c->optimizer == OPTIMIZER_LION && !param_is_set(s, "betas") ? param_set_text(s, "betas", "0.9,0.99", e) : 0;
}

static int read_optimizer(struct train_config *c, struct param_set *s, struct err *e)
{
    const char *schedule = param_str(s, "schedule");
    int rc = read_optimizer_kind(c, s, e);
    if (rc != 0) return rc;
    c->lr = param_float(s, "lr");
    c->min_lr = param_float(s, "min_lr");
    if (c->min_lr > c->lr || (c->min_lr > 0 && str_eq(schedule, "constant")))
        return err_set(e, ERR_USAGE, "min_lr", "cannot tune with min_lr %g: %s", c->min_lr,
                       c->min_lr > c->lr ? "lr is below it" : "schedule constant never falls");
    c->schedule = str_eq(schedule, "constant") ? SCHEDULE_CONSTANT
                  : str_eq(schedule, "linear") ? SCHEDULE_LINEAR
                                               : SCHEDULE_COSINE;
    c->warmup_steps = (int)param_int(s, "warmup_steps");
    if (param_count(s, "betas") != 2)
        return err_set(e, ERR_USAGE, "betas", "cannot tune: betas has %zu values, two are needed",
                       param_count(s, "betas"));
    c->beta1 = param_float_at(s, "betas", 0);
    c->beta2 = param_float_at(s, "betas", 1);
    c->eps = param_float(s, "eps");
    c->weight_decay = param_float(s, "weight_decay");
    c->max_grad_norm = param_float(s, "max_grad_norm");
    return 0;
}

/* Noise is a row's own: what rows share cannot be computed once. */
static int read_noise(struct train_config *c, struct param_set *s, struct err *e)
{
    c->neftune_alpha = param_float(s, "neftune_alpha");
    if (c->neftune_alpha == 0) return 0;
    if (!str_eq(param_str(s, "method"), "sft"))
        return err_set(e, ERR_USAGE, "neftune_alpha", "cannot tune with neftune_alpha and method %s: it is for sft",
                       param_str(s, "method"));
    if (param_is_set(s, "packing") && param_bool(s, "packing"))
        return err_set(e, ERR_USAGE, "neftune_alpha",
                       "cannot tune with neftune_alpha and packing: the noise of every row is its own");
    return param_set_text(s, "packing", "false", e);
}

static int read_length(struct train_config *c, struct param_set *s, struct err *e)
{
    bool has_epochs = param_is_set(s, "epochs"), has_steps = param_is_set(s, "max_steps");
    if (has_epochs && has_steps)
        return err_set(e, ERR_USAGE, "max_steps", "cannot tune: both epochs and max_steps are given, one is needed");
    if (!has_epochs && !has_steps) {
        int rc = param_set_text(s, "epochs", "1", e);
        if (rc != 0) return rc;
        has_epochs = true;
    }
    c->epochs = has_epochs ? (int)param_int(s, "epochs") : 0;
    c->max_steps = has_steps ? (int)param_int(s, "max_steps") : 0;
    c->batch_size = (int)param_int(s, "batch_size");
    c->grad_accum = (int)param_int(s, "grad_accum");
    return 0;
}

/* By what the best evaluation is told: the loss where there is one, unless the run says otherwise. */
static int read_best(struct train_config *c, struct param_set *s, struct err *e)
{
    if (c->eval_data == NULL && c->eval_cases == NULL)
        return param_is_set(s, "best_by") ? err_set(e, ERR_USAGE, "best_by",
                                                    "cannot tune with best_by: neither eval_data nor eval_cases is "
                                                    "given")
                                          : 0;
    if (!param_is_set(s, "best_by")) {
        int rc = param_set_text(s, "best_by", c->eval_data != NULL ? "loss" : "score", e);
        if (rc != 0) return rc;
    }
    c->best_by_score = str_eq(param_str(s, "best_by"), "score");
    const char *lost = c->best_by_score ? c->eval_cases : c->eval_data;
    return lost != NULL ? 0
                        : err_set(e, ERR_USAGE, "best_by", "cannot tune with best_by %s: %s is not given",
                                  param_str(s, "best_by"), c->best_by_score ? "eval_cases" : "eval_data");
}

static int read_eval(struct train_config *c, struct param_set *s, struct err *e)
{
    c->eval_data = param_str(s, "eval_data");
    c->eval_cases = param_str(s, "eval_cases");
    c->eval_every = (int)param_int(s, "eval_every");
    c->early_stop = (int)param_int(s, "early_stop");
    c->save_every = (int)param_int(s, "save_every");
    const char *idle = param_int(s, "eval_max_tokens") != 32           ? "eval_max_tokens"
                       : !str_eq(param_str(s, "eval_choices"), "free") ? "eval_choices"
                                                                       : NULL;
    if (c->eval_cases == NULL && idle != NULL)
        return err_set(e, ERR_USAGE, idle, "cannot tune with %s: eval_cases is not given", idle);
    if (c->eval_data == NULL && c->eval_cases == NULL && (c->eval_every > 0 || c->early_stop > 0))
        return err_set(e, ERR_USAGE, "eval_data", "cannot tune: %s needs eval_data or eval_cases",
                       c->eval_every > 0 ? "eval_every" : "early_stop");
    if (c->early_stop > 0 && c->eval_every == 0)
        return err_set(e, ERR_USAGE, "early_stop", "cannot tune: early_stop needs eval_every above 0");
    return read_best(c, s, e);
}

static void read_rest(struct train_config *c, const struct param_set *s)
{
    const char *recompute = param_str(s, "recompute");
    c->shuffle = param_bool(s, "shuffle");
    c->packing = param_bool(s, "packing");
    c->token_budget = (int)param_int(s, "token_budget");
    c->max_length = (int)param_int(s, "max_length");
    c->seed = (uint64_t)param_int(s, "seed");
    c->recompute = str_eq(recompute, "on") ? RECOMPUTE_ON : str_eq(recompute, "off") ? RECOMPUTE_OFF : RECOMPUTE_AUTO;
    c->memory_limit_bytes = (uint64_t)param_int(s, "memory_limit");
}

static void read_door(struct train_config *c, const struct param_set *s)
{
    static const char *const form[] = {
        [FORM_OPENAI] = "openai", [FORM_SHAREGPT] = "sharegpt", [FORM_ALPACA] = "alpaca", [FORM_PROMPT] = "prompt"};
    const char *format = param_str(s, "data_format"), *too_long = param_str(s, "too_long");
    c->is_chat = !str_eq(format, "tokens");
    c->form = FORM_ANY;
    for (size_t i = 1; i < N_ELEM(form); i++)
        if (str_eq(format, form[i])) c->form = (enum example_form)i;
    c->too_long = str_eq(too_long, "truncate") ? TOO_LONG_TRUNCATE
                  : str_eq(too_long, "refuse") ? TOO_LONG_REFUSE
                                               : TOO_LONG_DROP;
    c->drop_duplicates = str_eq(param_str(s, "duplicates"), "drop");
    c->strict = param_bool(s, "strict");
}

int train_config_read(struct train_config *c, struct param_set *s, struct err *e)
{
    *c = (struct train_config){0};
    int rc;
    if ((rc = read_paths(c, s, e)) != 0) return rc;
    if ((rc = read_adapter(c, s, e)) != 0) return rc;
    if ((rc = read_optimizer(c, s, e)) != 0) return rc;
    if ((rc = read_noise(c, s, e)) != 0) return rc;
    if ((rc = read_length(c, s, e)) != 0) return rc;
    if ((rc = read_eval(c, s, e)) != 0) return rc;
    read_rest(c, s);
    read_door(c, s);
    if ((rc = method_config_read(&c->method, s, e)) != 0) return rc;
    return c->method.kind == METHOD_GRPO ? policy_options_read(&c->policy, s, e) : 0;
}

void train_config_deinit(struct train_config *c)
{
    policy_options_deinit(&c->policy);
}

int train_config_precision(struct param_set *s, enum precision fallback, enum precision *out, struct err *e)
{
    static const char *const name[] = {
        [PRECISION_AUTO] = "auto", [PRECISION_DETERMINISTIC] = "deterministic", [PRECISION_REFERENCE] = "reference"};
    int rc = param_is_set(s, "precision") ? 0 : param_set_text(s, "precision", name[fallback], e);
    *out = fallback;
    for (int i = 0; rc == 0 && i < (int)N_ELEM(name); i++)
        if (str_eq(param_str(s, "precision"), name[i])) *out = (enum precision)i;
    return rc;
}

int train_config_threads(const struct param_set *s, int fallback)
{
    return param_is_set(s, "threads") ? (int)param_int(s, "threads") : fallback;
}
