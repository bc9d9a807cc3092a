/* Filters on text and numbers, and the table of all filters. Those on sequences are in filters_seq.c. */
#include "compute/text/jinja/filters_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

/* Filters on text take anything and work on its str(). */
typedef int (*string_fn)(struct interp *it, const struct value *s, struct value *out);

static int on_string(struct interp *it, const struct value *v, const struct args *a, string_fn fn, struct value *out)
{
    struct value s;
    int rc = args_bind(it, a, "the filter", "", 0, NULL);
    rc = rc ? rc : val_to_string(it, v, &s);
    return rc ? rc : fn(it, &s, out);
}

FILTER(upper)
{
    return on_string(it, v, a, string_upper, out);
}

FILTER(lower)
{
    return on_string(it, v, a, string_lower, out);
}

FILTER(capitalize)
{
    return on_string(it, v, a, string_capitalize, out);
}

FILTER(string)
{
    int rc = args_bind(it, a, "the filter string", "", 0, NULL);
    return rc ? rc : val_to_string(it, v, out);
}

FILTER(safe)
{
    int rc = args_bind(it, a, "the filter safe", "", 0, NULL);
    rc = rc ? rc : val_to_string(it, v, out);
    out->markup = true;
    return rc;
}

static int escape_once(struct interp *it, const struct value *s, struct value *out)
{
    if (s->markup) {
        *out = *s;
        return 0;
    }
    return string_escape(it, s, out);
}

FILTER(escape)
{
    return on_string(it, v, a, escape_once, out);
}

FILTER(forceescape)
{
    return on_string(it, v, a, string_escape, out);
}

/* Words begin at the start and behind white space and - ( { [ <. */
static int title(struct interp *it, const struct value *s, struct value *out)
{
    struct text t;
    text_init(&t, it);
    bool start = true;
    int rc = 0;
    for (size_t i = 0; !rc && i < s->n;) {
        uint32_t cp, map[3];
        size_t len = utf8_decode(s->s + i, s->n - i, &cp);
        size_t n = unicode_map_case(cp, start ? UNICODE_UPPER : UNICODE_LOWER, map);
        for (size_t k = 0; !rc && k < n; k++) {
            rc = text_add_char(&t, map[k], s, i);
        }
        start = unicode_is_python_space(cp) || (cp && cp < 0x80 && strchr("-({[<", (int)cp));
        i += len;
    }
    *out = text_value(&t);
    return rc;
}

FILTER(title)
{
    return on_string(it, v, a, title, out);
}

FILTER(trim)
{
    const struct value *chars;
    struct value s;
    int rc = args_bind(it, a, "the filter trim", "chars", 0, &chars);
    rc = rc ? rc : val_to_string(it, v, &s);
    return rc ? rc : string_strip(it, &s, chars, true, true, out);
}

FILTER(replace)
{
    const struct value *p[3];
    struct value s, from, to;
    int64_t max = -1;
    int rc = args_bind(it, a, "the filter replace", "old new count", 2, p);
    rc = rc ? rc : val_to_string(it, v, &s);
    rc = rc ? rc : val_to_string(it, p[0], &from);
    rc = rc ? rc : val_to_string(it, p[1], &to);
    if (!rc && p[2] && p[2]->type != VAL_NONE) {
        rc = args_int(it, p[2], -1, &max);
    }
    return rc ? rc : string_replace(it, &s, &from, &to, max, out);
}

FILTER(center)
{
    const struct value *p;
    struct value s;
    int64_t width;
    int rc = args_bind(it, a, "the filter center", "width", 0, &p);
    rc = rc ? rc : val_to_string(it, v, &s);
    rc = rc ? rc : args_int(it, p, 80, &width);
    return rc ? rc : string_center(it, &s, width, NULL, 0, out);
}

