/* Rules on a teacher's answers. Owns the compiled pattern and schema, and the folded labels. */
#include "lifecycle/data/answer_filter.h"

#include <string.h>

#include "compute/text/json_schema.h"
#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/regex.h"
#include "lifecycle/rules/fold.h"
#include "lifecycle/rules/words.h"

enum { KEY_MAX_BYTES = 16 << 20 };

struct answer_filter {
    const struct answer_rules *rules;
    struct regex *match;
    struct json_schema *schema;
    char **label; /* [n_label] folded */
};

const char *answer_verdict_name(enum answer_verdict v)
{
    static const char *const name[ANSWER_N_VERDICT] = {
        [ANSWER_KEPT] = "kept",        [ANSWER_ROW] = "unreadable",      [ANSWER_REPEATED] = "repeated",
        [ANSWER_FAILED] = "failed",    [ANSWER_TRUNCATED] = "truncated", [ANSWER_EMPTY] = "empty",
        [ANSWER_SHORT] = "too_short",  [ANSWER_LONG] = "too_long",       [ANSWER_PATTERN] = "no_match",
        [ANSWER_LABEL] = "no_label",   [ANSWER_FORMAT] = "bad_format",   [ANSWER_DISAGREE] = "no_agreement",
        [ANSWER_SAME] = "same_answer",
    };
    return name[v];
}

/* --- making --- */

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot judge answers: out of memory");
}

/* The folded text, in memory of its own. */
static int fold(const char *s, size_t n, char **out, struct err *e)
{
    struct buf b;
    size_t len;
    buf_init(&b, KEY_MAX_BYTES);
    int rc = fold_answer(s, n, &b);
    *out = rc == 0 ? buf_take(&b, &len) : NULL;
    buf_deinit(&b);
    if (rc == -ERR_LIMIT)
        return err_set(e, ERR_LIMIT, NULL, "cannot judge an answer of more than %d bytes", (int)KEY_MAX_BYTES);
    return *out != NULL ? 0 : no_memory(e);
}

static int fold_labels(struct answer_filter *f, struct err *e)
{
    const struct answer_rules *r = f->rules;
    f->label = mem_try_array(r->n_label + 1, sizeof(*f->label));
    if (f->label == NULL) return no_memory(e);
    for (size_t i = 0; i < r->n_label; i++) {
        int rc = fold(r->label[i], strlen(r->label[i]), &f->label[i], e);
        if (rc != 0) return rc;
        if (f->label[i][0] == '\0')
            return err_set(e, ERR_USAGE, "labels", "cannot use label %zu, \"%s\": it says nothing", i + 1, r->label[i]);
        for (size_t k = 0; k < i; k++)
            if (str_eq(f->label[k], f->label[i]))
                return err_set(e, ERR_USAGE, "labels", "cannot use labels \"%s\" and \"%s\": they are the same label",
                               r->label[k], r->label[i]);
    }
    return 0;
}

int answer_filter_new(struct answer_filter **out, const struct answer_rules *rules, struct err *e)
{
    struct answer_filter *f = mem_alloc(sizeof(*f));
    f->rules = rules;
    *out = NULL;
    int rc = fold_labels(f, e);
    if (rc == 0 && rules->max_chars > 0 && rules->min_chars > rules->max_chars)
        rc = err_set(e, ERR_USAGE, "min_chars", "cannot use min_chars %zu: max_chars is %zu", rules->min_chars,
                     rules->max_chars);
    if (rc == 0 && rules->match != NULL) rc = regex_new(&f->match, rules->match, strlen(rules->match), "match", e);
    if (rc == 0 && rules->schema != NULL) rc = json_schema_new(&f->schema, rules->schema, "schema", e);
    if (rc == 0)
        *out = f;
    else
        answer_filter_free(f);
    return rc;
}

void answer_filter_free(struct answer_filter *f)
{
    if (f == NULL) return;
    for (size_t i = 0; f->label != NULL && i < f->rules->n_label; i++) mem_free(f->label[i]);
    mem_free(f->label);
    regex_free(f->match);
    json_schema_free(f->schema);
    mem_free(f);
}

/* --- one sample: its verdict, and the key by which it is compared --- */

static int judge_label(const struct answer_filter *f, const char *key, char **text, enum answer_verdict *v)
{
    for (size_t i = 0; i < f->rules->n_label; i++) {
        if (!str_eq(f->label[i], key)) continue;
        *text = mem_strdup(f->rules->label[i]);
        return 0;
    }
    *v = ANSWER_LABEL;
    return 0;
}

static bool is_kind(const json_t *v, const char *kind)
{
    return str_eq(kind, "object") ? json_is_object(v) : !str_eq(kind, "array") || json_is_array(v);
}

