/* Private to data/: where in a rendered conversation the assistant wrote. */
#ifndef DATA_RENDER_INT_H
#define DATA_RENDER_INT_H

#include "lifecycle/data/render.h"

/* Bytes [begin, end) of the rendered text that the assistant wrote. */
struct turn {
    size_t begin, end;
    bool is_asked; /* it begins where a generation prompt ends: tokens of both are apart, as when it is asked for */
    bool is_call;  /* a call of tools: the text up to the end token, which comes before `end` */
};
struct turns {
    struct turn *turn;
    size_t n;
};

/* A conversation as the template wants it: arguments of calls as text, thoughts in the answer's text. */
int conversation_prepare(const struct conversation_renderer *r, const struct conversation *c, const char *where,
                         json_t **messages, struct err *e) MUST_CHECK;
/* Render messages with the tools and variables of c. */
int conversation_text(const struct conversation_renderer *r, const struct conversation *c, json_t *messages,
                      bool generation, struct rendered *out, struct err *e) MUST_CHECK;
/* The turns of all answers behind c->n_prompt; turn has room for one a message. */
int turns_find(const struct conversation_renderer *r, const struct conversation *c, const json_t *messages,
               const struct rendered *plain, const char *where, struct turns *t, struct err *e) MUST_CHECK;

#endif
