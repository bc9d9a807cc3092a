/* Filters on sequences and dicts. Those that are lazy in Jinja give a list of kind LIST_GENERATOR: it can be walked
 * once, is always true and has no length, as a generator. */
#include "compute/text/jinja/filters_int.h"

#include <string.h>

static int no_args(struct interp *it, const struct args *a)
{
    return args_bind(it, a, "the filter", "", 0, NULL);
}

/* A list of that kind with n items from an array. */
static int list_of(struct interp *it, enum list_kind kind, const struct value *item, size_t n, struct value *out)
{
    struct list *l;
    int rc = list_new(it, kind, n, &l);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = list_add(it, l, item[i]);
    }
    *out = val_list(l);
    return rc;
}

FILTER(length)
{
    int64_t n;
    int rc = no_args(it, a);
    rc = rc ? rc : val_length(it, v, &n);
    *out = val_int(rc ? 0 : n);
    return rc;
}

FILTER(list)
{
    struct value *item = NULL;
    size_t n = 0;
    int rc = no_args(it, a);
    rc = rc ? rc : val_items(it, v, &item, &n);
    return rc ? rc : list_of(it, LIST_LIST, item, n, out);
}

FILTER(first)
{
    struct value *item = NULL;
    size_t n = 0;
    int rc = no_args(it, a);
    rc = rc ? rc : val_items(it, v, &item, &n);
    *out = !rc && n ? item[0] : val_undefined("the first of nothing", 20);
    return rc;
}

FILTER(last)
{
    struct value *item = NULL;
    size_t n = 0;
    int rc = no_args(it, a);
    if (!rc && v->type == VAL_LIST && v->list->kind == LIST_GENERATOR) {
        rc = jinja_fail(it, "a generator has no last item; put |list before |last");
    }
    rc = rc ? rc : val_items(it, v, &item, &n);
    *out = !rc && n ? item[n - 1] : val_undefined("the last of nothing", 19);
    return rc;
}

FILTER(reverse)
{
    struct value *item = NULL;
    size_t n = 0;
    struct list *l;
    int rc = no_args(it, a);
    rc = rc ? rc : val_items(it, v, &item, &n);
    rc = rc ? rc : list_new(it, LIST_GENERATOR, n, &l);
    for (size_t i = n; !rc && i > 0; i--) {
        rc = list_add(it, l, item[i - 1]);
    }
    if (rc || v->type != VAL_STRING) {
        *out = val_list(l);
        return rc;
    }
    struct text t;
    text_init(&t, it);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = text_add_value(&t, &l->item[i]);
    }
    *out = text_value(&t);
    return rc;
}

FILTER(join)
{
    const struct value *p[2];
    struct value *item = NULL, glue = val_text("", 0);
    size_t n = 0;
    struct text t;
    text_init(&t, it);
    int rc = args_bind(it, a, "the filter join", "d attribute", 0, p);
    rc = rc || !p[0] ? rc : val_to_string(it, p[0], &glue);
    rc = rc ? rc : val_items(it, v, &item, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        struct value one = item[i];
        rc = i ? text_add_value(&t, &glue) : 0;
        if (!rc && p[1] && p[1]->type != VAL_NONE) {
            rc = attr_path(it, &item[i], p[1], &one);
        }
        rc = rc ? rc : text_add_display(&t, &one);
    }
    *out = text_value(&t);
    return rc;
}

FILTER(items)
{
    struct list *l;
    int rc = no_args(it, a);
    if (!rc && v->type != VAL_DICT && v->type != VAL_UNDEFINED) {
        rc = jinja_fail(it, "the filter items needs a dict, not %s", val_type_name(v));
    }
    rc = rc ? rc : list_new(it, LIST_GENERATOR, 0, &l);
    for (size_t i = 0; !rc && v->type == VAL_DICT && i < v->dict->n; i++) {
        struct value pair[2] = {v->dict->key[i], v->dict->value[i]}, tuple;
        rc = list_of(it, LIST_TUPLE, pair, 2, &tuple);
        rc = rc ? rc : list_add(it, l, tuple);
    }
    *out = val_list(l);
    return rc;
}

