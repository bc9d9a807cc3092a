/* One conversation to what a model is trained on: token ids, and which of them are trained.
 *
 * The conversation goes through the model's own chat template, and the mask comes from where the assistant's text
 * stands in the rendering, never from searching token sequences: trained is what the model would have to produce after
 * a generation prompt, the turn's end token included. Everything else, system and user text above all, is not. */
#ifndef DATA_RENDER_H
#define DATA_RENDER_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/text/chat_caps.h"
#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct conversation_renderer {
    const struct chat_template *tmpl;
    const struct tokenizer *tok;
    struct chat_caps caps;
    bool shows_thoughts; /* reasoning_content comes out; else it goes in front of the answer as <think> block */
};
/* Both borrowed; tmpl NULL: nothing can be rendered. */
void conversation_renderer_init(struct conversation_renderer *r, const struct chat_template *tmpl,
                                const struct tokenizer *tok);

/* What is rendered; messages as message.h has them. */
struct conversation {
    const json_t *messages;
    size_t n_prompt;                 /* messages at the start of which nothing is trained */
    const json_t *tools, *variables; /* or NULL */
};

struct trained_tokens {
    struct token_list ids;
    bool *trained; /* [ids.n] */
    int n_trained;
    size_t n_given; /* tokens before the first trained one */
    int n_open;     /* assistant turns that the template ends with no end token */
};
/* Free what it holds; it is then empty. */
void trained_tokens_deinit(struct trained_tokens *t);

/* where names the row in errors ("train.jsonl line 12"). -ERR_INPUT: the template refuses the conversation, or does not
 * show it in a way that tells what is trained. Empties *out first. */
int conversation_render(const struct conversation_renderer *r, const struct conversation *c, const char *where,
                        struct trained_tokens *out, struct err *e) MUST_CHECK;

#endif
