/* Private to engine/: the text of an answer as its tokens come. */
#ifndef ENGINE_ANSWER_TEXT_INT_H
#define ENGINE_ANSWER_TEXT_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "compute/text/tokenizer.h"
#include "ground/base/buf.h"
#include "ground/base/err.h"

struct answer_text {
    char *data;       /* never moves: readers may hold a pointer to the visible part while more is written */
    size_t len, cap;  /* decoded bytes */
    size_t n_visible; /* bytes that can no longer turn out to be the beginning of a stop text */
    struct detokenizer detok;
    const char *const *stop; /* borrowed */
    size_t n_stop, max_stop; /* bytes of the longest stop text */
};

/* cap_bytes is all that the answer may take; t may be NULL (then there is no text: data stays NULL). */
int answer_text_init(struct answer_text *a, const struct tokenizer *t, size_t cap_bytes, const char *const *stop,
                     size_t n_stop, struct err *e) MUST_CHECK;
void answer_text_deinit(struct answer_text *a);
/* 0; 1 when a stop text was completed (it and what follows are cut off); -ERR_LIMIT past cap_bytes.
 * scratch holds the bytes of one token and is reused, so that nothing is allocated. */
int answer_text_push(struct answer_text *a, int32_t id, struct buf *scratch) MUST_CHECK;
/* The answer is over: an unfinished character becomes U+FFFD, all is visible. Returns as push. */
int answer_text_finish(struct answer_text *a, struct buf *scratch) MUST_CHECK;

#endif
