/* Lengths and repetition of a text, in words (what white space separates) and characters (Unicode code points). */
#ifndef RULES_WORDS_H
#define RULES_WORDS_H

#include <stddef.h>

#include "ground/base/attr.h"

/* Words of s, n bytes. */
size_t words_count(const char *s, size_t n);
/* Characters, without white space at both ends. */
size_t chars_count(const char *s, size_t n);
/* *share: distinct runs of k words / all of them, 1 where there is none. -ERR_NOMEM. */
int words_distinct(const char *s, size_t n, size_t k, double *share) MUST_CHECK;

#endif
