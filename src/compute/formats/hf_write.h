/* A Hugging Face directory written again with other values: same tensors under the same names, same config and
 * tokenizer.
 */
#ifndef FORMATS_HF_WRITE_H
#define FORMATS_HF_WRITE_H

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

/* The n values of a tensor (its GGUF name) in the given type into out. -ERR_NOT_FOUND: there are none, the tensor stays
 * as it stands in the file. */
typedef int (*hf_values_fn)(void *arg, const char *name, enum tensor_type type, void *out, size_t n, struct err *e);

/* f, an open Hugging Face directory whose matrices are not quantized, as the directory dir, which appears whole or not
 * at all and must not be there. Matrices keep their types; vectors are written in F32. -ERR_UNSUPPORTED: f is none. */
int hf_write(const struct model_file *f, const char *dir, hf_values_fn values, void *arg, struct err *e) MUST_CHECK;

#endif
