/* Methods of strings, dicts and lists. A NULL function stands for a method that Python has and that would change its
 * object: templates run as in an immutable sandbox, there it is undefined. */
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/jinja/split.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

#define METHOD(name) \
    static int method_##name(struct interp *it, const struct value *self, const struct args *a, struct value *out)

static int no_args(struct interp *it, const struct args *a)
{
    return args_bind(it, a, "the method", "", 0, NULL);
}

METHOD(upper)
{
    int rc = no_args(it, a);
    return rc ? rc : string_upper(it, self, out);
}

METHOD(lower)
{
    int rc = no_args(it, a);
    return rc ? rc : string_lower(it, self, out);
}

METHOD(capitalize)
{
    int rc = no_args(it, a);
    return rc ? rc : string_capitalize(it, self, out);
}

/* Title case at the start of every run of cased characters. */
METHOD(title)
{
    struct text t;
    text_init(&t, it);
    bool inside = false;
    int rc = no_args(it, a);
    for (size_t i = 0; !rc && i < self->n;) {
        uint32_t cp, map[3];
        size_t len = utf8_decode(self->s + i, self->n - i, &cp);
        size_t n = unicode_map_case(cp, inside ? UNICODE_LOWER : UNICODE_TITLE, map);
        for (size_t k = 0; !rc && k < n; k++) {
            rc = text_add_char(&t, map[k], self, i);
        }
        inside = unicode_is_cased(cp);
        i += len;
    }
    *out = text_value(&t);
    return rc;
}

static int strip(struct interp *it, const struct value *self, const struct args *a, bool left, bool right,
                 struct value *out)
{
    const struct value *chars;
    int rc = args_bind(it, a, "strip()", "chars", 0, &chars);
    return rc ? rc : string_strip(it, self, chars, left, right, out);
}

METHOD(strip)
{
    return strip(it, self, a, true, true, out);
}

METHOD(lstrip)
{
    return strip(it, self, a, true, false, out);
}

METHOD(rstrip)
{
    return strip(it, self, a, false, true, out);
}

static int need_string(struct interp *it, const struct value *v)
{
    return v->type == VAL_STRING ? 0 : jinja_fail(it, "a string is needed, not %s", val_type_name(v));
}

static bool has_affix(const struct value *s, const struct value *affix, bool at_end)
{
    return affix->n <= s->n && memcmp(s->s + (at_end ? s->n - affix->n : 0), affix->s, affix->n) == 0;
}

/* startswith and endswith take one string or a tuple of them. */
static int affix(struct interp *it, const struct value *self, const struct args *a, bool at_end, struct value *out)
{
    const struct value *p[3];
    struct value s = *self;
    int rc = args_bind(it, a, at_end ? "endswith()" : "startswith()", at_end ? "suffix start end" : "prefix start end",
                       1, p);
    if (!rc && (p[1] || p[2])) {
        struct value part[3] = {p[1] ? *p[1] : val_none(), p[2] ? *p[2] : val_none(), val_none()};
        rc = attr_slice(it, self, part, &s);
        rc = rc || s.type == VAL_STRING ? rc : jinja_fail(it, "start and end must be integers");
    }
    if (rc) {
        return rc;
    }
    const struct value *one = p[0];
    size_t n = 1;
    if (val_is_tuple(p[0])) {
        one = p[0]->list->item;
        n = p[0]->list->n;
    }
    bool yes = false;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = need_string(it, &one[i]);
        yes = yes || (!rc && has_affix(&s, &one[i], at_end));
    }
    *out = val_bool(yes);
    return rc;
}

METHOD(startswith)
{
    return affix(it, self, a, false, out);
}

METHOD(endswith)
{
    return affix(it, self, a, true, out);
}

static int remove_affix(struct interp *it, const struct value *self, const struct args *a, bool at_end,
                        struct value *out)
{
    const struct value *p;
    int rc = args_bind(it, a, "removeprefix()", "affix", 1, &p);
    rc = rc ? rc : need_string(it, p);
    if (rc) {
        return rc;
    }
    bool has = has_affix(self, p, at_end);
    *out = has ? val_part(*self, at_end ? 0 : p->n, self->n - p->n) : *self;
    return 0;
}

