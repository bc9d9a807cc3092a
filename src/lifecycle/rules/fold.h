/* Text made comparable: what two people would call the same text. */
#ifndef RULES_FOLD_H
#define RULES_FOLD_H

#include <stddef.h>

#include "ground/base/attr.h"
#include "ground/base/buf.h"

/* Append s folded: case folded, full-width forms as ASCII, runs of white space as one space, none at the ends.
 * Bytes that are not UTF-8 stay as they are. 0, -ERR_LIMIT or -ERR_NOMEM. */
int fold_text(const char *s, size_t n, struct buf *out) MUST_CHECK;
/* The same without quotes and sentence punctuation (ASCII and Chinese) at both ends: what `normalized` compares. */
int fold_answer(const char *s, size_t n, struct buf *out) MUST_CHECK;
/* The part of s without white space (Unicode) at both ends. */
const char *fold_trim(const char *s, size_t n, size_t *n_out);

#endif
