/* Values: text and JSON checked against one parameter, and back to JSON. Owns nothing; values live in the set. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/param/param_int.h"

/* Limits past which a bound is not worth naming: "at least 1" instead of "from 1 to 1e+300". */
static const double BOUND_SHOWN_MAX = 1e15;

bool param_is_list(const struct param *p)
{
    return p->type == PARAM_LIST || p->type == PARAM_FLOATS || p->type == PARAM_INTS ||
           p->flags & (PARAM_REPEAT | PARAM_REST);
}

/* Bytes may have a unit: 3GB. */
static bool is_size(const struct param *p)
{
    return p->unit != NULL && str_eq(p->unit, "bytes");
}

static bool has_range(const struct param *p)
{
    return p->min < 0 || p->min > 0 || p->max < 0 || p->max > 0;
}

static void range_text(const struct param *p, char *out, size_t size)
{
    out[0] = '\0';
    if (!has_range(p)) return;
    if (p->flags & PARAM_ABOVE)
        snprintf(out, size, " above %.15g, at most %.15g", p->min, p->max);
    else if (p->max >= BOUND_SHOWN_MAX)
        snprintf(out, size, " of at least %.15g", p->min);
    else if (p->min <= -BOUND_SHOWN_MAX)
        snprintf(out, size, " of at most %.15g", p->max);
    else
        snprintf(out, size, " from %.15g to %.15g", p->min, p->max);
}

size_t param_choices_len(const struct param *p)
{
    const char *end = p->choices ? strstr(p->choices, "||") : NULL;
    return end ? (size_t)(end - p->choices) : p->choices ? strlen(p->choices) : 0;
}

/* "a, b, c" of "a|b|c||refused". */
static void choice_text(const struct param *p, char *out, size_t size)
{
    const char *end = p->choices + param_choices_len(p);
    size_t n = 0;
    for (const char *c = p->choices; c < end && n + 4 < size; c++) {
        if (*c == '|') {
            out[n++] = ',';
            out[n++] = ' ';
        } else {
            out[n++] = *c;
        }
    }
    out[n] = '\0';
}

void param_needed(const struct param *p, char *out, size_t size)
{
    char range[80], unit[48] = "", choices[200];
    range_text(p, range, sizeof range);
    if (p->unit) snprintf(unit, sizeof unit, " (%s)", p->unit);
    switch (p->type) {
    case PARAM_BOOL:
        snprintf(out, size, "true or false");
        return;
    case PARAM_INT:
    case PARAM_INTS:
        if (is_size(p))
            snprintf(out, size, "a size (8GB, 512MB) or an integer%s%s", range, unit);
        else
            snprintf(out, size, "an integer%s%s", range, unit);
        return;
    case PARAM_FLOAT:
    case PARAM_FLOATS:
        snprintf(out, size, "a number%s%s", range, unit);
        return;
    case PARAM_CHOICE:
        choice_text(p, choices, sizeof choices);
        snprintf(out, size, strchr(choices, ',') ? "one of %s" : "%s", choices);
        return;
    default:
        snprintf(out, size, "%s", p->metavar ? p->metavar : "text");
    }
}

static int refuse(const struct param_set *s, const struct param *p, const char *text, struct err *e)
{
    char shown[PARAM_NAME_SIZE], need[256];
    param_shown_name(p, s->as_flags, shown);
    if (p->type == PARAM_STRING || p->type == PARAM_LIST)
        snprintf(need, sizeof need, "%s", *text ? "valid UTF-8" : "a name");
    else
        param_needed(p, need, sizeof need);
    return err_set(e, ERR_USAGE, p->name, "cannot set \"%s\": \"%.80s\" is not %s", shown, text, need);
}

static bool in_range(const struct param *p, double v)
{
    return !has_range(p) || (v >= p->min && v <= p->max && !(p->flags & PARAM_ABOVE && v <= p->min));
}

/* Whether text is among the choices, n bytes separated by '|'. */
static bool is_among(const char *choices, size_t n, const char *text)
{
    size_t len = strlen(text);
    for (const char *c = choices, *end = choices + n; len > 0 && c < end;) {
        const char *bar = memchr(c, '|', (size_t)(end - c));
        if ((size_t)((bar ? bar : end) - c) == len && memcmp(c, text, len) == 0) return true;
        if (!bar) break;
        c = bar + 1;
    }
    return false;
}

/* What this version knows by name and does not support. */
static bool is_refused(const struct param *p, const char *text)
{
    if (p->flags & PARAM_REFUSED) return true;
    return p->type == PARAM_CHOICE && !is_among(p->choices, param_choices_len(p), text) &&
           is_among(p->choices, strlen(p->choices), text);
}