METHOD(removeprefix)
{
    return remove_affix(it, self, a, false, out);
}

METHOD(removesuffix)
{
    return remove_affix(it, self, a, true, out);
}

METHOD(replace)
{
    const struct value *p[3];
    int64_t max;
    int rc = args_bind(it, a, "replace()", "old new count", 2, p);
    rc = rc ? rc : args_int(it, p[2], -1, &max);
    rc = rc ? rc : need_string(it, p[0]);
    rc = rc ? rc : need_string(it, p[1]);
    return rc ? rc : string_replace(it, self, p[0], p[1], max, out);
}

METHOD(format)
{
    return format_braces(it, self, a, out);
}

METHOD(join)
{
    const struct value *p;
    struct value *item;
    size_t n;
    struct text t;
    text_init(&t, it);
    int rc = args_bind(it, a, "join()", "iterable", 1, &p);
    rc = rc ? rc : val_items(it, p, &item, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = need_string(it, &item[i]);
        rc = rc || i == 0 ? rc : text_add_value(&t, self);
        rc = rc ? rc : text_add_value(&t, &item[i]);
    }
    *out = text_value(&t);
    return rc;
}

/* Byte of the first or last place of `what` in self, -1 when absent. */
static int64_t find_bytes(const struct value *self, const struct value *what, bool from_end)
{
    if (what->n > self->n) {
        return -1;
    }
    if (!from_end) {
        const char *hit = what->n ? memmem(self->s, self->n, what->s, what->n) : self->s;
        return hit ? hit - self->s : -1;
    }
    for (size_t i = self->n - what->n + 1; i > 0; i--) {
        if (memcmp(self->s + i - 1, what->s, what->n) == 0) {
            return (int64_t)i - 1;
        }
    }
    return -1;
}

static int find(struct interp *it, const struct value *self, const struct args *a, bool from_end, bool must,
                struct value *out)
{
    const struct value *p;
    int rc = args_bind(it, a, must ? "index()" : "find()", "sub", 1, &p);
    rc = rc ? rc : need_string(it, p);
    rc = rc ? rc : jinja_work(it, 1 + self->n / 64 * (from_end ? 1 + p->n / 8 : 1));
    if (rc) {
        return rc;
    }
    int64_t at = find_bytes(self, p, from_end);
    if (at < 0 && must) {
        return jinja_fail(it, "the string does not hold what index() looks for");
    }
    *out = val_int(at < 0 ? -1 : (int64_t)utf8_count(self->s, (size_t)at));
    return 0;
}

METHOD(find)
{
    return find(it, self, a, false, false, out);
}

METHOD(rfind)
{
    return find(it, self, a, true, false, out);
}

METHOD(index)
{
    return find(it, self, a, false, true, out);
}

METHOD(count)
{
    const struct value *p;
    int64_t n = 0;
    int rc = args_bind(it, a, "count()", "sub", 1, &p);
    rc = rc ? rc : need_string(it, p);
    if (!rc && p->n == 0) {
        n = (int64_t)utf8_count(self->s, self->n) + 1;
    }
    for (size_t at = 0; !rc && p->n > 0;) {
        const char *hit = memmem(self->s + at, self->n - at, p->s, p->n);
        if (!hit) {
            break;
        }
        n++;
        at = (size_t)(hit - self->s) + p->n;
    }
    *out = val_int(n);
    return rc ? rc : jinja_work(it, 1 + self->n / 64);
}

METHOD(splitlines)
{
    const struct value *keep;
    struct list *l;
    int rc = args_bind(it, a, "splitlines()", "keepends", 0, &keep);
    rc = rc ? rc : string_lines(it, self, args_truth(keep, false), &l);
    *out = val_list(rc ? NULL : l);
    return rc;
}

