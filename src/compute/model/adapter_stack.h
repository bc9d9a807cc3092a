/* Adapters on top of each other: several that stay as they are, and one over them that is trained. Since each adds a
 * product to the same matrix, together they are one adapter whose rank is the sum of theirs; the scales of those below
 * are folded into their B. What comes out is served, merged and exported like any other adapter. */
#ifndef MODEL_ADAPTER_STACK_H
#define MODEL_ADAPTER_STACK_H

#include "compute/model/adapter.h"

struct adapter_stack;
/* frozen[n] and, over them, own (NULL: none); all for m. The frozen ones may be freed afterwards, own must outlive the
 * stack. -ERR_UNSUPPORTED: one of them has magnitudes (DoRA), which change what stands below them. */
int adapter_stack_new(struct adapter_stack **out, const struct model *m, const struct adapter *const *frozen, size_t n,
                      struct adapter *own, struct err *e) MUST_CHECK;
void adapter_stack_free(struct adapter_stack *s);
/* All of them as one; owned by the stack. */
struct adapter *adapter_stack_whole(const struct adapter_stack *s);
/* After own's parameters changed. */
void adapter_stack_put(struct adapter_stack *s);
/* The gradients of own become its share of those of the whole; both were asked for with adapter_grads. */
void adapter_stack_take_grads(struct adapter_stack *s);

#endif