FILTER(format)
{
    struct value s, values;
    struct list *l = NULL;
    struct dict *d = NULL;
    int rc = val_to_string(it, v, &s);
    if (!rc && a->n_kw) {
        rc = a->n_pos ? jinja_fail(it, "the filter format takes positional or keyword arguments, not both")
                      : dict_new(it, a->n_kw, &d);
        for (size_t i = 0; !rc && i < a->n_kw; i++) {
            rc = dict_set(it, d, val_text(a->kw[i].name, a->kw[i].n), a->kw[i].value);
        }
    } else if (!rc) {
        rc = list_new(it, LIST_TUPLE, a->n_pos, &l);
        for (size_t i = 0; !rc && i < a->n_pos; i++) {
            rc = list_add(it, l, a->pos[i]);
        }
    }
    values = d ? val_dict(d) : l ? val_list(l) : val_none();
    return rc ? rc : format_percent(it, &s, &values, out);
}

/* Lines with the indentation before each but the first; empty ones are left empty unless `blank`. */
static int indent_lines(struct interp *it, const struct value *s, const struct value *indent, bool first, bool blank,
                        struct value *out)
{
    struct text t, with_newline;
    struct list *lines;
    text_init(&t, it);
    text_init(&with_newline, it);
    int rc = text_add_value(&with_newline, s);
    rc = rc ? rc : text_add_str(&with_newline, "\n");
    struct value whole = text_value(&with_newline);
    rc = rc ? rc : string_lines(it, &whole, false, &lines);
    rc = rc || !first ? rc : text_add_value(&t, indent);
    for (size_t i = 0; !rc && i < lines->n; i++) {
        if (i > 0) {
            rc = text_add_str(&t, "\n");
            rc = rc || (lines->item[i].n == 0 && !blank) ? rc : text_add_value(&t, indent);
        }
        rc = rc ? rc : text_add_value(&t, &lines->item[i]);
    }
    *out = text_value(&t);
    out->markup = s->markup;
    return rc;
}

FILTER(indent)
{
    const struct value *p[3];
    int rc = args_bind(it, a, "the filter indent", "width first blank", 0, p);
    struct value indent, four = val_int(4), space = val_text(" ", 1);
    if (!rc && v->type != VAL_STRING) {
        rc = jinja_fail(it, "the filter indent needs a string, not %s", val_type_name(v));
    }
    if (!rc && p[0] && p[0]->type == VAL_STRING) {
        indent = *p[0];
    } else if (!rc) {
        rc = op_binary(it, '*', &space, p[0] ? p[0] : &four, &indent);
    }
    return rc ? rc : indent_lines(it, v, &indent, args_truth(p[1], false), args_truth(p[2], false), out);
}

FILTER(wordcount)
{
    struct value s;
    int rc = args_bind(it, a, "the filter wordcount", "", 0, NULL);
    rc = rc ? rc : val_to_string(it, v, &s);
    int64_t n = 0;
    bool in_word = false;
    for (size_t i = 0; !rc && i < s.n;) {
        uint32_t cp;
        i += utf8_decode(s.s + i, s.n - i, &cp);
        bool word = cp == '_' || unicode_is_letter(cp) || unicode_is_number(cp);
        n += word && !in_word;
        in_word = word;
    }
    *out = val_int(n);
    return rc;
}

FILTER(default)
{
    const struct value *p[2];
    int rc = args_bind(it, a, "the filter default", "default_value boolean", 0, p);
    if (rc) {
        return rc;
    }
    bool use = v->type == VAL_UNDEFINED || (args_truth(p[1], false) && !val_truth(v));
    *out = !use ? *v : p[0] ? *p[0] : val_text("", 0);
    return 0;
}

/* A string without the space around it and without underscores, NUL-terminated; false when it is too long. */
static bool number_text(const struct value *s, char *out, size_t size)
{
    size_t from = 0, to = s->n, n = 0;
    while (from < to && (s->s[from] == ' ' || (s->s[from] >= '\t' && s->s[from] <= '\r'))) from++;
    while (to > from && (s->s[to - 1] == ' ' || (s->s[to - 1] >= '\t' && s->s[to - 1] <= '\r'))) to--;
    for (size_t i = from; i < to; i++) {
        bool between = s->s[i] == '_' && i > from && i + 1 < to && s->s[i - 1] != '_';
        if (between) {
            continue;
        }
        if (n + 1 >= size || !s->s[i]) {
            return false;
        }
        out[n++] = s->s[i];
    }
    out[n] = '\0';
    return n > 0;
}

