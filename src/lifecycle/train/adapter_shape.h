/* Which matrices a run's adapter sits on, and with which rank and alpha: its fields as PEFT's config says them. */
#ifndef TRAIN_ADAPTER_SHAPE_H
#define TRAIN_ADAPTER_SHAPE_H

#include <jansson.h>

#include "compute/model/adapter.h"
#include "lifecycle/train/config.h"

/* target_modules says a pattern, in place of names. */
bool adapter_shape_is_pattern(const char *target);
/* {"r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern"}: new. -ERR_USAGE for a rule that is not
 * NAME=NUMBER. */
int adapter_shape_json(const struct param_set *s, json_t **out, struct err *e) MUST_CHECK;
/* target[n_layer][SITE_COUNT] and the two values of the options, for a model. */
int adapter_shape_select(const struct param_set *s, const struct model_params *p, struct adapter_options *o,
                         struct adapter_target *target, struct err *e) MUST_CHECK;

#endif
