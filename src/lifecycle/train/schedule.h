/* Which rows a step takes and how fast it learns: pure functions of the configuration and the step's number, so that a
 * resumed run needs no state but the step. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "lifecycle/train/config.h"

struct train_plan {
    size_t n_row;         /* rows of the data */
    size_t step_rows;     /* rows of an optimizer step: batch_size * grad_accum */
    uint64_t epoch_steps; /* steps of an epoch; the last one may have fewer rows */
    uint64_t n_step;      /* of the whole run */
};
/* n_row > 0. */
void train_plan_make(struct train_plan *p, const struct train_config *c, size_t n_row);
/* Learning rate of step (from 0): rises as (step + 1) / warmup_steps, then constant, or to min_lr over the remaining
 * steps linearly or by half a cosine. */
double train_lr(const struct train_config *c, uint64_t step, uint64_t n_step);
/* Order of rows in an epoch: order[n_row]; a function of (seed, epoch). */
void train_order(const struct train_config *c, uint64_t epoch, uint32_t *order, size_t n_row);
/* The rows of a step are order[*begin .. *end) of its epoch. */
void train_step_rows(const struct train_plan *p, uint64_t step, uint64_t *epoch, size_t *begin, size_t *end);

#endif
