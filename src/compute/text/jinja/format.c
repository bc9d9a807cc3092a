/* "%5.1f" % x and "{:>5}".format(x): Python's two ways of formatting, on one description of a field. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/utf8.h"

enum { MAX_WIDTH = 10000, MAX_PRECISION = 100 };

struct field {
    uint32_t fill;
    char align; /* '<' '>' '^' '=' or 0: by type */
    char sign;  /* '+' ' ' or 0 */
    bool alternate, comma;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at *at as a number, capped. */
static int64_t read_number(const struct value *s, size_t *at)
{
    int64_t v = 0;
    while (*at < s->n && is_digit(s->s[*at])) {
        v = v > MAX_WIDTH ? v : v * 10 + (s->s[*at] - '0');
        (*at)++;
    }
    return v;
}

static int check_field(struct interp *it, const struct field *f)
{
    if (f->width > MAX_WIDTH || f->precision > MAX_PRECISION) {
        return jinja_fail(
            it, "a format asks for width %" PRId64 " and precision %" PRId64 ", at most %d and %d are accepted",
            f->width, f->precision, MAX_WIDTH, MAX_PRECISION);
    }
    return 0;
}

static int pad(struct text *t, const struct field *f, int64_t n)
{
    char c[UTF8_MAX_BYTES];
    size_t len = utf8_encode(f->fill ? f->fill : ' ', c);
    int rc = 0;
    for (int64_t i = 0; !rc && i < n; i++) {
        rc = text_add(t, c, len, false);
    }
    return rc;
}

/* sign/prefix and body in a field of its width; initial: the alignment where none is asked for. */
static int put_field(struct text *t, const struct field *f, const char *head, const struct value *body, char initial)
{
    int64_t fill = f->width - (int64_t)strlen(head) - (int64_t)utf8_count(body->s, body->n);
    char align = f->align ? f->align : initial;
    fill = fill > 0 ? fill : 0;
    int64_t left = align == '>' ? fill : align == '^' ? fill / 2 : 0;
    int rc = pad(t, f, left);
    rc = rc ? rc : text_add_str(t, head);
    rc = rc || align != '=' ? rc : pad(t, f, fill);
    rc = rc ? rc : text_add_value(t, body);
    return rc || align == '=' ? rc : pad(t, f, fill - left);
}

static int put_string(struct text *t, const struct field *f, const struct value *s, char initial)
{
    struct value body = *s;
    if (f->precision >= 0) {
        size_t at = 0;
        for (int64_t i = 0; i < f->precision && at < s->n; i++) {
            uint32_t cp;
            at += utf8_decode(s->s + at, s->n - at, &cp);
        }
        body = val_part(*s, 0, at);
    }
    return put_field(t, f, "", &body, initial);
}

/* Digits of u in a base, with commas between groups of three where they are asked for. */
static size_t int_digits(uint64_t u, unsigned base, bool upper, bool comma, char out[96])
{
    char rev[96];
    size_t n = 0, count = 0;
    do {
        if (comma && count && count % 3 == 0) {
            rev[n++] = ',';
        }
        rev[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
        u /= base;
        count++;
    } while (u);
    for (size_t i = 0; i < n; i++) {
        out[i] = rev[n - 1 - i];
    }
    return n;
}

static int put_int(struct text *t, const struct field *f, int64_t i)
{
    char body[96], head[8];
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    unsigned base = f->type == 'x' || f->type == 'X' ? 16 : f->type == 'o' ? 8 : f->type == 'b' ? 2 : 10;
    size_t n = int_digits(u, base, f->type == 'X', f->comma, body);
    char sign[2] = {i < 0 ? '-' : f->sign, '\0'};
    char prefix[3] = {'0', f->type, '\0'};
    snprintf(head, sizeof head, "%s%s", sign, f->alternate && base != 10 ? prefix : "");
    struct value v = val_text(body, n);
    return put_field(t, f, head, &v, '>');
}

/* Commas into the whole part of a decimal number. */
static size_t with_commas(const char *in, size_t n, char *out)
{
    size_t whole = 0, k = 0;
    while (whole < n && is_digit(in[whole])) whole++;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && i < whole && (whole - i) % 3 == 0) {
            out[k++] = ',';
        }
        out[k++] = in[i];
    }
    return k;
}

