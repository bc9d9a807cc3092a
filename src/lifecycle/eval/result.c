/* Records of cases and sums over them. Owns what it loads. What always holds: n = n_scored + n_error, and a case that
 * was not scored is in no average. */
#include "lifecycle/eval/result.h"

#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MAX_MANIFEST = 64 * 1024 * 1024, MAX_LINE = 64 * 1024 * 1024 };

static const char *const state_names[CASE_STATE_COUNT] = {"scored", "model_failed", "infra_failed", "gold_bad"};

const char *case_state_name(enum case_state s)
{
    return state_names[s];
}

int case_state_find(const char *name)
{
    for (int i = 0; i < CASE_STATE_COUNT; i++)
        if (str_eq(state_names[i], name)) return i;
    return -1;
}

const char *record_str(const json_t *record, const char *key)
{
    const char *s = json_string_value(json_object_get(record, key));
    return s ? s : "";
}

enum case_state record_state(const json_t *record)
{
    int s = case_state_find(record_str(record, "state"));
    return s < 0 ? CASE_INFRA_FAILED : (enum case_state)s;
}

bool record_counts(const json_t *record)
{
    return record_state(record) == CASE_SCORED || record_state(record) == CASE_MODEL_FAILED;
}

double record_score(const json_t *record)
{
    return json_number_value(json_object_get(record, "score"));
}

/* Scores and cluster numbers of the records that count; clusters are numbered in the order of their first record. */
static size_t collect(const json_t *records, double *score, size_t *cluster, size_t *n_cluster, json_t *seen)
{
    size_t n = 0;
    *n_cluster = 0;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *r = json_array_get(records, i);
        if (!record_counts(r)) continue;
        const char *name = record_str(r, "cluster");
        if (!name[0]) name = record_str(r, "id");
        const json_t *known = json_object_get(seen, name);
        size_t k = known ? (size_t)json_integer_value(known) : (*n_cluster)++;
        if (!known && json_object_set_new(seen, name, json_integer((json_int_t)k))) return SIZE_MAX;
        score[n] = record_score(r);
        cluster[n++] = k;
    }
    return n;
}

static void bounds(struct eval_summary *s)
{
    double n = (double)s->n, right = s->mean.mean * (double)s->n_scored;
    s->worst = s->n ? right / n : 0;
    s->best = s->n ? (right + (double)s->n_error) / n : 0;
}

int eval_summarize(const json_t *records, struct eval_summary *s, struct err *e)
{
    *s = (struct eval_summary){.n = json_array_size(records)};
    size_t n_cluster;
    double *score = mem_try_array(s->n + 1, sizeof *score);
    size_t *cluster = mem_try_array(s->n + 1, sizeof *cluster);
    json_t *seen = json_object();
    size_t n = score && cluster && seen ? collect(records, score, cluster, &n_cluster, seen) : SIZE_MAX;
    if (n != SIZE_MAX) {
        for (size_t i = 0; i < s->n; i++) s->by_state[record_state(json_array_get(records, i))]++;
        s->n_scored = n;
        s->n_error = s->n - n;
        stats_mean(score, cluster, n, n_cluster, &s->mean);
        s->accuracy = stats_proportion(&s->mean, STATS_Z_975);
        bounds(s);
    }
    json_decref(seen);
    mem_free(score);
    mem_free(cluster);
    return n == SIZE_MAX ? err_set(e, ERR_NOMEM, NULL, "cannot sum up %zu cases: out of memory", s->n) : 0;
}

/* --- directories --- */

static int check_record(const json_t *row, const char *path, uint64_t line, struct err *e)
{
    if (record_str(row, "id")[0] && record_str(row, "hash")[0] && case_state_find(record_str(row, "state")) >= 0 &&
        (!record_counts(row) || json_is_number(json_object_get(row, "score"))))
        return 0;
    return err_set(e, ERR_INPUT, path, "cannot read \"%s\" line %llu: id, hash, state and score of a case are needed",
                   path, (unsigned long long)line);
}

static int load_records(const char *path, json_t *records, struct err *e)
{
    struct json_lines lines;
    json_t *row;
    int rc = json_lines_open(&lines, path, MAX_LINE, e);
    if (rc) return rc;
    while ((rc = json_lines_next(&lines, &row, e)) == 1) {
        rc = check_record(row, path, lines.line_no, e);
        if (rc == 0 && json_array_append(records, row))
            rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
        json_decref(row);
        if (rc) break;
    }
    json_lines_close(&lines);
    return rc;
}

static int load_manifest(struct eval_result *r, struct err *e)
{
    char *path = path_join(r->dir, "manifest.json");
    int rc = file_exists(path) ? json_read_file(path, MAX_MANIFEST, &r->manifest, e)
                               : err_set(e, ERR_INPUT, r->dir,
                                         "cannot read \"%s\": it is no evaluation (manifest.json is missing)", r->dir);
    if (rc == 0 && !str_eq(record_str(r->manifest, "kind"), "evaluation"))
        rc = err_set(e, ERR_INPUT, r->dir, "cannot read \"%s\": it is no evaluation", r->dir);
    if (rc == 0 && !str_eq(record_str(r->manifest, "state"), "done"))
        rc = err_set(e, ERR_INPUT, r->dir,
                     "cannot read \"%s\": the evaluation is not finished; the same eval command goes on "
                     "with it",
                     r->dir);
    mem_free(path);
    return rc;
}

int eval_result_load(struct eval_result *r, const char *dir, struct err *e)
{
    *r = (struct eval_result){.dir = mem_strdup(dir), .records = json_array()};
    int rc = load_manifest(r, e);
    if (rc) return rc;
    char *path = path_join(dir, "cases.jsonl");
    rc = load_records(path, r->records, e);
    mem_free(path);
    return rc ? rc : eval_summarize(r->records, &r->sum, e);
}

void eval_result_deinit(struct eval_result *r)
{
    mem_free(r->dir);
    json_decref(r->manifest);
    json_decref(r->records);
    *r = (struct eval_result){0};
}

bool eval_result_partial(const struct eval_result *r)
{
    return json_is_true(json_object_get(r->manifest, "partial"));
}

int eval_records_write(const char *dir, const json_t *records, struct err *e)
{
    struct file_atomic f;
    struct buf line;
    char *path = path_join(dir, "cases.jsonl");
    int rc = file_atomic_begin(&f, path, e);
    buf_init(&line, MAX_LINE);
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < json_array_size(records); i++) {
            buf_clear(&line);
            if (json_format(json_array_get(records, i), JSON_LINE, &line) || buf_add_char(&line, '\n'))
                rc = err_set(e, ERR_LIMIT, path, "cannot write \"%s\": a case is longer than %d bytes", path, MAX_LINE);
            else
                rc = file_atomic_write(&f, line.data, line.len, e);
        }
        if (rc == 0)
            rc = file_atomic_commit(&f, e);
        else
            file_atomic_abort(&f);
    }
    buf_deinit(&line);
    mem_free(path);
    return rc;
}
