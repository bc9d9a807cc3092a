/* Private to the trainer: steps of GRPO. A step asks the model in hand, with the engine that serves it, for a group of
 * answers to each of its prompts, lets the declared rewards judge them, and learns from what is better than its group.
 *
 * The old log-probabilities of the loss are those of the training forward itself, taken before the first of the mu
 * optimizer steps over the answers, so that the ratio is then exactly 1; how far the sampler's are from them is
 * reported as the drift. A run is a function of its fields and data: answers depend on (seed, step, prompt, number). */
#ifndef TRAIN_POLICY_H
#define TRAIN_POLICY_H

#include <jansson.h>

#include "lifecycle/train/policy_config.h"
#include "lifecycle/train/trainer_int.h"

/* One sampled answer. */
struct answer {
    size_t first_token; /* of the arrays of tokens */
    size_t n_token;
    char *text;
    bool truncated;
    double reward, advantage;
};

struct policy {
    const struct policy_options *opt;
    /* the answers of the step in hand, in the order of its prompts: prompt k has [k * group_size, (k + 1) * group_size)
     */
    struct answer *answer; /* [cap_answer] */
    size_t n_answer, cap_answer;
    struct train_rows rows; /* answer a is row a: its prompt, then itself */
    struct packer pack;
    double *reward, *advantage; /* [cap_answer] */
    uint32_t *list;             /* [cap_answer] answers of a micro-batch that are learned from */
    /* by token of an answer */
    struct {
        float *sampled, *entropy; /* of the sampler */
        float *old, *reference;   /* of the training forward, before the first update, and with the adapter off */
        size_t n, cap;
    } token;
    size_t *cursor;  /* [cap_answer] tokens of an answer that the part in hand has given */
    bool note_given; /* the first rule that failed was shown */
    bool cut_given;  /* the first step that teaches nothing, as all its answers are cut, was shown */
};

/* Make t->policy; prompts are in t->rows. */
int policy_setup(struct trainer *t, struct err *e) MUST_CHECK;
void policy_free(struct policy *p);
/* Most tokens, segments and targets of a part of a micro-batch. */
void policy_extent(const struct trainer *t, size_t *n_tok, size_t *n_segment, size_t *n_target);
/* Seconds of a step over these n prompts, without its updates and its judges, by sampling answers to some of them and
 * learning from them: their gradients are left. -ERR_INTERRUPTED as policy_rollout. */
int policy_probe(struct trainer *t, const uint32_t *prompt, size_t n, double *seconds, struct err *e) MUST_CHECK;

/* One step of the run over n prompts: answers, rewards, mu optimizer steps. */
int policy_step(struct trainer *t, const uint32_t *prompt, size_t n, uint64_t step, struct step_result *out,
                struct err *e) MUST_CHECK;
/* What a step found, as members of its event. -ERR_NOMEM. */
int policy_event(const struct trainer *t, const struct step_result *r, json_t *event) MUST_CHECK;

/* --- policy_rollout.c --- */

/* Sample the answers of a step into t->policy. -ERR_INTERRUPTED when the run is to stop. */
int policy_rollout(struct trainer *t, const uint32_t *prompt, size_t n, uint64_t step, struct err *e) MUST_CHECK;

/* Bytes of the engine that samples a step's answers. */
uint64_t policy_engine_bytes(const struct trainer *t);

/* --- policy_judge.c --- */

/* Before the first step: -ERR_UNSUPPORTED, -ERR_USAGE when a judge cannot be asked (nobody asks, its key is missing).
 */
int policy_judge_check(const struct trainer *t, struct err *e) MUST_CHECK;
/* Rewards and advantages of the answers, into them and into m. -ERR_INTERRUPTED while other models are asked. */
int policy_judge(struct trainer *t, const uint32_t *prompt, struct policy_metrics *m, struct err *e) MUST_CHECK;

#endif