static int refuse_unsupported(const struct param_set *s, const struct param *p, const char *text, struct err *e)
{
    char shown[PARAM_NAME_SIZE], works[256];
    param_shown_name(p, s->as_flags, shown);
    if (p->flags & PARAM_REFUSED)
        return err_set(e, ERR_UNSUPPORTED, p->name, "cannot use \"%s\": this version does not support it", shown);
    choice_text(p, works, sizeof works);
    return err_set(e, ERR_UNSUPPORTED, p->name,
                   "cannot set \"%s\" to \"%s\": this version does not support it, it has %s", shown, text, works);
}

static bool is_utf8(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        int len = str_utf8_char(text + i, n - i);
        if (len == 0) return false;
        i += (size_t)len;
    }
    return true;
}

static bool read_integer(const struct param *p, const char *text, int64_t *out)
{
    uint64_t bytes;
    if (str_to_i64(text, out)) return true;
    if (!is_size(p) || !str_to_bytes(text, &bytes) || bytes > INT64_MAX) return false;
    *out = (int64_t)bytes;
    return true;
}

/* Whether text is a value of p; numbers go to *out, text is left to the caller. */
static bool read_item(const struct param *p, const char *text, struct item *out)
{
    switch (p->type) {
    case PARAM_BOOL:
        out->integer = str_eq(text, "true");
        return out->integer || str_eq(text, "false");
    case PARAM_INT:
    case PARAM_INTS:
        return read_integer(p, text, &out->integer) && in_range(p, (double)out->integer);
    case PARAM_FLOAT:
    case PARAM_FLOATS:
        return str_to_double(text, &out->number) && in_range(p, out->number);
    case PARAM_CHOICE:
        return is_among(p->choices, param_choices_len(p), text);
    default:
        return is_utf8(text);
    }
}

static bool keeps_text(const struct param *p)
{
    return p->type == PARAM_STRING || p->type == PARAM_CHOICE || p->type == PARAM_LIST;
}

void param_put_empty(struct param_set *s, size_t idx)
{
    struct value *v = &s->value[idx];
    for (size_t i = 0; i < v->n; i++) mem_free(v->item[i].text);
    mem_free(v->item);
    *v = (struct value){.item = mem_alloc(sizeof *v->item), .source = s->source};
}

int param_put_text(struct param_set *s, size_t idx, const char *text, bool first, struct err *e)
{
    const struct param *p = &s->table[idx];
    struct value *v = &s->value[idx];
    struct item item = {0};
    if (is_refused(p, text)) return refuse_unsupported(s, p, text, e);
    if (!read_item(p, text, &item)) return refuse(s, p, text, e);
    if (first || !v->item) param_put_empty(s, idx);
    if (v->n >= PARAM_ITEMS_MAX)
        return err_set(e, ERR_LIMIT, p->name, "cannot set \"%s\": more than %d values", p->name, (int)PARAM_ITEMS_MAX);
    struct item *grown = mem_try_realloc(v->item, (v->n + 1) * sizeof *grown);
    if (!grown) return err_set(e, ERR_NOMEM, p->name, "cannot set \"%s\": out of memory", p->name);
    if (keeps_text(p)) item.text = mem_strdup(text);
    grown[v->n++] = item;
    v->item = grown;
    return 0;
}

int param_put_object(struct param_set *s, size_t idx, const json_t *object, bool first, struct err *e)
{
    const char *name = s->table[idx].name;
    struct buf text;
    if (!json_is_object(object))
        return err_set(e, ERR_USAGE, name, "cannot set \"%s\": it is %s, %s is needed", name, json_kind(object),
                       "an object");
    buf_init(&text, PARAM_FILE_MAX_BYTES);
    int rc = json_format(object, JSON_LINE, &text);
    rc = rc ? err_set(e, -rc, name, "cannot set \"%s\": out of memory", name)
            : param_put_text(s, idx, text.data, first, e);
    buf_deinit(&text);
    return rc;
}

/* Objects as text: one, or an array of them. */
static int put_objects(struct param_set *s, size_t idx, const char *text, struct err *e)
{
    const char *name = s->table[idx].name;
    json_t *v = NULL;
    int rc = json_parse(text, strlen(text), name, &v, e);
    if (rc != 0) return err_wrap(e, rc, "cannot set \"%s\", which is JSON here and YAML in a run file", name);
    param_put_empty(s, idx);
    if (!json_is_array(v)) rc = param_put_object(s, idx, v, true, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(v); i++)
        rc = param_put_object(s, idx, json_array_get(v, i), false, e);
    json_decref(v);
    return rc;
}

