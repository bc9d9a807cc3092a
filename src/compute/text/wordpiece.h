/* WordPiece: words at white space and punctuation, then the longest token that fits, from the left. */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/text/token_index.h"

/* A word of at most this many characters is cut into pieces, a longer one is unknown (BERT's max_input_chars_per_word).
 */
enum { WORDPIECE_MAX_CHARS = 100, WORDPIECE_MAX_PIECES = WORDPIECE_MAX_CHARS };

struct word_piece {
    int32_t id;
    uint32_t end; /* bytes of the word up to the end of the piece */
};
/* The next word of s behind *pos: its bytes in [*begin, *pos); false at the end. Words are stretches without white
 * space; a punctuation mark is a word by itself. */
bool wordpiece_next_word(const char *s, size_t n, size_t *pos, size_t *begin);
/* The pieces of a word by the index of spellings, where U+2581 stands in front of what begins a word; none has more
 * than max_bytes. Returns how many; 0: the word cannot be spelled. */
size_t wordpiece_split(const struct token_index *x, size_t max_bytes, const char *word, size_t n,
                       struct word_piece piece[WORDPIECE_MAX_PIECES]);

#endif
