/* Which examples were seen before: a hash set over train_rows, by all tokens and labels of an example. */
#ifndef TRAIN_ROW_SET_H
#define TRAIN_ROW_SET_H

#include "lifecycle/train/rows.h"

struct row_set {
    uint32_t *slot; /* [n_slot], a power of two: example number + 1, 0: free */
    size_t n_slot, n;
};
/* Whether the example that begins at row `first`, the last one of r, says what an earlier one in the set says; if not
 * it joins the set. -ERR_NOMEM. */
int row_set_add(struct row_set *s, const struct train_rows *r, size_t first, bool *is_old) MUST_CHECK;
void row_set_deinit(struct row_set *s);

#endif
