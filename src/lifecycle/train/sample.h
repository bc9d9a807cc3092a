/* One training row for human eyes, before training begins: what the model sees, and what of it is trained. */
#ifndef TRAIN_SAMPLE_H
#define TRAIN_SAMPLE_H

#include "compute/text/tokenizer.h"
#include "ground/base/buf.h"
#include "lifecycle/train/rows.h"

/* The row as text with control tokens, trained parts in [[ ]]; ids where tok is NULL. Long rows are cut. */
int sample_format(const struct train_rows *r, size_t row, const struct tokenizer *tok, struct buf *out) MUST_CHECK;

#endif
