/* Running an evaluation: the cases go through an engine in batches, each answer is judged and written down durably as
 * it comes, so that a run that was killed goes on where it was. */
#ifndef EVAL_RUN_H
#define EVAL_RUN_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/engine/engine.h"
#include "ground/base/err.h"
#include "lifecycle/eval/cases.h"
#include "lifecycle/eval/prompt.h"
#include "lifecycle/eval/result.h"

struct eval_options {
    const struct case_set *cases;
    struct engine *engine;
    const struct tokenizer *tok;
    int adapter; /* engine's index or -1 */
    const struct prompt_builder *prompt;
    enum choices_mode choices;
    struct sampling sampling;
    int max_tokens;
    int batch;       /* sequences at a time, >= 1 */
    const char *dir; /* made when it is not there */
    /* What the result depends on: inputs by digest, prompt, sampling, build. A directory that holds another identity is
     * refused; one with the same identity goes on, or is reused when it is finished. */
    const json_t *identity;
    const json_t *description; /* further members of the manifest: paths, machine, command */
    void (*progress)(void *arg, size_t done, size_t n, double accuracy); /* or NULL */
    bool (*interrupted)(void);                                           /* or NULL */
    void *arg;
};
/* -ERR_CONFLICT when something other than an evaluation lives in dir (a tuning run, a dataset) or dir is a file: nobody
 * may evaluate into it, nor discard what is there. */
int eval_dir_check(const char *dir, struct err *e) MUST_CHECK;
/* Run to the end. -ERR_INTERRUPTED leaves the journal for the next run; -ERR_CONFLICT: the directory holds something
 * else. *reused: nothing was asked, the finished result was there. r is loaded from the directory afterwards. */
int eval_run(const struct eval_options *o, struct eval_result *r, bool *reused, struct err *e) MUST_CHECK;

#endif
