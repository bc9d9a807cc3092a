/* Private to data/: what both ways of importing write. */
#ifndef DATA_DATASET_INT_H
#define DATA_DATASET_INT_H

#include "ground/base/buf.h"
#include "lifecycle/data/dataset.h"

enum { DATASET_MAX_BYTES = 2000 * 1000 * 1000 };

/* -ERR_CONFLICT when dir is something other than a dataset: its manifest.json is not ours to replace. */
int dataset_check_place(const char *dir, struct err *e) MUST_CHECK;
/* Note an input file by role, name and digest; path NULL: there is none. */
int dataset_add_input(json_t *inputs, const char *role, const char *path, struct err *e) MUST_CHECK;
/* Write one file of the dataset and note it under outputs. */
int dataset_write_output(const char *dir, const char *name, const struct buf *text, size_t n_row, json_t *outputs,
                         struct err *e) MUST_CHECK;
/* Put the digest of all else into a manifest (NULL: -ERR_NOMEM); the reference stays the caller's. */
int dataset_seal(json_t *manifest, struct err *e) MUST_CHECK;

#endif
