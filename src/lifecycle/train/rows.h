/* Training rows in memory: token ids and labels, read from a file of any form, each row with a verdict. */
#ifndef TRAIN_ROWS_H
#define TRAIN_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"
#include "lifecycle/data/example.h"
#include "lifecycle/data/render.h"
#include "lifecycle/data/row_verdict.h"
#include "lifecycle/data/token_row.h"

enum { ROW_REASON_SIZE = 512 };

struct train_rows {
    int32_t *ids, *labels; /* [n_id]: label i is what the token before it should predict, LABEL_NONE: nothing */
    size_t *start;         /* [n_row + 1]: row r is [start[r], start[r + 1]) */
    uint32_t *n_input;     /* [n_row]: tokens that have to be computed: those before its last trained label */
    uint32_t *line;        /* [n_row]: its line in the file */
    double *weight;        /* [n_row]: how much its loss counts, above 0 */
    bool *desirable;       /* [n_row]: of a judged answer; else true */
    json_t *columns;       /* [n_row] the objects as they were read: of prompts only, else NULL */
    size_t unit;           /* rows of an example: 2 for preferences, chosen before rejected; else 1 */
    size_t n_row, n_id;
    size_t cap_row, cap_id;
    size_t longest;    /* tokens */
    uint64_t n_target; /* labels that are trained */
    /* what happened at the door */
    uint64_t n_read; /* rows of the file: each has one verdict */
    uint64_t n_verdict[ROW_N_VERDICT];
    uint64_t n_refused;
    uint64_t n_weighted;                 /* rows whose weight is not 1 */
    uint64_t n_open_turn;                /* assistant turns without an end token */
    struct buf refused;                  /* JSON Lines {"file", "line", "verdict", "reason"} */
    char first_refusal[ROW_REASON_SIZE]; /* "": none */
};
void train_rows_deinit(struct train_rows *r);

enum too_long { TOO_LONG_DROP, TOO_LONG_TRUNCATE, TOO_LONG_REFUSE };

/* How a file is read. */
struct train_rows_source {
    const char *path;
    bool is_chat; /* conversations in any form; else rows {"ids", "labels"}, two of them in chosen and rejected for PAIR
                   */
    enum example_form form;
    enum example_kind kind;
    struct conversation_renderer renderer; /* chat */
    int n_vocab;
    size_t max_length;      /* tokens of a row */
    enum too_long too_long; /* REFUSE: such a row is an error */
    bool drop_duplicates;   /* else they are counted and kept */
    bool strict;            /* the first refused row is an error */
};
/* Read all rows. -ERR_INPUT names file and line of the first refused row where that is an error, or says that no row is
 * left. Labels are those of Hugging Face: aligned with ids, the first one predicts nothing. */
int train_rows_load(struct train_rows *out, const struct train_rows_source *s, struct err *e) MUST_CHECK;
/* {"kept", "truncated", ...}: how many rows have each verdict; all verdicts are there. New, NULL without memory. */
json_t *train_rows_verdicts(const struct train_rows *r);
/* Append a row of n tokens; labels[0] is ignored. -ERR_NOMEM. */
int train_rows_add(struct train_rows *r, const int32_t *ids, const int32_t *labels, size_t n, uint32_t line) MUST_CHECK;
/* Trained labels of a row; its tokens before the first of them; tokens of the longest example. */
size_t train_row_targets(const struct train_rows *r, size_t row);
/* What the loss of rows is divided by: their weight times their trained labels. */
double train_row_target_weight(const struct train_rows *r, size_t row);
size_t train_row_given(const struct train_rows *r, size_t row);
size_t train_rows_longest_unit(const struct train_rows *r);

static inline size_t train_row_len(const struct train_rows *r, size_t row)
{
    return r->start[row + 1] - r->start[row];
}

#endif
