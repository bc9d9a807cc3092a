/* Tokenizers: byte-level BPE (all pre-tokenizers of pretoken.h), SentencePiece's BPE with scores or merges and bytes to
 * fall back to, WordPiece. Built from a vocab_source; immutable after that, so threads share one. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "ground/base/buf.h"
#include "ground/base/err.h"

struct tokenizer;

/* -ERR_UNSUPPORTED names the kind or pre-tokenizer that is not there; -ERR_INPUT a broken vocabulary. */
int tokenizer_new(struct tokenizer **out, const struct vocab_source *v, struct err *e) MUST_CHECK;
void tokenizer_free(struct tokenizer *t);

struct token_list {
    int32_t *ids; /* mem_free through token_list_deinit */
    size_t n, cap;
};
/* A growing list of ids: zero-initialise, add, deinit. */
void token_list_deinit(struct token_list *l);
/* 0 or -ERR_NOMEM. */
int token_list_add(struct token_list *l, int32_t id) MUST_CHECK;

enum {
    TOKENIZE_SPECIAL = 1, /* text that spells a control token becomes it (templates; never text from users) */
    TOKENIZE_ENDS = 2,    /* add BOS / EOS where the model asks for them */
};
/* Appends to out. Any bytes are accepted: broken UTF-8 goes through byte by byte, and a byte that the vocabulary lacks
 * becomes its unknown token or U+FFFD (-ERR_INPUT where it has neither). TOKENIZE_ENDS adds no BOS where the text
 * spelled it already, nor EOS. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, unsigned flags, struct token_list *out,
                     struct err *e) MUST_CHECK;
/* A rendered template made of spans: text of the template parses control tokens, text that came from a user does not.
 * Pre-tokenization runs over each run of text between control tokens, across spans. span_end[i] receives the number of
 * ids in out after span i's last byte was covered (may be NULL); a token that crosses a border counts to the later
 * span. */
struct text_span {
    const char *text;
    size_t n;
    bool from_user;
    bool apart; /* no token crosses the border before it, as if what is before had been encoded alone */
};
int tokenizer_encode_spans(const struct tokenizer *t, const struct text_span *span, size_t n_span,
                           struct token_list *out, size_t *span_end, struct err *e) MUST_CHECK;

/* Number of tokens, gaps included. */
size_t tokenizer_n_vocab(const struct tokenizer *t);
/* Bytes of one token ("" for control tokens unless with_special); borrowed, not NUL-terminated. -ERR_INPUT: id out of
 * range. */
int tokenizer_token(const struct tokenizer *t, int32_t id, bool with_special, const char **bytes, size_t *n) MUST_CHECK;
bool tokenizer_is_control(const struct tokenizer *t, int32_t id);
/* End of generation: eos, eot, eom and tokens known by their text (<|im_end|>, <|endoftext|> ...). */
bool tokenizer_is_end(const struct tokenizer *t, int32_t id);
int tokenizer_bos(const struct tokenizer *t); /* -1: none */
int tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);
/* The id of a token by its exact text, -1 when there is none. */
int tokenizer_find(const struct tokenizer *t, const char *text);

/* Streaming: push ids, take only whole UTF-8 characters; the rest waits for the next token. */
struct detokenizer {
    const struct tokenizer *t;
    char pending[8];
    size_t n_pending;
    bool with_special;
    bool drop_space; /* the next text begins where encoding puts a space in front */
};
/* In the middle of a text: nothing is left out. */
void detokenizer_init(struct detokenizer *d, const struct tokenizer *t, bool with_special);
/* What is pushed next follows token `id`, or begins a text (-1): a space that encoding would put in front there is left
 * out. */
void detokenizer_follow(struct detokenizer *d, int32_t id);
int detokenizer_push(struct detokenizer *d, int32_t id, struct buf *out) MUST_CHECK;
/* At the end: an unfinished character becomes U+FFFD. */
int detokenizer_finish(struct detokenizer *d, struct buf *out) MUST_CHECK;

#endif
