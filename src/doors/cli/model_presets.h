/* Shapes of real models, for models with random weights. */
#ifndef CLI_MODEL_PRESETS_H
#define CLI_MODEL_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

#include "compute/formats/model_file.h"

/* The hyper-parameters of a preset; false: the architecture has none of this name. rope_freqs: the model has a table of
 * frequency factors (llama3 scaling). */
bool model_preset_find(const char *arch, const char *name, struct model_params *p, bool *rope_freqs);
/* The presets of an architecture, as text. */
const char *model_preset_names(const char *arch, char *out, size_t size);

#endif