static int justify(struct interp *it, const struct value *self, const struct args *a, int align, struct value *out)
{
    const struct value *p[2];
    int64_t width;
    int rc = args_bind(it, a, "the method", "width fillchar", 1, p);
    rc = rc ? rc : args_int(it, p[0], 0, &width);
    return rc ? rc : string_center(it, self, width, p[1], align, out);
}

METHOD(center)
{
    return justify(it, self, a, 0, out);
}

METHOD(ljust)
{
    return justify(it, self, a, -1, out);
}

METHOD(rjust)
{
    return justify(it, self, a, 1, out);
}

METHOD(zfill)
{
    const struct value *p;
    struct value zero = val_text("0", 1), digits = *self, padded;
    int64_t width;
    bool sign = self->n > 0 && (self->s[0] == '+' || self->s[0] == '-');
    int rc = args_bind(it, a, "zfill()", "width", 1, &p);
    rc = rc ? rc : args_int(it, p, 0, &width);
    digits = sign ? val_part(*self, 1, self->n - 1) : digits;
    rc = rc ? rc : string_center(it, &digits, width - sign, &zero, 1, &padded);
    struct text t;
    text_init(&t, it);
    rc = rc || !sign ? rc : text_add_part(&t, self, 0, 1);
    rc = rc ? rc : text_add_value(&t, &padded);
    *out = text_value(&t);
    return rc;
}

/* True when there is a character and all have the property. */
static int all_are(struct interp *it, const struct value *self, const struct args *a, bool (*has)(uint32_t cp),
                   struct value *out)
{
    bool yes = self->n > 0;
    for (size_t i = 0; yes && i < self->n;) {
        uint32_t cp;
        i += utf8_decode(self->s + i, self->n - i, &cp);
        yes = has(cp);
    }
    *out = val_bool(yes);
    return no_args(it, a);
}

static bool is_alphanumeric(uint32_t cp)
{
    return unicode_is_letter(cp) || unicode_is_number(cp);
}

METHOD(isdigit)
{
    return all_are(it, self, a, unicode_is_decimal, out);
}

METHOD(isalpha)
{
    return all_are(it, self, a, unicode_is_letter, out);
}

METHOD(isalnum)
{
    return all_are(it, self, a, is_alphanumeric, out);
}

METHOD(isspace)
{
    return all_are(it, self, a, unicode_is_python_space, out);
}

static int test_method(struct interp *it, const struct value *self, const struct args *a, const char *test,
                       struct value *out)
{
    struct value name = val_text(test, strlen(test));
    bool yes = false;
    int rc = test_call(it, &name, self, a, &yes);
    *out = val_bool(yes);
    return rc;
}

METHOD(isupper)
{
    return test_method(it, self, a, "upper", out);
}

METHOD(islower)
{
    return test_method(it, self, a, "lower", out);
}

METHOD(get)
{
    const struct value *p[2];
    int rc = args_bind(it, a, "get()", "key default", 1, p);
    rc = rc ? rc : val_need_hash(it, p[0]);
    const struct value *v = rc ? NULL : dict_find(it, self->dict, p[0]);
    *out = v ? *v : !rc && p[1] ? *p[1] : val_none();
    return rc;
}

static int view(struct interp *it, const struct value *self, const struct args *a, enum list_kind kind,
                struct value *out)
{
    const struct dict *d = self->dict;
    struct list *l;
    int rc = no_args(it, a);
    rc = rc ? rc : list_new(it, kind, d->n, &l);
    for (size_t i = 0; !rc && i < d->n; i++) {
        struct value v = kind == LIST_KEYS ? d->key[i] : d->value[i];
        if (kind == LIST_ITEMS) {
            struct list *pair;
            rc = list_new(it, LIST_TUPLE, 2, &pair);
            rc = rc ? rc : list_add(it, pair, d->key[i]);
            rc = rc ? rc : list_add(it, pair, d->value[i]);
            v = val_list(pair);
        }
        rc = rc ? rc : list_add(it, l, v);
    }
    *out = val_list(rc ? NULL : l);
    return rc;
}

METHOD(items)
{
    return view(it, self, a, LIST_ITEMS, out);
}

