/* What stands between a model and this machine: memory, its context, or this version of the program. */
#ifndef CLI_PLAN_OBSTACLES_H
#define CLI_PLAN_OBSTACLES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ground/param/param.h"
#include "lifecycle/plan/memory.h"

struct plan_obstacles {
    const struct plan_model *model; /* borrowed */
    bool memory, context;
    bool unsupported; /* architecture or tokenizer, below */
    bool architecture, tokenizer;
    double needed_bytes, available_bytes;
    int64_t needed_tokens; /* prompt and answer of one conversation */
};
/* Compare what the load needs with what there is. Facts that a shape does not say are no obstacle. */
void plan_obstacles_find(const struct plan_model *model, const struct plan_load *l, const struct plan_memory *m,
                         double available_bytes, struct plan_obstacles *out);
/* One sentence each, with both numbers: array of strings, new reference. */
json_t *plan_obstacles_json(const struct plan_obstacles *o, enum lang lang);
/* The same as lines on stdout; nothing when there are none. */
void plan_obstacles_print(const struct plan_obstacles *o, enum lang lang);

#endif
