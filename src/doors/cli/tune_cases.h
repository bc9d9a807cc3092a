/* Test cases that a tuning run answers as it goes: eval's questions, put to the model in training. */
#ifndef CLI_TUNE_CASES_H
#define CLI_TUNE_CASES_H

#include "doors/cli/cli_model.h"
#include "lifecycle/eval/cases.h"
#include "lifecycle/eval/prompt.h"
#include "lifecycle/train/train.h"

struct tune_cases {
    const struct cli *c;
    const struct cli_model *model;
    const char *base;
    struct case_set cases;
    enum choices_mode choices;
    struct prompt_builder prompt;
    int max_tokens, n_ctx; /* of an answer; of the longest prompt with one */
    uint64_t bytes;        /* of an engine that answers them */
};

/* Read and check the cases of a run's fields, before minutes of loading; path NULL: none. Deinit also after a failure.
 */
int tune_cases_read(struct tune_cases *t, const struct cli *c, const struct param_set *fields, const char *path,
                    struct err *e) MUST_CHECK;
/* Build every prompt once with the model's template. Nothing is done without cases. c and m must outlive t. */
int tune_cases_bind(struct tune_cases *t, const struct cli *c, const struct cli_model *m, struct err *e) MUST_CHECK;
void tune_cases_deinit(struct tune_cases *t);
/* train_request.score: an evaluation in state->dir, which compare and report read like any other. */
int tune_cases_score(struct tune_cases *t, const struct train_state *state, struct train_score *out,
                     struct err *e) MUST_CHECK;

#endif
