/* Where an adapter comes from, as it says itself, and whether that is what it is put on. */
#ifndef CLI_ADAPTER_ORIGIN_H
#define CLI_ADAPTER_ORIGIN_H

#include "compute/formats/model_file.h"
#include "ground/base/err.h"

/* dir: a PEFT directory that was loaded for the model in f. -ERR_CONFLICT: it was tuned on other weights, or on rows of
 * another chat template. An adapter that says nothing of either (of another maker) passes. */
int adapter_origin_check(const char *dir, const struct model_file *f, struct err *e) MUST_CHECK;

#endif