/* What an item is compared by: an attribute of it or itself, text in lower case unless case counts. */
static int sort_key(struct interp *it, const struct value *item, const struct value *attribute, bool case_sensitive,
                    struct value *out)
{
    *out = *item;
    int rc = attribute && attribute->type != VAL_NONE ? attr_path(it, item, attribute, out) : 0;
    if (!rc && !case_sensitive && out->type == VAL_STRING) {
        struct value s = *out;
        rc = string_lower(it, &s, out);
    }
    return rc;
}

/* The key of an item by several attributes, "a,b": a tuple. */
static int sort_keys(struct interp *it, const struct value *item, const struct value *attribute, bool case_sensitive,
                     struct value *out)
{
    if (!attribute || attribute->type != VAL_STRING || !memchr(attribute->s, ',', attribute->n)) {
        return sort_key(it, item, attribute, case_sensitive, out);
    }
    struct list *l;
    int rc = list_new(it, LIST_TUPLE, 0, &l);
    for (size_t from = 0; !rc && from <= attribute->n;) {
        const char *comma = memchr(attribute->s + from, ',', attribute->n - from);
        size_t n = comma ? (size_t)(comma - attribute->s) - from : attribute->n - from;
        struct value part = val_part(*attribute, from, n), key;
        rc = sort_key(it, item, &part, case_sensitive, &key);
        rc = rc ? rc : list_add(it, l, key);
        from += n + 1;
    }
    *out = val_list(l);
    return rc;
}

/* A sorted copy of the items, with their keys. */
static int sorted(struct interp *it, const struct value *item, size_t n, const struct value *attribute,
                  bool case_sensitive, bool reverse, struct value *out)
{
    struct value *key = jinja_alloc(it, n, sizeof *key);
    int rc = key ? list_of(it, LIST_LIST, item, n, out) : -ERR_LIMIT;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = sort_keys(it, &item[i], attribute, case_sensitive, &key[i]);
    }
    return rc ? rc : sort_values(it, out->list->item, key, n, reverse);
}

FILTER(sort)
{
    const struct value *p[3];
    struct value *item = NULL;
    size_t n = 0;
    int rc = args_bind(it, a, "the filter sort", "reverse case_sensitive attribute", 0, p);
    rc = rc ? rc : val_items(it, v, &item, &n);
    return rc ? rc : sorted(it, item, n, p[2], args_truth(p[1], false), args_truth(p[0], false), out);
}

FILTER(dictsort)
{
    const struct value *p[3];
    struct args none = {0};
    struct value pairs, position = val_int(0);
    int rc = args_bind(it, a, "the filter dictsort", "case_sensitive by reverse", 0, p);
    if (!rc && v->type != VAL_DICT) {
        rc = jinja_fail(it, "the filter dictsort needs a dict, not %s", val_type_name(v));
    }
    if (!rc && p[1] && !val_is_text(p[1], "key")) {
        position = val_int(1);
        rc = val_is_text(p[1], "value") ? 0 : jinja_fail(it, "dictsort sorts by \"key\" or \"value\"");
    }
    rc = rc ? rc : filter_items(it, v, &none, &pairs);
    return rc ? rc
              : sorted(it, pairs.list->item, pairs.list->n, &position, args_truth(p[0], false), args_truth(p[2], false),
                       out);
}

FILTER(unique)
{
    const struct value *p[2];
    struct value *item = NULL, key;
    size_t n = 0;
    struct list *l, *seen;
    int rc = args_bind(it, a, "the filter unique", "case_sensitive attribute", 0, p);
    rc = rc ? rc : val_items(it, v, &item, &n);
    rc = rc ? rc : list_new(it, LIST_GENERATOR, 0, &l);
    rc = rc ? rc : list_new(it, LIST_LIST, 0, &seen);
    for (size_t i = 0; !rc && i < n; i++) {
        bool old = false;
        rc = sort_key(it, &item[i], p[1], args_truth(p[0], false), &key);
        struct value s = val_list(seen);
        rc = rc ? rc : val_need_hash(it, &key);
        rc = rc ? rc : val_contains(it, &s, &key, &old);
        if (!rc && !old) {
            rc = list_add(it, l, item[i]);
            rc = rc ? rc : list_add(it, seen, key);
        }
    }
    *out = val_list(l);
    return rc;
}

