/* How values look: str and repr as Python prints them, JSON as json.dumps writes it. Text from users keeps its origin
 * in all of them, also where it is escaped. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

/* Digits and exponent of the shortest decimal that reads back as f: "d.ddde±x" taken apart. */
static int shortest(double f, char digits[32])
{
    char s[40];
    for (int p = 0; p < 17; p++) {
        snprintf(s, sizeof s, "%.*e", p, f);
        if (strtod(s, NULL) == f) {
            break;
        }
    }
    const char *e = strchr(s, 'e');
    size_t n = 0;
    for (const char *c = s; c < e; c++) {
        if (*c != '.') {
            digits[n++] = *c;
        }
    }
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10);
}

size_t float_repr(double f, char *out)
{
    if (f != f || f - f != 0) {
        return (size_t)snprintf(out, 32, "%s", f != f ? "nan" : f < 0 ? "-inf" : "inf");
    }
    char d[32];
    int exp = shortest(f < 0 ? -f : f, d), n = (int)strlen(d);
    const char *sign = __builtin_signbit(f) ? "-" : "";
    if (exp < -4 || exp >= 16) {
        return (size_t)snprintf(out, 32, "%s%c%s%se%c%02d", sign, d[0], n > 1 ? "." : "", d + 1, exp < 0 ? '-' : '+',
                                abs(exp));
    }
    if (exp < 0) {
        return (size_t)snprintf(out, 32, "%s0.%.*s%s", sign, -exp - 1, "0000", d);
    }
    if (n <= exp + 1) {
        return (size_t)snprintf(out, 32, "%s%s%.*s.0", sign, d, exp + 1 - n, "0000000000000000");
    }
    return (size_t)snprintf(out, 32, "%s%.*s.%s", sign, exp + 1, d, d + exp + 1);
}

static int add_int(struct text *t, int64_t i)
{
    char s[24];
    return text_add(t, s, (size_t)snprintf(s, sizeof s, "%" PRId64, i), false);
}

static int add_float(struct text *t, double f)
{
    char s[32];
    return text_add(t, s, float_repr(f, s), false);
}

/* One character of a repr of a string; quote is the one around it. */
static int repr_char(struct text *t, const struct value *v, size_t at, size_t len, uint32_t cp, char quote)
{
    bool user = text_from_user(v, at);
    char s[16];
    int n = 0;
    if (cp == '\\' || cp == (unsigned char)quote) {
        n = snprintf(s, sizeof s, "\\%c", (char)cp);
    } else if (cp == '\n' || cp == '\r' || cp == '\t') {
        n = snprintf(s, sizeof s, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    } else if (unicode_is_printable(cp)) {
        return text_add_part(t, v, at, len);
    } else if (cp < 0x100) {
        n = snprintf(s, sizeof s, "\\x%02x", (unsigned)cp);
    } else {
        n = snprintf(s, sizeof s, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
    }
    return text_add(t, s, (size_t)n, user);
}

static int repr_string(struct text *t, const struct value *v)
{
    bool single = memchr(v->s, '\'', v->n) != NULL, both = memchr(v->s, '"', v->n) != NULL;
    char quote = single && !both ? '"' : '\'';
    int rc = text_add(t, &quote, 1, false);
    for (size_t i = 0; !rc && i < v->n;) {
        uint32_t cp;
        size_t len = utf8_decode(v->s + i, v->n - i, &cp);
        rc = repr_char(t, v, i, len, cp, quote);
        i += len;
    }
    return rc ? rc : text_add(t, &quote, 1, false);
}

static int repr_markup(struct text *t, const struct value *v)
{
    int rc = text_add_str(t, "Markup(");
    rc = rc ? rc : repr_string(t, v);
    return rc ? rc : text_add_str(t, ")");
}

static int repr_items(struct text *t, const struct value *item, size_t n)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        rc = i ? text_add_str(t, ", ") : 0;
        rc = rc ? rc : text_add_repr(t, &item[i]);
    }
    return rc;
}

