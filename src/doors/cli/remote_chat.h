/* A model behind an OpenAI-compatible address, asked over HTTP: what rewards of type judge and teachers are asked with.
 * Bounded in everything: questions at once, attempts, the seconds an attempt takes, the bytes of an answer. The key is
 * read from where the place says and goes nowhere but into the request. */
#ifndef CLI_REMOTE_CHAT_H
#define CLI_REMOTE_CHAT_H

#include "doors/cli/cli.h"
#include "lifecycle/rules/asker.h"

/* Who asks: borrowed by the asker. */
struct remote_chat {
    const struct cli *cli;
    struct ask_place place; /* for calls that name none */
};
/* Asks through r; a struct asker's function. */
int remote_chat_ask(void *r, const struct ask_place *place, struct ask_call *call, size_t n, struct err *e) MUST_CHECK;
/* Whether a text is an address rather than a model here. */
bool remote_chat_is_address(const char *text);

#endif