static int extreme(struct interp *it, const struct value *v, const struct args *a, bool largest, struct value *out)
{
    const struct value *p[2];
    struct value *item = NULL, key, best;
    size_t n = 0;
    int rc = args_bind(it, a, largest ? "the filter max" : "the filter min", "case_sensitive attribute", 0, p);
    rc = rc ? rc : val_items(it, v, &item, &n);
    *out = val_undefined("an item of nothing", 18);
    for (size_t i = 0; !rc && i < n; i++) {
        bool better = i == 0;
        rc = sort_key(it, &item[i], p[1], args_truth(p[0], false), &key);
        if (!rc && i > 0) {
            rc = largest ? val_less(it, &best, &key, &better) : val_less(it, &key, &best, &better);
        }
        if (!rc && better) {
            best = key;
            *out = item[i];
        }
    }
    return rc;
}

FILTER(min)
{
    return extreme(it, v, a, false, out);
}

FILTER(max)
{
    return extreme(it, v, a, true, out);
}

FILTER(sum)
{
    const struct value *p[2];
    struct value *item = NULL;
    size_t n = 0;
    int rc = args_bind(it, a, "the filter sum", "attribute start", 0, p);
    rc = rc ? rc : val_items(it, v, &item, &n);
    *out = !rc && p[1] ? *p[1] : val_int(0);
    for (size_t i = 0; !rc && i < n; i++) {
        struct value one = item[i], so_far = *out;
        rc = p[0] && p[0]->type != VAL_NONE ? attr_path(it, &item[i], p[0], &one) : 0;
        if (!rc && so_far.type == VAL_STRING) {
            rc = jinja_fail(it, "the filter sum does not add strings; use join");
        }
        rc = rc ? rc : op_binary(it, '+', &so_far, &one, out);
    }
    return rc;
}

/* The attribute of an item, by map(attribute=...). */
static int map_attribute(struct interp *it, const struct value *item, size_t n, const struct args *a, struct list *l)
{
    const struct value *p[2];
    int rc = args_bind(it, a, "the filter map", "attribute default", 1, p);
    for (size_t i = 0; !rc && i < n; i++) {
        struct value v;
        rc = attr_path(it, &item[i], p[0], &v);
        if (!rc && v.type == VAL_UNDEFINED && p[1] && p[1]->type != VAL_NONE) {
            v = *p[1];
        }
        rc = rc ? rc : list_add(it, l, v);
    }
    return rc;
}

/* Arguments without the first `skip` positional ones. */
static struct args rest_of(const struct args *a, size_t skip)
{
    struct args r = *a;
    r.pos += skip;
    r.n_pos -= skip;
    return r;
}

FILTER(map)
{
    struct value *item = NULL;
    size_t n = 0;
    struct list *l;
    int rc = list_new(it, LIST_GENERATOR, 0, &l);
    rc = rc || !val_truth(v) ? rc : val_items(it, v, &item, &n);
    *out = val_list(l);
    if (rc) {
        return rc;
    }
    if (a->n_pos == 0) {
        return a->n_kw ? map_attribute(it, item, n, a, l)
                       : jinja_fail(it, "the filter map needs the name of a filter, or attribute=");
    }
    struct args rest = rest_of(a, 1);
    for (size_t i = 0; !rc && i < n; i++) {
        struct value one;
        rc = filter_call(it, &a->pos[0], &item[i], &rest, &one);
        rc = rc ? rc : list_add(it, l, one);
    }
    return rc;
}

/* Items, or attributes of them, that pass a test (or are true), or do not. */
static int choose(struct interp *it, const struct value *v, const struct args *a, bool by_attribute, bool keep,
                  struct value *out)
{
    struct value *item = NULL;
    size_t n = 0, off = by_attribute;
    struct list *l;
    int rc = list_new(it, LIST_GENERATOR, 0, &l);
    rc = rc || !val_truth(v) ? rc : val_items(it, v, &item, &n);
    *out = val_list(l);
    if (!rc && a->n_pos < off) {
        rc = jinja_fail(it, "the filter needs the name of an attribute");
    }
    for (size_t i = 0; !rc && i < n; i++) {
        struct value x = item[i];
        rc = by_attribute ? attr_path(it, &item[i], &a->pos[0], &x) : 0;
        bool yes = !rc && val_truth(&x);
        if (!rc && a->n_pos > off) {
            struct args rest = rest_of(a, off + 1);
            rc = test_call(it, &a->pos[off], &x, &rest, &yes);
        }
        rc = rc || yes != keep ? rc : list_add(it, l, item[i]);
    }
    return rc;
}

