/* Optimizers: what they remember of a flat array of parameters, and a step. The state is one block of bytes that a
 * checkpoint holds as it is. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/model/weights.h"
#include "ground/base/err.h"
#include "lifecycle/train/config.h"

struct optimizer;

/* State of zeros for n_param parameters. c is borrowed. shapes: the tensors that the parameters are (Adafactor alone
 * looks at them), or NULL. */
int optimizer_new(struct optimizer **out, struct dev *d, const struct train_config *c, size_t n_param,
                  const struct weights *shapes, struct err *e) MUST_CHECK;
void optimizer_free(struct optimizer *o);
/* The state, device memory of n floats; about how many bytes before there are shapes. */
float *optimizer_state(const struct optimizer *o, size_t *n);
uint64_t optimizer_plan_bytes(const struct train_config *c, uint64_t n_param);
/* Step number `step` (from 0) with gradients grads, both device memory. */
void optimizer_step(struct optimizer *o, float *params, const float *grads, double lr, uint64_t step);

#endif
