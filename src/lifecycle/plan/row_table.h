/* How rows of the catalogue are written in CSV: one table of columns a kind of row, read by everything that reads,
 * checks, compares, writes or prints rows. Private to plan/ and to the commands that print rows. */
#ifndef PLAN_ROW_TABLE_H
#define PLAN_ROW_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/plan/rows.h"

enum row_kind {
    ROW_TEXT,
    ROW_NUMBER,
    ROW_COUNT, /* whole */
    ROW_FLAG   /* 0 or 1 */
};
struct row_field {
    const char *column;
    enum row_kind kind;
    bool required;
    double min, max; /* of a number that is there */
    size_t offset;   /* into the row's struct */
};
struct row_table {
    const char *name; /* "models" */
    const char *file; /* "models.csv" */
    const struct row_field *field;
    size_t n_field, row_size;
    size_t n_key;               /* the first fields, which name a row */
    const char *const *derived; /* columns that a file may have and nobody reads, NULL-terminated */
    int (*check)(void *row, const char *where, struct err *e); /* what columns alone do not say; or NULL */
};
extern const struct row_table row_models, row_hardware, row_prices;
/* The three, by name; NULL when there is none of that name. */
const struct row_table *row_table_find(const char *name);

/* Read the texts (one a field, "" where empty) into a row; texts are borrowed. where: "file line 3".
 * -ERR_INPUT names where, column, value and what is needed. */
int row_parse(const struct row_table *t, const char *const *text, const char *where, void *row,
              struct err *e) MUST_CHECK;
/* Index of a column, -1: the table has none of that name. */
int row_column(const struct row_table *t, const char *column);
/* Which columns a name that the table lacks may have meant, for the end of a message: "did you mean A, B" where a part
 * of the name is a part of theirs, otherwise "columns are A, B, C" as far as there is room. */
void row_column_near(const struct row_table *t, const char *name, char *out, size_t size);
/* A row as a JSON object by columns, null where empty; new reference. */
json_t *row_json(const struct row_table *t, const void *row);

#endif
