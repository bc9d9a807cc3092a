/* Matchers over answers. Owns the folded texts only while a call lasts. What always holds: an assertion that cannot be
 * evaluated is an error when the cases are read, never a pass. */
#include "lifecycle/rules/matcher.h"

#include <math.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/rules/fold.h"

enum { MAX_FOLDED = 64 * 1024 * 1024 };

static const char *const names[MATCH_COUNT] = {"exact", "normalized", "contains", "number", "choice"};

const char *matcher_name(enum matcher m)
{
    return names[m];
}

int matcher_find(const char *name)
{
    for (int i = 0; i < MATCH_COUNT; i++)
        if (str_eq(names[i], name)) return i;
    return -1;
}

const char *matcher_versions(void)
{
    return "exact/1 normalized/1 contains/1 number/1 choice/1";
}

int matcher_of_task(const char *task)
{
    if (str_eq(task, "classification")) return MATCH_EXACT;
    if (str_eq(task, "math") || str_eq(task, "math_robustness")) return MATCH_NUMBER;
    return -1;
}

static int check_value(const json_t *v, const char *where, struct err *e)
{
    if (!v || json_is_string(v) || json_is_number(v)) return 0;
    if (json_is_array(v) && json_array_size(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            if (!json_is_string(json_array_get(v, i)) && !json_is_number(json_array_get(v, i)))
                return err_set(e, ERR_INPUT, where,
                               "cannot read %s: assert value %zu is %s, a string or a number is needed", where, i + 1,
                               json_kind(json_array_get(v, i)));
        return 0;
    }
    return err_set(e, ERR_INPUT, where,
                   "cannot read %s: assert value is %s, a string, a number or a list of these is needed", where,
                   json_kind(v));
}

static int check_choices(const struct match_rule *r, const char *where, struct err *e)
{
    if ((r->matcher == MATCH_CHOICE) != (r->choices != NULL))
        return err_set(e, ERR_INPUT, where,
                       r->choices ? "cannot read %s: choices belong to the assert type choice"
                                  : "cannot read %s: the assert type choice needs choices",
                       where);
    for (size_t i = 0; i < json_array_size(r->choices); i++)
        if (!json_is_string(json_array_get(r->choices, i)))
            return err_set(e, ERR_INPUT, where, "cannot read %s: choice %zu is %s, a string is needed", where, i + 1,
                           json_kind(json_array_get(r->choices, i)));
    return 0;
}

static int check_keys(const json_t *object, const char *where, struct err *e)
{
    static const char *const known[] = {"type", "value", "choices", "tolerance", "weight"};
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *key = json_object_iter_key(it);
        bool found = false;
        for (size_t i = 0; i < N_ELEM(known); i++) found = found || str_eq(known[i], key);
        if (!found)
            return err_set(e, ERR_INPUT, where,
                           "cannot read %s: unknown key \"%s\" in assert; known are type, value, choices, "
                           "tolerance, weight",
                           where, key);
    }
    return 0;
}

int match_rule_parse(const json_t *object, const char *where, struct match_rule *out, struct err *e)
{
    *out = (struct match_rule){.tolerance = 1e-6, .weight = 1};
    if (!json_is_object(object))
        return err_set(e, ERR_INPUT, where, "cannot read %s: an assert is %s, an object is needed", where,
                       json_kind(object));
    const char *type = NULL;
    int rc = check_keys(object, where, e);
    if (rc == 0) rc = json_get_str(object, "type", &type, where, e);
    if (rc) return rc;
    int m = matcher_find(type);
    if (m < 0)
        return err_set(e, ERR_INPUT, where,
                       "cannot read %s: no matcher \"%s\"; there are exact, normalized, contains, number, "
                       "choice",
                       where, type);
    out->matcher = (enum matcher)m;
    out->value = json_object_get(object, "value");
    rc = json_opt_array(object, "choices", &out->choices, where, e);
    if (rc == 0) rc = json_opt_float(object, "tolerance", 0, 1e9, &out->tolerance, where, e);
    if (rc == 0) rc = json_opt_float(object, "weight", 1e-9, 1e9, &out->weight, where, e);
    if (rc == 0) rc = check_value(out->value, where, e);
    return rc ? rc : check_choices(out, where, e);
}

/* One alternative as text; numbers are formatted into room. */
static const char *as_text(const json_t *v, char *room, size_t size, size_t *n)
{
    if (json_is_string(v)) {
        *n = json_string_length(v);
        return json_string_value(v);
    }
    struct buf b;
    buf_init(&b, size - 1);
    room[0] = '\0';
    if (json_format(v, JSON_LINE, &b) == 0) memcpy(room, b.data, b.len + 1);
    *n = b.len;
    buf_deinit(&b);
    return room;
}

static size_t n_alternative(const json_t *v)
{
    return json_is_array(v) ? json_array_size(v) : 1;
}

static const json_t *alternative(const json_t *v, size_t i)
{
    return json_is_array(v) ? json_array_get(v, i) : v;
}

static int folded_number(const char *s, size_t n, bool *found, double *v)
{
    struct buf b;
    buf_init(&b, MAX_FOLDED);
    int rc = fold_text(s, n, &b);
    *found = rc == 0 && match_last_number(b.data, b.len, v);
    buf_deinit(&b);
    return rc;
}

