/* Names of matrices against the lists and patterns of a config. Patterns are untrusted, so a match takes a bounded
 * number of steps and one that takes more is an error. */
#include "compute/model/adapter_select.h"

#include <stdio.h>
#include <string.h>

#include "compute/model/adapter_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/regex.h"

enum { NAME_BYTES = 96, PATTERN_BYTES = 4096, MAX_RULES = 4096 };

struct selection {
    const struct model_params *p;
    const json_t *config;
    const char *where;
    struct err *e;
};

/* --- patterns --- */

/* 1: the pattern, between open and close, fits the whole name; 0: not. */
static int fits(const struct selection *s, const char *open, const char *pattern, const char *name)
{
    char text[PATTERN_BYTES];
    if (snprintf(text, sizeof(text), "%s(?:%s)", open, pattern) >= (int)sizeof(text)) {
        return err_set(s->e, ERR_INPUT, s->where, "cannot use \"%s\": the pattern \"%.40s...\" is too long", s->where,
                       pattern);
    }
    struct regex *re = NULL;
    bool found = false;
    struct err why = {0};
    int rc = regex_new(&re, text, strlen(text), "a config", &why);
    if (!rc) {
        rc = regex_match(re, name, strlen(name), true, &found, NULL, NULL, &why);
    }
    regex_free(re);
    if (rc) {
        return err_set(s->e, ERR_INPUT, s->where, "cannot use \"%s\": the pattern \"%.120s\" cannot be matched: %s",
                       s->where, pattern, why.msg);
    }
    return found;
}

/* --- lists of names --- */

static bool ends_with_name(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && name[n - k - 1] == '.' && str_eq(name + n - k, end);
}

/* As layers_to_transform says, where a target is the end of a name. */
static bool has_layer(const struct selection *s, int layer)
{
    const json_t *list = json_object_get(s->config, "layers_to_transform");
    if (json_is_integer(list)) {
        return json_integer_value(list) == layer;
    }
    bool found = json_array_size(list) == 0;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        found = json_integer_value(json_array_get(list, i)) == layer;
    }
    return found;
}

/* 1: a list of names, or a pattern, names the matrix; 0: not. */
static int is_named(const struct selection *s, const json_t *said, const char *name, int layer)
{
    if (json_is_string(said)) {
        return fits(s, "", json_string_value(said), name);
    }
    bool by_end = false;
    for (size_t i = 0; i < json_array_size(said); i++) {
        const char *own = json_string_value(json_array_get(said, i));
        if (str_eq(own, name)) {
            return 1;
        }
        by_end = by_end || ends_with_name(name, own);
    }
    return by_end && has_layer(s, layer);
}

static int check_list(const struct selection *s, const char *key, bool needed)
{
    const json_t *said = json_object_get(s->config, key);
    if (json_is_string(said) || (!needed && (!said || json_is_null(said)))) {
        return 0;
    }
    int rc = json_get_array(s->config, key, &said, s->where, s->e);
    for (size_t i = 0; !rc && i < json_array_size(said); i++) {
        const json_t *v = json_array_get(said, i);
        rc = json_is_string(v)
                 ? 0
                 : err_set(s->e, ERR_INPUT, s->where, "cannot use \"%s\": %s[%zu] is %s, a name is needed", s->where,
                           key, i, json_kind(v));
    }
    return rc;
}

