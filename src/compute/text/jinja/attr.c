/* What stands behind a dot or in brackets. As in Jinja's sandbox: a dot prefers methods to keys, brackets prefer keys;
 * what is not there is undefined; nothing leads out of the data, and nothing changes it. */
#include <stdlib.h>
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/utf8.h"

static int undefined_object(struct interp *it, const struct value *o, const char *what, size_t n)
{
    return jinja_fail(it, "\"%.*s\" is undefined, it has no \"%.*s\"", (int)o->n, o->s, (int)n, what);
}

/* The method of that name bound to the object; undefined where there is none. */
static int find_method(struct interp *it, const struct value *o, const char *name, size_t n, struct value *out)
{
    *out = val_undefined(name, n);
    if (o->type == VAL_LOOP) {
        return loop_attr(it, o->loop, name, n, out);
    }
    if (o->type == VAL_MACRO && n == 4 && memcmp(name, "name", 4) == 0) {
        *out = val_text(o->macro->node->s, o->macro->node->n);
        return 0;
    }
    const struct builtin *b = method_of(o, name, n);
    if (!b) {
        return 0;
    }
    if (!b->call) {
        static const char why[] = "a method that changes its object (templates may not)";
        *out = val_undefined(why, sizeof why - 1);
        return 0;
    }
    struct bound_method *m = jinja_alloc(it, 1, sizeof *m);
    if (!m) {
        return -ERR_LIMIT;
    }
    *m = (struct bound_method){.method = b, .self = *o};
    *out = (struct value){.type = VAL_METHOD, .method = m};
    return 0;
}

int attr_get(struct interp *it, const struct value *o, const char *name, size_t n, struct value *out)
{
    if (o->type == VAL_UNDEFINED) {
        return undefined_object(it, o, name, n);
    }
    if (o->type != VAL_NAMESPACE) {
        int rc = find_method(it, o, name, n, out);
        if (rc || out->type != VAL_UNDEFINED) {
            return rc;
        }
    }
    const struct value *v = NULL;
    if (o->type == VAL_DICT || o->type == VAL_NAMESPACE) {
        v = dict_find_text(it, o->dict, name, n);
    }
    if (v) {
        *out = *v;
    } else if (o->type == VAL_DICT || o->type == VAL_NAMESPACE) {
        *out = val_undefined(name, n);
    }
    return 0;
}

/* Byte offset of character number k, or the length of the string. */
static size_t char_offset(const struct value *s, int64_t k)
{
    size_t at = 0;
    for (int64_t i = 0; i < k && at < s->n; i++) {
        uint32_t cp;
        at += utf8_decode(s->s + at, s->n - at, &cp);
    }
    return at;
}

static int item_of_string(struct interp *it, const struct value *o, int64_t i, struct value *out)
{
    int64_t n;
    int rc = val_length(it, o, &n);
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n) {
        *out = val_undefined("an index of a string", 20);
        return rc;
    }
    size_t at = char_offset(o, i);
    uint32_t cp;
    *out = val_part(*o, at, utf8_decode(o->s + at, o->n - at, &cp));
    return rc;
}

static bool can_index(const struct value *o)
{
    return o->type == VAL_LIST && o->list->kind <= LIST_RANGE;
}

int attr_item(struct interp *it, const struct value *o, const struct value *index, struct value *out)
{
    int64_t i;
    if (o->type == VAL_UNDEFINED) {
        return undefined_object(it, o, "item", 4);
    }
    *out = val_undefined("an item", 7);
    if (o->type == VAL_DICT) {
        const struct value *v = dict_find(it, o->dict, index);
        if (v) {
            *out = *v;
            return 0;
        }
    }
    if (index->type == VAL_STRING) {
        return o->type == VAL_NAMESPACE ? attr_get(it, o, index->s, index->n, out)
                                        : find_method(it, o, index->s, index->n, out);
    }
    if (!val_is_int(index, &i)) {
        return 0;
    }
    if (o->type == VAL_STRING) {
        return item_of_string(it, o, i, out);
    }
    if (can_index(o)) {
        i += i < 0 ? (int64_t)o->list->n : 0;
        if (i >= 0 && (size_t)i < o->list->n) {
            *out = o->list->item[i];
        }
    }
    return 0;
}