static int put_float(struct text *t, const struct field *f, double x)
{
    char raw[512], body[700], sign[2] = {__builtin_signbit(x) ? '-' : f->sign, '\0'};
    double a = fabs(x);
    int p = (int)(f->precision < 0 ? 6 : f->precision), n;
    switch (f->type) {
    case 'e':
        n = snprintf(raw, sizeof raw, "%.*e", p, a);
        break;
    case 'E':
        n = snprintf(raw, sizeof raw, "%.*E", p, a);
        break;
    case 'g':
        n = snprintf(raw, sizeof raw, "%.*g", p ? p : 1, a);
        break;
    case 'G':
        n = snprintf(raw, sizeof raw, "%.*G", p ? p : 1, a);
        break;
    case '%':
        n = snprintf(raw, sizeof raw, "%.*f%%", p, a * 100);
        break;
    case 'f':
    case 'F':
        n = snprintf(raw, sizeof raw, "%.*f", p, a);
        break;
    default:
        n = f->precision < 0 ? (int)float_repr(a, raw) : snprintf(raw, sizeof raw, "%.*g", p ? p : 1, a);
        break;
    }
    struct value v = val_text(raw, (size_t)n);
    if (f->comma) {
        v = val_text(body, with_commas(raw, (size_t)n, body));
    }
    return put_field(t, f, sign, &v, '>');
}

/* A number by its field; the type decides between integer and decimal. */
static int put_number(struct text *t, const struct field *f, const struct value *v)
{
    double x;
    int64_t i;
    bool wants_int = f->type && strchr("diuxXob", f->type);
    if (!val_is_number(v, &x)) {
        return jinja_fail(t->it, "a number is needed for the format \"%c\", not %s", f->type, val_type_name(v));
    }
    if (val_is_int(v, &i) && (wants_int || !f->type)) {
        return put_int(t, f, i);
    }
    if (wants_int) {
        if (!(fabs(x) < 9.2e18)) {
            return jinja_fail(t->it, "a number does not fit an integer format");
        }
        return put_int(t, f, (int64_t)x);
    }
    return put_float(t, f, x);
}

static int put_char(struct text *t, const struct field *f, const struct value *v)
{
    int64_t i;
    char c[UTF8_MAX_BYTES];
    if (v->type == VAL_STRING && utf8_count(v->s, v->n) == 1) {
        return put_string(t, f, v, '<');
    }
    if (!val_is_int(v, &i) || i < 0 || i > 0x10FFFF || (i >= 0xD800 && i <= 0xDFFF)) {
        return jinja_fail(t->it, "a character is needed for the format \"c\"");
    }
    struct value s = val_text(c, utf8_encode((uint32_t)i, c));
    return put_field(t, f, "", &s, '<');
}

/* ---- % ---- */

struct percent {
    const struct value *values; /* what stands at the right of % */
    size_t next;                /* of a tuple */
    bool mapped;                /* took a value by name */
};

/* "%(name)-5.2f" from behind the %: flags, width, precision, type. */
static int read_percent(struct interp *it, const struct value *s, size_t *at, struct field *f)
{
    *f = (struct field){.precision = -1};
    for (; *at < s->n && s->s[*at] && strchr("-+ 0#", s->s[*at]); (*at)++) {
        char c = s->s[*at];
        f->align = c == '-' ? '<' : c == '0' && f->align != '<' ? '=' : f->align;
        f->sign = c == '+' || (c == ' ' && f->sign != '+') ? c : f->sign;
        f->alternate = f->alternate || c == '#';
    }
    f->fill = f->align == '=' ? '0' : ' ';
    f->width = read_number(s, at);
    if (*at < s->n && s->s[*at] == '.') {
        (*at)++;
        f->precision = read_number(s, at);
    }
    if (*at >= s->n || !s->s[*at] || !strchr("diuoxXeEfFgGcrsa%", s->s[*at])) {
        return jinja_fail(it, "a %% format is not complete, or of a type that is not supported");
    }
    f->type = s->s[(*at)++];
    return check_field(it, f);
}

static int next_value(struct interp *it, struct percent *p, const struct value **v)
{
    if (val_is_tuple(p->values)) {
        if (p->next == p->values->list->n) {
            return jinja_fail(it, "a %% format needs more values than are given");
        }
        *v = &p->values->list->item[p->next++];
        return 0;
    }
    if (p->next++ > 0) {
        return jinja_fail(it, "a %% format needs more values than are given");
    }
    *v = p->values;
    return 0;
}

