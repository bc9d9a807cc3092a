/* From a conversation to the ids that a model is asked with: the template is rendered with the model's own bos_token
 * and eos_token, text from users becomes text, and there is exactly one BOS. Training, evaluation and serving all come
 * through here, so that they ask alike. */
#ifndef TEXT_CHAT_PROMPT_H
#define TEXT_CHAT_PROMPT_H

#include <jansson.h>
#include <stdbool.h>

#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

/* Render with bos_token and eos_token of tok, unless vars has its own. vars as for chat_template_render.
 * Where the template has no place for system messages (it refuses them or leaves them out), their text goes in front of
 * the next user's, a blank line between: what a model of this kind was told so in training, if at all.
 * The caller frees *out with rendered_deinit. */
int chat_prompt_render(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                       bool add_generation_prompt, struct rendered *out, struct err *e) MUST_CHECK;
/* The ids of a rendered conversation, appended to out. A BOS that the model adds comes first unless the template wrote
 * one. span_end as in tokenizer_encode_spans, or NULL. */
int chat_prompt_encode(const struct tokenizer *tok, const struct rendered *r, struct token_list *out, size_t *span_end,
                       struct err *e) MUST_CHECK;
/* Both in one: the ids of a conversation. */
int chat_prompt_ids(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                    bool add_generation_prompt, struct token_list *out, struct err *e) MUST_CHECK;

#endif
