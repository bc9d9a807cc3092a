/* What may stand behind "is". */
#include <string.h>

#include "compute/text/jinja/interp.h"
#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

#define TEST(name) \
    static int is_##name(struct interp *it, const struct value *v, const struct args *a, struct value *out)

/* A test without arguments. */
#define PLAIN_TEST(name, condition)                       \
    TEST(name)                                            \
    {                                                     \
        *out = val_bool(condition);                       \
        return args_bind(it, a, "the test", "", 0, NULL); \
    }

static bool is_sized(const struct value *v)
{
    return v->type == VAL_STRING || v->type == VAL_DICT || v->type == VAL_UNDEFINED ||
           (v->type == VAL_LIST && v->list->kind <= LIST_RANGE);
}

static bool can_iterate(const struct value *v)
{
    return v->type == VAL_STRING || v->type == VAL_DICT || v->type == VAL_UNDEFINED || v->type == VAL_LIST ||
           v->type == VAL_LOOP;
}

static bool can_call(const struct value *v)
{
    /* Jinja's Undefined has a __call__ (which fails). */
    return v->type == VAL_MACRO || v->type == VAL_FUNCTION || v->type == VAL_METHOD || v->type == VAL_LOOP ||
           v->type == VAL_UNDEFINED;
}

PLAIN_TEST(defined, v->type != VAL_UNDEFINED)
PLAIN_TEST(undefined, v->type == VAL_UNDEFINED)
PLAIN_TEST(none, v->type == VAL_NONE)
PLAIN_TEST(boolean, v->type == VAL_BOOL)
PLAIN_TEST(yes, v->type == VAL_BOOL && v->b)
PLAIN_TEST(no, v->type == VAL_BOOL && !v->b)
PLAIN_TEST(integer, v->type == VAL_INT)
PLAIN_TEST(float, v->type == VAL_FLOAT)
PLAIN_TEST(number, v->type == VAL_INT || v->type == VAL_FLOAT || v->type == VAL_BOOL)
PLAIN_TEST(string, v->type == VAL_STRING)
PLAIN_TEST(mapping, v->type == VAL_DICT)
PLAIN_TEST(sequence, is_sized(v))
PLAIN_TEST(iterable, can_iterate(v))
PLAIN_TEST(callable, can_call(v))
PLAIN_TEST(escaped, v->type == VAL_STRING && v->markup)

/* str.isupper, str.islower: some cased character, and none of the other case. */
static int has_case(struct interp *it, const struct value *v, bool upper, struct value *out)
{
    struct value s;
    int rc = val_to_string(it, v, &s);
    bool some = false, other = false;
    for (size_t i = 0; !rc && i < s.n;) {
        uint32_t cp;
        i += utf8_decode(s.s + i, s.n - i, &cp);
        some = some || (upper ? unicode_is_upper(cp) : unicode_is_lower(cp));
        other = other || (upper ? unicode_is_lower(cp) : unicode_is_upper(cp));
    }
    *out = val_bool(some && !other);
    return rc;
}

TEST(upper)
{
    int rc = args_bind(it, a, "the test upper", "", 0, NULL);
    return rc ? rc : has_case(it, v, true, out);
}

TEST(lower)
{
    int rc = args_bind(it, a, "the test lower", "", 0, NULL);
    return rc ? rc : has_case(it, v, false, out);
}

static int remainder_is(struct interp *it, const struct value *v, int64_t by, int64_t want, struct value *out)
{
    struct value d = val_int(by), r, w = val_int(want);
    int rc = op_binary(it, '%', v, &d, &r);
    int eq = rc ? 0 : val_equal(it, &r, &w);
    *out = val_bool(eq > 0);
    return eq < 0 ? eq : rc;
}

TEST(odd)
{
    int rc = args_bind(it, a, "the test odd", "", 0, NULL);
    return rc ? rc : remainder_is(it, v, 2, 1, out);
}

