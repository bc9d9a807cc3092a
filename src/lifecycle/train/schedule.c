/* Learning rate and order of rows. Keeps no state. */
#include "lifecycle/train/schedule.h"

#include <math.h>

#include "ground/base/rng.h"

void train_plan_make(struct train_plan *p, const struct train_config *c, size_t n_row)
{
    p->n_row = n_row;
    p->step_rows = (size_t)c->batch_size * (size_t)c->grad_accum;
    p->epoch_steps = (n_row + p->step_rows - 1) / p->step_rows;
    p->n_step = c->max_steps > 0 ? (uint64_t)c->max_steps : p->epoch_steps * (uint64_t)c->epochs;
}

double train_lr(const struct train_config *c, uint64_t step, uint64_t n_step)
{
    uint64_t warmup = (uint64_t)c->warmup_steps;
    if (step < warmup) return c->lr * (double)(step + 1) / (double)warmup;
    if (c->schedule == SCHEDULE_CONSTANT || n_step <= warmup) return c->lr;
    double done = (double)(step - warmup) / (double)(n_step - warmup);
    double left = c->schedule == SCHEDULE_LINEAR ? 1.0 - done : 0.5 * (1.0 + cos(M_PI * done));
    return c->min_lr + (c->lr - c->min_lr) * left;
}

void train_order(const struct train_config *c, uint64_t epoch, uint32_t *order, size_t n_row)
{
    for (size_t i = 0; i < n_row; i++) order[i] = (uint32_t)i;
    if (c->shuffle) rng_shuffle(order, n_row, c->seed, epoch);
}

void train_step_rows(const struct train_plan *p, uint64_t step, uint64_t *epoch, size_t *begin, size_t *end)
{
    *epoch = step / p->epoch_steps;
    *begin = (size_t)(step % p->epoch_steps) * p->step_rows;
    *end = *begin + p->step_rows < p->n_row ? *begin + p->step_rows : p->n_row;
}
