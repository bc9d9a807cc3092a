/* What a load gets from systems: memory, speed and how sure that is, as one result. */
#ifndef PLAN_FORECAST_H
#define PLAN_FORECAST_H

#include <jansson.h>

#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/speed.h"

struct plan_forecast {
    int replicas;                       /* equal systems that share the users evenly */
    struct plan_memory memory;          /* of one replica with its part of the users */
    struct plan_point alone;            /* one user */
    struct plan_point loaded;           /* its part of the users */
    struct plan_point full;             /* as many as memory and stack take */
    double prefill_tok_s, decode_tok_s; /* one user alone */
    double max_users;                   /* of all replicas, by memory and what the stack batches */
};
/* replicas >= 1; users of the load are those of all replicas. */
void plan_forecast_of(const struct plan_system *s, const struct plan_load *l, int replicas, struct plan_forecast *out);
/* Members "fits", "memory", "speed", "error_bars"; new reference. */
json_t *plan_forecast_json(const struct plan_system *s, const struct plan_forecast *f);
/* A band as {"low","high","basis"}: what a prediction is multiplied by at the 80 % level; new reference. */
json_t *plan_band_json(const struct plan_system *s, enum plan_quantity q);

#endif
