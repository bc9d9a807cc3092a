/* Rows in the home. Owns two sheets while a call lasts: the whole catalogue, which the change is read against, and the
 * user's own rows, which are written back. */
#include "lifecycle/plan/shelf.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/str.h"
#include "lifecycle/plan/catalogue_data.h"
#include "lifecycle/plan/sheet.h"

enum { MAX_TEXT_BYTES = 64 << 20, MAX_FILE_BYTES = 64 << 20, MAX_FIELDS = 64 };

struct shelf {
    struct arena arena;
    struct sheet all, own; /* the program's rows with the user's over them; the user's */
    const char *date;
    shelf_note note;
    void *at;
    struct shelf_result *result;
    char *folder, *path;
    int rc; /* of the first row that could not be kept */
};

static int shelf_open(struct shelf *s, const char *home, const struct row_table *t, struct err *e)
{
    size_t n;
    const char *text = catalogue_data(t->file, &n);
    arena_init(&s->arena, MAX_TEXT_BYTES);
    sheet_init(&s->all, t, &s->arena);
    sheet_init(&s->own, t, &s->arena);
    s->folder = path_join(home, "catalog");
    s->path = path_join(s->folder, t->file);
    int rc = sheet_read_memory(&s->all, t->file, text, n, e);
    if (rc == 0 && file_exists(s->path)) rc = sheet_read(&s->all, s->path, NULL, e);
    return rc;
}

/* The user's rows as they stand merged, so that a change of one field keeps the others. */
static int read_own(struct shelf *s, struct err *e)
{
    return file_exists(s->path) ? sheet_read(&s->own, s->path, NULL, e) : 0;
}

static void shelf_close(struct shelf *s)
{
    sheet_deinit(&s->all);
    sheet_deinit(&s->own);
    arena_deinit(&s->arena);
    mem_free(s->folder);
    mem_free(s->path);
}

static void row_name(const struct row_table *t, const char *const *text, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t k = 0; k < t->n_key && len < size; k++)
        len += (size_t)snprintf(out + len, size - len, "%s%.80s", k ? " " : "", text[k]);
}

/* What changed in a row, told; then the row among the user's own. */
static void keep_row(void *at, const char *const *was, const char *const *is)
{
    struct shelf *s = at;
    const struct row_table *t = s->all.table;
    char name[256];
    size_t n_differ = 0;
    row_name(t, is, name, sizeof name);
    if (!was && s->note) s->note(s->at, &(struct shelf_change){name, NULL, "", ""});
    for (size_t i = 0; was && i < t->n_field; i++) {
        if (strcmp(was[i], is[i]) == 0) continue;
        n_differ++;
        if (s->note) s->note(s->at, &(struct shelf_change){name, t->field[i].column, was[i], is[i]});
    }
    s->result->n_added += !was;
    s->result->n_changed += n_differ > 0;
    s->result->n_same += was && n_differ == 0;
    if (was && n_differ == 0) return;
    const char *dated[MAX_FIELDS];
    int noted = row_column(t, "noted");
    for (size_t i = 0; i < t->n_field; i++) dated[i] = is[i];
    if (noted >= 0 && (!was || strcmp(was[noted], is[noted]) == 0)) dated[noted] = s->date;
    if (s->rc == 0) s->rc = sheet_put(&s->own, dated, name, NULL, NULL);
}

static int write_own(struct shelf *s, struct err *e)
{
    struct buf out;
    buf_init(&out, MAX_FILE_BYTES);
    int rc = sheet_write(&s->own, &out);
    if (rc)
        rc = err_set(e, -rc, s->path, "cannot write \"%s\": more than %d bytes or out of memory", s->path,
                     MAX_FILE_BYTES);
    if (rc == 0) rc = file_mkdirs(s->folder, e);
    if (rc == 0) rc = file_write_atomic(s->path, out.data, out.len, e);
    buf_deinit(&out);
    return rc;
}

static int finish(struct shelf *s, bool dry, struct err *e)
{
    if (s->rc) return err_set(e, -s->rc, s->path, "cannot write \"%s\": out of memory", s->path);
    bool nothing = s->result->n_added + s->result->n_changed == 0;
    s->result->file = s->all.table->file;
    return dry || nothing ? 0 : write_own(s, e);
}

static struct shelf shelf_of(const char *date, shelf_note note, void *at, struct shelf_result *out)
{
    *out = (struct shelf_result){0};
    return (struct shelf){.date = date, .note = note, .at = at, .result = out};
}

