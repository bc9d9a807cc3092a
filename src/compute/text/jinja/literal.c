/* Values of literals. Pure but for the arena that takes the text. */
#include "compute/text/jinja/literal.h"

#include <stdlib.h>
#include <string.h>

#include "compute/text/utf8.h"
#include "ground/base/err.h"

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'z' ? l - 'a' + 10 : 99;
}

/* n_digit hexadecimal digits at s; UTF8_BAD when they are not there. */
static uint32_t hex_value(const char *s, size_t n, size_t n_digit)
{
    uint32_t v = 0;
    if (n < n_digit) {
        return UTF8_BAD;
    }
    for (size_t i = 0; i < n_digit; i++) {
        int d = digit_value(s[i]);
        if (d > 15) {
            return UTF8_BAD;
        }
        v = v << 4 | (uint32_t)d;
    }
    return v;
}

/* The escape behind a backslash at s: bytes read, character to write in *cp (UTF8_BAD: none), *why on error. */
static size_t escape(const char *s, size_t n, uint32_t *cp, const char **why)
{
    static const char names[] = "abfnrtv\\'\"";
    static const char values[] = "\a\b\f\n\r\t\v\\'\"";
    const char *simple = s[0] ? strchr(names, s[0]) : NULL;
    if (simple) {
        *cp = (unsigned char)values[simple - names];
        return 1;
    }
    if (s[0] == '\n') {
        *cp = UTF8_BAD;
        return 1;
    }
    if (s[0] >= '0' && s[0] <= '7') {
        size_t i = 0;
        for (*cp = 0; i < 3 && i < n && s[i] >= '0' && s[i] <= '7'; i++) {
            *cp = *cp * 8 + (uint32_t)(s[i] - '0');
        }
        return i;
    }
    size_t n_digit = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0;
    if (n_digit) {
        *cp = hex_value(s + 1, n - 1, n_digit);
        if (*cp > 0x10FFFF || (*cp >= 0xD800 && *cp <= 0xDFFF)) {
            *why = "a string holds an escape that is no character, expected \\xHH, \\uHHHH or \\UHHHHHHHH";
        }
        return 1 + n_digit;
    }
    if (s[0] == 'N') {
        *why = "a string holds the escape \\N, which is not supported; expected \\uHHHH";
        return 1;
    }
    *cp = '\\'; /* not an escape: the backslash stays */
    return 0;
}

int literal_string(struct arena *arena, const char *s, size_t n, const char **out, size_t *n_out, const char **why)
{
    char *p = arena_alloc(arena, n + UTF8_MAX_BYTES);
    if (!p) {
        return -ERR_NOMEM;
    }
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        if (s[i] != '\\' || i + 1 == n) {
            p[len++] = s[i++];
            continue;
        }
        uint32_t cp;
        i += 1 + escape(s + i + 1, n - i - 1, &cp, why);
        if (*why) {
            return -ERR_INPUT;
        }
        if (cp != UTF8_BAD) {
            len += utf8_encode(cp, p + len); /* never longer than the escape */
        }
    }
    *out = p;
    *n_out = len;
    return 0;
}

/* Digits below base with single underscores between them: bytes of the run. */
static size_t digits(const char *s, size_t n, int base)
{
    size_t i = 0;
    while (i < n) {
        size_t k = i + (i > 0 && s[i] == '_');
        if (k >= n || digit_value(s[k]) >= base) {
            break;
        }
        i = k + 1;
    }
    return i;
}

/* Length of a floating point literal, 0 when it is none. */
static size_t float_length(const char *s, size_t n)
{
    size_t i = digits(s, n, 10), whole = i;
    if (i < n && s[i] == '.') {
        size_t frac = digits(s + i + 1, n - i - 1, 10);
        i += frac ? 1 + frac : 0;
    }
    size_t k = i;
    if (k < n && (s[k] | 0x20) == 'e') {
        k++;
        k += k < n && (s[k] == '+' || s[k] == '-');
        size_t power = digits(s + k, n - k, 10);
        i = power ? k + power : i;
    }
    return i > whole ? i : 0;
}

static double float_value(const char *s, size_t n, const char **why)
{
    char text[128];
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '_') {
            continue;
        }
        if (len + 1 == sizeof text) {
            *why = "a number is longer than 127 characters";
            return 0;
        }
        text[len++] = s[i];
    }
    text[len] = '\0';
    return strtod(text, NULL);
}

static int64_t int_value(const char *s, size_t n, int base, const char **why)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '_' && (__builtin_mul_overflow(v, (int64_t)base, &v) ||
                            __builtin_add_overflow(v, (int64_t)digit_value(s[i]), &v))) {
            *why = "an integer is out of range, at most 9223372036854775807 is accepted";
            return 0;
        }
    }
    return v;
}

size_t literal_number(const char *s, size_t n, bool allow_float, bool *is_float, int64_t *i, double *f,
                      const char **why)
{
    size_t len = allow_float ? float_length(s, n) : 0;
    *is_float = len > 0;
    if (len) {
        *f = float_value(s, len, why);
        return len;
    }
    char mark = n > 1 && s[0] == '0' ? (char)(s[1] | 0x20) : '\0';
    int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    if (base != 10) {
        size_t skip = 2 + (n > 2 && s[2] == '_');
        size_t k = skip < n ? digits(s + skip, n - skip, base) : 0;
        if (k > 0) {
            *i = int_value(s + skip, k, base, why);
            return skip + k;
        }
    }
    len = digits(s, n, 10);
    if (s[0] == '0') { /* 012 is 0 followed by 12 */
        size_t zeros = 1;
        while (zeros < len && (s[zeros] == '0' || s[zeros] == '_')) zeros++;
        len = s[zeros - 1] == '_' ? zeros - 1 : zeros;
    }
    *i = int_value(s, len, 10, why);
    return len;
}
