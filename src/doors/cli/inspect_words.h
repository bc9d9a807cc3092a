/* What inspect says of a model's words: its tokenizer, and what its chat template can take. */
#ifndef CLI_INSPECT_WORDS_H
#define CLI_INSPECT_WORDS_H

#include <jansson.h>

#include "compute/formats/model_file.h"
#include "doors/cli/cli.h"

/* {"model", "pre", "n_tokens", "problem"}; problem is null or says why this version cannot use it. JSON null: there is
 * no tokenizer. New. */
json_t *inspect_tokenizer(const struct model_file *f);
/* chat_caps_json, or {"problem"} for a template that cannot be parsed; JSON null: there is no template. New. */
json_t *inspect_chat(const struct model_file *f);
/* The two in a line each, for people. name writes the name of a line. */
void inspect_words_print(const struct cli *c, const json_t *tokenizer, const json_t *chat,
                         void (*name)(const struct cli *c, const char *en, const char *zh));

#endif
