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
/* The same stack from memory that holds it packed already, as dev_mat_packed of dev_stack_whole gave it: borrowed until
 * dev_stack_free, and only read. n_out a multiple of 16. */
int dev_stack_borrow(struct dev *d, struct dev_stack **out, enum quant_type type, size_t n, size_t n_out, size_t n_in,
                     void *packed, struct err *e) MUST_CHECK;
void dev_stack_free(struct dev_stack *s);
size_t dev_stack_n(const struct dev_stack *s);
/* Matrix idx < n, borrowed. */
const struct dev_mat *dev_stack_at(const struct dev_stack *s, size_t idx);
/* To be filled: matrix idx, and all of them as one of n * n_out rows. Both borrowed; NULL from dev_stack_whole where
 * n_out is no multiple of 16, each matrix having padding of its own there. */
struct dev_mat *dev_stack_mat(struct dev_stack *s, size_t idx);
struct dev_mat *dev_stack_whole(struct dev_stack *s);
/* Packed bytes of all matrices; 0 for NULL. */
size_t dev_stack_bytes(const struct dev_stack *s);

#endif
