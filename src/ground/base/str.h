/* Strings: comparisons, number parsing that refuses rubbish, and sizes for people. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* Whole string or nothing; false on overflow, empty, trailing rubbish (NaN and infinity refused for double). */
bool str_to_i64(const char *s, int64_t *out) MUST_CHECK;
bool str_to_u64(const char *s, uint64_t *out) MUST_CHECK;
bool str_to_double(const char *s, double *out) MUST_CHECK;
/* "1.5 GB" (powers of 1000), size >= 16. */
void str_format_bytes(uint64_t bytes, char *out, size_t size);
/* Levenshtein distance, for "did you mean"; capped at 63 characters each. */
int str_distance(const char *a, const char *b);

#endif
