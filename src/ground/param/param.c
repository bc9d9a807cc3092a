/* The set of values of one table: made with the defaults, read by getters, listed as JSON. Owns the values. What always
 * holds: every value in it was checked against its parameter when it was set. */
#include "ground/param/param.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/param/param_int.h"

static void set_default(struct param_set *s, size_t idx)
{
    struct err e;
    const struct param *p = &s->table[idx];
    if (p->initial && param_set_text(s, p->name, p->initial, &e)) {
        fprintf(stderr, "tailor: wrong default in the table: %s\n", e.msg);
        abort(); /* the table is part of the program */
    }
}

struct param_set *param_set_new(const struct param *table, size_t n)
{
    struct param_set *s = mem_alloc(sizeof *s);
    *s = (struct param_set){.table = table, .n = n, .value = mem_alloc((n ? n : 1) * sizeof *s->value)};
    for (size_t i = 0; i < n; i++) set_default(s, i);
    s->source = 1;
    return s;
}

static void clear_value(struct value *v)
{
    for (size_t i = 0; i < v->n; i++) mem_free(v->item[i].text);
    mem_free(v->item);
    *v = (struct value){0};
}

void param_set_free(struct param_set *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) clear_value(&s->value[i]);
    mem_free(s->value);
    mem_free(s);
}

void param_begin_source(struct param_set *s, bool as_flags)
{
    s->source++;
    s->as_flags = as_flags;
}

/* --- names --- */

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a != *b && !(*a == '_' && *b == '-') && !(*a == '-' && *b == '_')) return false;
    }
    return *a == *b;
}

void param_set_suggest(struct param_set *s, const struct param *table, size_t n)
{
    s->also = table;
    s->n_also = n;
}

/* What may be suggested where the values come from: a flag on a command line, a field in a file. */
static bool is_offered(const struct param_set *s, const struct param *p)
{
    return !(p->flags & PARAM_REFUSED) && !(s->as_flags && p->flags & PARAM_POSITIONAL);
}

/* The nearest parameter of both tables, or NULL when none is near. */
static const struct param *nearest(const struct param_set *s, const char *name)
{
    const struct param *best = NULL;
    int limit = str_distance_max(name) + 1;
    for (size_t i = 0; i < s->n + (s->as_flags ? s->n_also : 0); i++) {
        const struct param *p = i < s->n ? &s->table[i] : &s->also[i - s->n];
        int d = is_offered(s, p) ? str_mistyped(name, p->name) : limit;
        if (d < limit) {
            limit = d;
            best = p;
        }
    }
    return best;
}

int param_find(const struct param_set *s, const char *name, size_t *idx, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        if (same_name(s->table[i].name, name) && !(s->as_flags && s->table[i].flags & PARAM_POSITIONAL)) {
            *idx = i;
            return 0;
        }
    }
    const struct param *near = nearest(s, name);
    const char *what = s->as_flags ? "option" : "field";
    const char *dashes = s->as_flags ? "--" : "";
    if (!near) return err_set(e, ERR_USAGE, name, "cannot set \"%s%s\": there is no such %s", dashes, name, what);
    char shown[PARAM_NAME_SIZE];
    param_shown_name(near, s->as_flags, shown);
    return err_set(e, ERR_USAGE, name, "cannot set \"%s%s\": there is no such %s, did you mean %s?", dashes, name, what,
                   shown);
}

void param_shown_name(const struct param *p, bool as_flags, char out[PARAM_NAME_SIZE])
{
    bool positional = as_flags && p->flags & PARAM_POSITIONAL;
    if (positional && p->metavar) {
        snprintf(out, PARAM_NAME_SIZE, "%s", p->metavar);
        return;
    }
    snprintf(out, PARAM_NAME_SIZE, "%s%s", as_flags && !positional ? "--" : "", p->name);
    for (char *c = out; *c && as_flags; c++) {
        if (*c == '_') *c = '-';
        if (positional) *c = (char)toupper((unsigned char)*c);
    }
}

/* --- getters --- */

static const struct value *get(const struct param_set *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->table[i].name, name) == 0) return &s->value[i];
    }
    fprintf(stderr, "tailor: the table has no parameter \"%s\"\n", name);
    abort();
}

