/* Reads the fields of GRPO. Owns the rewards. */
#include "lifecycle/train/policy_config.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/json/json.h"

static const double EPSILON = 0.2;

static int read_reward(struct policy_options *o, const char *text, struct err *e)
{
    char where[32];
    json_t *spec = NULL;
    snprintf(where, sizeof(where), "reward %zu", o->n_reward + 1);
    int rc = json_parse(text, strlen(text), where, &spec, e);
    if (rc == 0) rc = reward_new(&o->reward[o->n_reward], spec, where, e);
    if (rc == 0) o->n_reward++;
    json_decref(spec);
    return rc;
}

static int read_rewards(struct policy_options *o, const struct param_set *s, struct err *e)
{
    size_t n = param_count(s, "rewards");
    if (n == 0)
        return err_set(e, ERR_USAGE, "rewards",
                       "cannot tune with method grpo: rewards is empty, at least one is needed, like {type: length, "
                       "unit: words, max: 3}");
    if (n > POLICY_MAX_REWARD)
        return err_set(e, ERR_USAGE, "rewards", "cannot tune with %zu rewards: at most %d are taken", n,
                       (int)POLICY_MAX_REWARD);
    for (size_t i = 0; i < n; i++) {
        int rc = read_reward(o, param_str_at(s, "rewards", i), e);
        if (rc != 0) return rc;
    }
    return 0;
}

static void read_loss(struct policy_options *o, const struct param_set *s)
{
    const char *type = param_str(s, "loss_type"), *scale = param_str(s, "scale_rewards");
    o->loss = (struct policy_config){.clip_low = param_float(s, "epsilon"),
                                     .clip_high =
                                         param_float(s, param_is_set(s, "epsilon_high") ? "epsilon_high" : "epsilon"),
                                     .beta = param_float(s, "beta"),
                                     .max_completion = (size_t)o->max_new_tokens};
    o->loss.norm = str_eq(type, "grpo")      ? POLICY_GRPO
                   : str_eq(type, "bnpo")    ? POLICY_BNPO
                   : str_eq(type, "dr_grpo") ? POLICY_DR_GRPO
                                             : POLICY_DAPO;
    o->scale = str_eq(scale, "group") ? POLICY_BY_GROUP : str_eq(scale, "batch") ? POLICY_BY_BATCH : POLICY_UNSCALED;
}

static int refuse(const char *field, const char *why, struct err *e)
{
    return err_set(e, ERR_USAGE, field, "cannot tune with method grpo and %s: %s", field, why);
}

int policy_options_read(struct policy_options *o, struct param_set *s, struct err *e)
{
    *o = (struct policy_options){0};
    if (!param_is_set(s, "beta")) {
        int rc = param_set_text(s, "beta", "0", e);
        if (rc != 0) return rc;
    }
    o->group_size = (int)param_int(s, "group_size");
    o->mu = (int)param_int(s, "mu");
    o->max_new_tokens = (int)param_int(s, "max_new_tokens");
    o->temperature = (float)param_float(s, "temperature");
    o->mask_truncated = param_bool(s, "mask_truncated");
    read_loss(o, s);
    if (str_eq(param_str(s, "data_format"), "tokens"))
        return refuse("data_format", "tokens has no text that rewards could judge; chat or prompt is needed", e);
    if (param_str(s, "eval_data") != NULL)
        return refuse("eval_data", "what is measured while tuning is the reward, of the training prompts", e);
    if (o->loss.beta > 0 && str_eq(param_str(s, "adapter"), "full"))
        return refuse("adapter", "full has no reference to keep to; beta 0, or an adapter, is needed", e);
    return read_rewards(o, s, e);
}

void policy_options_deinit(struct policy_options *o)
{
    for (size_t i = 0; i < o->n_reward; i++) reward_free(o->reward[i]);
    o->n_reward = 0;
}

static bool is(double v, double initial)
{
    return v <= initial && v >= initial;
}

const char *policy_field_given(const struct param_set *s)
{
    if (param_count(s, "rewards") > 0) return "rewards";
    if (param_int(s, "group_size") != 8) return "group_size";
    if (param_int(s, "mu") != 1) return "mu";
    if (param_int(s, "max_new_tokens") != 256) return "max_new_tokens";
    if (!is(param_float(s, "temperature"), 1)) return "temperature";
    if (!is(param_float(s, "epsilon"), EPSILON)) return "epsilon";
    if (param_is_set(s, "epsilon_high")) return "epsilon_high";
    if (!str_eq(param_str(s, "loss_type"), "dapo")) return "loss_type";
    if (!str_eq(param_str(s, "scale_rewards"), "group")) return "scale_rewards";
    return param_bool(s, "mask_truncated") ? NULL : "mask_truncated";
}
