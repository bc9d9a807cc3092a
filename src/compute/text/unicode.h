/* Properties of characters, from tables made of the Unicode Character Database (unicode_version names which).
 * Code points that are none (UTF8_BAD) have no property. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "15.0.0" */
const char *unicode_version(void);
/* General categories, a bit each, and the sets that patterns name: \p{L} is UNICODE_L. */
enum unicode_category {
    UNICODE_LU = 1 << 0,
    UNICODE_LL = 1 << 1,
    UNICODE_LT = 1 << 2,
    UNICODE_LM = 1 << 3,
    UNICODE_LO = 1 << 4,
    UNICODE_MN = 1 << 5,
    UNICODE_MC = 1 << 6,
    UNICODE_ME = 1 << 7,
    UNICODE_ND = 1 << 8,
    UNICODE_NL = 1 << 9,
    UNICODE_NO = 1 << 10,
    UNICODE_PC = 1 << 11,
    UNICODE_PD = 1 << 12,
    UNICODE_PS = 1 << 13,
    UNICODE_PE = 1 << 14,
    UNICODE_PI = 1 << 15,
    UNICODE_PF = 1 << 16,
    UNICODE_PO = 1 << 17,
    UNICODE_SM = 1 << 18,
    UNICODE_SC = 1 << 19,
    UNICODE_SK = 1 << 20,
    UNICODE_SO = 1 << 21,
    UNICODE_ZS = 1 << 22,
    UNICODE_ZL = 1 << 23,
    UNICODE_ZP = 1 << 24,
    UNICODE_CC = 1 << 25,
    UNICODE_CF = 1 << 26,
    UNICODE_CS = 1 << 27,
    UNICODE_CO = 1 << 28,
    UNICODE_CN = 1 << 29,
    UNICODE_L = UNICODE_LU | UNICODE_LL | UNICODE_LT | UNICODE_LM | UNICODE_LO,
    UNICODE_M = UNICODE_MN | UNICODE_MC | UNICODE_ME,
    UNICODE_N = UNICODE_ND | UNICODE_NL | UNICODE_NO,
    UNICODE_P = UNICODE_PC | UNICODE_PD | UNICODE_PS | UNICODE_PE | UNICODE_PI | UNICODE_PF | UNICODE_PO,
    UNICODE_S = UNICODE_SM | UNICODE_SC | UNICODE_SK | UNICODE_SO,
    UNICODE_Z = UNICODE_ZS | UNICODE_ZL | UNICODE_ZP,
    UNICODE_C = UNICODE_CC | UNICODE_CF | UNICODE_CS | UNICODE_CO | UNICODE_CN,
};
/* The one bit of cp; UNICODE_CN for what is no code point. */
unsigned unicode_category(uint32_t cp);
/* \p{L} */
bool unicode_is_letter(uint32_t cp);
/* \p{N} */
bool unicode_is_number(uint32_t cp);
/* \p{Nd} */
bool unicode_is_decimal(uint32_t cp);
/* \p{Han} */
bool unicode_is_han(uint32_t cp);
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
