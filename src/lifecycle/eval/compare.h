/* Comparison of two finished evaluations: pairing by id and content, the paired statistics, the verdict, and the cases
 * that changed. */
#ifndef EVAL_COMPARE_H
#define EVAL_COMPARE_H

#include <jansson.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "ground/param/param.h"
#include "lifecycle/eval/result.h"
#include "lifecycle/eval/verdict.h"

struct case_pair {
    const json_t *base, *fresh; /* records; borrowed from the results */
};

struct comparison {
    const struct eval_result *base, *fresh; /* borrowed */
    struct case_pair *pair;                 /* cases in both, in the order of base, scored in both */
    size_t n_pair;                          /* all values and counts of the comparison refer to these */
    size_t n_unscored;                      /* in both, but not scored in one of them */
    json_t *only_base, *only_fresh;         /* ids without partner */
    json_t *differs;                        /* names of identity members that are not equal: "model", "prompt" ... */
    json_t *differences;                    /* the same in detail: {"what": "prompt.choices", "base", "new"} */
    struct paired stats;
    struct gate gate;
    struct decision decision;
};
/* metric: "accuracy" (others: -ERR_INPUT names what there is). -ERR_INPUT when the two share no case. */
int comparison_make(struct comparison *c, const struct eval_result *base, const struct eval_result *fresh,
                    const char *metric, const struct gate *gate, struct err *e) MUST_CHECK;
void comparison_deinit(struct comparison *c);
/* The JSON result of `compare`, in English for every language of people. New reference. */
int comparison_to_json(const struct comparison *c, json_t **out, struct err *e) MUST_CHECK;
/* Lines for people: verdict, scores over the pairs, what was left out, in what the evaluations differ. */
int comparison_to_text(const struct comparison *c, enum lang lang, struct buf *out) MUST_CHECK;

#endif
