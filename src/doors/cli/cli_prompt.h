/* Prompts of commands: ids, raw text, or a conversation from a file. */
#ifndef CLI_CLI_PROMPT_H
#define CLI_CLI_PROMPT_H

#include "compute/text/tokenizer.h"
#include "doors/cli/cli_model.h"

/* Ids of raw text, with a BOS where the model asks for one; control tokens are not parsed in it. */
int cli_prompt_text(const struct cli_model *m, const char *text, struct token_list *out, struct err *e) MUST_CHECK;
/* Ids of a conversation: a JSON file with a list of messages, or an object with "messages" and other variables. */
int cli_prompt_messages(const struct cli_model *m, const char *path, struct token_list *out, struct err *e) MUST_CHECK;
/* Ids of vars as chat_template_render takes them, ready for an answer. */
int cli_prompt_chat(const struct cli_model *m, const json_t *vars, struct token_list *out, struct err *e) MUST_CHECK;

#endif
