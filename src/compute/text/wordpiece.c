/* The two loops of WordPiece. A word is bounded, and so is a token that is tried, so the time of a text is in
 * proportion to its length. */
#include "compute/text/wordpiece.h"

#include <string.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

/* BERT's: what is no letter or digit in ASCII, and the categories P. */
static bool is_punctuation(uint32_t cp)
{
    if (cp < 0x80) {
        return cp > ' ' && cp < 0x7F && !unicode_is_letter(cp) && !unicode_is_number(cp);
    }
    return unicode_category(cp) & UNICODE_P;
}

bool wordpiece_next_word(const char *s, size_t n, size_t *pos, size_t *begin)
{
    bool inside = false;
    while (*pos < n) {
        uint32_t cp;
        size_t len = utf8_decode(s + *pos, n - *pos, &cp);
        bool space = unicode_is_space(cp), mark = is_punctuation(cp);
        if (inside && (space || mark)) {
            return true;
        }
        if (!inside && !space) {
            *begin = *pos;
            inside = true;
        }
        *pos += len;
        if (mark) {
            return true;
        }
    }
    return inside;
}

size_t wordpiece_split(const struct token_index *x, size_t max_bytes, const char *word, size_t n,
                       struct word_piece piece[WORDPIECE_MAX_PIECES])
{
    enum { MARK_BYTES = 3, MAX_BYTES = WORDPIECE_MAX_CHARS * UTF8_MAX_BYTES };
    char marked[MARK_BYTES + MAX_BYTES] = "\xE2\x96\x81";
    size_t n_piece = 0;
    if (n > MAX_BYTES || utf8_count(word, n) > WORDPIECE_MAX_CHARS) {
        return 0;
    }
    memcpy(marked + MARK_BYTES, word, n);
    n += MARK_BYTES;
    for (size_t at = 0; at < n;) {
        size_t least = at ? at : MARK_BYTES; /* the mark alone is no beginning of a word */
        size_t end = n - at > max_bytes ? at + max_bytes : n;
        int64_t id = -1;
        for (; end > least; end--) {
            id = token_index_find(x, marked + at, end - at);
            if (id >= 0) {
                break;
            }
        }
        if (id < 0) {
            return 0;
        }
        piece[n_piece++] = (struct word_piece){.id = (int32_t)id, .end = (uint32_t)(end - MARK_BYTES)};
        at = end;
    }
    return n_piece;
}
