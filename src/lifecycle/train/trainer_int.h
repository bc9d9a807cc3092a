/* Private to the trainer: a run in memory. */
#ifndef TRAIN_TRAINER_INT_H
#define TRAIN_TRAINER_INT_H

#include "compute/model/absorb.h"
#include "compute/model/adapter.h"
#include "compute/model/adapter_stack.h"
#include "compute/model/tape.h"
#include "lifecycle/train/checkpoint.h"
#include "lifecycle/train/optimizer.h"
#include "lifecycle/train/pack.h"
#include "lifecycle/train/run_dir.h"
#include "lifecycle/train/schedule.h"
#include "lifecycle/train/train.h"

struct trainer {
    const struct train_request *rq;
    const struct train_config *cfg;
    struct dev *dev;
    struct train_rows rows, eval_rows;
    struct train_plan plan;
    struct packer pack, eval_pack;
    struct adapter *own; /* what is trained: one of these two */
    struct weights *weights;
    struct adapter *adapter;             /* what the model computes with: own, or own over frozen ones; NULL: none */
    struct adapter *reference;           /* what it is compared with: the frozen ones; NULL: none */
    struct adapter_stack *stack, *below; /* that hold these two where there are frozen ones */
    struct absorber *absorber;           /* the adapter is in the codes of the model; NULL: beside them */
    float *params, *grads;               /* device memory [n_param] */
    size_t n_param;
    struct optimizer *optimizer;
    struct tape *tape;
    struct preference *preference; /* NULL: sft, grpo */
    struct policy *policy;         /* grpo */
    float *loss;                   /* [cap_target] of a part */
    uint64_t *noise_key;           /* [cap_segment] of a part */
    uint32_t *order;               /* [n_row] of `epoch` */
    uint64_t epoch;                /* UINT64_MAX: none yet */
    struct run_dir dir;
    char *checkpoints;       /* its path */
    struct checkpoint state; /* what the next checkpoint says */
    uint64_t rest_bytes;     /* what else will be taken: beside what is resident once there is a tape */
};

/* Implicit rewards of chosen (or good) and rejected (or bad) answers: sums, and how many. */
struct preference_metrics {
    double reward[2], accuracy, kl;
    double preferred; /* pairs whose chosen answer is the more probable one */
    uint64_t n[2];
};

/* What a step of GRPO found: sums, and how many; of rewards the mean. */
struct policy_metrics {
    double reward, reward_std, by_reward[POLICY_MAX_REWARD];
    size_t n_by_reward[POLICY_MAX_REWARD];
    size_t n_group, n_equal; /* groups, and those whose rewards are all equal */
    size_t n_answer, n_truncated, n_failed;
    size_t n_token, shortest, longest;
    double entropy; /* mean, in nats */
    /* over the tokens that were learned from: of the first pass, and of all mu */
    double drift, drift_max, kl;
    size_t n_learned, n_weighed, n_clipped;
};

/* What one optimizer step found. */
struct step_result {
    double loss, grad_norm, lr;
    struct preference_metrics preference;
    struct policy_metrics policy;
    uint64_t n_target, n_tok, n_row;
};

/* --- trainer_step.c --- */

/* One optimizer step, from rows to parameters. -ERR_INPUT when loss or gradient is not finite. */
int trainer_step(struct trainer *t, uint64_t step, struct step_result *out, struct err *e) MUST_CHECK;
/* Clip the gradient and take optimizer step number `update` of step `step`; out->lr is given, grad_norm found. */
int trainer_update(struct trainer *t, uint64_t update, uint64_t step, struct step_result *out,
                   struct err *e) MUST_CHECK;
/* Mean loss a target token over eval_rows. */
int trainer_eval(struct trainer *t, double *loss, struct err *e) MUST_CHECK;

/* The micro-batch of eval_rows that begins at example `first`: their numbers into row, which may be the packer's own
 * list; returns how many. */
size_t trainer_eval_rows(const struct trainer *t, size_t first, uint32_t *row);

/* --- trainer_evaluate.c --- */

/* Evaluate the state of this step where that is due and not done yet, and remember the best. */
int trainer_evaluate(struct trainer *t, struct err *e) MUST_CHECK;

/* --- trainer_target.c --- */

/* What is trained, its parameters, gradients and the optimizer's moments. */
int trainer_make_target(struct trainer *t, struct err *e) MUST_CHECK;
/* After t->params changed. */
void trainer_updated(struct trainer *t);
/* Before the gradients of a step are added up, and after. */
void trainer_zero_grads(struct trainer *t);
void trainer_take_grads(struct trainer *t);
/* After the last step and its checkpoint: what steps alone need gives room to the copies that saving makes. */
void trainer_release(struct trainer *t);
/* The best parameters, or the last, into adapter/ or model/ of the run. */
int trainer_save_target(struct trainer *t, struct err *e) MUST_CHECK;

/* --- trainer_setup.c --- */

/* Rows, adapter, tape: all that needs no run directory. */
int trainer_setup(struct trainer *t, const struct train_request *rq, struct err *e) MUST_CHECK;
/* The most memory that the run will have taken, in bytes; noted in its state. */
uint64_t trainer_predict_peak(struct trainer *t);
void trainer_deinit(struct trainer *t);

/* Whether the run was told to stop. */
static inline bool trainer_interrupted(const struct trainer *t)
{
    return t->rq->interrupted != NULL && t->rq->interrupted(t->rq->arg);
}

#endif
