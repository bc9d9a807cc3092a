/* The extractor `last number`. Owns nothing. What always holds: the value is finite. It reads ASCII digits; full-width
 * ones are folded by the caller. */
#include <math.h>
#include <string.h>

#include "lifecycle/rules/matcher.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* digits with optional thousands separators (",ddd") and decimals from s[at]; returns where it ends. */
static size_t read_number(const char *s, size_t n, size_t at, double *out)
{
    double v = 0;
    for (;;) {
        if (at < n && is_digit(s[at])) {
            v = v * 10 + (s[at++] - '0');
            continue;
        }
        bool group = at + 3 < n && s[at] == ',' && is_digit(s[at + 1]) && is_digit(s[at + 2]) && is_digit(s[at + 3]) &&
                     !(at + 4 < n && is_digit(s[at + 4]));
        if (!group) break;
        at++;
    }
    double scale = 1;
    if (at + 1 < n && s[at] == '.' && is_digit(s[at + 1]))
        for (at++; at < n && is_digit(s[at]); at++) {
            scale /= 10;
            v += scale * (s[at] - '0');
        }
    *out = v;
    return at;
}

static size_t read_unit(const char *s, size_t n, size_t at, double *v)
{
    static const char wan[] = "\xE4\xB8\x87", yi[] = "\xE4\xBA\xBF";
    if (n - at >= 3 && memcmp(s + at, wan, 3) == 0) {
        *v *= 1e4;
        return at + 3;
    }
    if (n - at >= 3 && memcmp(s + at, yi, 3) == 0) {
        *v *= 1e8;
        return at + 3;
    }
    return at;
}

/* A sign counts when nothing that could be subtracted from stands before it. */
static bool is_negative(const char *s, size_t at)
{
    if (at == 0 || s[at - 1] != '-') return false;
    char before = at >= 2 ? s[at - 2] : ' ';
    return !is_digit(before) && before != ')' && !(before >= 'a' && before <= 'z') && !(before >= 'A' && before <= 'Z');
}

bool match_last_number(const char *s, size_t n, double *out)
{
    bool found = false;
    for (size_t at = 0; at < n;) {
        if (!is_digit(s[at])) {
            at++;
            continue;
        }
        double v, below;
        bool negative = is_negative(s, at);
        at = read_number(s, n, at, &v);
        if (at + 1 < n && s[at] == '/' && is_digit(s[at + 1])) {
            at = read_number(s, n, at + 1, &below);
            v = below > 0 ? v / below : HUGE_VAL;
        }
        at = read_unit(s, n, at, &v);
        if (isfinite(v)) {
            *out = negative ? -v : v;
            found = true;
        }
    }
    return found;
}