static int repr_list(struct text *t, const struct list *l)
{
    static const char *const open[] = {"[", "(", "", "dict_items([", "dict_keys([", "dict_values([", ""};
    static const char *const close[] = {"]", ")", "", "])", "])", "])", ""};
    if (l->kind == LIST_GENERATOR) {
        return text_add_str(t, "<generator object>");
    }
    if (l->kind == LIST_RANGE) {
        char s[96];
        int n = l->step == 1
                    ? snprintf(s, sizeof s, "range(%" PRId64 ", %" PRId64 ")", l->start, l->stop)
                    : snprintf(s, sizeof s, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", l->start, l->stop, l->step);
        return text_add(t, s, (size_t)n, false);
    }
    int rc = text_add_str(t, open[l->kind]);
    rc = rc ? rc : repr_items(t, l->item, l->n);
    rc = rc || l->kind != LIST_TUPLE || l->n != 1 ? rc : text_add_str(t, ",");
    return rc ? rc : text_add_str(t, close[l->kind]);
}

static int repr_dict(struct text *t, const struct dict *d)
{
    int rc = text_add_str(t, "{");
    for (size_t i = 0; !rc && i < d->n; i++) {
        rc = i ? text_add_str(t, ", ") : 0;
        rc = rc ? rc : text_add_repr(t, &d->key[i]);
        rc = rc ? rc : text_add_str(t, ": ");
        rc = rc ? rc : text_add_repr(t, &d->value[i]);
    }
    return rc ? rc : text_add_str(t, "}");
}

static int repr_loop(struct text *t, const struct loop *l)
{
    char s[80];
    return text_add(t, s, (size_t)snprintf(s, sizeof s, "<LoopContext %zu/%zu>", l->at + 1, l->n), false);
}

static int repr_any(struct text *t, const struct value *v)
{
    int rc;
    switch ((enum value_type)v->type) {
    case VAL_UNDEFINED:
        return text_add_str(t, "Undefined");
    case VAL_NONE:
        return text_add_str(t, "None");
    case VAL_BOOL:
        return text_add_str(t, v->b ? "True" : "False");
    case VAL_INT:
        return add_int(t, v->i);
    case VAL_FLOAT:
        return add_float(t, v->f);
    case VAL_STRING:
        return v->markup ? repr_markup(t, v) : repr_string(t, v);
    case VAL_LIST:
        return repr_list(t, v->list);
    case VAL_DICT:
        return repr_dict(t, v->dict);
    case VAL_NAMESPACE:
        rc = text_add_str(t, "<Namespace ");
        rc = rc ? rc : repr_dict(t, v->dict);
        return rc ? rc : text_add_str(t, ">");
    case VAL_MACRO:
        rc = text_add_str(t, "<Macro '");
        rc = rc ? rc : text_add(t, v->macro->node->s, v->macro->node->n, false);
        return rc ? rc : text_add_str(t, "'>");
    case VAL_FUNCTION:
        return text_add_str(t, "<function>");
    case VAL_METHOD:
        return text_add_str(t, "<method>");
    case VAL_LOOP:
        return repr_loop(t, v->loop);
    }
    return 0;
}

int text_add_repr(struct text *t, const struct value *v)
{
    int rc = jinja_enter(t->it);
    rc = rc ? rc : repr_any(t, v);
    if (!rc) {
        jinja_leave(t->it);
    }
    return rc;
}

int text_add_display(struct text *t, const struct value *v)
{
    if (v->type == VAL_STRING) {
        return text_add_value(t, v);
    }
    return v->type == VAL_UNDEFINED ? 0 : text_add_repr(t, v);
}

/* One character inside of JSON quotes. */
static int json_char(struct text *t, const struct value *v, size_t at, size_t len, uint32_t cp, bool ascii)
{
    static const char names[] = "\"\\\n\r\t\b\f", escapes[] = "\"\\nrtbf";
    char s[16];
    int n;
    const char *simple = cp && cp < 0x80 ? strchr(names, (int)cp) : NULL;
    if (simple) {
        n = snprintf(s, sizeof s, "\\%c", escapes[simple - names]);
    } else if (cp >= 0x20 && (cp < 0x7F || !ascii)) {
        return text_add_part(t, v, at, len);
    } else if (cp < 0x10000) {
        n = snprintf(s, sizeof s, "\\u%04x", (unsigned)cp);
    } else {
        unsigned high = 0xD800 + ((unsigned)(cp - 0x10000) >> 10), low = 0xDC00 + ((unsigned)(cp - 0x10000) & 0x3FF);
        n = snprintf(s, sizeof s, "\\u%04x\\u%04x", high, low);
    }
    return text_add(t, s, (size_t)n, text_from_user(v, at));
}

static int json_string(struct text *t, const struct value *v, bool ascii)
{
    int rc = text_add_str(t, "\"");
    for (size_t i = 0; !rc && i < v->n;) {
        uint32_t cp;
        size_t len = utf8_decode(v->s + i, v->n - i, &cp);
        rc = json_char(t, v, i, len, cp, ascii);
        i += len;
    }
    return rc ? rc : text_add_str(t, "\"");
}

static int json_float(struct text *t, double f)
{
    if (f - f != 0) {
        return text_add_str(t, f != f ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
    }
    return add_float(t, f);
}

static int json_newline(struct text *t, const struct json_style *style, int level)
{
    int rc = style->multiline ? text_add_str(t, "\n") : 0;
    for (int i = 0; !rc && style->multiline && i < level; i++) {
        rc = text_add_value(t, &style->indent);
    }
    return rc;
}

/* What stands before item i, and after the last. */
static int json_between(struct text *t, const struct json_style *style, size_t i, int level)
{
    int rc = i ? text_add_value(t, &style->item_separator) : 0;
    return rc ? rc : json_newline(t, style, level);
}

static int json_list(struct text *t, const struct value *v, const struct json_style *style, int level)
{
    const struct list *l = v->list;
    if (l->kind != LIST_LIST && l->kind != LIST_TUPLE) {
        return jinja_fail(t->it, "%s cannot be written as JSON", val_type_name(v));
    }
    if (l->n == 0) {
        return text_add_str(t, "[]");
    }
    int rc = text_add_str(t, "[");
    for (size_t i = 0; !rc && i < l->n; i++) {
        rc = json_between(t, style, i, level + 1);
        rc = rc ? rc : text_add_json(t, &l->item[i], style, level + 1);
    }
    rc = rc ? rc : json_newline(t, style, level);
    return rc ? rc : text_add_str(t, "]");
}

/* Keys that are no strings are written as strings. */
static int json_key(struct text *t, const struct value *k, const struct json_style *style)
{
    if (k->type == VAL_STRING) {
        return json_string(t, k, style->ascii);
    }
    if (k->type != VAL_NONE && k->type != VAL_BOOL && k->type != VAL_INT && k->type != VAL_FLOAT) {
        return jinja_fail(t->it, "%s cannot be a key in JSON", val_type_name(k));
    }
    int rc = text_add_str(t, "\"");
    rc = rc ? rc : text_add_json(t, k, style, 0);
    return rc ? rc : text_add_str(t, "\"");
}

/* Keys and values in the order that they are written. */
static int json_order(struct interp *it, const struct dict *d, bool sort, struct dict *out)
{
    *out = *d;
    if (!sort || d->n < 2) {
        return 0;
    }
    out->key = jinja_alloc(it, d->n, sizeof *out->key);
    out->value = jinja_alloc(it, d->n, sizeof *out->value);
    if (!out->key || !out->value) {
        return -ERR_LIMIT;
    }
    memcpy(out->key, d->key, d->n * sizeof *out->key);
    memcpy(out->value, d->value, d->n * sizeof *out->value);
    return sort_values(it, out->value, out->key, d->n, false);
}

static int json_dict(struct text *t, const struct dict *dict, const struct json_style *style, int level)
{
    struct dict d;
    int rc = json_order(t->it, dict, style->sort_keys, &d);
    if (rc || d.n == 0) {
        return rc ? rc : text_add_str(t, "{}");
    }
    rc = text_add_str(t, "{");
    for (size_t i = 0; !rc && i < d.n; i++) {
        rc = json_between(t, style, i, level + 1);
        rc = rc ? rc : json_key(t, &d.key[i], style);
        rc = rc ? rc : text_add_value(t, &style->key_separator);
        rc = rc ? rc : text_add_json(t, &d.value[i], style, level + 1);
    }
    rc = rc ? rc : json_newline(t, style, level);
    return rc ? rc : text_add_str(t, "}");
}

static int json_any(struct text *t, const struct value *v, const struct json_style *style, int level)
{
    switch ((enum value_type)v->type) {
    case VAL_NONE:
        return text_add_str(t, "null");
    case VAL_BOOL:
        return text_add_str(t, v->b ? "true" : "false");
    case VAL_INT:
        return add_int(t, v->i);
    case VAL_FLOAT:
        return json_float(t, v->f);
    case VAL_STRING:
        return json_string(t, v, style->ascii);
    case VAL_LIST:
        return json_list(t, v, style, level);
    case VAL_DICT:
        return json_dict(t, v->dict, style, level);
    default:
        return jinja_fail(t->it, "%s cannot be written as JSON", val_type_name(v));
    }
}

int text_add_json(struct text *t, const struct value *v, const struct json_style *style, int level)
{
    int rc = jinja_enter(t->it);
    rc = rc ? rc : json_any(t, v, style, level);
    if (!rc) {
        jinja_leave(t->it);
    }
    return rc;
}
