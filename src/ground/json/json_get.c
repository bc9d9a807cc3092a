/* Members of objects with their types checked. Owns nothing; results are borrowed from the object. */
#include <inttypes.h>
#include <math.h>

#include "ground/json/json.h"

const char *json_kind(const json_t *v)
{
    if (!v) return "missing";
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a truth value";
    }
}

json_t *json_finite(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static int wrong(const json_t *v, const char *key, const char *need, const char *where, struct err *e)
{
    return err_set(e, ERR_INPUT, key, "cannot read %s: field \"%s\" is %s, %s is needed", where, key, json_kind(v),
                   need);
}

static int out_of_range(const char *key, double is, double min, double max, const char *where, struct err *e)
{
    return err_set(e, ERR_INPUT, key, "cannot read %s: field \"%s\" is %.17g, %.17g to %.17g is needed", where, key, is,
                   min, max);
}

/* The member, NULL when it is absent or null and may be. A value that is not an object has no members. */
static const json_t *find_optional(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_null(v) ? NULL : v;
}

static int take_str(const json_t *v, const char *key, const char **out, const char *where, struct err *e)
{
    if (!json_is_string(v)) return wrong(v, key, "a string", where, e);
    *out = json_string_value(v);
    return 0;
}

static int take_int(const json_t *v, const char *key, int64_t min, int64_t max, int64_t *out, const char *where,
                    struct err *e)
{
    if (!json_is_integer(v)) return wrong(v, key, "an integer", where, e);
    int64_t value = json_integer_value(v);
    if (value < min || value > max)
        return err_set(e, ERR_INPUT, key,
                       "cannot read %s: field \"%s\" is %" PRId64 ", %" PRId64 " to %" PRId64 " is needed", where, key,
                       value, min, max);
    *out = value;
    return 0;
}

static int take_float(const json_t *v, const char *key, double min, double max, double *out, const char *where,
                      struct err *e)
{
    if (!json_is_number(v)) return wrong(v, key, "a number", where, e);
    double value = json_number_value(v);
    if (value < min || value > max) return out_of_range(key, value, min, max, where, e);
    *out = value;
    return 0;
}

static int take_bool(const json_t *v, const char *key, bool *out, const char *where, struct err *e)
{
    if (!json_is_boolean(v)) return wrong(v, key, "true or false", where, e);
    *out = json_is_true(v);
    return 0;
}

static int take_array(const json_t *v, const char *key, const json_t **out, const char *where, struct err *e)
{
    if (!json_is_array(v)) return wrong(v, key, "an array", where, e);
    *out = v;
    return 0;
}

static int take_object(const json_t *v, const char *key, const json_t **out, const char *where, struct err *e)
{
    if (!json_is_object(v)) return wrong(v, key, "an object", where, e);
    *out = v;
    return 0;
}

int json_get_str(const json_t *obj, const char *key, const char **out, const char *where, struct err *e)
{
    return take_str(json_object_get(obj, key), key, out, where, e);
}

int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out, const char *where,
                 struct err *e)
{
    return take_int(json_object_get(obj, key), key, min, max, out, where, e);
}

int json_get_float(const json_t *obj, const char *key, double min, double max, double *out, const char *where,
                   struct err *e)
{
    return take_float(json_object_get(obj, key), key, min, max, out, where, e);
}

int json_get_bool(const json_t *obj, const char *key, bool *out, const char *where, struct err *e)
{
    return take_bool(json_object_get(obj, key), key, out, where, e);
}

int json_get_array(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e)
{
    return take_array(json_object_get(obj, key), key, out, where, e);
}

int json_get_object(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e)
{
    return take_object(json_object_get(obj, key), key, out, where, e);
}

int json_opt_str(const json_t *obj, const char *key, const char **out, const char *where, struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_str(v, key, out, where, e) : 0;
}

int json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out, const char *where,
                 struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_int(v, key, min, max, out, where, e) : 0;
}

int json_opt_float(const json_t *obj, const char *key, double min, double max, double *out, const char *where,
                   struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_float(v, key, min, max, out, where, e) : 0;
}

int json_opt_bool(const json_t *obj, const char *key, bool *out, const char *where, struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_bool(v, key, out, where, e) : 0;
}

int json_opt_array(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_array(v, key, out, where, e) : 0;
}

int json_opt_object(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e)
{
    const json_t *v = find_optional(obj, key);
    return v ? take_object(v, key, out, where, e) : 0;
}