static int folded_equal(const char *a, size_t n_a, const char *b, size_t n_b, bool *equal)
{
    struct buf fa, fb;
    buf_init(&fa, MAX_FOLDED);
    buf_init(&fb, MAX_FOLDED);
    int rc = fold_answer(a, n_a, &fa);
    if (rc == 0) rc = fold_answer(b, n_b, &fb);
    *equal = rc == 0 && fa.len == fb.len && memcmp(fa.data, fb.data, fa.len) == 0;
    buf_deinit(&fa);
    buf_deinit(&fb);
    return rc;
}

static int folded_contains(const char *a, size_t n_a, const char *b, size_t n_b, bool *found)
{
    struct buf fa, fb;
    buf_init(&fa, MAX_FOLDED);
    buf_init(&fb, MAX_FOLDED);
    int rc = fold_text(a, n_a, &fa);
    if (rc == 0) rc = fold_text(b, n_b, &fb);
    *found = rc == 0 && memmem(fa.data, fa.len, fb.data, fb.len);
    buf_deinit(&fa);
    buf_deinit(&fb);
    return rc;
}

static int is_choice(const struct match_rule *r, const char *s, size_t n, bool *found)
{
    *found = false;
    for (size_t i = 0; i < json_array_size(r->choices) && !*found; i++) {
        const json_t *c = json_array_get(r->choices, i);
        int rc = folded_equal(json_string_value(c), json_string_length(c), s, n, found);
        if (rc) return rc;
    }
    return 0;
}

static int check_alternative(const struct match_rule *r, const json_t *v, const char *where, struct err *e)
{
    char room[64];
    size_t n, n_trimmed;
    if (!json_is_string(v) && !json_is_number(v))
        return err_set(e, ERR_INPUT, where,
                       "cannot judge %s: the expectation is %s, the matcher %s needs a string or a number", where,
                       json_kind(v), names[r->matcher]);
    const char *text = as_text(v, room, sizeof room, &n);
    (void)fold_trim(text, n, &n_trimmed);
    if (n_trimmed == 0) return err_set(e, ERR_INPUT, where, "cannot judge %s: the expectation is empty", where);
    bool ok = true;
    double number;
    int rc = 0;
    if (r->matcher == MATCH_NUMBER)
        rc = folded_number(text, n, &ok, &number);
    else if (r->matcher == MATCH_CHOICE)
        rc = is_choice(r, text, n, &ok);
    if (rc) return err_set(e, -rc, where, "cannot judge %s: out of memory", where);
    if (!ok)
        return err_set(e, ERR_INPUT, where, "cannot judge %s: the expectation \"%.80s\" is not %s", where, text,
                       r->matcher == MATCH_NUMBER ? "a number" : "one of the choices");
    return 0;
}

int match_rule_check_gold(const struct match_rule *r, const json_t *expected, const char *where, struct err *e)
{
    const json_t *v = r->value ? r->value : expected;
    if (!v)
        return err_set(e, ERR_INPUT, where, "cannot judge %s: neither the case nor its assert says what is expected",
                       where);
    if (n_alternative(v) == 0)
        return err_set(e, ERR_INPUT, where, "cannot judge %s: the list of expectations is empty", where);
    for (size_t i = 0; i < n_alternative(v); i++) {
        int rc = check_alternative(r, alternative(v, i), where, e);
        if (rc) return rc;
    }
    return 0;
}

static int match_one(const struct match_rule *r, const json_t *v, const char *answer, size_t n, bool *pass)
{
    char room[64];
    size_t n_want, n_trim, n_want_trim;
    const char *want = as_text(v, room, sizeof room, &n_want);
    if (r->matcher == MATCH_EXACT) {
        const char *a = fold_trim(answer, n, &n_trim), *b = fold_trim(want, n_want, &n_want_trim);
        *pass = n_trim == n_want_trim && memcmp(a, b, n_trim) == 0;
        return 0;
    }
    if (r->matcher == MATCH_CONTAINS) return folded_contains(answer, n, want, n_want, pass);
    if (r->matcher != MATCH_NUMBER) return folded_equal(answer, n, want, n_want, pass);
    double got = 0, need = 0;
    bool has, has_need;
    int rc = folded_number(answer, n, &has, &got);
    if (rc == 0) rc = folded_number(want, n_want, &has_need, &need);
    *pass = rc == 0 && has && has_need && fabs(got - need) <= r->tolerance * (1 + fabs(need));
    return rc;
}

static int is_parsed(const struct match_rule *r, const char *answer, size_t n, bool *parsed)
{
    double v;
    *parsed = true;
    if (r->matcher == MATCH_NUMBER) return folded_number(answer, n, parsed, &v);
    return r->matcher == MATCH_CHOICE ? is_choice(r, answer, n, parsed) : 0;
}

int match_rule_apply(const struct match_rule *r, const json_t *expected, const char *answer, size_t n,
                     enum match_outcome *out, struct err *e)
{
    const json_t *v = r->value ? r->value : expected;
    bool parsed, pass = false;
    int rc = is_parsed(r, answer, n, &parsed);
    for (size_t i = 0; rc == 0 && parsed && !pass && i < n_alternative(v); i++)
        rc = match_one(r, alternative(v, i), answer, n, &pass);
    if (rc) return err_set(e, -rc, NULL, "cannot judge an answer of %zu bytes: out of memory", n);
    *out = !parsed ? MATCH_UNPARSED : pass ? MATCH_PASS : MATCH_FAIL;
    return 0;
}
