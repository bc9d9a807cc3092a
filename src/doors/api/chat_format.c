/* Pieces of answers: usage, and text escaped for a JSON string inside a buffer of fixed size. */
#include <string.h>

#include "doors/api/api_int.h"
#include "ground/base/str.h"

json_t *chat_usage_json(const struct chat_usage *u)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)u->n_prompt, "completion_tokens",
                     (json_int_t)u->n_answer, "total_tokens", (json_int_t)(u->n_prompt + u->n_answer),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u->n_cached);
}

/* The escape of one ASCII character, or NULL when it stands for itself. Others than the short ones go to hex[7]. */
static const char *escape_of(unsigned char c, char *hex)
{
    static const char digit[] = "0123456789abcdef";
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        break;
    }
    if (c >= 0x20 && c != 0x7f) return NULL;
    memcpy(hex, "\\u00", 4);
    hex[4] = digit[c >> 4];
    hex[5] = digit[c & 15];
    hex[6] = '\0';
    return hex;
}

size_t chat_escape(char *out, size_t cap, size_t *n, const char *text, size_t text_len)
{
    size_t at = 0;
    while (at < text_len) {
        char hex[7];
        int n_char = str_utf8_char(text + at, text_len - at);
        n_char = n_char ? n_char : 1;
        const char *piece = n_char == 1 ? escape_of((unsigned char)text[at], hex) : NULL;
        size_t n_piece = piece ? strlen(piece) : (size_t)n_char;
        if (*n + n_piece > cap) break;
        memcpy(out + *n, piece ? piece : text + at, n_piece);
        *n += n_piece;
        at += (size_t)n_char;
    }
    return at;
}
