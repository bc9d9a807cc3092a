/* A hash table from the text of a token to its number. Keys are borrowed: the texts must outlive the table. */
#ifndef TEXT_TOKEN_INDEX_H
#define TEXT_TOKEN_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

struct token_slot {
    const char *text; /* NULL: free */
    uint32_t n, id;
};
struct token_index {
    struct token_slot *slot;
    size_t mask, n, max;
};
/* Room for max texts. -ERR_NOMEM. */
int token_index_init(struct token_index *x, size_t max) MUST_CHECK;
void token_index_deinit(struct token_index *x);
/* The entry of a text: found, or free to be filled (text NULL). NULL never while fewer than max are used. */
struct token_slot *token_index_slot(const struct token_index *x, const char *text, size_t n);
/* Set text -> id; a text that is there already takes the new id. Asserts that there is room. */
void token_index_put(struct token_index *x, const char *text, size_t n, uint32_t id);
/* The id, -1 when absent. */
int64_t token_index_find(const struct token_index *x, const char *text, size_t n);

#endif
