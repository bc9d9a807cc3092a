/* Properties of characters, from tables made of the Unicode Character Database (unicode_version names which).
 * Code points that are none (UTF8_BAD) have no property. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "15.0.0" */
const char *unicode_version(void);
/* \p{L} */
bool unicode_is_letter(uint32_t cp);
/* \p{N} */
bool unicode_is_number(uint32_t cp);
/* \p{Nd} */
bool unicode_is_decimal(uint32_t cp);
/* The White_Space property: what \s means in the patterns of tokenizers. */
bool unicode_is_space(uint32_t cp);
/* What Python's str.isspace, strip and split take for white: White_Space and U+001C to U+001F. */
bool unicode_is_python_space(uint32_t cp);
/* What Python's repr shows unescaped. */
bool unicode_is_printable(uint32_t cp);
/* The derived properties Cased, Case_Ignorable, Uppercase, Lowercase. */
bool unicode_is_cased(uint32_t cp);
bool unicode_is_case_ignorable(uint32_t cp);
bool unicode_is_upper(uint32_t cp);
bool unicode_is_lower(uint32_t cp);

enum unicode_case { UNICODE_LOWER, UNICODE_TITLE, UNICODE_UPPER };
/* Full case mapping of one character, without context and language: writes 1 to 3 code points, returns how many. */
size_t unicode_map_case(uint32_t cp, enum unicode_case to, uint32_t out[3]);

#endif
