/* Normalization of text before it is split: Unicode normal forms, lower case, accents and what BERT does first, the
 * spaces of SentencePiece. The result knows where each of its bytes came from, so that tokens still cover the text as
 * it was given. */
#ifndef TEXT_NORMALIZE_H
#define TEXT_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

struct normalized {
    const char *text; /* [n] borrowed where nothing changed */
    size_t n;
    uint32_t *origin; /* [n + 1] bytes of the source that text up to here stands for; NULL: the same */
    char *own;
};
/* what: bits of enum normalize (formats/model_file.h); applied in the order clean, CJK, NFC or NFD, accents, lower,
 * spaces. prefix: a space is put before the text unless it is empty (before NORMALIZE_SPACES turns it into U+2581).
 * n < 2^30; bytes that are no UTF-8 stay. -ERR_NOMEM. Linear in n. Free with normalized_deinit. */
int normalize(unsigned what, bool prefix, const char *s, size_t n, struct normalized *out) MUST_CHECK;
void normalized_deinit(struct normalized *t);
/* Bytes of the source that the first pos bytes of t stand for. */
size_t normalized_origin(const struct normalized *t, size_t pos);

#endif
