/* A row of training data, whatever its form, as what it means: a conversation, from where it is trained, and what the
 * method needs beside it.
 *
 * Forms are known by their members: {"messages": [...]} (OpenAI), {"conversations": [{"from", "value"}]} (ShareGPT),
 * {"instruction", "input", "output", "history", "system"} (Alpaca), {"prompt", "completion"} as texts or lists of
 * messages. Preferences: {"chosen", "rejected"} beside a prompt of any form, or two whole conversations that begin
 * alike. Judged answers: an answer with "label" (true: desirable). */
#ifndef DATA_EXAMPLE_H
#define DATA_EXAMPLE_H

#include <jansson.h>
#include <stdbool.h>

#include "ground/base/err.h"
#include "lifecycle/data/row_verdict.h"

enum example_form { FORM_ANY, FORM_OPENAI, FORM_SHAREGPT, FORM_ALPACA, FORM_PROMPT };
/* What a method learns from. */
enum example_kind {
    EXAMPLE_ANSWER, /* all answers of a conversation; with a prompt of its own, what follows it */
    EXAMPLE_PAIR,   /* a better and a worse continuation */
    EXAMPLE_JUDGED  /* the last answer, good or bad */
};

struct example {
    json_t *messages;  /* prompt and answer, or prompt and chosen, as message.h has them */
    json_t *rejected;  /* PAIR: prompt and rejected; else NULL */
    size_t n_prompt;   /* messages at the start that are given, not trained; 0: every answer is trained */
    bool desirable;    /* JUDGED */
    json_t *tools;     /* descriptions of tools, or NULL */
    json_t *variables; /* an object: what else the template is given (chat_template_kwargs), or NULL */
};
/* Empties x first. where names the row ("\"FILE\" line N"). -ERR_INPUT with a verdict; example_deinit in any case. */
int example_read(struct example *x, const json_t *row, enum example_form form, enum example_kind kind,
                 const char *where, enum row_verdict *v, struct err *e) MUST_CHECK;
void example_deinit(struct example *x);

#endif
