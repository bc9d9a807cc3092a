/* A catalogue as a user keeps it: rows of his own in the home, over those of the program. Every change is validated as
 * a whole, told field by field, dated, and written atomically; the program's own rows are never touched. */
#ifndef PLAN_SHELF_H
#define PLAN_SHELF_H

#include <jansson.h>

#include "ground/base/err.h"
#include "lifecycle/plan/row_table.h"

struct shelf_change {
    const char *name;     /* of the row: "H100", "OpenAI gpt-5.1 2026-08-05" */
    const char *column;   /* NULL: the row is new */
    const char *was, *is; /* texts of the column, "" where empty */
};
struct shelf_result {
    size_t n_added, n_changed, n_same; /* rows */
    const char *file;                  /* in the home, where they stand now */
};
/* Told of each difference while a change is read; texts are borrowed. */
typedef void (*shelf_note)(void *at, const struct shelf_change *change);

/* Rows of a CSV file over the catalogue of `home`. date: "2026-11-28", put into rows that changed and say no other
 * (column noted; prices: price_date must be in the file). dry: nothing is written. */
int shelf_update(const char *home, const char *path, const char *date, bool dry, shelf_note note, void *at,
                 struct shelf_result *out, struct err *e) MUST_CHECK;
/* One row: n texts "column=value". */
int shelf_add(const char *home, const struct row_table *t, const char *const *pairs, size_t n, const char *date,
              bool dry, shelf_note note, void *at, struct shelf_result *out, struct err *e) MUST_CHECK;
/* A row that is there as a struct (a model read from a file). */
int shelf_add_row(const char *home, const struct row_table *t, const void *row, const char *date, bool dry,
                  shelf_note note, void *at, struct shelf_result *out, struct err *e) MUST_CHECK;

#endif