static int check_layers(const struct selection *s)
{
    const json_t *list = json_object_get(s->config, "layers_to_transform");
    const json_t *pattern = json_object_get(s->config, "layers_pattern");
    bool ok = !list || json_is_null(list) || json_is_integer(list) || json_is_array(list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        ok = ok && json_is_integer(json_array_get(list, i));
    }
    if (!ok) {
        return err_set(s->e, ERR_INPUT, s->where,
                       "cannot use \"%s\": layers_to_transform is no number and no list of numbers", s->where);
    }
    pattern = json_is_array(pattern) && json_array_size(pattern) == 1 ? json_array_get(pattern, 0) : pattern;
    bool plain = !pattern || json_is_null(pattern) || (json_is_array(pattern) && json_array_size(pattern) == 0) ||
                 str_eq(json_string_value(pattern), "layers") || str_eq(json_string_value(pattern), "");
    return plain ? 0
                 : err_set(s->e, ERR_UNSUPPORTED, s->where,
                           "cannot use \"%s\": layers_pattern is set, which cannot be computed; \"layers\" or none "
                           "would be right",
                           s->where);
}

/* --- what a matrix carries --- */

/* The value of the first rule whose pattern fits the end of the name; *value stays where none does. */
static int apply_rules(const struct selection *s, const char *key, double min, double max, const char *name,
                       double *value)
{
    const json_t *rules = json_object_get(s->config, key), *v;
    const char *pattern;
    if (!rules || json_is_null(rules)) {
        return 0;
    }
    if (!json_is_object(rules) || json_object_size(rules) > MAX_RULES) {
        return err_set(s->e, ERR_INPUT, s->where, "cannot use \"%s\": %s is %s, an object of at most %d is needed",
                       s->where, key, json_kind(rules), MAX_RULES);
    }
    json_object_foreach((json_t *)(uintptr_t)rules, pattern, v)
    {
        double x = json_number_value(v);
        if (!json_is_number(v) || !(x >= min && x <= max)) {
            return err_set(s->e, ERR_INPUT, s->where,
                           "cannot use \"%s\": %s of \"%.80s\" is not a number from %g to %g", s->where, key, pattern,
                           min, max);
        }
        int rc = fits(s, "(?:.*\\.)?", pattern, name);
        if (rc != 0) {
            *value = rc > 0 ? x : *value;
            return rc > 0 ? 0 : rc;
        }
    }
    return 0;
}

static int select_one(const struct selection *s, const char *name, int layer, struct adapter_target *out)
{
    const json_t *targets = json_object_get(s->config, "target_modules");
    const json_t *excluded = json_object_get(s->config, "exclude_modules");
    int rc = str_eq(json_string_value(targets), "all-linear") ? 1 : is_named(s, targets, name, layer);
    if (rc > 0 && excluded && !json_is_null(excluded)) {
        struct selection all = *s; /* what is left out is so on every layer */
        json_t *none = json_object();
        all.config = none;
        int left_out = is_named(&all, excluded, name, layer);
        json_decref(none);
        rc = left_out < 0 ? left_out : !left_out;
    }
    if (rc <= 0) {
        return rc;
    }
    double rank = out->rank, alpha = (double)out->alpha;
    rc = apply_rules(s, "rank_pattern", 1, ADAPTER_MAX_RANK, name, &rank);
    rc = rc ? rc : apply_rules(s, "alpha_pattern", 1e-6, 1e6, name, &alpha);
    *out = (struct adapter_target){(int)rank, (float)alpha};
    return rc ? rc : 1;
}

static int select_all(const struct selection *s, bool by_site, struct adapter_target own, struct adapter_target *out)
{
    int n, rc = 0, n_on = 0;
    const struct adapter_module *m = adapter_modules(s->p, &n);
    for (int i = 0; i < s->p->n_layer * SITE_COUNT && rc >= 0; i++) {
        enum adapter_site site = (enum adapter_site)(i % SITE_COUNT);
        struct adapter_module part = {adapter_site_name[site], site, 1};
        for (int k = 0; k < n && !by_site; k++) {
            part = adapter_module_sites(&m[k]) >> site & 1U ? m[k] : part;
        }
        char name[NAME_BYTES];
        adapter_module_name(name, sizeof(name), i / SITE_COUNT, &part);
        struct adapter_target on = own;
        rc = select_one(s, name, i / SITE_COUNT, &on);
        out[i] = rc > 0 ? on : (struct adapter_target){0};
        n_on += rc > 0;
    }
    if (rc >= 0 && n_on == 0) {
        rc = err_set(s->e, ERR_UNSUPPORTED, s->where,
                     "cannot use \"%s\": target_modules names no matrix of the model that can carry an adapter",
                     s->where);
    }
    return rc < 0 ? rc : 0;
}

