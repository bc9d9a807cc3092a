/* Values: truth, equality, order, containers. The semantics are Python's, as far as templates can see them. Searches
 * and comparisons charge steps, so that no template can make them cost more than the limit of its rendering. */
#include "compute/text/jinja/value.h"

#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/utf8.h"

const char *val_type_name(const struct value *v)
{
    static const char *const lists[] = {"list",      "tuple",       "range",    "dict_items",
                                        "dict_keys", "dict_values", "generator"};
    static const char *const names[] = {"Undefined", "NoneType",  "bool",  "int",      "float",  "str",        "list",
                                        "dict",      "Namespace", "Macro", "function", "method", "LoopContext"};
    return v->type == VAL_LIST ? lists[v->list->kind] : names[v->type];
}

bool val_is_text(const struct value *v, const char *text)
{
    return v->type == VAL_STRING && v->n == strlen(text) && memcmp(v->s, text, v->n) == 0;
}

bool val_is_int(const struct value *v, int64_t *i)
{
    if (v->type == VAL_BOOL) {
        *i = v->b;
        return true;
    }
    *i = v->type == VAL_INT ? v->i : 0;
    return v->type == VAL_INT;
}

bool val_is_number(const struct value *v, double *f)
{
    int64_t i;
    if (val_is_int(v, &i)) {
        *f = (double)i;
        return true;
    }
    *f = v->type == VAL_FLOAT ? v->f : 0;
    return v->type == VAL_FLOAT;
}

bool val_is_tuple(const struct value *v)
{
    return v->type == VAL_LIST && v->list->kind == LIST_TUPLE;
}

bool val_truth(const struct value *v)
{
    switch ((enum value_type)v->type) {
    case VAL_UNDEFINED:
    case VAL_NONE:
        return false;
    case VAL_BOOL:
        return v->b;
    case VAL_INT:
        return v->i != 0;
    case VAL_FLOAT:
        return v->f < 0 || v->f > 0 || v->f != v->f;
    case VAL_STRING:
        return v->n > 0;
    case VAL_LIST:
        return v->list->kind == LIST_GENERATOR || v->list->n > 0;
    case VAL_DICT:
        return v->dict->n > 0;
    case VAL_LOOP:
        return v->loop->n > 0;
    case VAL_NAMESPACE:
    case VAL_MACRO:
    case VAL_FUNCTION:
    case VAL_METHOD:
        return true;
    }
    return false;
}