/* Comma-separated elements; the empty text is the empty list. */
static int put_list(struct param_set *s, size_t idx, const char *text, struct err *e)
{
    param_put_empty(s, idx);
    int rc = 0;
    for (const char *at = text; *text && rc == 0;) {
        size_t len = strcspn(at, ",");
        char *element = mem_strndup(at, len);
        rc = len ? param_put_text(s, idx, element, false, e) : refuse(s, &s->table[idx], "", e);
        mem_free(element);
        if (!at[len]) break;
        at += len + 1;
    }
    return rc;
}

int param_set_text(struct param_set *s, const char *name, const char *text, struct err *e)
{
    size_t idx;
    int rc = param_find(s, name, &idx, e);
    if (rc) return rc;
    const struct param *p = &s->table[idx];
    if (p->flags & (PARAM_REPEAT | PARAM_REST))
        return param_put_text(s, idx, text, s->value[idx].source != s->source, e);
    if (p->flags & PARAM_OBJECTS) return put_objects(s, idx, text, e);
    if (param_is_list(p)) return put_list(s, idx, text, e);
    return param_put_text(s, idx, text, true, e);
}

/* --- JSON --- */

static bool json_type_fits(const struct param *p, const json_t *v)
{
    switch (p->type) {
    case PARAM_BOOL:
        return json_is_boolean(v);
    case PARAM_INT:
    case PARAM_INTS:
        return json_is_integer(v) || (is_size(p) && json_is_string(v));
    case PARAM_FLOAT:
    case PARAM_FLOATS:
        return json_is_number(v);
    default:
        return json_is_string(v);
    }
}

/* A scalar as the text that the table reads; buf holds numbers. */
static const char *json_scalar_text(const json_t *v, char buf[64])
{
    if (json_is_string(v)) return json_string_value(v);
    if (json_is_boolean(v)) return json_is_true(v) ? "true" : "false";
    if (json_is_integer(v))
        snprintf(buf, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        snprintf(buf, 64, "%.17g", json_real_value(v));
    return buf;
}

static int put_json(struct param_set *s, size_t idx, const json_t *v, bool first, struct err *e)
{
    const struct param *p = &s->table[idx];
    char number[64], need[256];
    if (p->flags & PARAM_OBJECTS) return param_put_object(s, idx, v, first, e);
    if (json_type_fits(p, v)) return param_put_text(s, idx, json_scalar_text(v, number), first, e);
    param_needed(p, need, sizeof need);
    return err_set(e, ERR_USAGE, p->name, "cannot set \"%s\": it is %s, %s is needed", p->name, json_kind(v), need);
}

static int put_json_array(struct param_set *s, size_t idx, const json_t *array, struct err *e)
{
    param_put_empty(s, idx);
    int rc = 0;
    for (size_t i = 0; i < json_array_size(array) && rc == 0; i++)
        rc = put_json(s, idx, json_array_get(array, i), false, e);
    return rc;
}

int param_set_json(struct param_set *s, const char *name, const json_t *value, struct err *e)
{
    size_t idx;
    int rc = param_find(s, name, &idx, e);
    if (rc) return rc;
    if (json_is_array(value) && param_is_list(&s->table[idx])) return put_json_array(s, idx, value, e);
    return put_json(s, idx, value, true, e);
}

int param_set_object(struct param_set *s, const json_t *object, struct err *e)
{
    if (!json_is_object(object))
        return err_set(e, ERR_USAGE, "", "cannot set parameters: the value is %s, an object is needed",
                       json_kind(object));
    param_begin_source(s, false);
    union {
        const json_t *in;
        json_t *out;
    } iterable = {.in = object}; /* jansson's iterators want it without const and change nothing */
    int rc = 0;
    for (void *at = json_object_iter(iterable.out); at && rc == 0; at = json_object_iter_next(iterable.out, at)) {
        const json_t *v = json_object_iter_value(at);
        if (!json_is_null(v)) /* null: as if it were not there */
            rc = param_set_json(s, json_object_iter_key(at), v, e);
    }
    return rc;
}

static json_t *item_json(const struct param *p, const struct item *item)
{
    switch (p->type) {
    case PARAM_BOOL:
        return json_boolean(item->integer);
    case PARAM_INT:
    case PARAM_INTS:
        return json_integer(item->integer);
    case PARAM_FLOAT:
    case PARAM_FLOATS:
        return json_finite(item->number);
    default:
        if (p->flags & PARAM_OBJECTS) return json_loads(item->text, 0, NULL);
        return json_string(item->text);
    }
}

json_t *param_value_json(const struct param *p, const struct value *v)
{
    if (!param_is_list(p)) return item_json(p, &v->item[0]);
    json_t *array = json_array();
    for (size_t i = 0; i < v->n; i++) {
        if (json_array_append_new(array, item_json(p, &v->item[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
