/* Regular expressions with limits: PCRE2, in UTF-8. A pattern that backtracks without end is ended after a bounded
 * number of steps and is then an error of the text in hand, never a match and never a hang. */
#ifndef SYS_REGEX_H
#define SYS_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

struct regex;
enum { REGEX_MAX_GROUP = 32 };

/* A part of the subject, in bytes; begin == end == SIZE_MAX: the group took no part. */
struct regex_span {
    size_t begin, end;
};

/* Compile n bytes. where names the rule. -ERR_INPUT with the place in the pattern and the reason. */
int regex_new(struct regex **out, const char *pattern, size_t n, const char *where, struct err *e) MUST_CHECK;
/* Free a pattern; NULL is fine. */
void regex_free(struct regex *r);
/* Search s, n bytes, for the pattern; whole: all of s must match. group (NULL: none) receives the match and its groups,
 * *n_group how many. -ERR_LIMIT: the steps or the memory of a search were used up; -ERR_INPUT: s is no UTF-8. */
int regex_match(const struct regex *r, const char *s, size_t n, bool whole, bool *found,
                struct regex_span group[REGEX_MAX_GROUP], size_t *n_group, struct err *e) MUST_CHECK;

#endif
