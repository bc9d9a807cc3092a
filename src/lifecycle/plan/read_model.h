/* Dimensions from models at hand: a loaded model's hyper-parameters, a GGUF file, a config.json. */
#ifndef PLAN_READ_MODEL_H
#define PLAN_READ_MODEL_H

#include <jansson.h>

#include "compute/formats/model_file.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/quant.h"
#include "lifecycle/plan/rows.h"

/* Of hyper-parameters; name and p->architecture are borrowed. */
void plan_model_of_params(const struct model_params *p, const char *name, struct plan_model *out);
/* Every text "". */
void plan_model_no_texts(struct plan_model *m);
/* Of a GGUF file, a Hugging Face directory or a config.json, families that Tailor cannot compute among them. Texts go
 * into the arena. -ERR_INPUT names the file and the key that is missing or out of range. */
int plan_model_read(const char *path, const char *name, struct arena *arena, struct plan_model *out,
                    struct err *e) MUST_CHECK;

/* Of a config.json that was parsed; where is what errors call it. Texts go into the arena, the name is "". */
int plan_model_of_config(const json_t *config, const char *where, struct arena *arena, struct plan_model *out,
                         struct err *e) MUST_CHECK;
/* What a file's tensors take, as they are. */
struct plan_file {
    const struct plan_quant *quant;               /* of most of its layers' bytes; NULL: of no known type */
    double weight_bytes;                          /* all */
    double dense_bytes, expert_bytes, head_bytes; /* that a step reads: outside and inside experts, output matrix */
};
/* plan_model_read, and the tensors (of a config.json alone: none, all 0). */
int plan_file_read(const char *path, const char *name, struct arena *arena, struct plan_model *model,
                   struct plan_file *file, struct err *e) MUST_CHECK;

#endif
