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

const char *param_nearest(const struct param *table, size_t n, const char *name, bool with_positional)
{
    const char *best = NULL;
    int best_distance = (int)strlen(name) / 3 + 2; /* farther is another word */
    for (size_t i = 0; i < n; i++) {
        if (!with_positional && table[i].flags & PARAM_POSITIONAL) continue;
        int d = str_distance(name, table[i].name);
        if (d < best_distance) {
            best_distance = d;
            best = table[i].name;
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
    const char *near = param_nearest(s->table, s->n, name, !s->as_flags);
    const char *what = s->as_flags ? "option" : "field";
    const char *dashes = s->as_flags ? "--" : "";
    if (!near) return err_set(e, ERR_USAGE, name, "cannot set \"%s%s\": there is no such %s", dashes, name, what);
    char shown[PARAM_NAME_SIZE];
    struct param nearest = {.name = near};
    param_shown_name(&nearest, s->as_flags, shown);
    return err_set(e, ERR_USAGE, name, "cannot set \"%s%s\": there is no such %s, did you mean %s?", dashes, name, what,
                   shown);
}

void param_shown_name(const struct param *p, bool as_flags, char out[PARAM_NAME_SIZE])
{
    bool positional = as_flags && p->flags & PARAM_POSITIONAL;
    snprintf(out, PARAM_NAME_SIZE, "%s%s", as_flags && !positional ? "--" : "",
             positional && p->metavar ? p->metavar : p->name);
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
        return err_set(e, ERR_USAGE, p->name, "cannot go on without \"%s\": %s is needed", shown, need);
    }
    return 0;
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
