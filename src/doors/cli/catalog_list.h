/* Rows of the catalogue: which ones, in which order. */
#ifndef CLI_CATALOG_LIST_H
#define CLI_CATALOG_LIST_H

#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/plan/row_table.h"

struct catalog_rows {
    const struct row_table *table;
    const void **row; /* [n], borrowed rows; mem_free */
    size_t n;
};
/* Rows of which any text holds `search` (NULL: all), case ignored. */
void catalog_rows_find(struct catalog_rows *r, const struct row_table *t, const void *rows, size_t n,
                       const char *search);
/* Keep rows whose text in a column holds `part` (NULL: all), case ignored. */
void catalog_rows_keep(struct catalog_rows *r, const char *column, const char *part);
/* Keep rows for which keep() says so. */
void catalog_rows_filter(struct catalog_rows *r, bool (*keep)(const void *row, const void *at), const void *at);
/* By a column, "-column" for the reverse; unknown numbers last. -ERR_USAGE lists the columns. */
int catalog_rows_sort(struct catalog_rows *r, const char *column, struct err *e) MUST_CHECK;

#endif
