/* Byte pair encoding of one piece of text: merges by rank, lowest first, then leftmost. Three kinds: over bytes with
 * merges (GPT-2), over characters with merges (Hugging Face's form of SentencePiece), over characters where any two
 * symbols that spell a token may merge, the token with the best score first (SentencePiece).
 *
 * Works on symbols. A symbol below n_token is a token; the others are spellings that occur in merges (or single bytes
 * and characters) without being a usable token: they may merge on, and are written byte by byte where they remain. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "compute/text/token_index.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"

struct merge_slot {
    uint64_t pair; /* left symbol << 32 | right symbol; UINT64_MAX: free */
    uint32_t rank, result;
};
enum bpe_kind { BPE_BYTES, BPE_CHARS, BPE_SCORES };
struct bpe {
    enum bpe_kind kind;
    uint32_t n_token;
    uint32_t byte_symbol[256]; /* BPE_BYTES */
    struct merge_slot *slot;
    size_t mask;
    struct token_index symbol; /* spelling -> symbol */
    uint32_t *rank;            /* BPE_SCORES: [n_token] 0 for the best score, equal for equal scores */
    size_t max_bytes;          /* of a symbol */
    struct arena text;         /* spellings that are in no vocab_source */
    bool ignore_merges;
};
/* usable[id]: token id may come out of text (not a control token). Copies what it needs; the spellings of tokens are
 * borrowed from token_text, which must live as long. BPE_SCORES needs v->score. -ERR_INPUT for a broken merge or a
 * score that is no number, -ERR_NOMEM. */
int bpe_init(struct bpe *b, enum bpe_kind kind, const struct vocab_source *v, const char *const *token_text,
             const bool *usable, struct err *e) MUST_CHECK;
void bpe_deinit(struct bpe *b);

struct bpe_symbol {
    uint32_t symbol, n_bytes; /* n_bytes 0: merged into the one before */
    uint32_t prev, next;      /* indices; UINT32_MAX at the ends */
};
struct bpe_candidate {
    uint64_t key;           /* rank << 32 | index of the left symbol: the order of merging */
    uint32_t n_bytes, made; /* of both symbols together when it was pushed, else it is stale; what they become */
};
/* Working memory of one caller, reused from piece to piece. */
struct bpe_work {
    struct bpe_symbol *sym;
    struct bpe_candidate *heap;
    size_t cap, n_heap;
    const char *piece;
    uint64_t n_heap_op; /* pushes and pops so far */
};
void bpe_work_deinit(struct bpe_work *w);
/* Split a piece of 1 <= n < 2^31 bytes. Afterwards the list from w->sym[0] along next holds the symbols; the index of
 * each is where its bytes begin. */
int bpe_run(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n) MUST_CHECK;

#endif
