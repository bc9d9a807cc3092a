/* Lists of rows. Owns the array of pointers. */
#include "doors/cli/catalog_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ground/base/mem.h"

static const char *text_at(const struct row_field *f, const void *row)
{
    const char *text;
    memcpy(&text, (const char *)row + f->offset, sizeof text);
    return text;
}

static double number_at(const struct row_field *f, const void *row)
{
    const char *at = (const char *)row + f->offset;
    double v;
    int count;
    bool flag;
    if (f->kind == ROW_NUMBER) return memcpy(&v, at, sizeof v), v;
    if (f->kind == ROW_COUNT) return memcpy(&count, at, sizeof count), count;
    return memcpy(&flag, at, sizeof flag), flag;
}

static bool any_text_holds(const struct row_table *t, const void *row, const char *part)
{
    for (size_t i = 0; i < t->n_field; i++)
        if (t->field[i].kind == ROW_TEXT && strcasestr(text_at(&t->field[i], row), part)) return true;
    return false;
}

void catalog_rows_find(struct catalog_rows *r, const struct row_table *t, const void *rows, size_t n,
                       const char *search)
{
    *r = (struct catalog_rows){.table = t, .row = mem_alloc((n + 1) * sizeof *r->row)};
    for (size_t i = 0; i < n; i++) {
        const void *row = (const char *)rows + i * t->row_size;
        if (!search || any_text_holds(t, row, search)) r->row[r->n++] = row;
    }
}

void catalog_rows_keep(struct catalog_rows *r, const char *column, const char *part)
{
    size_t kept = 0;
    const struct row_field *f = &r->table->field[row_column(r->table, column)];
    if (!part) return;
    for (size_t i = 0; i < r->n; i++)
        if (strcasestr(text_at(f, r->row[i]), part)) r->row[kept++] = r->row[i];
    r->n = kept;
}

void catalog_rows_filter(struct catalog_rows *r, bool (*keep)(const void *row, const void *at), const void *at)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++)
        if (keep(r->row[i], at)) r->row[kept++] = r->row[i];
    r->n = kept;
}

struct order {
    const struct row_field *field;
    int sign;
};

static int compare(const void *a, const void *b, void *at)
{
    const struct order *o = at;
    const void *const *x = a, *const *y = b;
    if (o->field->kind == ROW_TEXT) return o->sign * strcasecmp(text_at(o->field, *x), text_at(o->field, *y));
    double p = number_at(o->field, *x), q = number_at(o->field, *y);
    if (o->field->kind == ROW_NUMBER && (p > 0) != (q > 0)) return p > 0 ? -1 : 1;
    return o->sign * ((p > q) - (p < q));
}

int catalog_rows_sort(struct catalog_rows *r, const char *column, struct err *e)
{
    bool down = column[0] == '-';
    int i = row_column(r->table, column + down);
    char near[400];
    if (i >= 0) {
        qsort_r(r->row, r->n, sizeof *r->row, compare, &(struct order){&r->table->field[i], down ? -1 : 1});
        return 0;
    }
    row_column_near(r->table, column + down, near, sizeof near);
    return err_set(e, ERR_USAGE, "sort", "cannot sort by \"%.60s\": %s", column, near);
}
