/* Training rows in memory: token ids and labels, read from JSON Lines, checked row by row. */
#ifndef TRAIN_ROWS_H
#define TRAIN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "lifecycle/data/render.h"
#include "lifecycle/data/token_row.h"

struct train_rows {
    int32_t *ids, *labels; /* [n_id]: label i is what the token before it should predict, LABEL_NONE: nothing */
    size_t *start;         /* [n_row + 1]: row r is [start[r], start[r + 1]) */
    uint32_t *n_input;     /* [n_row]: tokens that have to be computed: those before its last trained label */
    uint32_t *line;        /* [n_row]: its line in the file */
    size_t n_row, n_id;
    size_t cap_row, cap_id;
    size_t longest;    /* tokens */
    uint64_t n_target; /* labels that are trained */
    /* what happened at the door */
    uint64_t n_read, n_too_long, n_duplicate; /* duplicates are counted and kept; n_too_long were dropped */
    uint64_t n_open_turn;                     /* assistant turns without an end token */
};
void train_rows_deinit(struct train_rows *r);

/* How a file is read. */
struct train_rows_source {
    const char *path;
    bool is_chat;                          /* else rows {"ids", "labels"} */
    struct conversation_renderer renderer; /* chat */
    int n_vocab;
    size_t max_length;  /* tokens of a row */
    bool drop_too_long; /* else such a row is an error */
};
/* Read all rows. -ERR_INPUT names file and line of the first row that cannot be used, or says that none is left.
 * Labels are those of Hugging Face: aligned with ids, the first one predicts nothing. */
int train_rows_load(struct train_rows *out, const struct train_rows_source *s, struct err *e) MUST_CHECK;
/* Append a row of n tokens; labels[0] is ignored. -ERR_NOMEM. */
int train_rows_add(struct train_rows *r, const int32_t *ids, const int32_t *labels, size_t n, uint32_t line) MUST_CHECK;

static inline size_t train_row_len(const struct train_rows *r, size_t row)
{
    return r->start[row + 1] - r->start[row];
}

#endif
