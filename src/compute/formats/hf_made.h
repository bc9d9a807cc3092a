/* Private to formats: tensors of a Hugging Face directory that GGUF keeps in another shape. They are made when they are
 * read, from parts that stand in the files. */
#ifndef FORMATS_HF_MADE_H
#define FORMATS_HF_MADE_H

#include "compute/formats/formats_int.h"

/* A tensor [n_mat][n_out][n_in] of matrices. */
struct hf_made {
    enum {
        HF_STACK, /* matrix m is part[m] */
        HF_SLICE, /* matrix m is rows [row, row + n_out) of matrix m of part[0], a tensor [n_mat][n_row][n_in] */
        HF_TURN   /* [o][i] of matrix m is [row + i][col + o] of matrix m of part[0], [n_mat][n_row][n_col]; floats */
    } kind;
    const struct stored_tensor *part;
    uint64_t n_mat, n_out, n_in, row, col, n_row, n_col;
};
/* Bytes [offset, offset + n) of such a tensor. Thread-safe. */
int hf_made_read(const struct model_file *f, const struct stored_tensor *t, void *p, uint64_t offset, size_t n,
                 struct err *e) MUST_CHECK;
/* Replace experts that stand one by one, fused gates, and kv_b of a compressed cache by the tensors that GGUF names.
 * After quantized matrices were bound. */
int hf_made_bind(struct model_file *f, struct err *e) MUST_CHECK;

#endif
