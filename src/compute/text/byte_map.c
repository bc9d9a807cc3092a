/* The bijection between bytes and characters of GPT-2 (bytes_to_unicode in openai/gpt-2 encoder.py): printable Latin-1
 * stands for itself, the 68 other bytes take U+0100, U+0101 ... in order. Pure functions. */
#include "compute/text/byte_map.h"

#include "compute/text/utf8.h"

static bool stands_for_itself(unsigned c)
{
    return (c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xFF && c != 0xAD);
}

/* The character that stands for a byte (below U+0144, so one or two bytes of UTF-8). */
static uint32_t char_of(unsigned char byte)
{
    if (stands_for_itself(byte)) {
        return byte;
    }
    if (byte <= 0x20) {
        return 0x100u + byte;
    }
    return byte == 0xAD ? 0x143u : 0x121u + (byte - 0x7Fu);
}

/* The byte behind a character, -1 for a character that stands for none. */
static int byte_of(uint32_t cp)
{
    if (cp < 0x100) {
        return stands_for_itself(cp) ? (int)cp : -1;
    }
    if (cp <= 0x120) {
        return (int)(cp - 0x100);
    }
    if (cp <= 0x142) {
        return (int)(cp - 0x121 + 0x7F);
    }
    return cp == 0x143 ? 0xAD : -1;
}

size_t byte_map_spell(const char *bytes, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char c[UTF8_MAX_BYTES];
        size_t m = utf8_encode(char_of((unsigned char)bytes[i]), c);
        for (size_t k = 0; k < m; k++) {
            out[len++] = c[k];
        }
    }
    return len;
}

bool byte_map_unspell(const char *text, size_t n, char *out, size_t *n_out)
{
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode(text + i, n - i, &cp);
        int b = cp == UTF8_BAD ? -1 : byte_of(cp);
        if (b < 0) {
            return false;
        }
        out[len++] = (char)b;
    }
    *n_out = len;
    return true;
}