static bool same_text(const struct value *a, const struct value *b)
{
    return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static int equal_lists(struct interp *it, const struct list *a, const struct list *b)
{
    if (a == b) {
        return 1;
    }
    if (a->kind != b->kind || a->n != b->n || a->kind == LIST_GENERATOR) {
        return 0;
    }
    int rc = jinja_enter(it);
    for (size_t i = 0; !rc && i < a->n; i++) {
        int eq = val_equal(it, &a->item[i], &b->item[i]);
        if (eq <= 0) {
            rc = eq < 0 ? eq : 1;
        }
    }
    if (rc >= 0) {
        jinja_leave(it);
    }
    return rc < 0 ? rc : !rc;
}

static int equal_dicts(struct interp *it, const struct dict *a, const struct dict *b)
{
    if (a->n != b->n) {
        return 0;
    }
    int rc = jinja_enter(it);
    if (rc) {
        return rc;
    }
    for (size_t i = 0; i < a->n; i++) {
        const struct value *v = dict_find(it, b, &a->key[i]);
        int eq = v ? val_equal(it, &a->value[i], v) : 0;
        if (eq < 0) {
            return eq;
        }
        if (!eq) {
            jinja_leave(it);
            return 0;
        }
    }
    jinja_leave(it);
    return 1;
}

int val_equal(struct interp *it, const struct value *a, const struct value *b)
{
    double x, y;
    int64_t i, k;
    int rc = jinja_work(it, 1);
    if (rc) {
        return rc;
    }
    if (val_is_int(a, &i) && val_is_int(b, &k)) {
        return i == k;
    }
    if (val_is_number(a, &x) && val_is_number(b, &y)) {
        return !(x < y) && !(x > y) && x == x && y == y;
    }
    if (a->type != b->type) {
        return 0;
    }
    switch ((enum value_type)a->type) {
    case VAL_UNDEFINED:
    case VAL_NONE:
        return 1;
    case VAL_STRING:
        return same_text(a, b);
    case VAL_LIST:
        return equal_lists(it, a->list, b->list);
    case VAL_DICT:
        return equal_dicts(it, a->dict, b->dict);
    default:
        return a->list == b->list; /* the same object */
    }
}

/* -1, 0, 1 like memcmp; UTF-8 sorts as its code points do. */
static int compare_text(const struct value *a, const struct value *b)
{
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

static int less_lists(struct interp *it, const struct list *a, const struct list *b, bool *less)
{
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        int eq = val_equal(it, &a->item[i], &b->item[i]);
        if (eq < 0) {
            return eq;
        }
        if (!eq) {
            int rc = jinja_enter(it);
            rc = rc ? rc : val_less(it, &a->item[i], &b->item[i], less);
            if (!rc) {
                jinja_leave(it);
            }
            return rc;
        }
    }
    *less = a->n < b->n;
    return 0;
}

int val_less(struct interp *it, const struct value *a, const struct value *b, bool *less)
{
    double x, y;
    int64_t i, k;
    if (val_is_int(a, &i) && val_is_int(b, &k)) {
        *less = i < k;
        return jinja_work(it, 1);
    }
    if (val_is_number(a, &x) && val_is_number(b, &y)) {
        *less = x < y;
        return jinja_work(it, 1);
    }
    if (a->type == VAL_STRING && b->type == VAL_STRING) {
        *less = compare_text(a, b) < 0;
        return jinja_work(it, 1);
    }
    if (a->type == VAL_LIST && b->type == VAL_LIST && a->list->kind == b->list->kind &&
        (a->list->kind == LIST_LIST || a->list->kind == LIST_TUPLE)) {
        return less_lists(it, a->list, b->list, less);
    }
    return jinja_fail(it, "'<' is not supported between %s and %s", val_type_name(a), val_type_name(b));
}

int val_need_hash(struct interp *it, const struct value *key)
{
    bool tuple = val_is_tuple(key);
    if (key->type == VAL_DICT || (key->type == VAL_LIST && key->list->kind == LIST_LIST)) {
        return jinja_fail(it, "%s cannot be a key of a dict", val_type_name(key));
    }
    int rc = tuple ? jinja_enter(it) : 0;
    for (size_t i = 0; !rc && tuple && i < key->list->n; i++) {
        rc = val_need_hash(it, &key->list->item[i]);
    }
    if (!rc && tuple) {
        jinja_leave(it);
    }
    return rc;
}

static int contains_text(struct interp *it, const struct value *text, const struct value *x, bool *in)
{
    if (x->type != VAL_STRING) {
        return jinja_fail(it, "'in' a string requires a string at the left, not %s", val_type_name(x));
    }
    *in = x->n == 0 || memmem(text->s, text->n, x->s, x->n) != NULL;
    return jinja_work(it, 1 + text->n / 64);
}

int val_contains(struct interp *it, const struct value *container, const struct value *x, bool *in)
{
    *in = false;
    switch ((enum value_type)container->type) {
    case VAL_STRING:
        return contains_text(it, container, x, in);
    case VAL_UNDEFINED:
        return 0;
    case VAL_DICT:
        *in = dict_find(it, container->dict, x) != NULL;
        return val_need_hash(it, x);
    case VAL_LIST: {
        struct value *item;
        size_t n;
        int rc = val_items(it, container, &item, &n);
        for (size_t i = 0; !rc && !*in && i < n; i++) {
            int eq = val_equal(it, &item[i], x);
            rc = eq < 0 ? eq : 0;
            *in = eq > 0;
        }
        return rc;
    }
    default:
        return jinja_fail(it, "%s cannot be searched with 'in'", val_type_name(container));
    }
}

int list_new(struct interp *it, enum list_kind kind, size_t cap, struct list **out)
{
    struct list *l = jinja_alloc(it, 1, sizeof *l);
    if (!l) {
        return -ERR_LIMIT;
    }
    l->kind = kind;
    if (cap > 0) {
        l->item = jinja_alloc(it, cap, sizeof *l->item);
        if (!l->item) {
            return -ERR_LIMIT;
        }
        l->cap = cap;
    }
    *out = l;
    return 0;
}

/* A larger copy of an array of values. */
static struct value *grow(struct interp *it, const struct value *old, size_t n, size_t cap)
{
    struct value *v = jinja_alloc(it, cap, sizeof *v);
    if (v && n > 0) {
        memcpy(v, old, n * sizeof *v);
    }
    return v;
}

int list_add(struct interp *it, struct list *l, struct value v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        struct value *item = grow(it, l->item, l->n, cap);
        if (!item) {
            return -ERR_LIMIT;
        }
        l->item = item;
        l->cap = cap;
    }
    l->item[l->n++] = v;
    return jinja_work(it, 1);
}

