/* Reading of test cases. Owns the JSON of each case and the rules made from it. What always holds: a case in a set has
 * an id that no other has, something to ask, and either rules or a task that has no matcher (which running refuses). */
#include "lifecycle/eval/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"

enum { MAX_LINE = 16 * 1024 * 1024, MAX_CASES = 10 * 1000 * 1000, MAX_RULES = 64 };

static const char *const known_keys[] = {"id",    "suite",    "lang",  "task",    "cluster",     "stratum",
                                         "input", "messages", "tools", "context", "expected",    "assert",
                                         "tags",  "weight",   "split", "source",  "sensitivity", "description"};

static const char *nearest_key(const char *key)
{
    const char *best = known_keys[0];
    for (size_t i = 1; i < N_ELEM(known_keys); i++)
        if (str_distance(key, known_keys[i]) < str_distance(key, best)) best = known_keys[i];
    return best;
}

static int check_keys(json_t *row, const char *where, struct err *e)
{
    for (void *it = json_object_iter(row); it; it = json_object_iter_next(row, it)) {
        const char *key = json_object_iter_key(it);
        bool found = false;
        for (size_t i = 0; i < N_ELEM(known_keys); i++) found = found || str_eq(known_keys[i], key);
        if (!found)
            return err_set(e, ERR_INPUT, key, "cannot read %s: unknown key \"%s\"; did you mean \"%s\"?", where, key,
                           nearest_key(key));
    }
    return 0;
}

static int check_messages(const json_t *messages, const char *where, struct err *e)
{
    size_t n = json_array_size(messages);
    if (n == 0) return err_set(e, ERR_INPUT, "messages", "cannot read %s: messages is empty", where);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(messages, i);
        if (!json_is_object(m) || !json_is_string(json_object_get(m, "role")))
            return err_set(e, ERR_INPUT, "messages",
                           "cannot read %s: message %zu has no role; {\"role\", \"content\"} is needed", where, i + 1);
    }
    return 0;
}

static int read_strings(struct eval_case *c, const char *where, struct err *e)
{
    struct {
        const char *key, **to;
    } field[] = {{"suite", &c->suite},     {"lang", &c->lang},   {"task", &c->task},      {"cluster", &c->cluster},
                 {"stratum", &c->stratum}, {"input", &c->input}, {"context", &c->context}};
    int rc = json_get_str(c->json, "id", &c->id, where, e);
    for (size_t i = 0; rc == 0 && i < N_ELEM(field); i++)
        rc = json_opt_str(c->json, field[i].key, field[i].to, where, e);
    static const char *const noted[] = {"split", "source", "sensitivity", "description"};
    const char *unused = NULL;
    for (size_t i = 0; rc == 0 && i < N_ELEM(noted); i++) rc = json_opt_str(c->json, noted[i], &unused, where, e);
    if (rc == 0 && !c->id[0]) rc = err_set(e, ERR_INPUT, "id", "cannot read %s: id is empty", where);
    return rc;
}

static int read_values(struct eval_case *c, const char *where, struct err *e)
{
    const json_t *tags = NULL;
    double weight = 1;
    int rc = json_opt_array(c->json, "messages", &c->messages, where, e);
    if (rc == 0) rc = json_opt_array(c->json, "tools", &c->tools, where, e);
    if (rc == 0) rc = json_opt_array(c->json, "tags", &tags, where, e);
    if (rc == 0) rc = json_opt_float(c->json, "weight", 0, 1e9, &weight, where, e);
    if (rc) return rc;
    if (weight < 1 || weight > 1)
        return err_set(e, ERR_UNSUPPORTED, "weight",
                       "cannot use %s: weight %g; cases are counted alike, leave it out or "
                       "write 1",
                       where, weight);
    c->expected = json_object_get(c->json, "expected");
    if (!c->input == !c->messages)
        return err_set(e, ERR_INPUT, c->id, "cannot read %s: case \"%s\" has %s; one of them is needed", where, c->id,
                       c->input ? "both input and messages" : "neither input nor messages");
    return c->messages ? check_messages(c->messages, where, e) : 0;
}

