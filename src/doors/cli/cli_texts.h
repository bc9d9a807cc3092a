/* Texts of a JSON Lines file as token ids: what perplexity, imatrix and the ladder run on. */
#ifndef CLI_CLI_TEXTS_H
#define CLI_CLI_TEXTS_H

#include "doors/cli/cli_model.h"

/* Called for every row with its text; where names file and line for errors. */
typedef int (*cli_row_fn)(void *arg, const char *text, size_t n, const char *where, struct err *e);
/* Every row of a file: fields "NAME[+NAME]" of it joined by newlines. Stops at the first error. */
int cli_rows_each(const char *path, const char *fields, cli_row_fn fn, void *arg, struct err *e) MUST_CHECK;

/* Called for every row; where names file and line for errors. */
typedef int (*cli_text_fn)(void *arg, const struct token_list *ids, const char *where, struct err *e);
/* Every row of a file: fields "NAME[+NAME]" of it joined by newlines, tokenized for m, without BOS unless the model
 * adds one. Stops at the first error. */
int cli_texts_each(const struct cli_model *m, const char *path, const char *fields, cli_text_fn fn, void *arg,
                   struct err *e) MUST_CHECK;

#endif