static const struct item *get_item(const struct param_set *s, const char *name, size_t i)
{
    static const struct item unset;
    const struct value *v = get(s, name);
    return i < v->n ? &v->item[i] : &unset;
}

static void assert_type(UNUSED const struct param_set *s, UNUSED const char *name, UNUSED enum param_type a,
                        UNUSED enum param_type b)
{
#ifndef NDEBUG
    enum param_type type = s->table[get(s, name) - s->value].type;
    assert(type == a || type == b);
#endif
}

bool param_is_set(const struct param_set *s, const char *name)
{
    return get(s, name)->source > 0;
}

bool param_bool(const struct param_set *s, const char *name)
{
    assert_type(s, name, PARAM_BOOL, PARAM_BOOL);
    return get_item(s, name, 0)->integer != 0;
}

int64_t param_int(const struct param_set *s, const char *name)
{
    assert_type(s, name, PARAM_INT, PARAM_INT);
    return get_item(s, name, 0)->integer;
}

double param_float(const struct param_set *s, const char *name)
{
    assert_type(s, name, PARAM_FLOAT, PARAM_FLOAT);
    return get_item(s, name, 0)->number;
}

const char *param_str(const struct param_set *s, const char *name)
{
    assert_type(s, name, PARAM_STRING, PARAM_CHOICE);
    return get_item(s, name, 0)->text;
}

size_t param_count(const struct param_set *s, const char *name)
{
    return get(s, name)->n;
}

const char *param_str_at(const struct param_set *s, const char *name, size_t i)
{
    assert_type(s, name, PARAM_STRING, PARAM_LIST);
    assert(i < param_count(s, name));
    return get_item(s, name, i)->text;
}

double param_float_at(const struct param_set *s, const char *name, size_t i)
{
    assert_type(s, name, PARAM_FLOATS, PARAM_FLOATS);
    assert(i < param_count(s, name));
    return get_item(s, name, i)->number;
}

int64_t param_int_at(const struct param_set *s, const char *name, size_t i)
{
    assert_type(s, name, PARAM_INTS, PARAM_INTS);
    assert(i < param_count(s, name));
    return get_item(s, name, i)->integer;
}

void param_clear(struct param_set *s, const char *name)
{
    size_t idx = (size_t)(get(s, name) - s->value);
    unsigned source = s->source;
    clear_value(&s->value[idx]);
    s->source = 0; /* what a default counts as */
    set_default(s, idx);
    s->source = source;
}

int param_set_check(const struct param_set *s, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct param *p = &s->table[i];
        if (!(p->flags & PARAM_REQUIRED) || s->value[i].item) continue;
        char shown[PARAM_NAME_SIZE], need[256];
        param_shown_name(p, s->as_flags, shown);
        param_needed(p, need, sizeof need);
        if (str_eq(shown, need)) return err_set(e, ERR_USAGE, p->name, "cannot go on: %s is missing", shown);
        return err_set(e, ERR_USAGE, p->name, "cannot go on: %s is missing, %s is needed", shown, need);
    }
    return 0;
}

static bool is_given(const struct param_set *s, const struct value *v)
{
    return v->source > 0 && (s->table[v - s->value].type != PARAM_BOOL || v->item[0].integer);
}

int param_need_one(const struct param_set *s, const char *what, const char *a, const char *b, struct err *e)
{
    const struct value *v = get(s, a), *w = get(s, b);
    if (is_given(s, v) != is_given(s, w)) return 0;
    char shown_a[PARAM_NAME_SIZE], shown_b[PARAM_NAME_SIZE];
    param_shown_name(&s->table[v - s->value], s->as_flags, shown_a);
    param_shown_name(&s->table[w - s->value], s->as_flags, shown_b);
    if (is_given(s, v))
        return err_set(e, ERR_USAGE, b, "cannot %s: %s and %s are both given, one is needed", what, shown_a, shown_b);
    return err_set(e, ERR_USAGE, a, "cannot %s: %s or %s is needed", what, shown_a, shown_b);
}

json_t *param_to_json(const struct param_set *s)
{
    json_t *object = json_object();
    for (size_t i = 0; i < s->n; i++) {
        if (!s->value[i].item) continue;
        json_t *v = param_value_json(&s->table[i], &s->value[i]);
        if (json_object_set_new(object, s->table[i].name, v)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
