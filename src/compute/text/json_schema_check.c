/* Checking a value: one function a keyword. Keeps nothing. What always holds: a check ends, after so many steps at
 * most; numbers are compared by value, 1 and 1.0 are the same. */
#include <math.h>
#include <string.h>

#include "compute/text/json_schema_int.h"
#include "ground/base/attr.h"
#include "ground/base/str.h"

static int check(struct schema_pass *p, const json_t *schema, const json_t *v, bool *fits);

static int take_step(struct schema_pass *p)
{
    if (p->n_step++ < SCHEMA_MAX_STEPS) return 0;
    return err_set(p->e, ERR_LIMIT, p->s->where, "cannot judge by %s: more than %d steps are needed", p->s->where,
                   (int)SCHEMA_MAX_STEPS);
}

/* --- equality --- */

static bool equal_numbers(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) return json_integer_value(a) == json_integer_value(b);
    double x = json_number_value(a), y = json_number_value(b);
    return x <= y && y <= x;
}

static int equal(struct schema_pass *p, const json_t *a, const json_t *b, bool *same);

static int equal_members(struct schema_pass *p, const json_t *a, const json_t *b, bool *same)
{
    const char *key;
    json_t *x;
    int rc = 0;
    *same = json_object_size(a) == json_object_size(b);
    json_object_foreach((json_t *)(uintptr_t)a, key, x)
    {
        if (rc != 0 || !*same) break;
        const json_t *y = json_object_get(b, key);
        *same = y != NULL;
        if (y != NULL) rc = equal(p, x, y, same);
    }
    return rc;
}

static int equal(struct schema_pass *p, const json_t *a, const json_t *b, bool *same)
{
    int rc = take_step(p);
    *same = false;
    if (rc != 0) return rc;
    if (json_is_number(a) && json_is_number(b)) {
        *same = equal_numbers(a, b);
        return 0;
    }
    if (json_typeof(a) != json_typeof(b)) return 0;
    if (json_is_object(a)) return equal_members(p, a, b, same);
    if (!json_is_array(a)) {
        *same = json_equal(a, b);
        return 0;
    }
    *same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; rc == 0 && *same && i < json_array_size(a); i++)
        rc = equal(p, json_array_get(a, i), json_array_get(b, i), same);
    return rc;
}

/* --- any value --- */

#define KEYWORD(function)                                                                                              \
    static int function(UNUSED struct schema_pass *p, UNUSED const json_t *schema, const json_t *arg, const json_t *v, \
                        bool *fits)

static bool is_type(const char *type, const json_t *v)
{
    double d = json_number_value(v);
    if (str_eq(type, "integer")) return json_is_integer(v) || (json_is_real(v) && d <= floor(d));
    return (str_eq(type, "null") && json_is_null(v)) || (str_eq(type, "boolean") && json_is_boolean(v)) ||
           (str_eq(type, "object") && json_is_object(v)) || (str_eq(type, "array") && json_is_array(v)) ||
           (str_eq(type, "number") && json_is_number(v)) || (str_eq(type, "string") && json_is_string(v));
}

KEYWORD(check_type)
{
    if (json_is_string(arg)) {
        *fits = is_type(json_string_value(arg), v);
        return 0;
    }
    *fits = false;
    for (size_t i = 0; i < json_array_size(arg) && !*fits; i++)
        *fits = is_type(json_string_value(json_array_get(arg, i)), v);
    return 0;
}

KEYWORD(check_const)
{
    return equal(p, arg, v, fits);
}

KEYWORD(check_enum)
{
    int rc = 0;
    *fits = false;
    for (size_t i = 0; rc == 0 && !*fits && i < json_array_size(arg); i++)
        rc = equal(p, json_array_get(arg, i), v, fits);
    return rc;
}

/* --- numbers --- */

/* -1, 0, 1 */
static int compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    double x = json_number_value(a), y = json_number_value(b);
    return (x > y) - (x < y);
}

KEYWORD(check_minimum)
{
    *fits = !json_is_number(v) || compare(v, arg) >= 0;
    return 0;
}

KEYWORD(check_maximum)
{
    *fits = !json_is_number(v) || compare(v, arg) <= 0;
    return 0;
}

