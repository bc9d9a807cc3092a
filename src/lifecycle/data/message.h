/* Messages of conversations as data sets spell them, brought into one form: {"role", "content"} with content a string,
 * optional "tool_calls" [{"type", "function": {"name", "arguments": object}}], "reasoning_content", "name",
 * "tool_call_id". */
#ifndef DATA_MESSAGE_H
#define DATA_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "ground/base/err.h"
#include "lifecycle/data/row_verdict.h"

enum { MESSAGES_MAX = 4096 };

/* OpenAI's form ({"role", "content"}), or ShareGPT's ({"from", "value"}), by its members: *out is a new reference.
 * at names the message. -ERR_INPUT with a verdict. */
int message_read(const json_t *m, const char *at, json_t **out, enum row_verdict *v, struct err *e) MUST_CHECK;
/* The same for a list; where names the row. */
int messages_read(const json_t *list, const char *where, json_t **out, enum row_verdict *v, struct err *e) MUST_CHECK;
/* {"role", "content"}, new. */
json_t *message_new(const char *role, const char *content);
bool message_has_role(const json_t *m, const char *role);
bool message_has_calls(const json_t *m);
/* Whether the messages are in the order of a conversation: system or developer only at the start, a user first after
 * it, one answer to what was asked, results of tools only behind an answer. -ERR_INPUT with ROW_BAD_ROLES. */
int messages_check_order(const json_t *messages, const char *where, enum row_verdict *v, struct err *e) MUST_CHECK;
/* Whether every answer from message `first` on says something, and there is one. -ERR_INPUT with ROW_EMPTY_TARGET. */
int messages_check_target(const json_t *messages, size_t first, const char *where, enum row_verdict *v,
                          struct err *e) MUST_CHECK;

#endif
