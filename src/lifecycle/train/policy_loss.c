/* Losses of GRPO. Keeps nothing. What always holds: equal rewards have no advantage, and at logp = old the ratio is
 * exactly 1. */
#include "lifecycle/train/policy_loss.h"

#include <math.h>

static const double SPREAD_MIN = 1e-4;

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

/* Sample standard deviation. */
static double spread_of(const double *x, size_t n)
{
    double mean = mean_of(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)(n - 1));
}

static bool all_equal(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0]) return false;
    return true;
}

size_t policy_advantages(const double *reward, size_t n, size_t size, enum policy_scale scale, double *advantage)
{
    size_t n_equal = 0;
    double all = spread_of(reward, n);
    for (size_t g = 0; g < n; g += size) {
        bool equal = all_equal(reward + g, size);
        double mean = mean_of(reward + g, size);
        double spread = scale == POLICY_BY_GROUP ? spread_of(reward + g, size) : all;
        n_equal += equal;
        for (size_t i = g; i < g + size; i++) {
            advantage[i] = equal ? 0 : reward[i] - mean;
            if (scale != POLICY_UNSCALED) advantage[i] /= spread + SPREAD_MIN;
        }
    }
    return n_equal;
}

void policy_token(const struct policy_config *c, const struct policy_input *in, struct policy_output *out)
{
    double ratio = exp(in->logp - in->old), away = in->reference - in->logp;
    double clipped = fmin(fmax(ratio, 1 - c->clip_low), 1 + c->clip_high);
    out->is_clipped = clipped * in->advantage < ratio * in->advantage;
    out->loss = -(out->is_clipped ? clipped : ratio) * in->advantage;
    out->slope = out->is_clipped ? 0 : -ratio * in->advantage;
    out->kl = c->beta > 0 ? exp(away) - away - 1 : 0;
    if (c->beta == 0) return;
    out->loss += c->beta * out->kl;
    out->slope += c->beta * (1 - exp(away));
}

double policy_denominator(const struct policy_config *c, size_t n_own, size_t n_tok, size_t n_answer)
{
    switch (c->norm) {
    case POLICY_GRPO:
        return (double)n_own * (double)n_answer;
    case POLICY_DR_GRPO:
        return (double)n_answer * (double)c->max_completion;
    case POLICY_BNPO:
    case POLICY_DAPO:
    default:
        return (double)n_tok;
    }
}
