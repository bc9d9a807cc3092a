/* A table of the catalogue as texts: what CSV files say, one over the other. Private to plan/ and the commands that
 * change a catalogue. */
#ifndef PLAN_SHEET_H
#define PLAN_SHEET_H

#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/row_table.h"

struct sheet {
    const struct row_table *table;
    size_t n;
    const char **text; /* [n][table->n_field], in the arena */
    struct arena *arena;
};
/* An empty sheet; its texts go into the arena (borrowed), which outlives it. */
void sheet_init(struct sheet *s, const struct row_table *t, struct arena *arena);
void sheet_deinit(struct sheet *s);
/* The texts of row i, [n_field]. */
const char *const *sheet_row(const struct sheet *s, size_t i);
/* The row that has the keys of these texts (case ignored); -1: none. */
long sheet_find(const struct sheet *s, const char *const *text);
/* One row over the row of its name, or behind the others: texts of fields (NULL: as it is). Checked as a whole.
 * note: called with the row as it was (NULL: new) and as it is; may be NULL. */
struct sheet_change {
    void (*note)(void *at, const char *const *was, const char *const *is);
    void *at;
};
int sheet_put(struct sheet *s, const char *const *text, const char *where, const struct sheet_change *change,
              struct err *e) MUST_CHECK;
/* All rows of a CSV file, or of n bytes in memory under a name. Columns that the table lacks are an error. */
int sheet_read(struct sheet *s, const char *path, const struct sheet_change *change, struct err *e) MUST_CHECK;
int sheet_read_memory(struct sheet *s, const char *name, const char *text, size_t n, struct err *e) MUST_CHECK;
/* Which table a CSV file belongs to, by its columns. */
int sheet_table_of(const char *path, const struct row_table **out, struct err *e) MUST_CHECK;
/* As CSV with all columns, LF. */
int sheet_write(const struct sheet *s, struct buf *out) MUST_CHECK;

#endif