TEST(even)
{
    int rc = args_bind(it, a, "the test even", "", 0, NULL);
    return rc ? rc : remainder_is(it, v, 2, 0, out);
}

TEST(divisibleby)
{
    const struct value *num;
    int64_t n;
    int rc = args_bind(it, a, "the test divisibleby", "num", 1, &num);
    rc = rc ? rc : args_int(it, num, 0, &n);
    return rc ? rc : remainder_is(it, v, n, 0, out);
}

static int compare(struct interp *it, char op, const struct value *v, const struct args *a, struct value *out)
{
    const struct value *other;
    bool yes = false;
    int rc = args_bind(it, a, "a comparing test", "other", 1, &other);
    rc = rc ? rc : op_compare(it, op, v, other, &yes);
    *out = val_bool(yes);
    return rc;
}

TEST(eq)
{
    return compare(it, '=', v, a, out);
}

TEST(ne)
{
    return compare(it, '!', v, a, out);
}

TEST(lt)
{
    return compare(it, '<', v, a, out);
}

TEST(le)
{
    return compare(it, 'l', v, a, out);
}

TEST(gt)
{
    return compare(it, '>', v, a, out);
}

TEST(ge)
{
    return compare(it, 'g', v, a, out);
}

TEST(in)
{
    return compare(it, 'i', v, a, out);
}

/* Identity, which for numbers, text and none is equality within one type. */
TEST(sameas)
{
    const struct value *other;
    int rc = args_bind(it, a, "the test sameas", "other", 1, &other);
    int same = 0;
    if (!rc && v->type == other->type) {
        bool object = v->type == VAL_LIST || v->type == VAL_DICT;
        same = object ? v->list == other->list : val_equal(it, v, other);
    }
    *out = val_bool(same > 0);
    return same < 0 ? same : rc;
}

TEST(filter)
{
    *out = val_bool(v->type == VAL_STRING && filter_find(v->s, v->n));
    return args_bind(it, a, "the test filter", "", 0, NULL);
}

TEST(test)
{
    *out = val_bool(v->type == VAL_STRING && test_find(v->s, v->n));
    return args_bind(it, a, "the test test", "", 0, NULL);
}

const struct builtin *test_find(const char *name, size_t n)
{
    static const struct builtin table[] = {
        {"defined", is_defined},
        {"undefined", is_undefined},
        {"none", is_none},
        {"boolean", is_boolean},
        {"true", is_yes},
        {"false", is_no},
        {"integer", is_integer},
        {"float", is_float},
        {"number", is_number},
        {"string", is_string},
        {"mapping", is_mapping},
        {"sequence", is_sequence},
        {"iterable", is_iterable},
        {"callable", is_callable},
        {"escaped", is_escaped},
        {"upper", is_upper},
        {"lower", is_lower},
        {"odd", is_odd},
        {"even", is_even},
        {"divisibleby", is_divisibleby},
        {"eq", is_eq},
        {"equalto", is_eq},
        {"==", is_eq},
        {"ne", is_ne},
        {"!=", is_ne},
        {"lt", is_lt},
        {"lessthan", is_lt},
        {"<", is_lt},
        {"le", is_le},
        {"<=", is_le},
        {"gt", is_gt},
        {"greaterthan", is_gt},
        {">", is_gt},
        {"ge", is_ge},
        {">=", is_ge},
        {"in", is_in},
        {"sameas", is_sameas},
        {"filter", is_filter},
        {"test", is_test},
    };
    return builtin_find(table, N_ELEM(table), name, n);
}

int test_call(struct interp *it, const struct value *name, const struct value *v, const struct args *a, bool *out)
{
    const struct builtin *b = name->type == VAL_STRING ? test_find(name->s, name->n) : NULL;
    if (!b) {
        return jinja_fail(it, "no test is named \"%.*s\"", name->type == VAL_STRING ? (int)name->n : 0, name->s);
    }
    struct value result;
    int rc = b->call(it, v, a, &result);
    *out = !rc && val_truth(&result);
    return rc;
}
