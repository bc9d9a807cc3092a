/* A model written again as a GGUF whose matrices have the types of a mix. The source is any open model: GGUF of any
 * type that can be read, or a Hugging Face directory (its names, rotary layout and metadata become GGUF's).
 *
 * Rows stream through the threads by pieces of some megabytes, so memory does not grow with the model; the file appears
 * complete under its name or not at all, and is the same for every number of threads and every instruction set. */
#ifndef CONVERT_QUANTIZE_MODEL_H
#define CONVERT_QUANTIZE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/convert/mix.h"
#include "compute/formats/imatrix_file.h"
#include "compute/formats/model_file.h"
#include "ground/base/err.h"

/* Values that stand in the place of those of the file. */
struct quantize_source {
    bool (*has)(void *arg, const char *name);
    /* Rows [row0, row0 + n_row) of the tensor, in the file's order, as float32 */
    int (*rows)(void *arg, const char *name, float *out, uint64_t row0, size_t n_row, struct err *e);
    /* NULL; or sees rows of a matrix that keeps its bytes as they are about to be written, and may change them */
    void (*bytes)(void *arg, const struct tensor_info *t, void *rows, uint64_t row0, size_t n_row);
    void *arg;
};

struct quantize_options {
    const struct mix *mix; /* NULL (of a GGUF): every tensor keeps its type; with other values a quantized one is F16 */
    const struct quantize_source *source; /* NULL: all values are the file's */
    const struct imatrix *imatrix;        /* NULL: all inputs matter equally */
    int n_thread;
    enum kern_isa isa;
    /* Called after every piece with the values done of all; false ends the work (-ERR_INTERRUPTED). NULL: not called.
     */
    bool (*progress)(void *arg, double done, double total, const char *tensor);
    void *arg;
};

/* Matrices whose rows are no whole blocks of the type that the mix has for them. */
struct quantize_fallback {
    enum quant_type from, to;
    size_t n_tensor;
};
enum { QUANTIZE_MAX_FALLBACK = 8 };

struct quantize_result {
    uint64_t bytes;               /* of the file */
    double rmse;                  /* root-mean-square change of a value of the matrices */
    size_t n_tensor[QUANT_COUNT]; /* matrices by the type that they have now */
    struct quantize_fallback fallback[QUANTIZE_MAX_FALLBACK];
    size_t n_fallback;
    size_t n_again;      /* matrices that had been quantized before, to another type */
    size_t n_own_key;    /* metadata keys under tailor.: what GGUF has none for, and other programs will not see */
    size_t n_unweighted; /* matrices that the importance matrix does not have */
};

/* -ERR_UNSUPPORTED for a tensor whose type cannot be read, -ERR_INPUT for values that are not finite (the tensor is
 * named), -ERR_IO, -ERR_NOMEM, -ERR_INTERRUPTED. */
int quantize_model(const struct model_file *f, const char *path, const struct quantize_options *opt,
                   struct quantize_result *out, struct err *e) MUST_CHECK;

#endif