KEYWORD(check_above)
{
    *fits = !json_is_number(v) || compare(v, arg) > 0;
    return 0;
}

KEYWORD(check_below)
{
    *fits = !json_is_number(v) || compare(v, arg) < 0;
    return 0;
}

/* 0.0075 is a multiple of 0.0001, though not in binary. */
KEYWORD(check_multiple)
{
    static const double SLACK = 1e-12;
    if (!json_is_number(v)) return 0;
    if (json_is_integer(v) && json_is_integer(arg)) {
        *fits = json_integer_value(v) % json_integer_value(arg) == 0;
        return 0;
    }
    double times = json_number_value(v) / json_number_value(arg);
    *fits = isfinite(times) && fabs(times - round(times)) <= SLACK * fmax(1, fabs(times));
    return 0;
}

/* --- strings --- */

static double n_char(const json_t *v)
{
    double n = 0;
    const char *s = json_string_value(v);
    for (size_t i = 0; i < json_string_length(v); i++) n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

KEYWORD(check_min_length)
{
    *fits = !json_is_string(v) || n_char(v) >= json_number_value(arg);
    return 0;
}

KEYWORD(check_max_length)
{
    *fits = !json_is_string(v) || n_char(v) <= json_number_value(arg);
    return 0;
}

static int search(struct schema_pass *p, const char *pattern, const char *s, size_t n, bool *found)
{
    json_int_t i = json_integer_value(json_object_get(p->s->patterns, pattern));
    return regex_match(p->s->regex[i], s, n, false, found, NULL, NULL, p->e);
}

KEYWORD(check_pattern)
{
    if (!json_is_string(v)) return 0;
    return search(p, json_string_value(arg), json_string_value(v), json_string_length(v), fits);
}

/* --- arrays --- */

KEYWORD(check_min_items)
{
    *fits = !json_is_array(v) || (double)json_array_size(v) >= json_number_value(arg);
    return 0;
}

KEYWORD(check_max_items)
{
    *fits = !json_is_array(v) || (double)json_array_size(v) <= json_number_value(arg);
    return 0;
}

KEYWORD(check_unique)
{
    int rc = 0;
    if (!json_is_array(v) || !json_is_true(arg)) return 0;
    for (size_t i = 1; rc == 0 && *fits && i < json_array_size(v); i++)
        for (size_t k = 0; rc == 0 && *fits && k < i; k++) {
            bool same;
            rc = equal(p, json_array_get(v, i), json_array_get(v, k), &same);
            *fits = !same;
        }
    return rc;
}

KEYWORD(check_prefix_items)
{
    int rc = 0;
    if (!json_is_array(v)) return 0;
    for (size_t i = 0; rc == 0 && *fits && i < json_array_size(arg) && i < json_array_size(v); i++)
        rc = check(p, json_array_get(arg, i), json_array_get(v, i), fits);
    return rc;
}

KEYWORD(check_items)
{
    int rc = 0;
    if (!json_is_array(v)) return 0;
    size_t i = json_array_size(json_object_get(schema, "prefixItems"));
    for (; rc == 0 && *fits && i < json_array_size(v); i++) rc = check(p, arg, json_array_get(v, i), fits);
    return rc;
}

KEYWORD(check_contains)
{
    const json_t *min = json_object_get(schema, "minContains"), *max = json_object_get(schema, "maxContains");
    double n = 0;
    int rc = 0;
    if (!json_is_array(v)) return 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(v); i++) {
        bool one = true;
        rc = check(p, arg, json_array_get(v, i), &one);
        n += one;
    }
    *fits = n >= (min != NULL ? json_number_value(min) : 1) && (max == NULL || n <= json_number_value(max));
    return rc;
}

/* --- objects --- */

KEYWORD(check_min_properties)
{
    *fits = !json_is_object(v) || (double)json_object_size(v) >= json_number_value(arg);
    return 0;
}

KEYWORD(check_max_properties)
{
    *fits = !json_is_object(v) || (double)json_object_size(v) <= json_number_value(arg);
    return 0;
}

static bool has_all(const json_t *names, const json_t *v)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (json_object_get(v, json_string_value(json_array_get(names, i))) == NULL) return false;
    return true;
}

