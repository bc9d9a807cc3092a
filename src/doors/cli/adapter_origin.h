/* Where an adapter comes from, as it says itself, and whether that is what it is put on. */
#ifndef CLI_ADAPTER_ORIGIN_H
#define CLI_ADAPTER_ORIGIN_H

#include <stdbool.h>

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

/* Whether it was tuned within the codes of its base (merge_aware). */
int adapter_origin_is_codes(const char *dir, bool *codes, struct err *e) MUST_CHECK;
/* dir: a PEFT directory that was loaded for the model in f. -ERR_CONFLICT: it was tuned on other weights, or on rows of
 * another chat template. An adapter that says nothing of either (of another maker) passes. merging: it will be put
 * into the weights, the only place for one that was tuned within their codes. */
int adapter_origin_check(const char *dir, const struct model_file *f, bool merging, struct err *e) MUST_CHECK;

#endif
