/* Dimensions from models at hand: a loaded model's hyper-parameters, a GGUF file, a config.json. */
#ifndef PLAN_READ_MODEL_H
#define PLAN_READ_MODEL_H

#include "compute/formats/model_file.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/rows.h"

/* Of hyper-parameters; name and p->architecture are borrowed. */
void plan_model_of_params(const struct model_params *p, const char *name, struct plan_model *out);
/* Of a GGUF file, a Hugging Face directory or a config.json, families that Tailor cannot compute among them. Texts go
 * into the arena. -ERR_INPUT names the file and the key that is missing or out of range. */
int plan_model_read(const char *path, const char *name, struct arena *arena, struct plan_model *out,
                    struct err *e) MUST_CHECK;

#endif