/* "(name)" at *at: the value of that name. */
static int named_value(struct interp *it, struct percent *p, const struct value *s, size_t *at, const struct value **v)
{
    const char *close = memchr(s->s + *at, ')', s->n - *at);
    if (!close || p->values->type != VAL_DICT) {
        return jinja_fail(it, "a %%(name) format needs a dict of values");
    }
    size_t from = *at + 1, n = (size_t)(close - s->s) - from;
    *v = dict_find_text(it, p->values->dict, s->s + from, n);
    *at = from + n + 1;
    p->mapped = true;
    return *v ? 0 : jinja_fail(it, "no value is named \"%.*s\"", (int)(n < 64 ? n : 64), s->s + from);
}

static int put_percent(struct text *t, const struct field *f, const struct value *v)
{
    if (f->type == 'c') {
        return put_char(t, f, v);
    }
    if (!strchr("sra", f->type)) {
        return put_number(t, f, v);
    }
    struct text shown;
    text_init(&shown, t->it);
    int rc = f->type == 's' ? text_add_display(&shown, v) : text_add_repr(&shown, v);
    struct value s = text_value(&shown);
    struct field plain = *f;
    plain.align = f->align == '<' ? '<' : '>';
    plain.fill = ' ';
    return rc ? rc : put_string(t, &plain, &s, '>');
}

static int one_percent(struct text *t, struct percent *p, const struct value *s, size_t *at)
{
    struct field f;
    const struct value *v = NULL;
    int rc = 0;
    if (*at < s->n && s->s[*at] == '(') {
        rc = named_value(t->it, p, s, at, &v);
    }
    rc = rc ? rc : read_percent(t->it, s, at, &f);
    if (!rc && f.type == '%') {
        return text_add_str(t, "%");
    }
    rc = rc || v ? rc : next_value(t->it, p, &v);
    return rc ? rc : put_percent(t, &f, v);
}

int format_percent(struct interp *it, const struct value *fmt, const struct value *values, struct value *out)
{
    struct text t;
    struct percent p = {.values = values};
    text_init(&t, it);
    int rc = 0;
    for (size_t i = 0; !rc && i < fmt->n;) {
        const char *mark = memchr(fmt->s + i, '%', fmt->n - i);
        size_t to = mark ? (size_t)(mark - fmt->s) : fmt->n;
        rc = text_add_part(&t, fmt, i, to - i);
        i = to + (mark ? 1 : 0);
        rc = rc || !mark ? rc : one_percent(&t, &p, fmt, &i);
    }
    /* What could be a mapping need not be used (Python asks for a __getitem__). */
    bool mapping = values->type == VAL_DICT || values->type == VAL_UNDEFINED ||
                   (values->type == VAL_LIST && (values->list->kind == LIST_LIST || values->list->kind == LIST_RANGE));
    size_t n = val_is_tuple(values) ? values->list->n : !mapping;
    if (!rc && !p.mapped && p.next < n) {
        rc = jinja_fail(it, "not all values are used by the %% format");
    }
    *out = text_value(&t);
    out->markup = fmt->markup;
    return rc;
}

/* ---- format() ---- */

/* "[[fill]align][sign][#][0][width][,][.precision][type]" */
static int read_spec(struct interp *it, const struct value *s, struct field *f)
{
    size_t at = 0;
    uint32_t cp = 0;
    *f = (struct field){.precision = -1};
    size_t first = s->n ? utf8_decode(s->s, s->n, &cp) : 0;
    if (first && first < s->n && s->s[first] && strchr("<>=^", s->s[first])) {
        f->fill = cp;
        f->align = s->s[first];
        at = first + 1;
    } else if (s->n && s->s[0] && strchr("<>=^", s->s[0])) {
        f->align = s->s[at++];
    }
    if (at < s->n && (s->s[at] == '+' || s->s[at] == '-' || s->s[at] == ' ')) {
        f->sign = s->s[at] == '-' ? '\0' : s->s[at];
        at++;
    }
    if (at < s->n && s->s[at] == '#') {
        f->alternate = true;
        at++;
    }
    if (at < s->n && s->s[at] == '0') {
        f->fill = f->align ? f->fill : '0';
        f->align = f->align ? f->align : '=';
    }
    f->width = read_number(s, &at);
    if (at < s->n && s->s[at] == ',') {
        f->comma = true;
        at++;
    }
    if (at < s->n && s->s[at] == '.') {
        at++;
        f->precision = read_number(s, &at);
    }
    if (at < s->n) {
        f->type = s->s[at++];
    }
    if (at < s->n || (f->type && !strchr("sdbcoxXeEfFgG%", f->type))) {
        return jinja_fail(it, "the format \"%.*s\" is not supported", (int)(s->n < 64 ? s->n : 64), s->s);
    }
    return check_field(it, f);
}

