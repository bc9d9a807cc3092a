/* Stacks: packed matrices of one shape in one allocation, such as the experts of a layer or the heads of a compressed
 * cache. Each is a matrix like any other (struct dev_mat). */
#ifndef DEVICE_STACK_H
#define DEVICE_STACK_H

#include <stddef.h>

#include "compute/device/device.h"
#include "ground/base/err.h"

struct dev_stack;
/* n matrices [n_out][n_in] of a type; -ERR_NOMEM says how much was wanted. */
int dev_stack_new(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                  struct err *e) MUST_CHECK;
/* Pack rows [row0, row0 + n_row) of matrix idx, given in the file format (host memory); row0 a multiple of 16. Where
 * n_out is one too they may go on into the next matrices. */
void dev_stack_put(struct dev *d, struct dev_stack *s, size_t idx, const void *rows, size_t row0, size_t n_row);
void dev_stack_free(struct dev_stack *s);
size_t dev_stack_n(const struct dev_stack *s);
/* Matrix idx < n, borrowed. */
const struct dev_mat *dev_stack_at(const struct dev_stack *s, size_t idx);
/* Packed bytes of all matrices; 0 for NULL. */
size_t dev_stack_bytes(const struct dev_stack *s);

#endif
