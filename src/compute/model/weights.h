/* All weights of a model as one flat float32 array, for tuning in full: embedding, matrices, biases, norms, head. These
 * are the masters that an optimizer moves; the model computes with them rounded to the types that its file has (norms
 * and biases in float32), so that what is saved is what was evaluated. Matrices are F32, F16 or BF16: a quantized one
 * has no place for a small step. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include <stddef.h>

#include "compute/formats/model_file.h"
#include "compute/model/model.h"
#include "ground/base/err.h"

struct weights;

/* Masters of a loaded model (borrowed, and written from weights_update on). -ERR_UNSUPPORTED names a quantized matrix,
 * or a kind of layer that has no gradient for its weights. */
int weights_new(struct weights **out, struct model *m, struct err *e) MUST_CHECK;
void weights_free(struct weights *w);
/* Tensor idx < weights_n_tensor: where it begins in the flat arrays; rows and columns (1: a vector). */
struct weight_shape {
    size_t at, n_row, n_col;
};
size_t weights_n_tensor(const struct weights *w);
struct weight_shape weights_shape(const struct weights *w, size_t idx);
/* How many values there are; the masters, and gradients of the same layout (made at the first call): device memory. */
size_t weights_n_param(const struct weights *w);
float *weights_params(struct weights *w);
int weights_grads(struct weights *w, float **out, struct err *e) MUST_CHECK;
/* They are not needed any more. */
void weights_drop_grads(struct weights *w);
/* After the masters changed: round them into the model. */
void weights_update(struct weights *w);

/* Bytes that masters and gradients of a model take. */
size_t weights_bytes(const struct model *m);

/* The model as it is now, as a Hugging Face directory made from the one it was read from (f): the same tensors and
 * types (vectors in F32), its config and tokenizer beside them. The directory appears whole or not at all. */
int weights_save(const struct weights *w, const struct model_file *f, const char *dir, struct err *e) MUST_CHECK;

/* The values of a tensor of the file by its GGUF name, as the model computes with them: out[n] host memory.
 * -ERR_NOT_FOUND: it is none of the weights. */
int weights_read(const struct weights *w, const char *name, float *out, size_t n, struct err *e) MUST_CHECK;

#endif
