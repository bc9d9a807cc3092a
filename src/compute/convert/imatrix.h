/* Collecting an importance matrix: texts run through the model, and for every matrix the squares of its inputs are
 * summed, column by column. Written by imatrix_save (formats/imatrix_file.h). */
#ifndef CONVERT_IMATRIX_H
#define CONVERT_IMATRIX_H

#include <stddef.h>
#include <stdint.h>

#include "compute/model/model.h"
#include "ground/base/err.h"

struct imatrix_collector;
/* For texts of up to n_ctx tokens; the model outlives the collector. */
int imatrix_collector_new(struct imatrix_collector **out, struct model *m, int n_ctx, struct err *e) MUST_CHECK;
void imatrix_collector_free(struct imatrix_collector *c);
/* One text of n tokens, a context of its own. -ERR_LIMIT when it is longer than n_ctx, -ERR_INPUT when the model gives
 * activations that are not finite. */
int imatrix_collector_add(struct imatrix_collector *c, const int32_t *ids, size_t n, struct err *e) MUST_CHECK;
uint64_t imatrix_collector_n_tok(const struct imatrix_collector *c);
/* All sums to a file. dataset: where the texts came from. -ERR_INPUT when no text was added. */
int imatrix_collector_save(const struct imatrix_collector *c, const char *path, const char *dataset,
                           struct err *e) MUST_CHECK;

#endif
