/* Chat templates: a Jinja subset, interpreted with limits on steps, output and depth (a template is untrusted: it comes
 * inside model files). Strings that came from the conversation are tracked through the rendering, so that the result
 * is a list of spans: text of the template, and text from users, which never becomes a control token. */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

#include "compute/text/tokenizer.h"
#include "ground/base/err.h"

struct chat_template;
/* Parse; -ERR_INPUT with line and what was expected. */
int chat_template_new(struct chat_template **out, const char *source, size_t n, struct err *e) MUST_CHECK;
void chat_template_free(struct chat_template *t);

struct rendered {
    char *text; /* whole text, NUL-terminated */
    size_t n;
    struct text_span *span; /* point into text, in order, covering it */
    size_t n_span;
};
/* vars: an object with messages, optional tools, bos_token, eos_token and any other variable of the template.
 * -ERR_INPUT when the template raises (raise_exception) or a limit is met; the message says which. */
int chat_template_render(const struct chat_template *t, const json_t *vars, bool add_generation_prompt,
                         struct rendered *out, struct err *e) MUST_CHECK;
void rendered_deinit(struct rendered *r);

#endif