static int read_asserts(struct eval_case *c, const json_t *list, const char *where, struct err *e)
{
    size_t n = json_array_size(list);
    if (n == 0 || n > MAX_RULES)
        return err_set(e, ERR_INPUT, "assert", "cannot read %s: %zu assertions, 1 to %d are needed", where, n,
                       MAX_RULES);
    c->rule = mem_alloc(n * sizeof *c->rule);
    for (size_t i = 0; i < n; i++) {
        int rc = match_rule_parse(json_array_get(list, i), where, &c->rule[i], e);
        if (rc) return rc;
    }
    c->n_rule = n;
    return 0;
}

static int read_rules(struct eval_case *c, const char *where, struct err *e)
{
    const json_t *list = NULL;
    int rc = json_opt_array(c->json, "assert", &list, where, e);
    if (rc) return rc;
    if (list) return read_asserts(c, list, where, e);
    if (!c->task)
        return err_set(e, ERR_INPUT, c->id, "cannot read %s: case \"%s\" has no assert and no task that implies one",
                       where, c->id);
    int m = matcher_of_task(c->task);
    if (m < 0) return 0;
    c->rule = mem_alloc(sizeof *c->rule);
    c->rule[0] = (struct match_rule){.matcher = (enum matcher)m, .tolerance = 1e-6, .weight = 1};
    c->n_rule = 1;
    return 0;
}

/* Gold answers pass the same checks as answers; one that fails is kept, counted and never scored. */
static void check_gold(struct eval_case *c, const char *where)
{
    struct err reason = {0};
    for (size_t i = 0; i < c->n_rule && !c->gold_bad; i++)
        if (match_rule_check_gold(&c->rule[i], c->expected, where, &reason)) c->gold_bad = mem_strdup(reason.msg);
}

static int hash_content(struct eval_case *c, struct err *e)
{
    static const char *const part[] = {"input", "messages", "tools", "context", "expected", "assert", "task"};
    json_t *content = json_object();
    int rc = content ? 0 : -1;
    for (size_t i = 0; i < N_ELEM(part); i++) {
        json_t *v = json_object_get(c->json, part[i]);
        if (v) rc |= json_object_set(content, part[i], v);
    }
    rc = rc ? err_set(e, ERR_NOMEM, c->id, "cannot read case \"%s\": out of memory", c->id)
            : json_digest(content, c->hash, e);
    json_decref(content);
    return rc;
}

int case_parse(struct eval_case *c, json_t *row, const char *where, struct err *e)
{
    *c = (struct eval_case){.json = json_incref(row)};
    int rc = check_keys(row, where, e);
    if (rc == 0) rc = read_strings(c, where, e);
    if (rc == 0) rc = read_values(c, where, e);
    if (rc == 0) rc = read_rules(c, where, e);
    if (rc == 0) rc = hash_content(c, e);
    if (rc == 0) check_gold(c, where);
    if (rc) case_deinit(c);
    return rc;
}

void case_deinit(struct eval_case *c)
{
    mem_free(c->rule);
    mem_free(c->gold_bad);
    json_decref(c->json);
    *c = (struct eval_case){0};
}

/* --- the set --- */

struct keyed {
    const char *key;
    size_t idx;
};

static int by_key(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->idx > y->idx) - (x->idx < y->idx);
}

static int check_ids(const struct case_set *s, struct keyed *k, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) k[i] = (struct keyed){s->item[i].id, i};
    qsort(k, s->n, sizeof *k, by_key);
    for (size_t i = 1; i < s->n; i++)
        if (str_eq(k[i - 1].key, k[i].key))
            return err_set(e, ERR_INPUT, k[i].key, "cannot read \"%s\" line %llu: id \"%s\" is taken by line %llu",
                           s->path, (unsigned long long)s->item[k[i].idx].line_no, k[i].key,
                           (unsigned long long)s->item[k[i - 1].idx].line_no);
    return 0;
}

static void number_clusters(struct case_set *s, struct keyed *k)
{
    for (size_t i = 0; i < s->n; i++) k[i] = (struct keyed){s->item[i].cluster ? s->item[i].cluster : s->item[i].id, i};
    qsort(k, s->n, sizeof *k, by_key);
    for (size_t i = 0; i < s->n; i++) {
        if (i == 0 || !str_eq(k[i - 1].key, k[i].key)) s->n_cluster++;
        s->item[k[i].idx].cluster_idx = s->n_cluster - 1;
    }
}

