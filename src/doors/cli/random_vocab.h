/* A byte-level BPE vocabulary made without training data: for models with random weights, whose tokenizer must be real
 * (every byte sequence encodes, merges apply, the chat template works) while its merges mean nothing. */
#ifndef CLI_RANDOM_VOCAB_H
#define CLI_RANDOM_VOCAB_H

#include "compute/formats/gguf.h"

enum { RANDOM_VOCAB_MIN = 3 + 256 };

/* Put tokenizer.* keys for n_vocab tokens (at least RANDOM_VOCAB_MIN) into w: three control tokens of ChatML, the 256
 * bytes, then one token for each merge: words of English, and from those on pairs, triples and fours of letters. */
int random_vocab_put(struct gguf_writer *w, size_t n_vocab, struct err *e) MUST_CHECK;

#endif
