/* UTF-8 decoding and encoding. Holds no state and allocates nothing; any bytes are accepted. */
#include "compute/text/utf8.h"

/* Length that a lead byte announces, 0 for bytes that lead nothing; [*lo, *hi] is what the second byte may be
 * (Unicode 15, table 3-7). */
static size_t lead_length(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xC2 && c <= 0xDF) {
        return 2;
    }
    if (c >= 0xE0 && c <= 0xEF) {
        *lo = c == 0xE0 ? 0xA0 : 0x80;
        *hi = c == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (c >= 0xF0 && c <= 0xF4) {
        *lo = c == 0xF0 ? 0x90 : 0x80;
        *hi = c == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

/* How many of the bytes at s, at most `want`, fit the pattern of the lead byte. */
static size_t fitting(const unsigned char *s, size_t n, size_t want, unsigned char lo, unsigned char hi)
{
    size_t i = 1;
    for (; i < want && i < n; i++) {
        if (s[i] < lo || s[i] > hi) {
            break;
        }
        lo = 0x80;
        hi = 0xBF;
    }
    return i;
}

size_t utf8_decode(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned char lo, hi;
    size_t want = lead_length(u[0], &lo, &hi);
    if (want == 1) {
        *cp = u[0];
        return 1;
    }
    if (want == 0 || fitting(u, n, want, lo, hi) != want) {
        *cp = UTF8_BAD;
        return 1;
    }
    static const unsigned char mask[] = {0, 0, 0x1F, 0x0F, 0x07};
    uint32_t c = u[0] & mask[want];
    for (size_t i = 1; i < want; i++) {
        c = (c << 6) | (u[i] & 0x3Fu);
    }
    *cp = c;
    return want;
}

size_t utf8_encode(uint32_t cp, char out[UTF8_MAX_BYTES])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(const char *s, size_t n)
{
    uint32_t cp;
    for (size_t i = 0; i < n; i += utf8_decode(s + i, n - i, &cp)) {
        if ((unsigned char)s[i] >= 0x80) {
            (void)utf8_decode(s + i, n - i, &cp);
            if (cp == UTF8_BAD) {
                return false;
            }
        }
    }
    return true;
}

size_t utf8_count(const char *s, size_t n)
{
    size_t count = 0;
    uint32_t cp;
    for (size_t i = 0; i < n; i += utf8_decode(s + i, n - i, &cp)) {
        count++;
    }
    return count;
}

size_t utf8_broken(const char *s, size_t n, bool *open)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned char lo, hi;
    size_t want = lead_length(u[0], &lo, &hi);
    size_t got = want == 0 ? 1 : fitting(u, n, want, lo, hi);
    *open = want > 1 && got == n && got < want;
    return got;
}
