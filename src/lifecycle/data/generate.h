/* Training data from a teacher: rows that nobody answered yet are put to a model, its answers go through rules, and
 * what is left becomes rows to tune with.
 *
 * In the directory: answers.jsonl grows by a line a row of the input, with all samples and the verdict, durable before
 * the next rows are asked; train.jsonl (chat rows with teacher and licence), refused.jsonl and the finished
 * manifest.json are made from it at the end. So a run that was killed goes on behind the last line, and the same
 * command on a finished one asks nothing. */
#ifndef DATA_GENERATE_H
#define DATA_GENERATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "lifecycle/data/answer_filter.h"
#include "lifecycle/rules/asker.h"

struct generate_options {
    const char *input;     /* rows of any form that example.h knows (its answer is left out), or with a text column */
    const char *dir;       /* made where it is not there */
    const char *column;    /* rows without messages: what is asked stands here */
    const char *system;    /* in front of rows that have no system message; NULL: nothing */
    const json_t *teacher; /* {"model", "licence", ...}: as rows and the manifest show it */
    struct asker asker;
    int n_sample;
    double temperature, top_p;
    int max_tokens;
    uint64_t seed;
    size_t limit;       /* rows; 0: all */
    int n_at_once;      /* questions put to the asker together, about */
    bool keep_repeated; /* ask rows again that say what an earlier one does */
    bool distinct;      /* refuse answers that an earlier row was given */
    struct answer_rules rules;
    void *arg;
    bool (*interrupted)(void *arg);
    void (*progress)(void *arg, uint64_t n_row, uint64_t n_kept);
};

struct generate_result {
    uint64_t n_row, n_verdict[ANSWER_N_VERDICT];
    uint64_t n_asked;           /* rows that the teacher was asked */
    uint64_t n_sample, n_valid; /* samples asked, and those that keep the rules */
    double agreement;           /* mean over the asked rows that have a valid sample; NaN: none */
    uint64_t n_before;          /* rows that were done when this call began */
    bool was_complete;
};

/* -ERR_CONFLICT: the directory holds something else, the same with other options, or another process is at it; -ERR_IO:
 * the teacher is out of reach (the same command goes on); -ERR_INPUT: the file, or nothing of it can be kept;
 * -ERR_USAGE: a rule. */
int generate_run(const struct generate_options *o, struct generate_result *out, struct err *e) MUST_CHECK;
/* {"kept", "unreadable", ...}: how many rows have each verdict; all are there. New, NULL without memory. */
json_t *generate_verdicts(const struct generate_result *r);

#endif
