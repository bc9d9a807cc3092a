/* The catalogue of models: shapes as facts, one CSV row each, with source and date. */
#ifndef PLAN_SHAPES_H
#define PLAN_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

/* What memory and speed depend on, and what running it needs. */
struct model_shape {
    char name[64];
    char architecture[32], pre_tokenizer[32]; /* as GGUF names them; "": not said */
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab, n_ctx_train;
    bool tied_head;
    int n_latent; /* values that a layer keeps of a token instead of keys and values; 0: it keeps these */
};

struct shapes {
    struct model_shape *item;
    size_t n;
};
/* Read catalog/models.csv; -ERR_INPUT names line and field. */
int shapes_load(struct shapes *c, const char *path, struct err *e) MUST_CHECK;
void shapes_free(struct shapes *c);
/* By name, case ignored; NULL when absent. */
const struct model_shape *shapes_find(const struct shapes *c, const char *name);
/* The shape of an opened model. */
void shape_of_params(const struct model_params *p, const char *name, struct model_shape *s);

#endif
