/* Byte-level byte pair encoding of one pre-token: merges by rank, lowest first, then leftmost.
 *
 * Works on symbols. A symbol below n_token is a token; the others are spellings that occur in merges (or single bytes)
 * without being a usable token: they may merge on, and are written byte by byte where they remain. */
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
struct bpe {
    uint32_t n_token;
    uint32_t byte_symbol[256];
    struct merge_slot *slot;
    size_t mask;
    struct token_index symbol; /* spelling -> symbol */
    struct arena text;         /* spellings that are in no vocab_source */
    bool ignore_merges;
};
/* usable[id]: token id may come out of text (not a control token). Copies what it needs; the spellings of tokens are
 * borrowed from token_text, which must live as long. -ERR_INPUT for a broken merge, -ERR_NOMEM. */
int bpe_init(struct bpe *b, const struct vocab_source *v, const char *const *token_text, const bool *usable,
             struct err *e) MUST_CHECK;
void bpe_deinit(struct bpe *b);

struct bpe_symbol {
    uint32_t symbol, n_bytes; /* n_bytes 0: merged into the one before */
    uint32_t prev, next;      /* indices; UINT32_MAX at the ends */
};
struct bpe_candidate {
    uint32_t rank, at;    /* at: index of the left symbol */
    uint32_t left, right; /* what stood there when it was pushed; else it is stale */
};
/* Working memory of one caller, reused from piece to piece. */
struct bpe_work {
    struct bpe_symbol *sym;
    struct bpe_candidate *heap;
    size_t cap, n_heap;
    uint64_t n_heap_op; /* pushes and pops so far */
};
void bpe_work_deinit(struct bpe_work *w);
/* Split a piece of 1 <= n < 2^31 bytes. Afterwards the list from w->sym[0] along next holds the symbols. */
int bpe_run(const struct bpe *b, struct bpe_work *w, const char *piece, size_t n) MUST_CHECK;

#endif
