/* Functions that every template has: range, namespace, dict, raise_exception, strftime_now. */
#include <string.h>
#include <time.h>

#include "compute/text/jinja/interp.h"

static int fill_range(struct interp *it, struct list *l)
{
    /* In 128 bits, for start, stop and step may be anything. */
    __extension__ typedef __int128 wide;
    wide span = l->step > 0 ? (wide)l->stop - l->start : (wide)l->start - l->stop;
    wide step = l->step > 0 ? (wide)l->step : -(wide)l->step;
    wide n = span > 0 ? (span + step - 1) / step : 0;
    if (n > JINJA_MAX_RANGE) {
        return jinja_fail(it, "a range is longer than %d items", JINJA_MAX_RANGE);
    }
    int rc = 0;
    for (wide i = 0; !rc && i < n; i++) {
        rc = list_add(it, l, val_int((int64_t)(l->start + i * l->step)));
    }
    return rc;
}

static int global_range(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    int64_t v[3] = {0, 0, 1};
    struct list *l;
    (void)self;
    int rc = a->n_pos < 1 || a->n_pos > 3 || a->n_kw ? jinja_fail(it, "range() takes 1 to 3 integers") : 0;
    for (size_t i = 0; !rc && i < a->n_pos; i++) {
        rc = args_int(it, &a->pos[i], 0, &v[i]);
    }
    if (!rc && v[2] == 0) {
        rc = jinja_fail(it, "the step of a range is zero");
    }
    rc = rc ? rc : list_new(it, LIST_RANGE, 0, &l);
    if (rc) {
        return rc;
    }
    l->start = a->n_pos == 1 ? 0 : v[0];
    l->stop = a->n_pos == 1 ? v[0] : v[1];
    l->step = v[2];
    *out = val_list(l);
    return fill_range(it, l);
}

/* Pairs of an iterable into a dict. */
static int add_pairs(struct interp *it, struct dict *d, const struct value *v)
{
    struct value *item;
    size_t n;
    int rc = val_items(it, v, &item, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        struct value *pair;
        size_t n_pair;
        rc = val_items(it, &item[i], &pair, &n_pair);
        if (!rc && n_pair != 2) {
            rc = jinja_fail(it, "dict() needs pairs of key and value");
        }
        rc = rc ? rc : dict_set(it, d, pair[0], pair[1]);
    }
    return rc;
}

static int new_dict(struct interp *it, const struct args *a, struct dict **out)
{
    int rc = dict_new(it, 0, out);
    if (!rc && a->n_pos > 1) {
        rc = jinja_fail(it, "dict() takes one dict or list of pairs, and keywords");
    }
    if (!rc && a->n_pos == 1 && a->pos[0].type == VAL_DICT) {
        const struct dict *from = a->pos[0].dict;
        for (size_t i = 0; !rc && i < from->n; i++) {
            rc = dict_set(it, *out, from->key[i], from->value[i]);
        }
    } else if (!rc && a->n_pos == 1) {
        rc = add_pairs(it, *out, &a->pos[0]);
    }
    for (size_t i = 0; !rc && i < a->n_kw; i++) {
        rc = dict_set(it, *out, val_text(a->kw[i].name, a->kw[i].n), a->kw[i].value);
    }
    return rc;
}

static int global_dict(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    struct dict *d;
    (void)self;
    int rc = new_dict(it, a, &d);
    *out = val_dict(rc ? NULL : d);
    return rc;
}

static int global_namespace(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    struct dict *d;
    (void)self;
    int rc = new_dict(it, a, &d);
    *out = (struct value){.type = VAL_NAMESPACE, .dict = rc ? NULL : d};
    return rc;
}

static int global_raise(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    const struct value *message;
    struct value s;
    (void)self;
    (void)out;
    int rc = args_bind(it, a, "raise_exception()", "message", 1, &message);
    rc = rc ? rc : val_to_string(it, message, &s);
    return rc ? rc
              : err_set(it->e, ERR_INPUT, "chat template",
                        "cannot render the chat template: it refuses the conversation: %.*s",
                        (int)(s.n < 300 ? s.n : 300), s.s);
}

static int global_strftime_now(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    const struct value *format;
    char pattern[256], text[1024];
    struct tm tm;
    time_t now = (time_t)it->unix_s;
    (void)self;
    int rc = args_bind(it, a, "strftime_now()", "format", 1, &format);
    if (!rc && (format->type != VAL_STRING || format->n >= sizeof pattern)) {
        rc = jinja_fail(it, "strftime_now() needs a format of less than %zu bytes", sizeof pattern);
    }
    if (rc || !localtime_r(&now, &tm)) {
        return rc ? rc : jinja_fail(it, "the time cannot be converted");
    }
    memcpy(pattern, format->s, format->n);
    pattern[format->n] = '\0';
    struct text t;
    text_init(&t, it);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, pattern, &tm);
#pragma GCC diagnostic pop
    rc = text_add(&t, text, n, format->from_user || format->mark);
    *out = text_value(&t);
    return rc;
}

const struct builtin *global_find(const char *name, size_t n)
{
    static const struct builtin table[] = {
        {"range", global_range},
        {"dict", global_dict},
        {"namespace", global_namespace},
        {"raise_exception", global_raise},
        {"strftime_now", global_strftime_now},
    };
    return builtin_find(table, N_ELEM(table), name, n);
}
