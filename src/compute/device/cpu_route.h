/* Private to the CPU device: the choice of experts of one token. */
#ifndef DEVICE_CPU_ROUTE_H
#define DEVICE_CPU_ROUTE_H

#include "compute/device/experts.h"

/* From logits [n_expert], which are overwritten: chosen[n_used], best first, and their weights. Whatever the logits
 * hold, the choices are different experts. */
void cpu_route(const struct kern *k, const struct dev_router *r, size_t n_expert, float *logits, int32_t *chosen,
               float *weight);

#endif
