/* Importance matrices on disk: for each matrix of a model the mean square of every input. Two layouts are read, GGUF
 * (general.type "imatrix"; tensors NAME.in_sum2 and NAME.counts) and the older .dat of llama.cpp; GGUF is written. */
#ifndef FORMATS_IMATRIX_FILE_H
#define FORMATS_IMATRIX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

struct imatrix;
/* -ERR_NOT_FOUND, -ERR_INPUT (broken or no importance matrix; the message says what is wrong), -ERR_NOMEM. */
int imatrix_open(struct imatrix **out, const char *path, struct err *e) MUST_CHECK;
void imatrix_close(struct imatrix *m);
size_t imatrix_n_entry(const struct imatrix *m);
/* Mean squares [n_mat][n_in] for a tensor (n_mat 1 but for stacked experts), all above or equal to 0; *out is NULL when
 * the file has none for it. -ERR_INPUT when it has another number of values. */
int imatrix_find(const struct imatrix *m, const char *tensor, size_t n_mat, size_t n_in, const float **out,
                 struct err *e) MUST_CHECK;

/* One tensor to write: sums of squares over count rows. */
struct imatrix_sum {
    const char *tensor;
    const double *sum;  /* [n_in] */
    size_t n_in, n_mat; /* n_mat: 1, or matrices of a stack, which all get these sums */
    uint64_t count;
};
/* Atomic. dataset: where the texts came from; chunks of chunk_len tokens are the unit in which other tools count. */
int imatrix_save(const char *path, const struct imatrix_sum *sums, size_t n, const char *dataset, uint32_t n_chunk,
                 uint32_t chunk_len, struct err *e) MUST_CHECK;

#endif
