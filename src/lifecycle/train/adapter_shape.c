/* Fields about an adapter's shape, read into PEFT's own words. Keeps nothing. */
#include "lifecycle/train/adapter_shape.h"

#include <stdlib.h>
#include <string.h>

#include "compute/model/adapter_select.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

bool adapter_shape_is_pattern(const char *target)
{
    return strpbrk(target, "*+?[](){}|\\^$") != NULL;
}

/* "NAME=NUMBER": the last = parts them, since a pattern may have others. */
static int add_rule(json_t *rules, const char *field, const char *text, struct err *e)
{
    const char *eq = strrchr(text, '=');
    char *end = NULL;
    double value = eq != NULL ? strtod(eq + 1, &end) : 0;
    if (eq == NULL || eq == text || end == eq + 1 || *end != '\0' || !(value > 0 && value <= 1e6))
        return err_set(
            e, ERR_USAGE, field,
            "cannot tune with %s \"%s\": NAME=NUMBER is needed, the end of a matrix's name or a pattern of it", field,
            text);
    bool is_rank = str_eq(field, "rank_pattern");
    if (is_rank && (value > 1024 || value != (double)(int)value))
        return err_set(e, ERR_USAGE, field, "cannot tune with %s \"%s\": a rank is a whole number from 1 to 1024",
                       field, text);
    char *name = mem_strndup(text, (size_t)(eq - text));
    int rc = json_object_set_new(rules, name, is_rank ? json_integer((json_int_t)value) : json_real(value));
    mem_free(name);
    return rc == 0 ? 0 : err_set(e, ERR_INPUT, field, "cannot tune with %s \"%s\": it is no valid text", field, text);
}

static int put_rules(json_t *config, const struct param_set *s, const char *field, struct err *e)
{
    json_t *rules = json_object();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < param_count(s, field); i++)
        rc = add_rule(rules, field, param_str_at(s, field, i), e);
    json_object_set_new(config, field, rules);
    return rc;
}

static json_t *targets_json(const struct param_set *s)
{
    size_t n = param_count(s, "target_modules");
    const char *first = n > 0 ? param_str_at(s, "target_modules", 0) : "";
    if (n == 1 && (adapter_shape_is_pattern(first) || str_eq(first, "all-linear"))) return json_string(first);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_string(param_str_at(s, "target_modules", i)));
    return list;
}

int adapter_shape_json(const struct param_set *s, json_t **out, struct err *e)
{
    *out = json_pack("{s:I, s:f, s:o}", "r", (json_int_t)param_int(s, "rank"), "lora_alpha", param_float(s, "alpha"),
                     "target_modules", targets_json(s));
    if (*out == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot describe an adapter: out of memory");
    int rc = put_rules(*out, s, "rank_pattern", e);
    if (rc == 0) rc = put_rules(*out, s, "alpha_pattern", e);
    if (rc == 0) return 0;
    json_decref(*out);
    *out = NULL;
    return rc;
}

int adapter_shape_select(const struct param_set *s, const struct model_params *p, struct adapter_options *o,
                         struct adapter_target *target, struct err *e)
{
    json_t *config;
    int rc = adapter_shape_json(s, &config, e);
    if (rc == 0) rc = adapter_select(target, &o->rank, &o->alpha, p, config, true, "target_modules", e);
    json_decref(config);
    o->target = target;
    return rc;
}
