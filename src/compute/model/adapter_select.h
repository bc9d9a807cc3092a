/* Which matrices of a model carry an adapter, and of which rank and alpha: PEFT's config, computed as PEFT does. */
#ifndef MODEL_ADAPTER_SELECT_H
#define MODEL_ADAPTER_SELECT_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/model/adapter.h"

/* config: r, lora_alpha, target_modules ("all-linear", a pattern of whole names "model.layers.0.self_attn.q_proj", or a
 * list of names and ends of names), exclude_modules, layers_to_transform, rank_pattern, alpha_pattern (ends of names as
 * patterns; the first that fits counts). out[n_layer][SITE_COUNT]: what each matrix carries; rank and alpha: the
 * config's own. by_site: fused matrices have the names of their parts, and everything said must fit something; else it
 * is the config of a file. where: path or field, for errors. -ERR_INPUT, -ERR_UNSUPPORTED: names what does not fit. */
int adapter_select(struct adapter_target *out, int *rank, float *alpha, const struct model_params *p,
                   const json_t *config, bool by_site, const char *where, struct err *e) MUST_CHECK;

#endif