static void count_duplicates(struct case_set *s, struct keyed *k)
{
    for (size_t i = 0; i < s->n; i++) k[i] = (struct keyed){s->item[i].hash, i};
    qsort(k, s->n, sizeof *k, by_key);
    for (size_t i = 1; i < s->n; i++) s->n_duplicate_text += str_eq(k[i - 1].key, k[i].key);
}

static int collect_labels(struct case_set *s, struct keyed *k, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct eval_case *c = &s->item[i];
        if (!str_eq(c->task, "classification") || !json_is_string(c->expected)) return 0;
        k[i] = (struct keyed){json_string_value(c->expected), i};
    }
    qsort(k, s->n, sizeof *k, by_key);
    s->labels = json_array();
    int rc = s->labels ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        if (i == 0 || !str_eq(k[i - 1].key, k[i].key)) rc = json_array_append_new(s->labels, json_string(k[i].key));
    return rc ? err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory", s->path) : 0;
}

/* Only now: ids, and the labels that a prompt lists, are those of the whole file. */
static void keep_first(struct case_set *s, size_t limit)
{
    while (limit > 0 && s->n > limit) case_deinit(&s->item[--s->n]);
}

static int finish_set(struct case_set *s, size_t limit, struct err *e)
{
    if (s->n == 0) return err_set(e, ERR_INPUT, s->path, "cannot read \"%s\": it holds no cases", s->path);
    struct keyed *k = mem_try_array(s->n, sizeof *k);
    if (!k) return err_set(e, ERR_NOMEM, s->path, "cannot read \"%s\": out of memory", s->path);
    int rc = check_ids(s, k, e);
    if (rc == 0) rc = collect_labels(s, k, e);
    if (rc == 0) {
        keep_first(s, limit);
        number_clusters(s, k);
        count_duplicates(s, k);
    }
    mem_free(k);
    return rc;
}

static int append(struct case_set *s, json_t *row, uint64_t line_no, size_t *cap, struct err *e)
{
    if (s->n == *cap) {
        size_t grown = *cap ? *cap * 2 : 256;
        struct eval_case *item = s->n < MAX_CASES ? mem_try_realloc(s->item, grown * sizeof *item) : NULL;
        if (!item)
            return err_set(e, ERR_LIMIT, s->path,
                           "cannot read \"%s\" line %llu: more cases than memory or the limit of %d "
                           "allows",
                           s->path, (unsigned long long)line_no, MAX_CASES);
        s->item = item;
        *cap = grown;
    }
    char where[300];
    snprintf(where, sizeof where, "\"%.250s\" line %llu", s->path, (unsigned long long)line_no);
    int rc = case_parse(&s->item[s->n], row, where, e);
    if (rc == 0) s->item[s->n++].line_no = line_no;
    return rc;
}

int case_set_load(struct case_set *s, const char *path, size_t limit, struct err *e)
{
    *s = (struct case_set){.path = mem_strdup(path)};
    int rc = digest_file(path, s->digest, NULL, e);
    if (rc) return rc;
    struct json_lines lines;
    rc = json_lines_open(&lines, path, MAX_LINE, e);
    if (rc) return rc;
    size_t cap = 0;
    json_t *row;
    int got;
    while ((got = json_lines_next(&lines, &row, e)) == 1) {
        s->n_total++;
        rc = append(s, row, lines.line_no, &cap, e);
        json_decref(row);
        if (rc) break;
    }
    json_lines_close(&lines);
    if (rc == 0) rc = got;
    return rc ? rc : finish_set(s, limit, e);
}

void case_set_deinit(struct case_set *s)
{
    for (size_t i = 0; i < s->n; i++) case_deinit(&s->item[i]);
    mem_free(s->item);
    mem_free(s->path);
    json_decref(s->labels);
    *s = (struct case_set){0};
}

int case_set_runnable(const struct case_set *s, struct err *e)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->item[i].n_rule == 0)
            return err_set(e, ERR_UNSUPPORTED, s->item[i].id,
                           "cannot run case \"%s\": no matcher for task \"%s\"; there are "
                           "matchers for classification, math and math_robustness, other cases need assert",
                           s->item[i].id, s->item[i].task);
    return 0;
}
