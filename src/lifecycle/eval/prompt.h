/* What a case asks the model: messages made from a prompt template, put through the model's chat template. The template
 * is stated in the run and is part of its identity. */
#ifndef EVAL_PROMPT_H
#define EVAL_PROMPT_H

#include <jansson.h>

#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"
#include "lifecycle/eval/cases.h"

enum choices_mode {
    CHOICES_FREE,       /* the labels are not mentioned, the answer is free */
    CHOICES_LISTED,     /* the prompt lists the labels, the answer is free */
    CHOICES_CONSTRAINED /* the prompt lists the labels and the answer is forced to be one of them */
};
/* "free", "listed", "constrained" */
const char *choices_mode_name(enum choices_mode m);

struct prompt_builder {
    const struct tokenizer *tok;
    const struct chat_template *chat; /* NULL: the text goes to the model as it is */
    const char *system;               /* or NULL */
    const json_t *labels;             /* list of strings when the mode is not CHOICES_FREE */
    const char *source;               /* Jinja: variables input, context, choices */
    struct chat_template *tmpl;       /* owned */
};
/* source NULL: the built-in template of the mode and language ("zh" or other). The rest is borrowed. */
int prompt_builder_init(struct prompt_builder *b, enum choices_mode mode, const char *source, const char *lang,
                        struct err *e) MUST_CHECK;
void prompt_builder_deinit(struct prompt_builder *b);
/* Ids of a case, ready for the answer; text receives what was put to the model as text. The last user message of a case
 * with messages goes through the template as its input does. */
int prompt_build(const struct prompt_builder *b, const struct eval_case *c, struct token_list *ids, struct buf *text,
                 struct err *e) MUST_CHECK;

#endif
