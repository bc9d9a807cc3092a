/* Pre-tokenization: cutting text into the pieces within which byte-level BPE merges. Written by hand for speed and
 * bounded time; the published patterns are what they must equal (the tests hold them against PCRE2). */
#ifndef TEXT_PRETOKEN_H
#define TEXT_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

struct pretoken_rule;

/* From the name in a model file (tokenizer.ggml.pre). -ERR_UNSUPPORTED names it and the ones that are there; NULL or ""
 * is an error too, because a guess would tokenize wrongly without a sign. */
int pretoken_find(const char *name, const struct pretoken_rule **rule, struct err *e) MUST_CHECK;
/* The rule of number i, or NULL behind the last; *name is the first of its names. */
const struct pretoken_rule *pretoken_rule_at(size_t i, const char **name);

enum { PRETOKEN_MAX_STEPS = 6 };
/* Walks over text from its start to its end; every byte is in exactly one piece. */
struct pretokens {
    const struct pretoken_rule *rule;
    const char *text;
    size_t pos;
    size_t end[PRETOKEN_MAX_STEPS + 1]; /* end[0]: of the text; end[i]: of the piece that the i-th step sees */
    const char *digits_end;             /* a run of digits that was counted: its end, and how many are left of it */
    size_t n_digit;
    const char *blank_end; /* white space without a line break is known to reach so far */
};
void pretokens_init(struct pretokens *p, const struct pretoken_rule *rule, const char *text, size_t n);
/* The next piece; false at the end. Linear in the text overall. Bytes that are not UTF-8 are symbols, one each. */
bool pretokens_next(struct pretokens *p, const char **piece, size_t *n);

#endif