KEYWORD(check_required)
{
    *fits = !json_is_object(v) || has_all(arg, v);
    return 0;
}

KEYWORD(check_dependent_required)
{
    const char *key;
    json_t *names;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)arg, key, names)
    {
        if (json_object_get(v, key) != NULL && !has_all(names, v)) *fits = false;
    }
    return 0;
}

KEYWORD(check_dependent_schemas)
{
    const char *key;
    json_t *schema_of;
    int rc = 0;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)arg, key, schema_of)
    {
        if (rc != 0 || !*fits) break;
        if (json_object_get(v, key) != NULL) rc = check(p, schema_of, v, fits);
    }
    return rc;
}

KEYWORD(check_properties)
{
    const char *key;
    json_t *member;
    int rc = 0;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        if (rc != 0 || !*fits) break;
        const json_t *own = json_object_get(arg, key);
        if (own != NULL) rc = check(p, own, member, fits);
    }
    return rc;
}

KEYWORD(check_pattern_properties)
{
    const char *key, *pattern;
    json_t *member, *own;
    int rc = 0;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        json_object_foreach((json_t *)(uintptr_t)arg, pattern, own)
        {
            bool found = false;
            if (rc == 0 && *fits) rc = search(p, pattern, key, strlen(key), &found);
            if (rc == 0 && found) rc = check(p, own, member, fits);
        }
    }
    return rc;
}

/* Whether properties or patternProperties speak of a member. */
static int is_named(struct schema_pass *p, const json_t *schema, const char *key, bool *named)
{
    json_t *patterns = json_object_get(schema, "patternProperties"), *ignored;
    const char *pattern;
    int rc = 0;
    *named = json_object_get(json_object_get(schema, "properties"), key) != NULL;
    json_object_foreach(patterns, pattern, ignored)
    {
        if (rc != 0 || *named) break;
        rc = search(p, pattern, key, strlen(key), named);
    }
    return rc;
}

KEYWORD(check_additional)
{
    const char *key;
    json_t *member;
    int rc = 0;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        bool named = false;
        if (rc == 0 && *fits) rc = is_named(p, schema, key, &named);
        if (rc != 0 || !*fits) break;
        if (!named) rc = check(p, arg, member, fits);
    }
    return rc;
}

KEYWORD(check_names)
{
    const char *key;
    json_t *ignored;
    int rc = 0;
    if (!json_is_object(v)) return 0;
    json_object_foreach((json_t *)(uintptr_t)v, key, ignored)
    {
        json_t *name = rc == 0 && *fits ? json_string(key) : NULL;
        if (name != NULL) rc = check(p, arg, name, fits);
        json_decref(name);
    }
    return rc;
}

/* --- schemas together --- */

/* How many of a list fit; no further than `enough`. */
static int count(struct schema_pass *p, const json_t *list, const json_t *v, size_t enough, size_t *n)
{
    int rc = 0;
    *n = 0;
    for (size_t i = 0; rc == 0 && *n < enough && i < json_array_size(list); i++) {
        bool one = true;
        rc = check(p, json_array_get(list, i), v, &one);
        *n += one;
    }
    return rc;
}

KEYWORD(check_all)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && *fits && i < json_array_size(arg); i++)
        rc = check(p, json_array_get(arg, i), v, fits);
    return rc;
}

KEYWORD(check_any)
{
    size_t n;
    int rc = count(p, arg, v, 1, &n);
    *fits = n == 1;
    return rc;
}

KEYWORD(check_one)
{
    size_t n;
    int rc = count(p, arg, v, 2, &n);
    *fits = n == 1;
    return rc;
}

KEYWORD(check_not)
{
    bool one = true;
    int rc = check(p, arg, v, &one);
    *fits = !one;
    return rc;
}

KEYWORD(check_if)
{
    bool one = true;
    int rc = check(p, arg, v, &one);
    const json_t *next = json_object_get(schema, one ? "then" : "else");
    return rc == 0 && next != NULL ? check(p, next, v, fits) : rc;
}

KEYWORD(check_ref)
{
    return check(p, schema_find(p->s->root, json_string_value(arg)), v, fits);
}

