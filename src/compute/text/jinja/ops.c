/* Operators with Python's rules: which types they take, what integers do (an overflow is an error, for there are no big
 * ones here), and which way division rounds. */
#include <math.h>
#include <string.h>

#include "compute/text/jinja/interp.h"

static int unsupported(struct interp *it, const char *op, const struct value *a, const struct value *b)
{
    const struct value *u = a->type == VAL_UNDEFINED ? a : b->type == VAL_UNDEFINED ? b : NULL;
    if (u) {
        return jinja_fail(it, "\"%.*s\" is undefined and cannot be an operand of %s", (int)u->n, u->s, op);
    }
    return jinja_fail(it, "%s is not supported between %s and %s", op, val_type_name(a), val_type_name(b));
}

static int overflow(struct interp *it)
{
    return jinja_fail(it, "an integer leaves the range of 64 bits");
}

/* Markup escapes what joins it. */
static int add_escaped(struct interp *it, struct text *t, const struct value *s, bool escape)
{
    struct value v = *s;
    int rc = escape && !s->markup ? string_escape(it, s, &v) : 0;
    return rc ? rc : text_add_value(t, &v);
}

static int add_strings(struct interp *it, const struct value *a, const struct value *b, struct value *out)
{
    struct text t;
    text_init(&t, it);
    bool markup = a->markup || b->markup;
    int rc = add_escaped(it, &t, a, markup);
    rc = rc ? rc : add_escaped(it, &t, b, markup);
    *out = text_value(&t);
    out->markup = markup;
    return rc;
}

static int add_lists(struct interp *it, const struct list *a, const struct list *b, struct value *out)
{
    struct list *l;
    int rc = list_new(it, a->kind, a->n + b->n, &l);
    rc = rc ? rc : jinja_work(it, a->n + b->n);
    if (rc) {
        return rc;
    }
    if (a->n) {
        memcpy(l->item, a->item, a->n * sizeof *l->item);
    }
    if (b->n) {
        memcpy(l->item + a->n, b->item, b->n * sizeof *l->item);
    }
    l->n = a->n + b->n;
    *out = val_list(l);
    return 0;
}

static bool is_plain_list(const struct value *v)
{
    return v->type == VAL_LIST && (v->list->kind == LIST_LIST || v->list->kind == LIST_TUPLE);
}

static int repeat(struct interp *it, const struct value *what, int64_t times, struct value *out)
{
    int rc = 0;
    if (what->type == VAL_STRING) {
        struct text t;
        text_init(&t, it);
        for (int64_t i = 0; !rc && i < times && what->n > 0; i++) {
            rc = text_add_value(&t, what);
        }
        *out = text_value(&t);
        out->markup = what->markup;
        return rc;
    }
    struct list *l;
    rc = list_new(it, what->list->kind, 0, &l);
    for (int64_t i = 0; !rc && i < times && what->list->n > 0; i++) {
        for (size_t k = 0; !rc && k < what->list->n; k++) {
            rc = list_add(it, l, what->list->item[k]);
        }
    }
    *out = val_list(l);
    return rc;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* base ** exponent, exponent >= 0. */
static bool int_power(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t r = 1;
    while (exponent > 0) {
        if (exponent & 1 && __builtin_mul_overflow(r, base, &r)) {
            return false;
        }
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) {
            return false;
        }
    }
    *out = r;
    return true;
}

static int int_op(struct interp *it, char op, int64_t a, int64_t b, struct value *out)
{
    int64_t r = 0;
    bool fits = true;
    if ((op == '/' || op == 'f' || op == '%') && b == 0) {
        return jinja_fail(it, "division by zero");
    }
    switch (op) {
    case '+':
        fits = !__builtin_add_overflow(a, b, &r);
        break;
    case '-':
        fits = !__builtin_sub_overflow(a, b, &r);
        break;
    case '*':
        fits = !__builtin_mul_overflow(a, b, &r);
        break;
    case '/':
        *out = val_float((double)a / (double)b);
        return 0;
    case 'f':
    case '%':
        fits = !(a == INT64_MIN && b == -1);
        r = !fits ? 0 : op == 'f' ? floor_div(a, b) : a - floor_div(a, b) * b;
        break;
    default:
        if (b < 0) {
            *out = val_float(pow((double)a, (double)b));
            return a == 0 ? jinja_fail(it, "zero cannot be raised to a negative power") : 0;
        }
        fits = int_power(a, b, &r);
        break;
    }
    *out = val_int(r);
    return fits ? 0 : overflow(it);
}

