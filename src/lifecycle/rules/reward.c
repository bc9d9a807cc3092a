/* Rewards: one function a type reads its members, one judges. Owns patterns and copies of texts. What always holds: a
 * value is finite; a member that a type does not have is an error, so that a misspelt one does not pass unseen. */
#include "lifecycle/rules/reward.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "compute/text/json_schema.h"
#include "lifecycle/rules/fold.h"
#include "lifecycle/rules/matcher.h"
#include "ground/sys/regex.h"
#include "lifecycle/rules/words.h"

enum { WHERE_SIZE = 96, MAX_TAG = 16, TAG_SIZE = 64 };

struct reward {
    const struct kind *kind;
    json_t *spec; /* owned; members point into it */
    char where[WHERE_SIZE];
    const char *name;
    double weight;
    /* matchers */
    struct match_rule match;
    json_t *assertion; /* what match borrows from */
    const char *column;
    /* regex */
    struct regex *regex;
    bool whole;
    /* tags, lua, json, length, repetition */
    const json_t *tags;
    const char *code, *unit, *json_kind;
    struct json_schema *schema;
    struct judge_rule *judge;
    double min, max, slack;
    int64_t n;
};

struct kind {
    const char *name, *members; /* separated by spaces, beside type, weight and name */
    int (*read)(struct reward *r, struct err *e);
    int (*judge)(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value, struct err *e);
};

/* --- matchers --- */

static int read_match(struct reward *r, struct err *e)
{
    static const char *const own[] = {"weight", "name", "column"};
    r->column = "answer";
    r->assertion = json_copy(r->spec);
    if (r->assertion == NULL) return err_set(e, ERR_NOMEM, r->where, "cannot read %s: out of memory", r->where);
    for (size_t i = 0; i < N_ELEM(own); i++) json_object_del(r->assertion, own[i]);
    int rc = json_opt_str(r->spec, "column", &r->column, r->where, e);
    if (rc == 0) rc = match_rule_parse(r->assertion, r->where, &r->match, e);
    if (rc == 0 && r->match.value != NULL) r->column = NULL;
    return rc == 0 && r->match.value != NULL ? match_rule_check_gold(&r->match, NULL, r->where, e) : rc;
}

static int judge_match(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                       struct err *e)
{
    enum match_outcome outcome;
    const json_t *expected = r->column != NULL ? json_object_get(in->row, r->column) : NULL;
    *applies = r->column == NULL || (expected != NULL && !json_is_null(expected));
    if (!*applies) return 0;
    int rc = match_rule_check_gold(&r->match, expected, r->where, e);
    if (rc == 0) rc = match_rule_apply(&r->match, expected, in->answer, in->n, &outcome, e);
    if (rc == 0) *value = outcome == MATCH_PASS;
    return rc;
}

/* --- patterns --- */

static int read_regex(struct reward *r, struct err *e)
{
    const char *pattern;
    int rc = json_get_str(r->spec, "pattern", &pattern, r->where, e);
    if (rc == 0) rc = json_opt_bool(r->spec, "whole", &r->whole, r->where, e);
    return rc != 0 ? rc : regex_new(&r->regex, pattern, strlen(pattern), r->where, e);
}

static int judge_regex(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                       struct err *e)
{
    bool found;
    size_t n = in->n;
    const char *s = r->whole ? fold_trim(in->answer, in->n, &n) : in->answer;
    *applies = true;
    int rc = regex_match(r->regex, s, n, r->whole, &found, NULL, NULL, e);
    if (rc == 0) *value = found;
    return rc;
}

/* --- tags --- */

static int read_tags(struct reward *r, struct err *e)
{
    int rc = json_get_array(r->spec, "tags", &r->tags, r->where, e);
    size_t n = json_array_size(r->tags);
    if (rc == 0 && (n == 0 || n > MAX_TAG))
        rc = err_set(e, ERR_USAGE, "tags", "cannot use %s: it has %zu tags, 1 to %d are needed", r->where, n,
                     (int)MAX_TAG);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *tag = json_string_value(json_array_get(r->tags, i));
        if (tag == NULL || *tag == '\0' || strlen(tag) > TAG_SIZE - 4 || strpbrk(tag, "<>/") != NULL)
            rc = err_set(e, ERR_USAGE, "tags", "cannot use %s: tag %zu is not a name like \"answer\"", r->where, i + 1);
    }
    return rc;
}

static size_t count_of(const char *s, size_t n, const char *what)
{
    size_t len = strlen(what), count = 0;
    for (const char *at = s; (at = memmem(at, n - (size_t)(at - s), what, len)) != NULL; at += len) count++;
    return count;
}

