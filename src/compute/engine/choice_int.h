/* Private to engine/: walking a closed set of answers. */
#ifndef ENGINE_CHOICE_INT_H
#define ENGINE_CHOICE_INT_H

#include <stddef.h>
#include <stdint.h>

#include "compute/engine/engine.h"
#include "ground/base/err.h"

enum {
    CHOICE_ROOT = 0,
    CHOICE_END = -1,     /* the answer was ended */
    CHOICE_REFUSED = -2, /* not one of the options */
};
enum { CHOICE_MAX_ANSWER = 65536, CHOICE_MAX_NODE = 1 << 22 };

/* A set without answers whose answers end with end_id (>= 0). */
int choice_set_new_empty(struct choice_set **out, int32_t end_id, struct err *e) MUST_CHECK;
/* Add one answer; -ERR_INPUT when it is empty or there already. label names it in errors. */
int choice_set_add(struct choice_set *c, const int32_t *ids, size_t n, const char *label, struct err *e) MUST_CHECK;
/* The most options that any node has: what choice_options may write. */
size_t choice_max_option(const struct choice_set *c);
/* Tokens that may follow at a node (the end token where an answer may end); returns how many, at least 1. */
size_t choice_options(const struct choice_set *c, int node, int32_t *out);
/* The node after a token: >= 0, CHOICE_END or CHOICE_REFUSED. */
int choice_next(const struct choice_set *c, int node, int32_t id);

#endif
