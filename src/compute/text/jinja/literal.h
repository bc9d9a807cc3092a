/* Literals of templates: strings with Python's escapes, numbers with underscores. */
#ifndef TEXT_JINJA_LITERAL_H
#define TEXT_JINJA_LITERAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"
#include "ground/base/mem.h"

/* The text between the quotes with its escapes resolved, in the arena. -ERR_INPUT with *why, or -ERR_NOMEM. */
int literal_string(struct arena *arena, const char *s, size_t n, const char **out, size_t *n_out,
                   const char **why) MUST_CHECK;
/* The number at s, which begins with a digit: its length. 1_000, 0x1f, 0b1, 0o7; with allow_float also 1.5 and 1e3.
 * *why is set when it does not fit. */
size_t literal_number(const char *s, size_t n, bool allow_float, bool *is_float, int64_t *i, double *f,
                      const char **why);

#endif