int dict_new(struct interp *it, size_t cap, struct dict **out)
{
    struct dict *d = jinja_alloc(it, 1, sizeof *d);
    if (!d) {
        return -ERR_LIMIT;
    }
    if (cap > 0) {
        d->key = jinja_alloc(it, cap, sizeof *d->key);
        d->value = jinja_alloc(it, cap, sizeof *d->value);
        if (!d->key || !d->value) {
            return -ERR_LIMIT;
        }
        d->cap = cap;
    }
    *out = d;
    return 0;
}

int dict_set(struct interp *it, struct dict *d, struct value key, struct value v)
{
    int rc = val_need_hash(it, &key);
    if (rc) {
        return rc;
    }
    const struct value *old = dict_find(it, d, &key);
    if (old) {
        d->value[old - d->value] = v;
        return jinja_work(it, 1);
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 8;
        struct value *k = grow(it, d->key, d->n, cap), *w = grow(it, d->value, d->n, cap);
        if (!k || !w) {
            return -ERR_LIMIT;
        }
        d->key = k;
        d->value = w;
        d->cap = cap;
    }
    d->key[d->n] = key;
    d->value[d->n++] = v;
    return jinja_work(it, 1);
}

const struct value *dict_find_text(struct interp *it, const struct dict *d, const char *key, size_t n)
{
    it->steps += d->n / 8;
    for (size_t i = 0; i < d->n; i++) {
        const struct value *k = &d->key[i];
        if (k->type == VAL_STRING && k->n == n && memcmp(k->s, key, n) == 0) {
            return &d->value[i];
        }
    }
    return NULL;
}

const struct value *dict_find(struct interp *it, const struct dict *d, const struct value *key)
{
    if (key->type == VAL_STRING) {
        return dict_find_text(it, d, key->s, key->n);
    }
    for (size_t i = 0; i < d->n; i++) {
        if (val_equal(it, &d->key[i], key) > 0) {
            return &d->value[i];
        }
    }
    return NULL;
}

/* The characters of a string as strings. */
static int characters(struct interp *it, const struct value *v, struct value **item, size_t *n)
{
    *n = utf8_count(v->s, v->n);
    *item = jinja_alloc(it, *n, sizeof **item);
    if (!*item) {
        return -ERR_LIMIT;
    }
    size_t k = 0;
    for (size_t i = 0; i < v->n; k++) {
        uint32_t cp;
        size_t len = utf8_decode(v->s + i, v->n - i, &cp);
        (*item)[k] = val_part(*v, i, len);
        (*item)[k].markup = false;
        i += len;
    }
    return jinja_work(it, *n);
}

int val_items(struct interp *it, const struct value *v, struct value **item, size_t *n)
{
    *n = 0;
    *item = NULL;
    switch ((enum value_type)v->type) {
    case VAL_UNDEFINED:
        return 0;
    case VAL_STRING:
        return characters(it, v, item, n);
    case VAL_DICT:
        *item = v->dict->key;
        *n = v->dict->n;
        return 0;
    case VAL_LIST:
        if (!v->list->consumed) {
            *item = v->list->item;
            *n = v->list->n;
        }
        v->list->consumed = v->list->kind == LIST_GENERATOR;
        return 0;
    default:
        return jinja_fail(it, "%s cannot be iterated", val_type_name(v));
    }
}

int val_length(struct interp *it, const struct value *v, int64_t *n)
{
    *n = 0;
    switch ((enum value_type)v->type) {
    case VAL_UNDEFINED:
        return 0;
    case VAL_STRING:
        *n = (int64_t)utf8_count(v->s, v->n);
        return jinja_work(it, 1 + v->n / 64);
    case VAL_DICT:
        *n = (int64_t)v->dict->n;
        return 0;
    case VAL_LOOP:
        *n = (int64_t)v->loop->n;
        return 0;
    case VAL_LIST:
        if (v->list->kind != LIST_GENERATOR) {
            *n = (int64_t)v->list->n;
            return 0;
        }
        break;
    default:
        break;
    }
    return jinja_fail(it, "%s has no length", val_type_name(v));
}