int shelf_update(const char *home, const char *path, const char *date, bool dry, shelf_note note, void *at,
                 struct shelf_result *out, struct err *e)
{
    const struct row_table *t;
    struct shelf s = shelf_of(date, note, at, out);
    struct sheet_change change = {keep_row, &s};
    int rc = sheet_table_of(path, &t, e);
    if (rc) return rc;
    rc = shelf_open(&s, home, t, e);
    if (rc == 0) rc = read_own(&s, e);
    if (rc == 0) rc = sheet_read(&s.all, path, &change, e);
    if (rc == 0) rc = finish(&s, dry, e);
    shelf_close(&s);
    return rc;
}

static int put_one(struct shelf *s, const char *const *text, const char *where, bool dry, struct err *e)
{
    struct sheet_change change = {keep_row, s};
    int rc = read_own(s, e);
    if (rc == 0) rc = sheet_put(&s->all, text, where, &change, e);
    return rc ? rc : finish(s, dry, e);
}

/* "column=value" into its place; the name goes into the arena's copy, since pairs are borrowed. */
static int split_pair(struct shelf *s, const char *pair, const char *text[MAX_FIELDS], struct err *e)
{
    const char *eq = strchr(pair, '=');
    if (!eq || eq == pair) return err_set(e, ERR_USAGE, pair, "cannot add \"%.80s\": COLUMN=VALUE is needed", pair);
    char *name = mem_strndup(pair, (size_t)(eq - pair));
    int column = row_column(s->all.table, name);
    if (column >= 0) text[column] = eq + 1;
    int rc = 0;
    if (column < 0) {
        char near[200];
        row_column_near(s->all.table, name, near, sizeof near);
        rc = err_set(e, ERR_USAGE, name, "cannot add \"%.80s\": the table %s has no column \"%.60s\", %s", pair,
                     s->all.table->name, name, near);
    }
    mem_free(name);
    return rc;
}

int shelf_add(const char *home, const struct row_table *t, const char *const *pairs, size_t n, const char *date,
              bool dry, shelf_note note, void *at, struct shelf_result *out, struct err *e)
{
    const char *text[MAX_FIELDS] = {NULL};
    struct shelf s = shelf_of(date, note, at, out);
    int rc = shelf_open(&s, home, t, e);
    for (size_t i = 0; rc == 0 && i < n; i++) rc = split_pair(&s, pairs[i], text, e);
    int priced = row_column(t, "price_date");
    if (priced >= 0 && !text[priced]) text[priced] = date;
    if (rc == 0) rc = put_one(&s, text, "the new row", dry, e);
    shelf_close(&s);
    return rc;
}

/* A field's text as CSV has it. */
static const char *field_text(struct arena *arena, const struct row_field *f, const char *at)
{
    char number[48];
    const char *text;
    double v;
    int count;
    bool flag;
    switch (f->kind) {
    case ROW_TEXT:
        memcpy(&text, at, sizeof text);
        return text;
    case ROW_NUMBER:
        memcpy(&v, at, sizeof v);
        snprintf(number, sizeof number, "%.12g", v);
        if (!(v > 0)) number[0] = 0;
        break;
    case ROW_COUNT:
        memcpy(&count, at, sizeof count);
        snprintf(number, sizeof number, "%d", count);
        break;
    case ROW_FLAG:
        memcpy(&flag, at, sizeof flag);
        snprintf(number, sizeof number, "%d", flag);
        break;
    }
    return arena_strndup(arena, number, strlen(number));
}

int shelf_add_row(const char *home, const struct row_table *t, const void *row, const char *date, bool dry,
                  shelf_note note, void *at, struct shelf_result *out, struct err *e)
{
    const char *text[MAX_FIELDS] = {NULL};
    struct shelf s = shelf_of(date, note, at, out);
    int rc = shelf_open(&s, home, t, e);
    for (size_t i = 0; rc == 0 && i < t->n_field; i++) {
        text[i] = field_text(&s.arena, &t->field[i], (const char *)row + t->field[i].offset);
        if (!text[i]) rc = err_set(e, ERR_NOMEM, t->name, "cannot add a row: out of memory");
    }
    if (rc == 0) rc = put_one(&s, text, "the new row", dry, e);
    shelf_close(&s);
    return rc;
}
