/* What is done to a vocabulary that a fuzzed file gave: a tokenizer of it, a text there and back. */
#ifndef FUZZ_VOCAB_USE_H
#define FUZZ_VOCAB_USE_H

#include <stdlib.h>
#include <string.h>

#include "compute/text/tokenizer.h"

static inline void tokenize_with(const struct vocab_source *v)
{
    static const char text[] = "Ab\xC3\xA9 e\xCC\x81  12345 <s>\n\t\xE4\xB8\xAD\xF0\x9F\x8C\x8F\xFF don't </s>  ";
    struct tokenizer *t;
    struct token_list l = {0};
    struct detokenizer d;
    struct buf out;
    struct err e = {0};
    if (tokenizer_new(&t, v, &e)) {
        if (e.msg[0] == '\0') {
            abort();
        }
        return;
    }
    buf_init(&out, 1 << 24);
    if (tokenizer_encode(t, text, sizeof text - 1, TOKENIZE_SPECIAL | TOKENIZE_ENDS, &l, &e) == 0) {
        detokenizer_init(&d, t, true);
        detokenizer_follow(&d, -1);
        for (size_t i = 0; i < l.n; i++) {
            if (l.ids[i] < 0 || (size_t)l.ids[i] >= v->n_token || detokenizer_push(&d, l.ids[i], &out)) {
                abort();
            }
        }
    } else if (e.msg[0] == '\0') {
        abort();
    }
    buf_deinit(&out);
    token_list_deinit(&l);
    tokenizer_free(t);
}

#endif
