/* What a run was made from: digests of every input, what happened to the rows, and by which rule the loss is divided.
 * A run is resumed only with the same inputs. */
#ifndef TRAIN_MANIFEST_H
#define TRAIN_MANIFEST_H

#include <jansson.h>

#include "ground/base/err.h"
#include "lifecycle/train/rows.h"
#include "lifecycle/train/train.h"

/* New reference: {"inputs": {...}, "rows": {...}, "denominator", ...}. eval NULL: no eval_data. */
int manifest_make(const struct train_request *rq, const struct train_rows *rows, const struct train_rows *eval,
                  json_t **out, struct err *e) MUST_CHECK;
/* Digest of the manifest's inputs, by content: paths do not count. */
int manifest_digest(const json_t *manifest, char hex[65], struct err *e) MUST_CHECK;
/* -ERR_CONFLICT naming the first input that differs. */
int manifest_compare(const json_t *was, const json_t *now, const char *run, struct err *e) MUST_CHECK;

#endif
