/* Rotary positions of a config.json. Understands `rope_parameters` of transformers 5 and the older `rope_theta` with
 * `rope_scaling`; a scaling that is not known is refused by name. */
#include "compute/formats/arch_int.h"

#include <math.h>

#include "ground/base/str.h"

struct source {
    const struct config_reader *r;
    const json_t *rope;
    const struct model_params *p;
    struct model_rope *out;
};

static int read_number(const struct source *s, const char *key, double initial, double *out)
{
    return config_read_float(s->r, s->rope, key, initial, out);
}

static int read_linear(const struct source *s)
{
    double factor;
    int rc = read_number(s, "factor", -1, &factor);
    for (size_t i = 0; !rc && i < MODEL_MAX_FREQ; i++) {
        s->out->factor[i] = (float)factor;
    }
    return rc;
}

static int read_llama3(const struct source *s)
{
    double factor, low, high, orig;
    int rc = read_number(s, "factor", -1, &factor);
    rc = rc ? rc : read_number(s, "low_freq_factor", -1, &low);
    rc = rc ? rc : read_number(s, "high_freq_factor", -1, &high);
    rc = rc ? rc : read_number(s, "original_max_position_embeddings", -1, &orig);
    if (!rc && high <= low) {
        return err_set(s->r->e, ERR_INPUT, s->r->path,
                       "cannot use \"%s\": config.json high_freq_factor %g must be above low_freq_factor %g",
                       s->r->path, high, low);
    }
    if (!rc) {
        rope_llama3(s->out, s->p->n_rot, factor, low, high, orig);
    }
    return rc;
}

static double mscale(double factor, double by)
{
    return factor > 1 ? 0.1 * by * log(factor) + 1 : 1;
}

static int read_yarn(const struct source *s)
{
    struct yarn y = {.truncate = !json_is_false(json_object_get(s->rope, "truncate"))};
    double attention, scale, scale_all;
    int rc = read_number(s, "factor", -1, &y.factor);
    rc = rc ? rc : read_number(s, "original_max_position_embeddings", s->p->n_ctx_train, &y.n_ctx_orig);
    rc = rc ? rc : read_number(s, "beta_fast", 32, &y.beta_fast);
    rc = rc ? rc : read_number(s, "beta_slow", 1, &y.beta_slow);
    rc = rc ? rc : read_number(s, "mscale", 1, &scale);
    rc = rc ? rc : read_number(s, "mscale_all_dim", 1, &scale_all);
    if (rc) {
        return rc;
    }
    rope_yarn(s->out, s->p->n_rot, &y);
    if (config_member(s->rope, "mscale") && config_member(s->rope, "mscale_all_dim")) {
        s->out->magnitude = (float)(mscale(y.factor, scale) / mscale(y.factor, scale_all));
    }
    rc = read_number(s, "attention_factor", (double)s->out->magnitude, &attention);
    s->out->magnitude = (float)attention;
    return rc;
}

static int read_factors(const struct source *s, const char *key, float *out)
{
    const json_t *list = config_member(s->rope, key);
    size_t n = (size_t)s->p->n_rot / 2;
    if (json_array_size(list) != n) {
        return err_set(s->r->e, ERR_INPUT, s->r->path,
                       "cannot use \"%s\": config.json \"%s\" has %zu entries, %zu would be right", s->r->path, key,
                       json_array_size(list), n);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)json_number_value(json_array_get(list, i)); /* a wrong one is 0, which params_check refuses */
    }
    return 0;
}

/* Two sets of factors; the magnitude is sqrt(1 + ln(n_ctx / n_ctx_orig) / ln(n_ctx_orig)) (Ding et al. 2024). */
static int read_longrope(const struct source *s)
{
    const json_t *top = config_member(s->r->config, "original_max_position_embeddings");
    double orig, factor, attention;
    int rc = config_read_float(s->r, top ? s->r->config : s->rope, "original_max_position_embeddings", -1, &orig);
    if (rc) {
        return rc;
    }
    rc = read_number(s, "factor", s->p->n_ctx_train / orig, &factor);
    factor = top ? s->p->n_ctx_train / orig : factor;
    double magnitude = factor > 1 ? sqrt(1 + log(factor) / log(orig)) : 1;
    rc = rc ? rc : read_number(s, "attention_factor", magnitude, &attention);
    rc = rc ? rc : read_factors(s, "short_factor", s->out->factor);
    rc = rc ? rc : read_factors(s, "long_factor", s->out->long_factor);
    if (config_member(s->rope, "short_mscale") || config_member(s->rope, "long_mscale")) {
        return config_refuse(s->r, "short_mscale", "is not supported");
    }
    s->out->n_ctx_short = orig >= 1 && orig < 1 << 28 ? (int)orig : 1;
    s->out->magnitude = rc ? 1 : (float)attention;
    return rc;
}

int config_read_rope(const struct config_reader *r, const json_t *rope, const char *theta_key, double theta_default,
                     struct model_params *p, struct model_rope *out)
{
    const json_t *kind = config_member(rope, "rope_type");
    const char *type = json_string_value(kind ? kind : config_member(rope, "type"));
    const struct source s = {r, rope, p, out};
    double theta;
    int rc = config_read_float(r, rope && config_member(rope, theta_key) ? rope : r->config, theta_key, theta_default,
                               &theta);
    if (rc) {
        return rc;
    }
    rope_unscaled(out, theta);
    if (!type && (kind || config_member(rope, "type"))) {
        return config_refuse(r, "rope_type", "is no text");
    }
    if (json_is_object(rope) && config_member(rope, "truncate") && !json_is_boolean(config_member(rope, "truncate"))) {
        return config_refuse(r, "truncate", "is neither true nor false");
    }
    if (!type || str_eq(type, "default")) {
        return 0;
    }
    if (str_eq(type, "linear")) {
        return read_linear(&s);
    }
    if (str_eq(type, "llama3")) {
        return read_llama3(&s);
    }
    if (str_eq(type, "yarn")) {
        return read_yarn(&s);
    }
    if (str_eq(type, "longrope") || str_eq(type, "su")) {
        return read_longrope(&s);
    }
    return config_refuse(r, "rope_type", "is not one of default, linear, llama3, yarn, longrope");
}
