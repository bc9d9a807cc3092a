/* Sheets. Owns the array of text pointers; the texts live in the arena. What always holds: every row was parsed as a
 * row of its table when it was put, and no two rows have the same keys. */
#include "lifecycle/plan/sheet.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/file.h"
#include "ground/base/str.h"
#include "ground/table/csv.h"

enum { MAX_ROWS = 5000, MAX_FIELDS = 64, MAX_ROW_STRUCT = 1024 };

void sheet_init(struct sheet *s, const struct row_table *t, struct arena *arena)
{
    *s = (struct sheet){.table = t, .arena = arena};
}

void sheet_deinit(struct sheet *s)
{
    mem_free(s->text);
    s->text = NULL;
    s->n = 0;
}

const char *const *sheet_row(const struct sheet *s, size_t i)
{
    return s->text + i * s->table->n_field;
}

long sheet_find(const struct sheet *s, const char *const *text)
{
    for (size_t i = 0; i < s->n; i++) {
        const char *const *row = sheet_row(s, i);
        bool same = true;
        for (size_t k = 0; same && k < s->table->n_key; k++) same = strcasecmp(row[k], text[k]) == 0;
        if (same) return (long)i;
    }
    return -1;
}

static int grow(struct sheet *s, const char *where, struct err *e)
{
    const char **more =
        s->n < MAX_ROWS ? mem_try_realloc(s->text, (s->n + 1) * s->table->n_field * sizeof *more) : NULL;
    if (!more)
        return err_set(e, ERR_LIMIT, where, "cannot read %s: more than %d rows or out of memory", where, MAX_ROWS);
    s->text = more;
    s->n++;
    return 0;
}

int sheet_put(struct sheet *s, const char *const *text, const char *where, const struct sheet_change *change,
              struct err *e)
{
    const struct row_table *t = s->table;
    const char *now[MAX_FIELDS] = {NULL}, *was[MAX_FIELDS];
    _Alignas(8) char scratch[MAX_ROW_STRUCT];
    for (size_t k = 0; k < t->n_key; k++)
        if (!text[k] || !*text[k])
            return err_set(e, ERR_INPUT, where, "cannot read %s: %s is empty, a text is needed", where,
                           t->field[k].column);
    long found = sheet_find(s, text);
    bool is_new = found < 0;
    size_t at = is_new ? s->n : (size_t)found;
    for (size_t i = 0; i < t->n_field; i++) {
        was[i] = is_new ? "" : sheet_row(s, at)[i];
        now[i] = text[i] ? text[i] : was[i];
    }
    int rc = row_parse(t, now, where, scratch, e);
    if (rc == 0 && is_new) rc = grow(s, where, e);
    if (rc) return rc;
    for (size_t i = 0; i < t->n_field; i++) {
        bool same = !is_new && strcmp(was[i], now[i]) == 0;
        now[i] = same ? was[i] : arena_strndup(s->arena, now[i], strlen(now[i]));
        if (!now[i]) return err_set(e, ERR_NOMEM, where, "cannot read %s: out of memory", where);
        s->text[at * t->n_field + i] = now[i];
    }
    if (change && change->note) change->note(change->at, is_new ? NULL : was, now);
    return 0;
}

static int no_column(const struct row_table *t, const char *path, const char *name, struct err *e)
{
    char near[200];
    row_column_near(t, name, near, sizeof near);
    return err_set(e, ERR_INPUT, path, "cannot read \"%s\": the table %s has no column \"%.60s\", %s", path, t->name,
                   name, near);
}

/* column[i]: of the file, of field i; -1: it has none. */
static int match_columns(const struct sheet *s, const struct csv_reader *r, const char *path, int column[MAX_FIELDS],
                         struct err *e)
{
    const struct row_table *t = s->table;
    for (size_t i = 0; i < t->n_field; i++) column[i] = -1;
    for (size_t k = 0; k < r->n_column; k++) {
        const char *name = r->column[k].text;
        int i = row_column(t, name);
        bool derived = false;
        for (const char *const *d = t->derived; *d; d++) derived |= strcmp(*d, name) == 0;
        if (i >= 0)
            column[i] = (int)k;
        else if (!derived)
            return no_column(t, path, name, e);
    }
    for (size_t k = 0; k < t->n_key; k++)
        if (column[k] < 0)
            return err_set(e, ERR_INPUT, path, "cannot read \"%s\": the column %s is missing", path,
                           t->field[k].column);
    return 0;
}

static int read_rows(struct sheet *s, struct csv_reader *r, const char *path, const struct sheet_change *change,
                     struct err *e)
{
    int column[MAX_FIELDS], rc = match_columns(s, r, path, column, e);
    while (rc == 0 && (rc = csv_next(r, e)) == 1) {
        const char *text[MAX_FIELDS];
        char where[160];
        for (size_t i = 0; i < s->table->n_field; i++) text[i] = column[i] < 0 ? NULL : r->field[column[i]].text;
        snprintf(where, sizeof where, "\"%.120s\" line %llu", path, (unsigned long long)r->line_no);
        rc = sheet_put(s, text, where, change, e);
    }
    return rc;
}

int sheet_read(struct sheet *s, const char *path, const struct sheet_change *change, struct err *e)
{
    struct csv_reader r;
    int rc = csv_open(&r, path, e);
    if (rc == 0) rc = read_rows(s, &r, path, change, e);
    csv_close(&r);
    return rc;
}

int sheet_read_memory(struct sheet *s, const char *name, const char *text, size_t n, struct err *e)
{
    struct csv_reader r;
    int rc = csv_open_memory(&r, name, text, n, e);
    if (rc == 0) rc = read_rows(s, &r, name, NULL, e);
    csv_close(&r);
    return rc;
}

int sheet_table_of(const char *path, const struct row_table **out, struct err *e)
{
    static const struct {
        const char *column;
        const struct row_table *table;
    } tell[] = {{"price_date", &row_prices},
                {"input_cny_per_mtok", &row_prices},
                {"input_usd_per_mtok", &row_prices},
                {"id", &row_hardware},
                {"model", &row_models}};
    struct csv_reader r;
    int rc = csv_open(&r, path, e);
    *out = NULL;
    for (size_t i = 0; rc == 0 && !*out && i < N_ELEM(tell); i++)
        if (csv_column(&r, tell[i].column, NULL) >= 0) *out = tell[i].table;
    csv_close(&r);
    if (rc == 0 && !*out)
        rc = err_set(
            e, ERR_INPUT, path,
            "cannot read \"%s\": models (column model), hardware (column id) or prices (columns provider, model, "
            "price_date) are needed",
            path);
    return rc;
}

int sheet_write(const struct sheet *s, struct buf *out)
{
    const struct row_table *t = s->table;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < t->n_field; i++)
        rc = csv_write_field(out, t->field[i].column, strlen(t->field[i].column), i == 0, false);
    for (size_t r = 0; rc == 0 && r < s->n; r++) {
        rc = csv_write_end(out);
        for (size_t i = 0; rc == 0 && i < t->n_field; i++)
            rc = csv_write_field(out, sheet_row(s, r)[i], strlen(sheet_row(s, r)[i]), i == 0, false);
    }
    return rc ? rc : csv_write_end(out);
}
