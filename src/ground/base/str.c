/* Strings: comparisons, numbers, sizes, and what makes foreign bytes printable. Owns no memory and no state. The
 * number parsers rely on the "C" locale, which holds because nothing in the program calls setlocale. */
#include "ground/base/str.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool str_eq(const char *a, const char *b)
{
    if (!a || !b) return a == b;
    return strcmp(a, b) == 0;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool str_to_i64(const char *s, int64_t *out)
{
    const char *digits = s + (*s == '-' || *s == '+');
    if (!is_digit(*digits)) return false;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

bool str_to_u64(const char *s, uint64_t *out)
{
    if (!is_digit(*s)) return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || *end) return false;
    *out = v;
    return true;
}

bool str_to_double(const char *s, double *out)
{
    if (!*s || s[strspn(s, "0123456789+-.eE")])
        return false; /* keeps out spaces, hexadecimal, nan and inf, which strtod takes */
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end || !isfinite(v))
        return false; /* underflow to a denormal or zero is the nearest value and fine */
    *out = v;
    return true;
}

void str_format_bytes(uint64_t bytes, char *out, size_t size)
{
    static const char *const unit[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(out, size, "%llu B", (unsigned long long)bytes);
        return;
    }
    double v = (double)bytes / 1e3;
    size_t i = 0;
    while (v >= 999.95 && i + 1 < N_ELEM(unit)) { /* would print as 1000.0 */
        v /= 1e3;
        i++;
    }
    snprintf(out, size, "%.1f %s", v, unit[i]);
}

/* The factor of a unit, 0: there is no such unit. */
static double unit_bytes(const char *unit)
{
    static const char letters[] = "kmgt";
    double binary = 1, decimal = 1;
    if (!*unit || strcasecmp(unit, "b") == 0) return 1;
    for (size_t i = 0; i < sizeof letters - 1; i++) {
        binary *= 1024;
        decimal *= 1000;
        if ((unit[0] | 0x20) != letters[i]) continue;
        if (!unit[1] || strcasecmp(unit + 1, "ib") == 0) return binary;
        return strcasecmp(unit + 1, "b") == 0 ? decimal : 0;
    }
    return 0;
}

bool str_to_bytes(const char *s, uint64_t *out)
{
    char number[32];
    size_t n = strspn(s, "0123456789.");
    double value, factor = unit_bytes(s + n + strspn(s + n, " "));
    if (n == 0 || n >= sizeof number || factor < 1) return false;
    memcpy(number, s, n);
    number[n] = '\0';
    if (!str_to_double(number, &value) || value * factor >= 0x1p63) return false;
    *out = (uint64_t)(value * factor);
    return true;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

enum { DISTANCE_MAX_BYTES = 63 };

/* The distance of two texts of n and m bytes, at most DISTANCE_MAX_BYTES each. */
static int distance(const char *a, int n, const char *b, int m)
{
    int rows[3][DISTANCE_MAX_BYTES + 1]; /* the row at hand and the two above it */
    for (int j = 0; j <= m; j++) rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3], *above_2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int change = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = min_int(change, min_int(above[j], row[j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = min_int(row[j], above_2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

int str_distance(const char *a, const char *b)
{
    return distance(a, (int)strnlen(a, DISTANCE_MAX_BYTES), b, (int)strnlen(b, DISTANCE_MAX_BYTES));
}

int str_mistyped(const char *word, const char *known)
{
    int n = (int)strnlen(word, DISTANCE_MAX_BYTES), m = (int)strnlen(known, DISTANCE_MAX_BYTES);
    int whole = distance(word, n, known, m);
    return n < m ? min_int(whole, distance(word, n, known, n) + 1) : whole;
}

int str_distance_max(const char *word)
{
    int n = (int)strlen(word);
    if (n < 2) return 0; /* one letter may mean anything */
    return n < 5 ? 1 : n / 3 + 1;
}

/* Range of the second byte by the first (Unicode 15, table 3-7). */
static bool second_byte_ok(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return second >= 0x80 && second <= 0xBF;
    }
}

static int utf8_want(unsigned char first)
{
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return 2;
    if (first >= 0xE0 && first <= 0xEF) return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

int str_utf8_char(const char *p, size_t n)
{
    if (n == 0) return 0;
    int want = utf8_want((unsigned char)p[0]);
    if (want == 0 || (size_t)want > n) return 0;
    if (want > 1 && !second_byte_ok((unsigned char)p[0], (unsigned char)p[1])) return 0;
    for (int i = 2; i < want; i++) {
        if (((unsigned char)p[i] & 0xC0) != 0x80) return 0;
    }
    return want;
}

void str_cut_utf8(char *s)
{
    size_t n = strlen(s), back = 0;
    while (back < 3 && back < n && ((unsigned char)s[n - 1 - back] & 0xC0) == 0x80) back++;
    if (back == n) return;
    size_t start = n - 1 - back;
    size_t want = (size_t)utf8_want((unsigned char)s[start]);
    if (want > back + 1) s[start] = '\0';
}

void str_make_printable(char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        int len = str_utf8_char(s + i, n - i);
        unsigned char c = (unsigned char)s[i];
        bool c1 = len == 2 && c == 0xC2 && (unsigned char)s[i + 1] < 0xA0; /* U+0080..U+009F */
        if (len == 0 || c < 0x20 || c == 0x7F) {
            s[i] = '?';
            len = 1;
        } else if (c1) {
            s[i] = s[i + 1] = '?';
        }
        i += (size_t)len;
    }
}

/* --- columns --- */

static unsigned code_point(const char *p, int len)
{
    static const unsigned char lead[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    unsigned c = (unsigned char)p[0] & lead[len];
    for (int i = 1; i < len; i++) c = c << 6 | ((unsigned char)p[i] & 0x3Fu);
    return c;
}

/* Unicode 15, EastAsianWidth W and F, in whole blocks; ambiguous ones (quotation marks, dashes) are narrow. */
int str_char_columns(const char *p, int len)
{
    static const struct {
        unsigned first, last;
    } wide[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F},
                {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
    if (len < 2) return 1;
    unsigned c = code_point(p, len);
    if (c >= 0x300 && c <= 0x36F) return 0; /* combining marks */
    for (size_t i = 0; i < N_ELEM(wide); i++)
        if (c >= wide[i].first && c <= wide[i].last) return 2;
    return 1;
}

int str_columns(const char *s)
{
    int columns = 0;
    for (size_t n = strlen(s); n > 0;) {
        int len = str_utf8_char(s, n);
        if (len == 0) len = 1; /* a byte that is no character shows as one */
        columns += str_char_columns(s, len);
        s += len;
        n -= (size_t)len;
    }
    return columns;
}

int str_padding(const char *s, int columns)
{
    int used = str_columns(s);
    return used < columns ? columns - used : 0;
}
