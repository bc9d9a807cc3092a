/* Private to the trainer: steps of methods that compare answers. An example's loss depends on the log-probabilities of
 * whole answers, so a part of a micro-batch is computed forward, its answers are scored, and the scores become the
 * weights with which its tokens go back. The reference is the same model with the adapter off, measured once before the
 * first step: never a second copy. */
#ifndef TRAIN_PREFERENCE_H
#define TRAIN_PREFERENCE_H

#include <jansson.h>

#include "lifecycle/train/trainer_int.h"

/* Rows with what is known of their answers; rows and packer are the trainer's, or this struct's own (KTO). */
struct scored {
    const struct train_rows *rows;
    struct packer *pack;
    double *reference;    /* [n_row] log-probability with the adapter off; NULL: the method needs none */
    double *logp, *slope; /* [n_row] of the step in hand: under the policy, and the loss's derivative by it */
};

struct preference {
    struct scored train, eval;
    /* KTO: every prompt with the answer of another row, on which the divergence from the reference is estimated */
    struct train_rows other_rows, other_eval_rows;
    struct packer other_pack, other_eval_pack;
    struct scored other, other_eval;
    struct preference_metrics eval_found; /* by the last evaluation */
};

/* Make t->preference, and set t's packers up for it; rows and packers of t are there. -ERR_INPUT: rows too few. */
int preference_setup(struct trainer *t, struct err *e) MUST_CHECK;
void preference_free(struct preference *p);
/* Most tokens and segments of any part, and most targets. */
void preference_extent(const struct trainer *t, size_t *n_tok, size_t *n_segment, size_t *n_target);
/* Measure the reference on all examples that the run will see: needs the tape. -ERR_INTERRUPTED. */
int preference_measure(struct trainer *t, struct err *e) MUST_CHECK;
/* Gradient and loss of an optimizer step over n examples: adds to t->grads. */
int preference_gradient(struct trainer *t, const uint32_t *example, size_t n, uint64_t step, struct step_result *out,
                        struct err *e) MUST_CHECK;
/* Mean loss over eval_rows. */
int preference_eval(struct trainer *t, double *loss, struct err *e) MUST_CHECK;
/* What the last evaluation found of pairs, as members of its event. -ERR_NOMEM. */
int preference_eval_event(const struct trainer *t, json_t *event) MUST_CHECK;
/* What a step found, as members of its event. -ERR_NOMEM. */
int preference_event(const struct trainer *t, const struct step_result *r, json_t *event) MUST_CHECK;

#endif
