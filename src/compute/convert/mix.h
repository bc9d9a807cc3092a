/* Mixes: which tensor of a model gets which type. A mix has a name that users know ("Q4_K_M"), a type that most
 * matrices get, and rules by which matrices that matter more get more bits; the rules are those of the files that the
 * field exchanges (llama.cpp, llama-quant.cpp), so that a mix of a name has the size that its name promises. */
#ifndef CONVERT_MIX_H
#define CONVERT_MIX_H

#include <stdbool.h>

#include "compute/formats/model_file.h"
#include "compute/kernels/kern.h"

struct mix {
    const char *name;
    enum quant_type base;
    int file_type; /* GGUF general.file_type */
    bool pure;     /* every matrix gets base */
};
/* A mix by its name, case-insensitive; NULL when there is none. */
const struct mix *mix_find(const char *name);
/* All mixes, idx from 0; NULL past the last. */
const struct mix *mix_at(size_t idx);

/* What the rules look at, of a whole model. */
struct mix_model {
    int n_layer;
    int n_gqa; /* query heads a key-value head */
    int n_expert;
    bool tied;        /* the embedding is the output matrix too */
    bool has_weights; /* quantized with an importance matrix */
};
void mix_model_init(struct mix_model *m, const struct model_file *f, bool has_weights);

/* A tensor that is quantized at all: a matrix of weights, no norm, no router, no convolution. */
bool mix_is_matrix(const struct tensor_info *t);
/* The type of a matrix by the rules, before its row length is looked at. */
enum quant_type mix_type(const struct mix *x, const struct mix_model *m, const struct tensor_info *t);
/* The type that rows of n_in values can have: type, or where n_in is no whole number of its blocks what stands in for
 * it: Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K, Q4_0 for Q2_K and Q3_K, F16 where not even 32 divides. */
enum quant_type mix_fallback(enum quant_type type, uint64_t n_in);

#endif
