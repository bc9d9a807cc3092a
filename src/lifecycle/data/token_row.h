/* Training rows in tokens form: {"ids": [...], "labels": [...]}, for those who tokenize themselves. */
#ifndef DATA_TOKEN_ROW_H
#define DATA_TOKEN_ROW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

enum { LABEL_NONE = -100 }; /* a token that is not trained */

/* A growing buffer for one row. */
struct token_row {
    int32_t *ids, *labels; /* [n] */
    size_t n, cap;
};
/* Room for n tokens. -ERR_NOMEM. */
int token_row_reserve(struct token_row *b, size_t n) MUST_CHECK;
void token_row_deinit(struct token_row *b);
/* Read a row: as many labels as ids, each below n_vocab. -ERR_INPUT; where names the row ("\"FILE\" line N"). */
int token_row_read(struct token_row *b, const json_t *row, int n_vocab, const char *where, struct err *e) MUST_CHECK;
/* Some token behind the first is trained; else -ERR_INPUT. */
int token_row_check_target(const struct token_row *b, const char *where, struct err *e) MUST_CHECK;

#endif