/* --- everything that is said must fit something --- */

static bool names_any(const struct selection *s, bool by_site, const char *said)
{
    int n;
    const struct adapter_module *m = adapter_modules(s->p, &n);
    bool found = false;
    for (int i = 0; i < s->p->n_layer * (by_site ? SITE_COUNT : n) && !found; i++) {
        int layer = i / (by_site ? SITE_COUNT : n), k = i % (by_site ? SITE_COUNT : n);
        struct adapter_module site = {by_site ? adapter_site_name[k] : NULL, (enum adapter_site)k, 1};
        char name[NAME_BYTES];
        adapter_module_name(name, sizeof(name), layer, by_site ? &site : &m[k]);
        found = str_eq(said, name) || ends_with_name(name, said);
    }
    return found;
}

static int check_targets(const struct selection *s, bool by_site)
{
    const json_t *list = json_object_get(s->config, "target_modules");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!names_any(s, by_site, name)) {
            return err_set(s->e, ERR_UNSUPPORTED, s->where,
                           "cannot use adapter \"%s\": target module \"%s\" cannot carry one; %s can", s->where, name,
                           s->p->fused && !by_site ? "qkv_proj, o_proj, gate_up_proj and down_proj"
                                                   : "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and "
                                                     "down_proj");
        }
    }
    return 0;
}

/* A rule that fits no matrix with an adapter would do nothing. */
static int check_rules(const struct selection *s, const char *key, const struct adapter_target *out)
{
    json_t *rules = json_object_get(s->config, key), *v;
    const char *pattern;
    json_object_foreach(rules, pattern, v)
    {
        int rc = 0;
        for (int i = 0; i < s->p->n_layer * SITE_COUNT && rc == 0; i++) {
            struct adapter_module site = {adapter_site_name[i % SITE_COUNT], (enum adapter_site)(i % SITE_COUNT), 1};
            char name[NAME_BYTES];
            adapter_module_name(name, sizeof(name), i / SITE_COUNT, &site);
            rc = out[i].rank > 0 ? fits(s, "(?:.*\\.)?", pattern, name) : 0;
        }
        if (rc <= 0) {
            return rc ? rc
                      : err_set(s->e, ERR_INPUT, key,
                                "cannot tune with %s \"%.80s\": no matrix with an adapter has "
                                "such a name",
                                key, pattern);
        }
    }
    return 0;
}

int adapter_select(struct adapter_target *out, int *rank, float *alpha, const struct model_params *p,
                   const json_t *config, bool by_site, const char *where, struct err *e)
{
    struct err lost;
    const struct selection s = {p, config, where, e ? e : &lost};
    int64_t r = 0;
    double a = 8; /* PEFT's default */
    int rc = json_get_int(config, "r", 1, ADAPTER_MAX_RANK, &r, where, e);
    rc = rc ? rc : json_opt_float(config, "lora_alpha", 1e-6, 1e6, &a, where, e);
    rc = rc ? rc : check_list(&s, "target_modules", true);
    rc = rc ? rc : check_list(&s, "exclude_modules", false);
    rc = rc ? rc : check_layers(&s);
    rc = rc ? rc : check_targets(&s, by_site);
    *rank = (int)r;
    *alpha = (float)a;
    rc = rc ? rc : select_all(&s, by_site, (struct adapter_target){*rank, *alpha}, out);
    rc = rc || !by_site ? rc : check_rules(&s, "rank_pattern", out);
    return rc || !by_site ? rc : check_rules(&s, "alpha_pattern", out);
}
