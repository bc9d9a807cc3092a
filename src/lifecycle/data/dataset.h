/* Dataset import: tables of texts and labels, or training rows that are ready-made, become a dataset version, checked
 * row by row: training rows, test cases, and a manifest that says what was taken, what was left out and why, under the
 * digest of all that. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "ground/base/err.h"

struct import_options {
    const char *train_path; /* .csv or .jsonl (objects with the two columns as members) */
    const char *test_path;  /* NULL: no test cases */
    const char *text_column, *label_column;
    size_t test_per_label; /* keep the first rows of each label; 0: all */
    const char *suite;     /* names the cases: "SUITE-0000" */
    const char *lang;      /* of the texts, "en", "zh" ...; NULL: not said */
    const char *system;    /* system message of every training row, or NULL */
    const char *out_dir;   /* created; train.jsonl, cases.jsonl and manifest.json are replaced where a
                               dataset is, anything else is refused */
};
/* Rows are compared case-folded with runs of white space as one (fold_text). A training row that repeats an earlier one
 * or stands in the test table is left out and counted. Empty texts or labels are errors with their line.
 * *manifest: new reference, what manifest.json holds; its "digest" is of everything else in it. */
int dataset_import(const struct import_options *o, json_t **manifest, struct err *e) MUST_CHECK;

/* What a file of training data holds. */
enum dataset_format { DATASET_TABLE, DATASET_CHAT, DATASET_TOKENS };
/* "table", "chat", "tokens". */
const char *dataset_format_name(enum dataset_format f);
/* By the first row: messages, or prompt and completion; ids and labels; else a table. -ERR_INPUT when it has no rows.
 */
int dataset_format_find(const char *path, enum dataset_format *out, struct err *e) MUST_CHECK;
/* Take ready-made rows (JSON Lines, chat or tokens) as they are, all of them; those that repeat an earlier one are
 * counted. -ERR_INPUT names the line of the first that cannot be trained on. Of the options train_path, suite and
 * out_dir are read. */
int dataset_import_rows(const struct import_options *o, enum dataset_format format, json_t **manifest,
                        struct err *e) MUST_CHECK;

/* One row of a table of texts and labels; strings are owned. */
struct labelled {
    char *text, *label, *folded;
    size_t line_no;
};
struct labelled_list {
    struct labelled *item;
    size_t n, cap;
};
/* Read a table; texts are trimmed at the ends. -ERR_INPUT names file and line. Free with labelled_list_deinit. */
int labelled_list_read(struct labelled_list *l, const char *path, const char *text_column, const char *label_column,
                       struct err *e) MUST_CHECK;
void labelled_list_deinit(struct labelled_list *l);

#endif
