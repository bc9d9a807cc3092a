/* Test cases: one JSON object a line. Everything about a case is checked when the file is read, so that no assertion
 * can be skipped silently: unknown keys, wrong types, missing assertions and double ids are errors with their line. */
#ifndef EVAL_CASES_H
#define EVAL_CASES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "lifecycle/rules/matcher.h"

struct eval_case {
    json_t *json; /* owned; the rest borrows from it */
    uint64_t line_no;
    const char *id;
    const char *suite, *lang, *task, *cluster, *stratum, *input, *context; /* NULL when absent */
    const json_t *messages, *tools, *expected;                             /* NULL when absent */
    struct match_rule *rule;
    size_t n_rule;      /* 0: a task without matcher; such cases are read, but cannot be run */
    char hash[65];      /* of what is asked and expected: pairs of two evaluations agree in it */
    char *gold_bad;     /* why the expectation cannot be judged, or NULL */
    size_t cluster_idx; /* from 0; a case without cluster is its own */
};

struct case_set {
    struct eval_case *item;
    size_t n, n_cluster;
    size_t n_total;          /* cases of the file, of which n were kept */
    size_t n_duplicate_text; /* cases that ask the same as an earlier one */
    char digest[65];         /* of the file */
    char *path;
    json_t *labels; /* distinct expected strings of the whole file, byte order, when every case is a classification;
                       else NULL */
};
/* The whole file is checked; limit > 0 keeps the first cases only. Free with case_set_deinit, also after a failure. */
int case_set_load(struct case_set *s, const char *path, size_t limit, struct err *e) MUST_CHECK;
void case_set_deinit(struct case_set *s);
/* One case from one parsed line; where is "FILE line N". Takes no reference on failure. For the loader and tests. */
int case_parse(struct eval_case *c, json_t *row, const char *where, struct err *e) MUST_CHECK;
void case_deinit(struct eval_case *c);
/* -ERR_UNSUPPORTED naming the first case that cannot be run (no matcher for its task). */
int case_set_runnable(const struct case_set *s, struct err *e) MUST_CHECK;

#endif
