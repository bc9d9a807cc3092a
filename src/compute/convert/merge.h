/* A model with an adapter in its matrices, written as a model of its own: a GGUF from any base, or a Hugging Face
 * directory from one. */
#ifndef CONVERT_MERGE_H
#define CONVERT_MERGE_H

#include "compute/convert/quantize_model.h"
#include "compute/formats/model_file.h"
#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "ground/base/err.h"

/* What is merged: the file, the model that was loaded from it, the adapter on it. All borrowed. */
struct merge_input {
    const struct model_file *file;
    const struct model *model;
    const struct adapter *adapter;
};

/* A GGUF at path. opt->mix NULL: the tensors of a GGUF keep their types, but matrices that change are at least F16 (the
 * few bits of a quantized one would round most of the change away); of a Hugging Face directory a mix is needed. */
int merge_gguf(const struct merge_input *in, const char *path, const struct quantize_options *opt,
               struct quantize_result *out, struct err *e) MUST_CHECK;
/* Of a GGUF that merge_gguf made of a GGUF: *kept is the share of the adapter's change that the file has, the
 * projection of what moved onto what should have; 1: all of it. */
int merge_kept(const struct merge_input *in, const char *path, double *kept, struct err *e) MUST_CHECK;
/* The same as merge_gguf of a GGUF whose types stay: the codes of its matrices move, as they did while the adapter was
 * trained so (model/absorb.h). opt->mix is not looked at. */
int merge_codes(const struct merge_input *in, const char *path, const struct quantize_options *opt,
                struct quantize_result *out, struct err *e) MUST_CHECK;
/* A directory that must not be there yet, from a base that is one: matrices keep their types. */
int merge_hf(const struct merge_input *in, const char *dir, struct err *e) MUST_CHECK;

#endif
