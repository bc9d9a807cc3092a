/* Presets: what a run that says nothing but its base and its data is tuned with. A table of fields chosen from the
 * size of the model, the rows and the memory; each choice is a plain value in the set of fields, so run.yaml holds it
 * as if a person had written it. */
#ifndef TRAIN_PRESET_H
#define TRAIN_PRESET_H

#include <stdbool.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "compute/model/model.h"
#include "ground/base/err.h"
#include "ground/param/param.h"

/* What choices depend on. */
struct preset_facts {
    uint64_t n_param;     /* of the model */
    bool is_quantized;    /* its matrices are */
    int n_embd;           /* width of the model */
    uint64_t n_row;       /* rows of the data that are objects */
    bool has_pairs;       /* the first row has chosen and rejected */
    bool has_labels;      /* the first row has a label that is true or false */
    bool has_eval;        /* eval_data is given */
    uint64_t limit_bytes; /* for what is trained and the backward pass, beside the model; 0: not known */
};

/* Fields say with "preset" whether anything is to be chosen: on; or auto, and none of those that would be is given. */
bool preset_wanted(const struct param_set *fields);
/* Look at the model and count the rows of data (a file). -ERR_INPUT, -ERR_NOT_FOUND: the file. */
int preset_look(struct preset_facts *f, const struct model_file *file, const struct model *m, const char *data,
                struct err *e) MUST_CHECK;
/* Choose every field that is not given. say is called with a finished sentence for each choice and its reason. m: for
 * what the backward pass takes; NULL: token_budget is left as it is. */
int preset_fill(struct param_set *fields, const struct preset_facts *f, const struct model *m,
                void (*say)(void *arg, const char *line), void *arg, struct err *e) MUST_CHECK;

#endif