METHOD(keys)
{
    return view(it, self, a, LIST_KEYS, out);
}

METHOD(values)
{
    return view(it, self, a, LIST_VALUES, out);
}

/* Values do not change, so the copy is the object. */
METHOD(copy)
{
    *out = *self;
    return no_args(it, a);
}

/* Number of items that are equal, and the index of the first. */
static int count_items(struct interp *it, const struct value *self, const struct value *x, int64_t *n, int64_t *first)
{
    *n = 0;
    *first = -1;
    for (size_t i = 0; i < self->list->n; i++) {
        int eq = val_equal(it, &self->list->item[i], x);
        if (eq < 0) {
            return eq;
        }
        *n += eq;
        *first = eq && *first < 0 ? (int64_t)i : *first;
    }
    return 0;
}

METHOD(list_count)
{
    const struct value *x;
    int64_t n = 0, first;
    int rc = args_bind(it, a, "count()", "value", 1, &x);
    rc = rc ? rc : count_items(it, self, x, &n, &first);
    *out = val_int(n);
    return rc;
}

METHOD(list_index)
{
    const struct value *x;
    int64_t n = 0, first = -1;
    int rc = args_bind(it, a, "index()", "value", 1, &x);
    rc = rc ? rc : count_items(it, self, x, &n, &first);
    *out = val_int(first);
    return rc || first >= 0 ? rc : jinja_fail(it, "the list does not hold what index() looks for");
}

static const struct builtin string_methods[] = {
    {"upper", method_upper},
    {"lower", method_lower},
    {"capitalize", method_capitalize},
    {"title", method_title},
    {"strip", method_strip},
    {"lstrip", method_lstrip},
    {"rstrip", method_rstrip},
    {"split", method_split},
    {"rsplit", method_rsplit},
    {"startswith", method_startswith},
    {"endswith", method_endswith},
    {"removeprefix", method_removeprefix},
    {"removesuffix", method_removesuffix},
    {"replace", method_replace},
    {"format", method_format},
    {"join", method_join},
    {"find", method_find},
    {"rfind", method_rfind},
    {"index", method_index},
    {"count", method_count},
    {"splitlines", method_splitlines},
    {"center", method_center},
    {"ljust", method_ljust},
    {"rjust", method_rjust},
    {"zfill", method_zfill},
    {"isdigit", method_isdigit},
    {"isdecimal", method_isdigit},
    {"isnumeric", method_isdigit},
    {"isalpha", method_isalpha},
    {"isalnum", method_isalnum},
    {"isspace", method_isspace},
    {"isupper", method_isupper},
    {"islower", method_islower},
};

/* NULL: there in Python, but it would change the value; refused by name. */
static const struct builtin dict_methods[] = {
    {"get", method_get},   {"items", method_items}, {"keys", method_keys}, {"values", method_values},
    {"copy", method_copy}, {"clear", NULL},         {"pop", NULL},         {"popitem", NULL},
    {"setdefault", NULL},  {"update", NULL},
};

static const struct builtin list_methods[] = {
    {"count", method_list_count},
    {"index", method_list_index},
    {"copy", method_copy},
    {"append", NULL},
    {"clear", NULL},
    {"extend", NULL},
    {"insert", NULL},
    {"pop", NULL},
    {"remove", NULL},
    {"reverse", NULL},
    {"sort", NULL},
};

const struct builtin *method_of(const struct value *object, const char *name, size_t n)
{
    switch ((enum value_type)object->type) {
    case VAL_STRING:
        return builtin_find(string_methods, N_ELEM(string_methods), name, n);
    case VAL_DICT:
        return builtin_find(dict_methods, N_ELEM(dict_methods), name, n);
    case VAL_LIST:
        if (object->list->kind <= LIST_RANGE) { /* tuples and ranges have the first two */
            return builtin_find(list_methods, object->list->kind == LIST_LIST ? N_ELEM(list_methods) : 2, name, n);
        }
        return NULL;
    default:
        return NULL;
    }
}
