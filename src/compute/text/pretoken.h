/* Pre-tokenization: cutting text into the pieces within which byte-level BPE merges. Written by hand for speed and
 * bounded time; the published patterns are what they must equal (the tests hold them against PCRE2). */
#ifndef TEXT_PRETOKEN_H
#define TEXT_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

enum pretoken_kind {
    PRETOKEN_GPT2,   /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    PRETOKEN_SMOLLM, /* \p{N} each by itself, then gpt-2 on what lies between */
};

/* From the name in a model file (tokenizer.ggml.pre). -ERR_UNSUPPORTED names it and the ones that are there; NULL or ""
 * is an error too, because a guess would tokenize wrongly without a sign. */
int pretoken_kind_find(const char *name, enum pretoken_kind *kind, struct err *e) MUST_CHECK;

/* Walks over text from its start to its end; every byte is in exactly one piece. */
struct pretokens {
    enum pretoken_kind kind;
    const char *text;
    size_t n, pos;
    size_t segment_end; /* the pattern sees the text up to here */
};
void pretokens_init(struct pretokens *p, enum pretoken_kind kind, const char *text, size_t n);
/* The next piece; false at the end. Linear in the text overall. Bytes that are not UTF-8 are symbols, one each. */
bool pretokens_next(struct pretokens *p, const char **piece, size_t *n);

#endif