/* Where a part of a slice lies, between low and high (Python's slice.indices). */
static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high)
{
    i += i < 0 ? n : 0;
    return i < low ? low : i > high ? high : i;
}

/* start, stop, step of a slice over n items; false when a part is no integer. */
static bool slice_indices(const struct value part[3], int64_t n, int64_t idx[3])
{
    idx[2] = 1;
    for (int i = 0; i < 3; i++) {
        if (part[i].type != VAL_NONE && !val_is_int(&part[i], &idx[i])) {
            return false;
        }
    }
    bool back = idx[2] < 0;
    int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    idx[0] = part[0].type == VAL_NONE ? (back ? high : low) : clamp(idx[0], n, low, high);
    idx[1] = part[1].type == VAL_NONE ? (back ? low : high) : clamp(idx[1], n, low, high);
    return true;
}

static int slice_list(struct interp *it, const struct value *o, const int64_t idx[3], struct value *out)
{
    struct list *l;
    int rc = list_new(it, val_is_tuple(o) ? LIST_TUPLE : LIST_LIST, 0, &l);
    int64_t n = (int64_t)o->list->n, step = idx[2] > n ? n + 1 : idx[2] < -n ? -n - 1 : idx[2];
    for (int64_t i = idx[0]; !rc && (step > 0 ? i < idx[1] : i > idx[1]); i += step) {
        rc = list_add(it, l, o->list->item[i]);
    }
    *out = val_list(l);
    return rc;
}

static int slice_string(struct interp *it, const struct value *o, int64_t n, const int64_t idx[3], struct value *out)
{
    if (idx[2] == 1) {
        size_t from = char_offset(o, idx[0]), to = idx[1] > idx[0] ? char_offset(o, idx[1]) : from;
        *out = val_part(*o, from, to - from);
        return jinja_work(it, 1 + o->n / 64);
    }
    struct value *item;
    size_t n_item;
    struct text t;
    text_init(&t, it);
    int rc = val_items(it, o, &item, &n_item);
    int64_t step = idx[2] > n ? n + 1 : idx[2] < -n ? -n - 1 : idx[2];
    for (int64_t i = idx[0]; !rc && (step > 0 ? i < idx[1] : i > idx[1]); i += step) {
        rc = text_add_value(&t, &item[i]);
    }
    *out = text_value(&t);
    return rc;
}

int attr_slice(struct interp *it, const struct value *o, const struct value part[3], struct value *out)
{
    int64_t n, idx[3] = {0};
    if (o->type == VAL_UNDEFINED) {
        return undefined_object(it, o, "slice", 5);
    }
    if (o->type != VAL_STRING && !can_index(o)) {
        return jinja_fail(it, "%s cannot be sliced", val_type_name(o));
    }
    int rc = val_length(it, o, &n);
    if (rc) {
        return rc;
    }
    if (!slice_indices(part, n, idx)) {
        return jinja_fail(it, "the parts of a slice are integers or nothing");
    }
    if (idx[2] == 0) {
        return jinja_fail(it, "the step of a slice is zero");
    }
    return o->type == VAL_STRING ? slice_string(it, o, n, idx, out) : slice_list(it, o, idx, out);
}

/* One part of a dotted path: digits are an index. */
static struct value path_part(const struct value *path, size_t from, size_t n)
{
    int64_t i = 0;
    bool digits = n > 0 && n < 18;
    for (size_t k = 0; k < n && digits; k++) {
        digits = path->s[from + k] >= '0' && path->s[from + k] <= '9';
        i = i * 10 + (path->s[from + k] - '0');
    }
    return digits ? val_int(i) : val_part(*path, from, n);
}

int attr_path(struct interp *it, const struct value *o, const struct value *path, struct value *out)
{
    if (path->type != VAL_STRING) {
        return attr_item(it, o, path, out);
    }
    struct value v = *o;
    size_t from = 0;
    for (;;) {
        const char *dot = memchr(path->s + from, '.', path->n - from);
        size_t n = dot ? (size_t)(dot - path->s) - from : path->n - from;
        struct value part = path_part(path, from, n), next;
        int rc = attr_item(it, &v, &part, &next);
        if (rc) {
            return rc;
        }
        v = next;
        if (!dot) {
            break;
        }
        from += n + 1;
    }
    *out = v;
    return 0;
}
