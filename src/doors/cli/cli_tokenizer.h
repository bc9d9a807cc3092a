/* The tokenizer of a MODEL without the rest of it: a vocabulary alone is enough, a chat template is not looked at. */
#ifndef CLI_CLI_TOKENIZER_H
#define CLI_CLI_TOKENIZER_H

#include "compute/text/tokenizer.h"
#include "doors/cli/cli.h"

/* Open the file of MODEL (a path or a registry name), make its tokenizer, close the file. Free with tokenizer_free. */
int cli_tokenizer_open(const struct cli *c, const char *model, struct tokenizer **out, struct err *e) MUST_CHECK;

#endif
