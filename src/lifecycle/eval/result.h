/* Results of an evaluation: one record a case, the journal they are kept in while the run goes, the directory they end
 * up in, and the sums over them. */
#ifndef EVAL_RESULT_H
#define EVAL_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/eval/cases.h"
#include "lifecycle/eval/stats.h"

/* States that never mix: only scored and model_failed enter the denominator. */
enum case_state {
    CASE_SCORED,
    CASE_MODEL_FAILED, /* the model's own failure (no answer that can be read, prompt too long): counts as wrong */
    CASE_INFRA_FAILED, /* ours: not scored, asked again by the next run */
    CASE_GOLD_BAD,     /* the expectation cannot be judged: not scored */
    CASE_STATE_COUNT
};
/* "scored", "model_failed" ... and -1 when unknown. */
const char *case_state_name(enum case_state s);
int case_state_find(const char *name);

/* A record is a JSON object with id, hash, state, score, output, expected and more; these read it. */
enum case_state record_state(const json_t *record);
bool record_counts(const json_t *record); /* it is in the denominator */
double record_score(const json_t *record);
const char *record_str(const json_t *record, const char *key); /* "" when absent */

struct eval_summary {
    size_t n, n_scored, n_error; /* cases asked for; in the denominator; not scored (n - n_scored) */
    size_t by_state[CASE_STATE_COUNT];
    struct stats_mean mean;
    struct interval accuracy; /* 95 % */
    double worst, best;       /* the score with all unscored cases wrong, or right */
};
/* records: one per case in the order of the cases. cluster from the records. -ERR_NOMEM. */
int eval_summarize(const json_t *records, struct eval_summary *s, struct err *e) MUST_CHECK;

/* A finished evaluation read back from its directory. */
struct eval_result {
    char *dir;
    json_t *manifest;
    json_t *records; /* array, in the order of the cases */
    struct eval_summary sum;
};
/* -ERR_INPUT when the directory holds no finished evaluation. Free with eval_result_deinit, also after a failure. */
int eval_result_load(struct eval_result *r, const char *dir, struct err *e) MUST_CHECK;
void eval_result_deinit(struct eval_result *r);
bool eval_result_partial(const struct eval_result *r);

/* The journal of a run that goes: DIR/journal.jsonl, appended durably. */
struct eval_journal {
    int fd;
    char *path;
};
/* Open or make it, cut a torn last line off, and return what it holds by id (object, new reference). */
int eval_journal_open(struct eval_journal *j, const char *dir, json_t **by_id, struct err *e) MUST_CHECK;
int eval_journal_add(struct eval_journal *j, const json_t *record, struct err *e) MUST_CHECK;
void eval_journal_close(struct eval_journal *j);
/* Replace DIR/cases.jsonl by the records, atomically. */
int eval_records_write(const char *dir, const json_t *records, struct err *e) MUST_CHECK;

#endif
