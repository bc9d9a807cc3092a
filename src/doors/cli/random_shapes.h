/* Models with random weights: the sizes of real ones, the tensors that they have, and the keys of their GGUF. */
#ifndef CLI_RANDOM_SHAPES_H
#define CLI_RANDOM_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/convert/mix.h"
#include "compute/formats/gguf.h"
#include "compute/kernels/kern.h"
#include "ground/base/err.h"

enum { RANDOM_NAME_LEN = 64 };

struct random_model {
    struct model_params params;
    char name[48];   /* general.name */
    bool rope_freqs; /* it has a table of frequency factors (llama3 scaling); it is written as ones */
};
/* The shape of a real model. -ERR_USAGE names the presets of the architecture. n_layer > 0: fewer layers than the
 * preset has. */
int random_model_find(const char *arch, const char *name, int n_layer, struct random_model *out,
                      struct err *e) MUST_CHECK;

/* What matrices become: one type, or one each by the rules of a mix. */
struct random_type {
    const struct quant *quant;
    const struct mix *mix; /* NULL: quant everywhere */
};

/* A tensor as it will be written. std 0: all ones (norm weights). */
struct random_tensor {
    char name[RANDOM_NAME_LEN];
    const struct quant *quant;
    uint64_t n_row, n_col; /* all rows, of all matrices */
    uint64_t shape[3];     /* row-major, outermost first */
    int n_dim;
    uint16_t scale[2]; /* of blocks of random codes, where the type has no quantizer */
    float std;
};
struct random_list {
    struct random_tensor *at;
    size_t n, cap;
    size_t max_col;
};
/* All tensors of the model, matrices in a type (or another where their rows are no whole blocks of it). -ERR_NOMEM. */
int random_list_init(struct random_list *l, const struct random_model *m, const struct random_type *type) MUST_CHECK;
void random_list_deinit(struct random_list *l);

/* Declare the keys of the model and its tensors, without the vocabulary. */
int random_put_header(struct gguf_writer *w, const struct random_model *m, const struct random_type *type,
                      const struct random_list *l) MUST_CHECK;

#endif