/* clang-format off */
const struct schema_keyword schema_keywords[] = {
    {"type", ARG_TYPE, check_type}, {"const", ARG_ANY, check_const}, {"enum", ARG_LIST, check_enum},
    {"minimum", ARG_NUMBER, check_minimum}, {"maximum", ARG_NUMBER, check_maximum},
    {"exclusiveMinimum", ARG_NUMBER, check_above}, {"exclusiveMaximum", ARG_NUMBER, check_below},
    {"multipleOf", ARG_POSITIVE, check_multiple},
    {"minLength", ARG_COUNT, check_min_length}, {"maxLength", ARG_COUNT, check_max_length},
    {"pattern", ARG_PATTERN, check_pattern},
    {"minItems", ARG_COUNT, check_min_items}, {"maxItems", ARG_COUNT, check_max_items},
    {"uniqueItems", ARG_BOOL, check_unique}, {"prefixItems", ARG_SCHEMAS, check_prefix_items},
    {"items", ARG_SCHEMA, check_items}, {"contains", ARG_SCHEMA, check_contains},
    {"minContains", ARG_COUNT, NULL}, {"maxContains", ARG_COUNT, NULL},
    {"minProperties", ARG_COUNT, check_min_properties}, {"maxProperties", ARG_COUNT, check_max_properties},
    {"required", ARG_NAMES, check_required}, {"dependentRequired", ARG_NAMES_OF, check_dependent_required},
    {"dependentSchemas", ARG_SCHEMAS_OF, check_dependent_schemas},
    {"properties", ARG_SCHEMAS_OF, check_properties},
    {"patternProperties", ARG_PATTERNS_OF, check_pattern_properties},
    {"additionalProperties", ARG_SCHEMA, check_additional}, {"propertyNames", ARG_SCHEMA, check_names},
    {"allOf", ARG_SCHEMAS, check_all}, {"anyOf", ARG_SCHEMAS, check_any}, {"oneOf", ARG_SCHEMAS, check_one},
    {"not", ARG_SCHEMA, check_not},
    {"if", ARG_SCHEMA, check_if}, {"then", ARG_SCHEMA, NULL}, {"else", ARG_SCHEMA, NULL},
    {"$ref", ARG_REF, check_ref}, {"$defs", ARG_SCHEMAS_OF, NULL}, {"definitions", ARG_SCHEMAS_OF, NULL},
    /* what only describes */
    {"$schema", ARG_STRING, NULL}, {"$id", ARG_STRING, NULL}, {"$comment", ARG_STRING, NULL},
    {"title", ARG_STRING, NULL}, {"description", ARG_STRING, NULL}, {"default", ARG_ANY, NULL},
    {"examples", ARG_LIST, NULL}, {"deprecated", ARG_BOOL, NULL}, {"readOnly", ARG_BOOL, NULL},
    {"writeOnly", ARG_BOOL, NULL},
    {NULL, ARG_ANY, NULL},
};
/* clang-format on */

static int check_object(struct schema_pass *p, const json_t *schema, const json_t *v, bool *fits)
{
    int rc = 0;
    for (const struct schema_keyword *k = schema_keywords; rc == 0 && *fits && k->name != NULL; k++) {
        const json_t *arg = k->check != NULL ? json_object_get(schema, k->name) : NULL;
        if (arg != NULL) rc = k->check(p, schema, arg, v, fits);
    }
    return rc;
}

static int check(struct schema_pass *p, const json_t *schema, const json_t *v, bool *fits)
{
    *fits = true;
    if (json_is_boolean(schema)) {
        *fits = json_is_true(schema);
        return 0;
    }
    if (p->depth >= SCHEMA_MAX_DEPTH)
        return err_set(p->e, ERR_LIMIT, p->s->where, "cannot judge by %s: it goes more than %d schemas deep",
                       p->s->where, (int)SCHEMA_MAX_DEPTH);
    int rc = take_step(p);
    p->depth++;
    if (rc == 0) rc = check_object(p, schema, v, fits);
    p->depth--;
    return rc;
}

int json_schema_check(const struct json_schema *s, const json_t *v, bool *fits, struct err *e)
{
    struct schema_pass p = {.s = s, .e = e};
    int rc = check(&p, s->root, v, fits);
    if (rc != 0) *fits = false;
    return rc;
}
