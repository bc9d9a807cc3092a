/* UTF-8: one character at a time, strictly (no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef TEXT_UTF8_H
#define TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_MAX_BYTES = 4 };
#define UTF8_BAD UINT32_MAX

/* Decode the character at s (n >= 1 bytes are there). Returns its length in bytes, 1 to 4; for a byte that starts no
 * whole, valid character *cp is UTF8_BAD and the length 1. */
size_t utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Encode; returns the length. cp must be a scalar value (not a surrogate, at most U+10FFFF). */
size_t utf8_encode(uint32_t cp, char out[UTF8_MAX_BYTES]);
/* Whether all n bytes are valid. */
bool utf8_valid(const char *s, size_t n);
/* Number of characters; a byte that is not valid counts as one. */
size_t utf8_count(const char *s, size_t n);
/* Length of the broken piece at s (where utf8_decode says UTF8_BAD): the bytes that one U+FFFD replaces, which are
 * those that could still have become a character (Unicode 15, section 3.9, "maximal subpart"); *open when the piece
 * reaches the end of the n bytes and more bytes could complete it. */
size_t utf8_broken(const char *s, size_t n, bool *open);

#endif
