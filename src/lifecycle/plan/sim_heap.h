/* The least of n numbered keys, which change: a binary heap with places. */
#ifndef PLAN_SIM_HEAP_H
#define PLAN_SIM_HEAP_H

#include <stdint.h>

#include "ground/base/err.h"

struct sim_heap {
    double *key;    /* [n] by number */
    int32_t *order; /* [n] the heap: numbers */
    int32_t *place; /* [n] where a number stands in order */
    int n;
};
/* All keys INFINITY; -ERR_NOMEM. */
int sim_heap_init(struct sim_heap *h, int n, struct err *e) MUST_CHECK;
void sim_heap_deinit(struct sim_heap *h);
/* The number of the least key; among equal ones always the same for the same history. */
int sim_heap_least(const struct sim_heap *h);
void sim_heap_set(struct sim_heap *h, int number, double key);

#endif
