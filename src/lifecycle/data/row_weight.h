/* The weight of a row: how much it counts in the loss beside the others. */
#ifndef DATA_ROW_WEIGHT_H
#define DATA_ROW_WEIGHT_H

#include <jansson.h>

#include "ground/base/err.h"
#include "lifecycle/data/example.h"

/* The member "weight" of a row, a number from 0 to 1000000 or the text of one (a table has texts); 1 where there is
 * none. Of a prompt it is a column like any other, and *out is 1. where names the row. -ERR_INPUT: it is no such
 * number, or the row is a preference or a judged answer, whose losses are not sums over rows. */
int row_weight_read(const json_t *row, enum example_kind kind, const char *where, double *out,
                    struct err *e) MUST_CHECK;

#endif
