/* From an answer to the record of a case. */
#ifndef EVAL_JUDGE_H
#define EVAL_JUDGE_H

#include <jansson.h>

#include "compute/engine/engine.h"
#include "ground/base/err.h"
#include "lifecycle/eval/cases.h"
#include "lifecycle/eval/result.h"

/* What a case was asked with. */
struct asked {
    char prompt_hash[65]; /* of the text that went to the model */
    size_t n_prompt;      /* tokens */
};
/* The record of a case that ended with r. Score: weighted share of its assertions that pass. New reference. */
int judge_answer(const struct eval_case *c, const struct asked *a, const struct sequence_result *r, json_t **out,
                 struct err *e) MUST_CHECK;
/* The record of a case that got no answer, with the reason. */
int judge_failed(const struct eval_case *c, enum case_state state, const char *reason, json_t **out,
                 struct err *e) MUST_CHECK;

#endif