static int float_op(struct interp *it, char op, double a, double b, struct value *out)
{
    bool zero = !(b < 0) && !(b > 0) && b == b;
    if ((op == '/' || op == 'f' || op == '%') && zero) {
        return jinja_fail(it, "division by zero");
    }
    double mod = fmod(a, b);
    mod += (mod < 0 || mod > 0) && (mod < 0) != (b < 0) ? b : 0;
    switch (op) {
    case '+':
        *out = val_float(a + b);
        break;
    case '-':
        *out = val_float(a - b);
        break;
    case '*':
        *out = val_float(a * b);
        break;
    case '/':
        *out = val_float(a / b);
        break;
    case 'f':
        *out = val_float(floor((a - mod) / b + 0.5));
        break;
    case '%':
        *out = val_float(mod);
        break;
    default:
        *out = val_float(pow(a, b));
        break;
    }
    return 0;
}

static int other_op(struct interp *it, char op, const struct value *a, const struct value *b, struct value *out)
{
    int64_t i;
    if (op == '+' && a->type == VAL_STRING && b->type == VAL_STRING) {
        return add_strings(it, a, b, out);
    }
    if (op == '+' && is_plain_list(a) && is_plain_list(b) && a->list->kind == b->list->kind) {
        return add_lists(it, a->list, b->list, out);
    }
    if (op == '*' && (a->type == VAL_STRING || is_plain_list(a)) && val_is_int(b, &i)) {
        return repeat(it, a, i, out);
    }
    if (op == '*' && (b->type == VAL_STRING || is_plain_list(b)) && val_is_int(a, &i)) {
        return repeat(it, b, i, out);
    }
    if (op == '%' && a->type == VAL_STRING) {
        return format_percent(it, a, b, out);
    }
    char name[3] = {op == 'f' ? '/' : op == 'p' ? '*' : op, op == 'f' ? '/' : op == 'p' ? '*' : '\0', '\0'};
    return unsupported(it, name, a, b);
}

int op_binary(struct interp *it, char op, const struct value *a, const struct value *b, struct value *out)
{
    int64_t i, k;
    double x, y;
    if (val_is_int(a, &i) && val_is_int(b, &k)) {
        return int_op(it, op, i, k, out);
    }
    if (val_is_number(a, &x) && val_is_number(b, &y)) {
        return float_op(it, op, x, y, out);
    }
    return other_op(it, op, a, b, out);
}

int op_compare(struct interp *it, char op, const struct value *a, const struct value *b, bool *out)
{
    int rc;
    if (op == '=' || op == '!') {
        rc = val_equal(it, a, b);
        *out = (rc > 0) == (op == '=');
        return rc < 0 ? rc : 0;
    }
    if (op == 'i' || op == 'n') {
        rc = val_contains(it, b, a, out);
        *out = *out == (op == 'i');
        return rc;
    }
    if (a->type == VAL_UNDEFINED || b->type == VAL_UNDEFINED) {
        return unsupported(it, "a comparison", a, b);
    }
    bool swap = op == '>' || op == 'l'; /* a > b is b < a, a <= b is not b < a */
    rc = swap ? val_less(it, b, a, out) : val_less(it, a, b, out);
    if (!rc && (op == 'l' || op == 'g')) {
        double x, y;
        bool nan = val_is_number(a, &x) && val_is_number(b, &y) && (x != x || y != y);
        *out = !*out && !nan;
    }
    return rc;
}

int op_unary(struct interp *it, bool minus, const struct value *a, struct value *out)
{
    int64_t i;
    if (val_is_int(a, &i)) {
        *out = val_int(minus && i != INT64_MIN ? -i : i);
        return minus && i == INT64_MIN ? overflow(it) : 0;
    }
    if (a->type == VAL_FLOAT) {
        *out = val_float(minus ? -a->f : a->f);
        return 0;
    }
    if (a->type == VAL_UNDEFINED) {
        return jinja_fail(it, "\"%.*s\" is undefined", (int)a->n, a->s);
    }
    return jinja_fail(it, "a sign cannot stand before %s", val_type_name(a));
}
