/* Strings: comparisons, number parsing that refuses rubbish, sizes for people, and text made safe to print. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

/* Equal contents; NULL equals only NULL. */
bool str_eq(const char *a, const char *b);
/* s begins with prefix. */
bool str_starts(const char *s, const char *prefix);
/* s ends with suffix. */
bool str_ends(const char *s, const char *suffix);
/* Whole string or nothing; false on overflow, empty, spaces, trailing rubbish. Decimal; a sign is allowed. */
bool str_to_i64(const char *s, int64_t *out) MUST_CHECK;
/* As str_to_i64, without a sign. */
bool str_to_u64(const char *s, uint64_t *out) MUST_CHECK;
/* Decimal with optional exponent, '.' as the point; NaN, infinity, hexadecimal and overflow are refused. */
bool str_to_double(const char *s, double *out) MUST_CHECK;
/* "1.5 GB" (powers of 1000), size >= 16. */
void str_format_bytes(uint64_t bytes, char *out, size_t size);
/* "1.5GB", "512 MB", "4096": kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB (also K, M, G, T) of 1024; case does
 * not matter. False for anything else. */
bool str_to_bytes(const char *s, uint64_t *out) MUST_CHECK;
/* Letters to insert, delete, change or swap with their neighbour, for "did you mean"; capped at 63 bytes each. */
int str_distance(const char *a, const char *b);
/* How far a word as it was typed is from a known one: their distance, or that from its beginning and one more, so that
 * "lable" is near "label-column". The known word may be meant when this is at most str_distance_max(word). */
int str_mistyped(const char *word, const char *known);
/* The distance up to which another word may be what was meant by this one. */
int str_distance_max(const char *word);
/* Length in bytes (1-4) of the valid UTF-8 character at p, of which n bytes may be read; 0 when there is none.
 * Overlong forms, surrogates and values past U+10FFFF are not valid (Unicode 15, table 3-7). */
int str_utf8_char(const char *p, size_t n);
/* Remove an incomplete UTF-8 character from the end of s, as truncation leaves it. */
void str_cut_utf8(char *s);
/* Columns that a character (a valid one of len bytes) takes on a terminal: 2 for East Asian wide ones. */
int str_char_columns(const char *p, int len);
/* Columns of a whole text. */
int str_columns(const char *s);
/* How many spaces fill a text up to columns; 0 when it is wider: printf("%s%*s", s, str_padding(s, 20), ""). */
int str_padding(const char *s, int columns);
/* Replace control characters and bytes that are not UTF-8 by '?', in place: fit for terminals and JSON. */
void str_make_printable(char *s);

#endif