/* The key of JSON is its canonical form. */
static int judge_json(const struct answer_filter *f, const char *s, size_t n, char **key, enum answer_verdict *v,
                      struct err *e)
{
    json_t *value = NULL;
    struct err why = {0};
    struct buf b;
    size_t len;
    bool fits = false;
    buf_init(&b, KEY_MAX_BYTES);
    int rc = json_parse(s, n, "answer", &value, &why);
    if (rc == 0) fits = f->rules->json_kind == NULL || is_kind(value, f->rules->json_kind);
    if (rc == 0 && fits && f->schema != NULL) rc = json_schema_check(f->schema, value, &fits, &why);
    if (rc == 0 && fits && json_format(value, JSON_CANONICAL, &b) == 0) *key = buf_take(&b, &len);
    json_decref(value);
    buf_deinit(&b);
    if (rc == -ERR_NOMEM || (rc == 0 && fits && *key == NULL)) return no_memory(e);
    if (rc != 0 || !fits) *v = ANSWER_FORMAT;
    return 0;
}

struct judged {
    enum answer_verdict verdict;
    char *text, *key;
};

static int judge_content(const struct answer_filter *f, const char *s, size_t n, struct judged *j, struct err *e)
{
    const struct answer_rules *r = f->rules;
    bool found = true;
    int rc = f->match != NULL ? regex_match(f->match, s, n, false, &found, NULL, NULL, e) : 0;
    if (rc == -ERR_INPUT) found = false, rc = 0; /* no UTF-8 */
    if (rc != 0) return rc;
    if (!found) {
        j->verdict = ANSWER_PATTERN;
        return 0;
    }
    if (r->json_kind != NULL || r->schema != NULL) return judge_json(f, s, n, &j->key, &j->verdict, e);
    rc = fold(s, n, &j->key, e);
    return rc == 0 && r->n_label > 0 ? judge_label(f, j->key, &j->text, &j->verdict) : rc;
}

static int judge(const struct answer_filter *f, const struct answer_sample *s, struct judged *j, struct err *e)
{
    const struct answer_rules *r = f->rules;
    size_t n;
    *j = (struct judged){.verdict = ANSWER_FAILED};
    if (s->text == NULL) return 0;
    const char *text = fold_trim(s->text, s->n, &n);
    size_t chars = chars_count(text, n);
    j->verdict = s->truncated                               ? ANSWER_TRUNCATED
                 : n == 0                                   ? ANSWER_EMPTY
                 : chars < r->min_chars                     ? ANSWER_SHORT
                 : r->max_chars > 0 && chars > r->max_chars ? ANSWER_LONG
                                                            : ANSWER_KEPT;
    if (j->verdict != ANSWER_KEPT) return 0;
    int rc = judge_content(f, text, n, j, e);
    if (rc == 0 && j->verdict == ANSWER_KEPT && j->text == NULL) j->text = mem_strndup(text, n);
    return rc;
}

/* --- several --- */

/* The verdict that most of the samples have; the first of several. */
static enum answer_verdict usual(const struct judged *j, size_t n)
{
    size_t count[ANSWER_N_VERDICT] = {0};
    enum answer_verdict best = j[0].verdict;
    for (size_t i = 0; i < n; i++) count[j[i].verdict]++;
    for (size_t i = 0; i < n; i++)
        if (count[j[i].verdict] > count[best]) best = j[i].verdict;
    return best;
}

static size_t group_size(const struct judged *j, size_t n, size_t of)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) size += j[i].verdict == ANSWER_KEPT && str_eq(j[i].key, j[of].key);
    return size;
}

static void choose(const struct answer_filter *f, struct judged *j, size_t n, struct answer_choice *out)
{
    size_t best = n, most = 0;
    bool tied = false;
    for (size_t i = 0; i < n; i++) {
        if (j[i].verdict != ANSWER_KEPT) continue;
        size_t size = group_size(j, n, i);
        out->n_valid++;
        if (size > most) best = i, most = size, tied = false;
        if (size == most && !str_eq(j[i].key, j[best].key)) tied = true;
    }
    out->agreement = (double)most / (double)n;
    if (best == n)
        out->verdict = usual(j, n);
    else if (tied || out->agreement < f->rules->agree - 1e-9)
        out->verdict = ANSWER_DISAGREE;
    if (out->verdict != ANSWER_KEPT) return;
    out->text = j[best].text;
    j[best].text = NULL;
}

int answer_filter_choose(const struct answer_filter *f, const struct answer_sample *s, size_t n,
                         struct answer_choice *out, struct err *e)
{
    struct judged *j = mem_try_array(n, sizeof(*j));
    int rc = j == NULL ? no_memory(e) : 0;
    *out = (struct answer_choice){.verdict = ANSWER_KEPT};
    for (size_t i = 0; rc == 0 && i < n; i++) rc = judge(f, &s[i], &j[i], e);
    if (rc == 0) choose(f, j, n, out);
    for (size_t i = 0; j != NULL && i < n; i++) {
        mem_free(j[i].text);
        mem_free(j[i].key);
    }
    mem_free(j);
    return rc;
}
