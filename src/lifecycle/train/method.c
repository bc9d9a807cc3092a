/* Losses of methods. Keeps nothing. What always holds: derivatives are those of the loss as computed, finite for every
 * finite input. */
#include "lifecycle/train/method.h"

#include <math.h>

#include "ground/base/str.h"
#include "lifecycle/train/policy_config.h"

/* --- what a method is told --- */

/* Fields that one method has, and those that it may stand with. */
static int refuse_others(const struct param_set *s, const char *method, struct err *e)
{
    static const struct {
        const char *name, *of[3];
        double initial;
    } field[] = {{"beta", {"dpo", "kto", "grpo"}, 0.1},
                 {"lambda", {"orpo", NULL}, 0.1},
                 {"desirable_weight", {"kto", NULL}, 1},
                 {"undesirable_weight", {"kto", NULL}, 1}};
    const char *other = !str_eq(method, "dpo") && str_eq(param_str(s, "dpo_loss"), "ipo") ? "dpo_loss" : NULL;
    for (size_t i = 0; i < N_ELEM(field); i++) {
        bool has = false;
        for (size_t k = 0; k < N_ELEM(field[i].of) && field[i].of[k] != NULL; k++)
            has = has || str_eq(method, field[i].of[k]);
        if (!has && param_float(s, field[i].name) != field[i].initial) other = field[i].name;
    }
    if (other == NULL && !str_eq(method, "grpo")) other = policy_field_given(s);
    if (other == NULL) return 0;
    return err_set(e, ERR_USAGE, other, "cannot tune with %s and method %s: that method has no such field", other,
                   method);
}

int method_config_read(struct method_config *c, const struct param_set *s, struct err *e)
{
    const char *method = param_str(s, "method");
    *c = (struct method_config){.beta = param_float(s, "beta"),
                                .lambda = param_float(s, "lambda"),
                                .ipo = str_eq(param_str(s, "dpo_loss"), "ipo"),
                                .desirable_weight = param_float(s, "desirable_weight"),
                                .undesirable_weight = param_float(s, "undesirable_weight")};
    c->kind = str_eq(method, "dpo")    ? METHOD_DPO
              : str_eq(method, "orpo") ? METHOD_ORPO
              : str_eq(method, "kto")  ? METHOD_KTO
              : str_eq(method, "grpo") ? METHOD_GRPO
                                       : METHOD_SFT;
    if (method_has_reference(c) && c->beta <= 0)
        return err_set(e, ERR_USAGE, "beta", "cannot tune with method %s and beta %g: it must be above 0", method,
                       c->beta);
    if (method_has_reference(c) && str_eq(param_str(s, "adapter"), "full"))
        return err_set(
            e, ERR_USAGE, "adapter",
            "cannot tune with method %s and adapter full: its reference is the model with the adapter off, so "
            "there must be one",
            method);
    return refuse_others(s, method, e);
}

bool method_has_reference(const struct method_config *c)
{
    return c->kind == METHOD_DPO || c->kind == METHOD_KTO;
}

bool method_uses_mean(const struct method_config *c)
{
    return c->kind == METHOD_ORPO || (c->kind == METHOD_DPO && c->ipo);
}

const char *method_denominator(const struct method_config *c)
{
    static const char *const text[] = {
        [METHOD_SFT] =
            "loss = sum of weight * cross-entropy over the target tokens of an optimizer step / sum of their weights "
            "(those of their rows, 1 unless given), over all its micro-batches",
        [METHOD_DPO] = "loss = sum of the losses of the pairs of an optimizer step / their number, over all its "
                       "micro-batches",
        [METHOD_ORPO] =
            "loss = sum of cross-entropies of the chosen answers' target tokens of an optimizer step / their "
            "number + sum of the odds losses of its pairs / their number, over all its micro-batches",
        [METHOD_KTO] = "loss = sum of the losses of the answers of an optimizer step / their number, over all its "
                       "micro-batches; the divergence is estimated over the whole step",
        [METHOD_GRPO] = "loss = sum of the losses of the answers' tokens / what loss_type says: grpo: tokens of the "
                        "answer * answers of the step; bnpo: tokens of the micro-batch * micro-batches; dr_grpo: "
                        "answers of the step * max_new_tokens; dapo: tokens of the step"};
    return text[c->kind];
}

/* --- losses --- */

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* log sigmoid(x) */
static double log_sigmoid(double x)
{
    return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static void dpo(const struct method_config *c, const struct method_input *in, struct method_output *out)
{
    double ratio = (in->logp[0] - in->reference[0]) - (in->logp[1] - in->reference[1]), slope;
    for (int i = 0; i < 2; i++) out->reward[i] = c->beta * (in->logp[i] - in->reference[i]);
    if (c->ipo) {
        double miss = ratio - 1 / (2 * c->beta);
        out->loss = miss * miss;
        slope = 2 * miss;
    } else {
        out->loss = -log_sigmoid(c->beta * ratio);
        slope = -c->beta * sigmoid(-c->beta * ratio);
    }
    out->slope[0] = slope;
    out->slope[1] = -slope;
}

/* log(p / (1 - p)) of log p, and its derivative 1 / (1 - p). A p that rounds to 1 has neither, so it ends just below.
 */
static double log_odds(double logp, double *slope)
{
    double x = fmin(logp, -1e-7), rest = -expm1(x);
    *slope = 1 / rest;
    return x - log(rest);
}

static void orpo(const struct method_config *c, const struct method_input *in, struct method_output *out)
{
    double slope[2], ratio = log_odds(in->logp[0], &slope[0]) - log_odds(in->logp[1], &slope[1]);
    out->loss = -c->lambda * log_sigmoid(ratio);
    double by_ratio = -c->lambda * sigmoid(-ratio);
    out->slope[0] = by_ratio * slope[0];
    out->slope[1] = -by_ratio * slope[1];
    for (int i = 0; i < 2; i++) out->reward[i] = c->lambda * in->logp[i];
}

static void kto(const struct method_config *c, const struct method_input *in, struct method_output *out)
{
    double ratio = in->logp[0] - in->reference[0], sign = in->desirable ? 1 : -1;
    double weight = in->desirable ? c->desirable_weight : c->undesirable_weight;
    double value = sigmoid(sign * c->beta * (ratio - in->kl));
    out->loss = weight * (1 - value);
    out->slope[0] = -weight * sign * c->beta * value * (1 - value);
    out->slope[1] = 0;
    out->reward[0] = c->beta * ratio;
    out->reward[1] = 0;
}

void method_loss(const struct method_config *c, const struct method_input *in, struct method_output *out)
{
    if (c->kind == METHOD_DPO)
        dpo(c, in, out);
    else if (c->kind == METHOD_ORPO)
        orpo(c, in, out);
    else
        kto(c, in, out);
}
