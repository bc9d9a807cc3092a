/* What tokenizer.c, encode.c and detokenize.c share; private to this folder. */
#ifndef TEXT_TOKENIZER_INT_H
#define TEXT_TOKENIZER_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/text/bpe.h"
#include "compute/text/pretoken.h"
#include "compute/text/token_index.h"
#include "compute/text/tokenizer.h"

enum {
    TOKEN_CONTROL = 1,      /* never from the text of users; no bytes of its own when text is read back */
    TOKEN_USER_DEFINED = 2, /* matched in any text before the splitter sees it */
    TOKEN_END = 4,          /* ends a generation */
    TOKEN_BYTE = 8,         /* stands for one byte that no other token spells; never matched as text */
};

/* Tokens that are matched as a whole, by their first byte: their lengths, longest first. */
struct special_starts {
    uint32_t *length; /* distinct lengths of all first bytes, in one array */
    uint32_t from[257];
};

enum tokenizer_kind {
    TOKENIZER_BYTES, /* byte-level BPE within pre-tokens */
    TOKENIZER_CHARS, /* BPE over characters, SentencePiece's: by scores, or by merges */
    TOKENIZER_WORDS, /* WordPiece */
};

struct tokenizer {
    enum tokenizer_kind kind;
    const struct pretoken_rule *pretoken; /* NULL: none */
    unsigned normalize;                   /* bits of enum normalize */
    enum space_prefix space_prefix;
    bool prefix_unless_space;
    bool split_at_space; /* no token goes on over the beginning of a run of U+2581, so texts may be cut there */
    size_t n_token;
    const char **text; /* [n_token] as the vocabulary spells it */
    uint32_t *n_text;
    const char **bytes; /* [n_token] what it stands for */
    uint32_t *n_bytes;
    uint8_t *flags;
    uint8_t *match;       /* [n_token] bits of enum token_match, or NULL */
    char *blob;           /* text and bytes of all tokens */
    int32_t byte_id[256]; /* the token of a single byte, -1: none */
    struct token_index by_text;
    struct token_index words; /* TOKENIZER_WORDS: what text can become */
    struct special_starts special;
    struct bpe bpe;
    size_t max_token_bytes; /* TOKENIZER_WORDS: the longest token that text can become */
    int32_t missing[3];     /* what stands for a byte that the vocabulary lacks; n_missing 0: nothing does */
    int n_missing;
    int bos_id, eos_id, unk_id;
    bool add_bos, add_eos;
};

/* The special token at s, the longest first; -1: none. max_control: control tokens may be up to this long here. */
int64_t special_match(const struct tokenizer *t, const char *s, size_t n, size_t max_control);

#endif
