/* Texts to vectors: an encoder, or the last layer of a generating model, with pooling and normalization. One thread at
 * a time; the device is the model's. */
#ifndef ENGINE_EMBEDDER_H
#define ENGINE_EMBEDDER_H

#include <stdbool.h>
#include <stddef.h>

#include "compute/model/encoder.h"
#include "compute/model/model.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct embedder;
struct embedder_source {
    struct encoder *encoder; /* one of the two, borrowed */
    struct model *model;
    const struct tokenizer *tok;    /* borrowed */
    struct embedding_params params; /* pooling must be one of the three */
};
/* -ERR_UNSUPPORTED without a tokenizer or a way of pooling. */
int embedder_new(struct embedder **out, const struct embedder_source *s, struct err *e) MUST_CHECK;
void embedder_free(struct embedder *m);
int embedder_n_embd(const struct embedder *m);  /* values of a vector */
int embedder_max_tok(const struct embedder *m); /* tokens of a text, its ends included */

struct embedder_text {
    const char *text;
    size_t n;
};
/* out[n_text][n_embd] (host); n_tok, the tokens of all texts, may be NULL. truncate: what is too long loses its end,
 * else -ERR_INPUT names the number of the text, its tokens and the limit. An empty text is the vector of its ends;
 * -ERR_INPUT where the model adds none. n_embd > 0: vectors are cut to so many values, and normed again where the model
 * norms (what Matryoshka-trained models are made for). */
int embedder_run(struct embedder *m, const struct embedder_text *text, size_t n_text, bool truncate, int n_embd,
                 float *out, size_t *n_tok, struct err *e) MUST_CHECK;

#endif