FILTER(select)
{
    return choose(it, v, a, false, true, out);
}

FILTER(reject)
{
    return choose(it, v, a, false, false, out);
}

FILTER(selectattr)
{
    return choose(it, v, a, true, true, out);
}

FILTER(rejectattr)
{
    return choose(it, v, a, true, false, out);
}

FILTER(attr)
{
    const struct value *name;
    int rc = args_bind(it, a, "the filter attr", "name", 1, &name);
    if (!rc && name->type != VAL_STRING) {
        rc = jinja_fail(it, "the filter attr needs the name of an attribute");
    }
    if (rc || v->type == VAL_DICT) { /* keys are items, not attributes */
        *out = rc ? val_none() : val_undefined(name->s, name->n);
        return rc;
    }
    return attr_get(it, v, name->s, name->n, out);
}

/* n lists as even as can be, the first ones longer; the others filled up. */
FILTER(slice)
{
    const struct value *p[2];
    struct value *item = NULL, part;
    size_t n = 0, at = 0;
    int64_t count;
    struct list *l;
    int rc = args_bind(it, a, "the filter slice", "slices fill_with", 1, p);
    rc = rc ? rc : args_int(it, p[0], 1, &count);
    if (!rc && (count < 1 || count > JINJA_MAX_RANGE)) {
        rc = jinja_fail(it, "the filter slice makes 1 to %d parts", JINJA_MAX_RANGE);
    }
    rc = rc ? rc : val_items(it, v, &item, &n);
    rc = rc ? rc : list_new(it, LIST_GENERATOR, 0, &l);
    for (size_t i = 0; !rc && i < (size_t)count; i++) {
        size_t take = n / (size_t)count + (i < n % (size_t)count);
        rc = list_of(it, LIST_LIST, item + at, take, &part);
        at += take;
        if (!rc && p[1] && p[1]->type != VAL_NONE && i >= n % (size_t)count) {
            rc = list_add(it, part.list, *p[1]);
        }
        rc = rc ? rc : list_add(it, l, part);
    }
    *out = val_list(l);
    return rc;
}

FILTER(batch)
{
    const struct value *p[2];
    struct value *item = NULL, part;
    size_t n = 0;
    int64_t size;
    struct list *l;
    int rc = args_bind(it, a, "the filter batch", "linecount fill_with", 1, p);
    rc = rc ? rc : args_int(it, p[0], 1, &size);
    if (!rc && (size < 1 || size > JINJA_MAX_RANGE)) {
        rc = jinja_fail(it, "the filter batch makes parts of 1 to %d items", JINJA_MAX_RANGE);
    }
    rc = rc ? rc : val_items(it, v, &item, &n);
    rc = rc ? rc : list_new(it, LIST_GENERATOR, 0, &l);
    for (size_t i = 0; !rc && i < n; i += (size_t)size) {
        size_t take = n - i < (size_t)size ? n - i : (size_t)size;
        rc = list_of(it, LIST_LIST, item + i, take, &part);
        for (size_t k = take; !rc && p[1] && p[1]->type != VAL_NONE && k < (size_t)size; k++) {
            rc = list_add(it, part.list, *p[1]);
        }
        rc = rc ? rc : list_add(it, l, part);
    }
    *out = val_list(l);
    return rc;
}

const struct builtin *filter_find_sequence(const char *name, size_t n)
{
    static const struct builtin table[] = {
        {"length", filter_length},
        {"count", filter_length},
        {"list", filter_list},
        {"first", filter_first},
        {"last", filter_last},
        {"reverse", filter_reverse},
        {"join", filter_join},
        {"items", filter_items},
        {"sort", filter_sort},
        {"dictsort", filter_dictsort},
        {"unique", filter_unique},
        {"min", filter_min},
        {"max", filter_max},
        {"sum", filter_sum},
        {"map", filter_map},
        {"select", filter_select},
        {"reject", filter_reject},
        {"selectattr", filter_selectattr},
        {"rejectattr", filter_rejectattr},
        {"attr", filter_attr},
        {"slice", filter_slice},
        {"batch", filter_batch},
    };
    return builtin_find(table, N_ELEM(table), name, n);
}