/* One element at the start of what is left; false: it is not there. */
static bool take_element(const char **s, size_t *n, const char *all, size_t n_all, const char *tag)
{
    char open[TAG_SIZE], close[TAG_SIZE];
    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    size_t n_open = strlen(open), n_close = strlen(close);
    if (count_of(all, n_all, open) != 1 || count_of(all, n_all, close) != 1) return false;
    if (*n < n_open || memcmp(*s, open, n_open) != 0) return false;
    const char *end = memmem(*s + n_open, *n - n_open, close, n_close);
    if (end == NULL) return false;
    end += n_close;
    *s = fold_trim(end, *n - (size_t)(end - *s), n);
    return true;
}

static int judge_tags(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                      struct err *e)
{
    size_t n;
    const char *s = fold_trim(in->answer, in->n, &n);
    bool good = true;
    (void)e;
    for (size_t i = 0; i < json_array_size(r->tags) && good; i++)
        good = take_element(&s, &n, in->answer, in->n, json_string_value(json_array_get(r->tags, i)));
    *applies = true;
    *value = good && n == 0;
    return 0;
}

/* --- length and repetition --- */

static int read_length(struct reward *r, struct err *e)
{
    r->unit = "words";
    r->max = 1e9;
    int rc = json_opt_str(r->spec, "unit", &r->unit, r->where, e);
    if (rc == 0) rc = json_opt_float(r->spec, "min", 0, 1e9, &r->min, r->where, e);
    if (rc == 0) rc = json_opt_float(r->spec, "max", 0, 1e9, &r->max, r->where, e);
    if (rc == 0) rc = json_opt_float(r->spec, "slack", 0, 1e9, &r->slack, r->where, e);
    if (rc != 0) return rc;
    if (!str_eq(r->unit, "words") && !str_eq(r->unit, "chars") && !str_eq(r->unit, "tokens"))
        return err_set(e, ERR_USAGE, "unit", "cannot use %s: there is no unit \"%s\", there are words, chars, tokens",
                       r->where, r->unit);
    if (r->min <= r->max) return 0;
    return err_set(e, ERR_USAGE, "min", "cannot use %s: min %g is above max %g", r->where, r->min, r->max);
}

static int judge_length(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                        struct err *e)
{
    size_t n = str_eq(r->unit, "words")   ? words_count(in->answer, in->n)
               : str_eq(r->unit, "chars") ? chars_count(in->answer, in->n)
                                          : in->n_token;
    double off = fmax(r->min - (double)n, (double)n - r->max);
    (void)e;
    *applies = true;
    *value = off <= 0 ? 1 : r->slack > 0 ? fmax(0, 1 - off / r->slack) : 0;
    return 0;
}

static int read_repetition(struct reward *r, struct err *e)
{
    r->n = 3;
    return json_opt_int(r->spec, "n", 1, 32, &r->n, r->where, e);
}

static int judge_repetition(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                            struct err *e)
{
    *applies = true;
    if (words_distinct(in->answer, in->n, (size_t)r->n, value) == 0) return 0;
    return err_set(e, ERR_NOMEM, r->where, "cannot judge by %s: out of memory", r->where);
}

/* --- JSON and Lua --- */

static int read_json(struct reward *r, struct err *e)
{
    const json_t *schema = json_object_get(r->spec, "schema");
    int rc = json_opt_str(r->spec, "kind", &r->json_kind, r->where, e);
    if (rc == 0 && schema != NULL) rc = json_schema_new(&r->schema, schema, r->where, e);
    if (rc != 0 || r->json_kind == NULL || str_eq(r->json_kind, "object") || str_eq(r->json_kind, "array")) return rc;
    return err_set(e, ERR_USAGE, "kind", "cannot use %s: there is no kind \"%s\", there are object and array", r->where,
                   r->json_kind);
}

static int judge_json(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                      struct err *e)
{
    json_t *v = NULL;
    struct err why = {0};
    *applies = true;
    int rc = json_parse(in->answer, in->n, r->where, &v, &why);
    bool fits = r->json_kind == NULL || (str_eq(r->json_kind, "object") ? json_is_object(v) : json_is_array(v));
    bool judged = rc == 0 && fits && r->schema != NULL;
    if (judged) rc = json_schema_check(r->schema, v, &fits, &why);
    *value = rc == 0 && fits;
    json_decref(v);
    if (rc != -ERR_NOMEM && !(judged && rc != 0)) return 0;
    if (e != NULL) *e = why;
    return rc;
}

static int read_lua(struct reward *r, struct err *e)
{
    int rc = json_get_str(r->spec, "code", &r->code, r->where, e);
    return rc != 0 ? rc : sandbox_check(r->code, strlen(r->code), r->where, e);
}