static bool text_to_float(const struct value *s, double *f)
{
    char text[400], *end;
    if (!number_text(s, text, sizeof text) || strpbrk(text, "xXpP(")) {
        return false;
    }
    *f = strtod(text, &end);
    return *end == '\0' && end != text;
}

/* Python's int(text, base): prefixes 0x 0o 0b where the base is theirs. */
static bool text_to_int(const struct value *s, int base, int64_t *i)
{
    char text[400], *end;
    if (!number_text(s, text, sizeof text)) {
        return false;
    }
    char *p = text, sign = *p;
    p += sign == '-' || sign == '+';
    if (p[0] == '0' && p[1]) {
        char mark = (char)(p[1] | 0x20);
        bool prefix = (base == 16 && mark == 'x') || (base == 8 && mark == 'o') || (base == 2 && mark == 'b');
        p += prefix ? 2 : 0;
    }
    bool digit = (*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z');
    if (!digit) {
        return false;
    }
    __extension__ unsigned long long u = strtoull(p, &end, base);
    if (*end || end == p || u > INT64_MAX) {
        return false;
    }
    *i = sign == '-' ? -(int64_t)u : (int64_t)u;
    return true;
}

static int refuse_undefined(struct interp *it, const struct value *v)
{
    return v->type == VAL_UNDEFINED ? jinja_fail(it, "\"%.*s\" is undefined, it is no number", (int)v->n, v->s) : 0;
}

FILTER(int)
{
    const struct value *p[2];
    int64_t base, i;
    double f = 0;
    int rc = args_bind(it, a, "the filter int", "default base", 0, p);
    rc = rc ? rc : args_int(it, p[1], 10, &base);
    rc = rc ? rc : refuse_undefined(it, v);
    if (!rc && (base < 2 || base > 36)) {
        return jinja_fail(it, "the base of the filter int is 2 to 36");
    }
    if (rc) {
        return rc;
    }
    *out = p[0] ? *p[0] : val_int(0);
    if (val_is_int(v, &i) || (v->type == VAL_STRING && text_to_int(v, (int)base, &i))) {
        *out = val_int(i);
    } else if (v->type == VAL_FLOAT || (v->type == VAL_STRING && text_to_float(v, &f))) {
        f = v->type == VAL_FLOAT ? v->f : f;
        if (f != f) {
            return 0;
        }
        if (!(fabs(f) < 9.2e18)) {
            return jinja_fail(it, "a number does not fit an integer of 64 bits");
        }
        *out = val_int((int64_t)f);
    }
    return 0;
}

FILTER(float)
{
    const struct value *p;
    double f = 0;
    int rc = args_bind(it, a, "the filter float", "default", 0, &p);
    rc = rc ? rc : refuse_undefined(it, v);
    *out = p && !rc ? *p : val_float(0);
    if (!rc && (val_is_number(v, &f) || (v->type == VAL_STRING && text_to_float(v, &f)))) {
        *out = val_float(f);
    }
    return rc;
}

FILTER(abs)
{
    int rc = args_bind(it, a, "the filter abs", "", 0, NULL);
    int64_t i;
    double f;
    if (!rc && val_is_int(v, &i)) {
        return i < 0 ? op_unary(it, true, v, out) : op_unary(it, false, v, out);
    }
    if (!rc && !val_is_number(v, &f)) {
        rc = jinja_fail(it, "the filter abs needs a number, not %s", val_type_name(v));
    }
    *out = val_float(rc ? 0 : fabs(f));
    return rc;
}

static double round_common(double f, int64_t precision)
{
    char text[512];
    if (precision < 0) {
        double scale = pow(10, (double)-precision);
        return nearbyint(f / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", (int)precision, f); /* exact, ties to even */
    return strtod(text, NULL);
}

FILTER(round)
{
    const struct value *p[2];
    int64_t precision, i;
    double f;
    int rc = args_bind(it, a, "the filter round", "precision method", 0, p);
    rc = rc ? rc : args_int(it, p[0], 0, &precision);
    if (rc) {
        return rc;
    }
    if (!val_is_number(v, &f) || precision > 100 || precision < -100) {
        return jinja_fail(it, "the filter round needs a number and a precision of -100 to 100");
    }
    if (!p[1] || val_is_text(p[1], "common")) {
        bool whole = val_is_int(v, &i);
        *out = whole ? val_int(precision < 0 ? (int64_t)round_common(f, precision) : i)
                     : val_float(round_common(f, precision));
        return 0;
    }
    double scale = pow(10, (double)precision);
    if (!val_is_text(p[1], "ceil") && !val_is_text(p[1], "floor")) {
        return jinja_fail(it, "the method of the filter round is common, ceil or floor");
    }
    *out = val_float((val_is_text(p[1], "ceil") ? ceil(f * scale) : floor(f * scale)) / scale);
    return 0;
}

/* Two separators as a list or tuple. */
static int json_separators(struct interp *it, const struct value *v, struct json_style *style)
{
    if (v->type == VAL_NONE) {
        return 0;
    }
    if (v->type != VAL_LIST || v->list->n != 2 || v->list->item[0].type != VAL_STRING ||
        v->list->item[1].type != VAL_STRING) {
        return jinja_fail(it, "the separators of tojson are two strings");
    }
    style->item_separator = v->list->item[0];
    style->key_separator = v->list->item[1];
    return 0;
}

static int json_indent(struct interp *it, const struct value *v, struct json_style *style)
{
    struct value space = val_text(" ", 1);
    if (v->type == VAL_NONE) {
        return 0;
    }
    style->multiline = true;
    style->item_separator = val_text(",", 1);
    if (v->type == VAL_STRING) {
        style->indent = *v;
        return 0;
    }
    return op_binary(it, '*', &space, v, &style->indent);
}

/* As transformers defines it: json.dumps with ensure_ascii off, and no escaping of HTML. */
FILTER(tojson)
{
    const struct value *p[4];
    struct json_style style = {.item_separator = val_text(", ", 2), .key_separator = val_text(": ", 2)};
    int rc = args_bind(it, a, "the filter tojson", "ensure_ascii indent separators sort_keys", 0, p);
    if (rc) {
        return rc;
    }
    style.ascii = args_truth(p[0], false);
    style.sort_keys = args_truth(p[3], false);
    rc = p[1] ? json_indent(it, p[1], &style) : 0;
    rc = rc || !p[2] ? rc : json_separators(it, p[2], &style);
    struct text t;
    text_init(&t, it);
    rc = rc ? rc : text_add_json(&t, v, &style, 0);
    *out = text_value(&t);
    return rc;
}

const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name, size_t n_name)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(table[i].name) == n_name && memcmp(table[i].name, name, n_name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

const struct builtin *filter_find(const char *name, size_t n)
{
    static const struct builtin table[] = {
        {"upper", filter_upper},     {"lower", filter_lower},     {"capitalize", filter_capitalize},
        {"title", filter_title},     {"string", filter_string},   {"safe", filter_safe},
        {"e", filter_escape},        {"escape", filter_escape},   {"forceescape", filter_forceescape},
        {"trim", filter_trim},       {"replace", filter_replace}, {"center", filter_center},
        {"format", filter_format},   {"indent", filter_indent},   {"wordcount", filter_wordcount},
        {"default", filter_default}, {"d", filter_default},       {"int", filter_int},
        {"float", filter_float},     {"abs", filter_abs},         {"round", filter_round},
        {"tojson", filter_tojson},
    };
    const struct builtin *b = builtin_find(table, N_ELEM(table), name, n);
    return b ? b : filter_find_sequence(name, n);
}

int filter_call(struct interp *it, const struct value *name, const struct value *v, const struct args *a,
                struct value *out)
{
    const struct builtin *b = name->type == VAL_STRING ? filter_find(name->s, name->n) : NULL;
    if (!b) {
        return jinja_fail(it, "no filter is named \"%.*s\"", name->type == VAL_STRING ? (int)name->n : 0, name->s);
    }
    int rc = jinja_enter(it);
    rc = rc ? rc : b->call(it, v, a, out);
    if (!rc) {
        jinja_leave(it);
    }
    return rc;
}
