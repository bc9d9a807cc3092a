/* One conversation to what a model is trained on: token ids, and which of them are trained.
 *
 * The conversation goes through the model's own chat template, and the mask comes from where the assistant's text
 * stands in the rendering, never from searching token sequences: trained is what the model would have to produce after
 * a generation prompt, the turn's end token included. Everything else, system and user text above all, is not. */
#ifndef DATA_RENDER_H
#define DATA_RENDER_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct conversation_renderer {
    const struct chat_template *tmpl;
    const struct tokenizer *tok;
};

struct trained_tokens {
    struct token_list ids;
    bool *trained; /* [ids.n] */
    int n_trained;
    int n_open; /* assistant turns that the template ends with no end token */
};
/* Free what it holds; it is then empty. */
void trained_tokens_deinit(struct trained_tokens *t);

/* Whether a row can be trained on as far as it says itself, without a template. -ERR_INPUT as below. */
int conversation_check(const json_t *row, const char *where, struct err *e) MUST_CHECK;
/* row: {"messages": [{"role", "content"}, ...]} with optional "tools", or {"prompt", "completion"}. where names the row
 * in errors ("train.jsonl line 12"). -ERR_INPUT: the row is broken, has no assistant text, or the template refuses it.
 * Empties *out first. */
int conversation_render(const struct conversation_renderer *r, const json_t *row, const char *where,
                        struct trained_tokens *out, struct err *e) MUST_CHECK;

#endif