static int judge_lua(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                     struct err *e)
{
    return sandbox_run(r->code, strlen(r->code), r->where, in, applies, value, e);
}

/* --- a judge --- */

static int read_judge(struct reward *r, struct err *e)
{
    return judge_rule_new(&r->judge, r->spec, r->where, e);
}

/* Whoever has answers asks for all of them together, see reward_judge. */
static int judge_alone(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value,
                       struct err *e)
{
    (void)in;
    (void)applies;
    (void)value;
    return err_set(e, ERR_UNSUPPORTED, r->where, "cannot judge by %s here: nobody asks other models", r->where);
}

/* --- the whole --- */

static const char match_members[] = "column value choices tolerance";
static const struct kind kinds[] = {{"exact", match_members, read_match, judge_match},
                                    {"normalized", match_members, read_match, judge_match},
                                    {"contains", match_members, read_match, judge_match},
                                    {"number", match_members, read_match, judge_match},
                                    {"choice", match_members, read_match, judge_match},
                                    {"regex", "pattern whole", read_regex, judge_regex},
                                    {"tags", "tags", read_tags, judge_tags},
                                    {"length", "unit min max slack", read_length, judge_length},
                                    {"repetition", "n", read_repetition, judge_repetition},
                                    {"json", "kind schema", read_json, judge_json},
                                    {"judge", judge_rule_members, read_judge, judge_alone},
                                    {"lua", "code", read_lua, judge_lua}};

static bool is_word_of(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) return true;
    return false;
}

static int check_members(const struct reward *r, struct err *e)
{
    for (void *at = json_object_iter(r->spec); at; at = json_object_iter_next(r->spec, at)) {
        const char *key = json_object_iter_key(at);
        if (is_word_of("type weight name", key) || is_word_of(r->kind->members, key)) continue;
        return err_set(e, ERR_USAGE, key,
                       "cannot use %s: a reward of type %s has no member \"%s\"; it has type weight name %s", r->where,
                       r->kind->name, key, r->kind->members);
    }
    return 0;
}

static int find_kind(struct reward *r, struct err *e)
{
    const char *type;
    int rc = json_get_str(r->spec, "type", &type, r->where, e);
    for (size_t i = 0; rc == 0 && i < N_ELEM(kinds); i++)
        if (str_eq(type, kinds[i].name)) r->kind = &kinds[i];
    if (rc != 0 || r->kind != NULL) return rc;
    return err_set(e, ERR_USAGE, "type",
                   "cannot use %s: there is no type of reward \"%s\"; there are exact, normalized, contains, number, "
                   "choice, regex, tags, length, repetition, json, judge, lua",
                   r->where, type);
}

static int read(struct reward *r, struct err *e)
{
    int rc = find_kind(r, e);
    if (rc != 0) return rc;
    r->name = r->kind->name;
    r->weight = 1;
    rc = check_members(r, e);
    if (rc == 0) rc = json_opt_str(r->spec, "name", &r->name, r->where, e);
    if (rc == 0) rc = json_opt_float(r->spec, "weight", -1e6, 1e6, &r->weight, r->where, e);
    return rc != 0 ? rc : r->kind->read(r, e);
}

int reward_new(struct reward **out, const json_t *spec, const char *where, struct err *e)
{
    *out = NULL;
    if (!json_is_object(spec))
        return err_set(e, ERR_USAGE, where, "cannot use %s: it is %s, an object is needed", where, json_kind(spec));
    struct reward *r = mem_try_alloc(sizeof(*r));
    json_t *copy = json_deep_copy(spec);
    if (r == NULL || copy == NULL) {
        json_decref(copy);
        mem_free(r);
        return err_set(e, ERR_NOMEM, where, "cannot read %s: out of memory", where);
    }
    r->spec = copy;
    snprintf(r->where, sizeof(r->where), "%s", where);
    int rc = read(r, e);
    if (rc == 0)
        *out = r;
    else
        reward_free(r);
    return rc;
}

void reward_free(struct reward *r)
{
    if (r == NULL) return;
    regex_free(r->regex);
    json_schema_free(r->schema);
    judge_rule_free(r->judge);
    json_decref(r->assertion);
    json_decref(r->spec);
    mem_free(r);
}

const char *reward_name(const struct reward *r)
{
    return r->name;
}

double reward_weight(const struct reward *r)
{
    return r->weight;
}

const char *reward_column(const struct reward *r)
{
    return r->column;
}

const struct judge_rule *reward_judge(const struct reward *r)
{
    return r->judge;
}

int reward_apply(const struct reward *r, const struct sandbox_input *in, bool *applies, double *value, struct err *e)
{
    *value = 0;
    *applies = false;
    return r->kind->judge(r, in, applies, value, e);
}