static int put_formatted(struct text *t, const struct value *v, const struct value *spec)
{
    struct field f;
    double x;
    int rc = read_spec(t->it, spec, &f);
    if (rc || spec->n == 0) {
        return rc ? rc : text_add_display(t, v);
    }
    if (f.type == 'c') {
        return put_char(t, &f, v);
    }
    if (v->type == VAL_STRING) {
        return f.type && f.type != 's' ? jinja_fail(t->it, "the format \"%c\" is not for strings", f.type)
                                       : put_string(t, &f, v, '<');
    }
    if (!val_is_number(v, &x) || f.type == 's') {
        return jinja_fail(t->it, "a format is given for %s, which takes none", val_type_name(v));
    }
    return put_number(t, &f, v);
}

/* Fields without a number count up; a format has either those or numbered ones. */
struct numbering {
    size_t at;
    bool automatic, manual;
};

/* The argument that a field names: "", "0", "name", each with ".attribute" and "[index]" behind. */
static int field_value(struct interp *it, const struct value *name, const struct args *a, struct numbering *next,
                       struct value *out)
{
    size_t n = 0;
    while (n < name->n && name->s[n] != '.' && name->s[n] != '[') n++;
    size_t digits = 0;
    int64_t i = read_number(name, &digits);
    if (n == 0 || digits == n) {
        size_t at = n == 0 ? next->at++ : (size_t)i;
        next->automatic = next->automatic || n == 0;
        next->manual = next->manual || n != 0;
        if (next->automatic && next->manual) {
            return jinja_fail(it, "a format numbers some of its fields and not others");
        }
        if (at >= a->n_pos) {
            return jinja_fail(it, "format() needs more arguments than are given");
        }
        *out = a->pos[at];
    } else {
        const struct binding *found = NULL;
        for (size_t k = 0; k < a->n_kw; k++) {
            found = a->kw[k].n == n && memcmp(a->kw[k].name, name->s, n) == 0 ? &a->kw[k] : found;
        }
        if (!found) {
            return jinja_fail(it, "format() has no argument \"%.*s\"", (int)(n < 64 ? n : 64), name->s);
        }
        *out = found->value;
    }
    return n == name->n ? 0 : jinja_fail(it, "format() with attributes or indices in a field is not supported");
}

/* One field from behind "{" to its "}". */
static int one_field(struct text *t, const struct value *fmt, size_t *at, const struct args *a, struct numbering *next)
{
    const char *close = memchr(fmt->s + *at, '}', fmt->n - *at);
    if (!close) {
        return jinja_fail(t->it, "a \"{\" in a format is not closed");
    }
    struct value field = val_part(*fmt, *at, (size_t)(close - fmt->s) - *at), v;
    *at += field.n + 1;
    if (memchr(field.s, '{', field.n)) {
        return jinja_fail(t->it, "nested fields in a format are not supported");
    }
    const char *colon = memchr(field.s, ':', field.n);
    struct value name = val_part(field, 0, colon ? (size_t)(colon - field.s) : field.n);
    struct value spec = colon ? val_part(field, name.n + 1u, field.n - name.n - 1u) : val_text("", 0);
    char conversion = '\0';
    if (name.n >= 2 && name.s[name.n - 2] == '!') {
        conversion = name.s[name.n - 1];
        name.n -= 2;
    }
    int rc = field_value(t->it, &name, a, next, &v);
    if (!rc && conversion) {
        struct text shown;
        text_init(&shown, t->it);
        rc = conversion == 's' ? text_add_display(&shown, &v) : text_add_repr(&shown, &v);
        v = text_value(&shown);
    }
    return rc ? rc : put_formatted(t, &v, &spec);
}

int format_braces(struct interp *it, const struct value *fmt, const struct args *a, struct value *out)
{
    struct text t;
    struct numbering next = {0};
    text_init(&t, it);
    int rc = 0;
    for (size_t i = 0; !rc && i < fmt->n;) {
        char c = fmt->s[i];
        bool doubled = i + 1 < fmt->n && fmt->s[i + 1] == c;
        if (c != '{' && c != '}') {
            rc = text_add_part(&t, fmt, i++, 1);
        } else if (doubled) {
            rc = text_add_part(&t, fmt, i, 1);
            i += 2;
        } else if (c == '{') {
            i++;
            rc = one_field(&t, fmt, &i, a, &next);
        } else {
            rc = jinja_fail(it, "a \"}\" stands alone in a format");
        }
    }
    *out = text_value(&t);
    out->markup = fmt->markup;
    return rc;
}
