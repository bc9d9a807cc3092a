/* Reads rows from files. Owns the file and, for a JSON array, its text. What always holds: a refused row never hides
 * the ones behind it, unless the file itself is broken there (a quote that never closes), which is said once. */
#include "lifecycle/data/row_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { LINE_MAX_BYTES = 64 << 20, ARRAY_MAX_BYTES = 2000 * 1000 * 1000, HEAD_BYTES = 4096 };

void row_file_close(struct row_file *r)
{
    json_lines_close(&r->lines);
    csv_close(&r->csv);
    mem_free(r->text);
    mem_free(r->path);
    *r = (struct row_file){.lines = {.fd = -1}, .csv = {.fd = -1}};
}

/* --- what a file is --- */

static int read_head(const char *path, char *head, size_t *n, struct err *e)
{
    int fd;
    uint64_t size;
    int rc = file_open_read(path, &fd, &size, e);
    if (rc != 0) return rc;
    *n = size < HEAD_BYTES ? (size_t)size : HEAD_BYTES;
    rc = file_pread(fd, path, head, *n, 0, e);
    close(fd);
    return rc;
}

/* Formats that need a program of their own. */
static int refuse_foreign(const char *path, const char *head, size_t n, struct err *e)
{
    if ((n >= 4 && memcmp(head, "PAR1", 4) == 0) || str_ends(path, ".parquet"))
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot read \"%s\": it is Parquet; convert it once: python3 -c 'import pandas; "
                       "pandas.read_parquet(\"%s\").to_json(\"rows.jsonl\", orient=\"records\", lines=True)'",
                       path, path);
    if (n >= 6 && memcmp(head, "ARROW1", 6) == 0)
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot read \"%s\": it is Arrow; convert it once: python3 -c 'import pandas; "
                       "pandas.read_feather(\"%s\").to_json(\"rows.jsonl\", orient=\"records\", lines=True)'",
                       path, path);
    if (n >= 2 && memcmp(head, "\x1F\x8B", 2) == 0)
        return err_set(e, ERR_UNSUPPORTED, path,
                       "cannot read \"%s\": it is compressed; unpack it once: gunzip -k \"%s\"", path, path);
    return 0;
}

static bool is_array(const char *head, size_t n)
{
    size_t i = n >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < n && strchr(" \t\r\n", head[i]) != NULL && head[i] != '\0') i++;
    return i < n && head[i] == '[';
}

int row_file_open(struct row_file *r, const char *path, struct err *e)
{
    char head[HEAD_BYTES];
    size_t n = 0;
    *r = (struct row_file){.lines = {.fd = -1}, .csv = {.fd = -1}, .line = 1};
    int rc = read_head(path, head, &n, e);
    if (rc == 0) rc = refuse_foreign(path, head, n, e);
    if (rc != 0) return rc;
    r->path = mem_strdup(path);
    if (is_array(head, n)) {
        r->kind = ROWS_JSON_ARRAY;
        return file_read_all(path, ARRAY_MAX_BYTES, &r->text, &r->n, e);
    }
    r->kind = str_ends(path, ".csv") ? ROWS_CSV : ROWS_JSON_LINES;
    return r->kind == ROWS_CSV ? csv_open(&r->csv, path, e) : json_lines_open(&r->lines, path, LINE_MAX_BYTES, e);
}

int row_file_open_memory(struct row_file *r, const char *name, const char *text, size_t n, struct err *e)
{
    *r = (struct row_file){.lines = {.fd = -1}, .csv = {.fd = -1}, .line = 1};
    int rc = refuse_foreign(name, text, n, e);
    if (rc != 0) return rc;
    r->path = mem_strdup(name);
    if (is_array(text, n)) {
        r->kind = ROWS_JSON_ARRAY;
        r->text = mem_strndup(text, n);
        r->n = strlen(r->text); /* what is behind a NUL is no JSON */
        return 0;
    }
    r->kind = str_ends(name, ".csv") ? ROWS_CSV : ROWS_JSON_LINES;
    return r->kind == ROWS_CSV ? csv_open_memory(&r->csv, name, text, n, e)
                               : json_lines_open_memory(&r->lines, name, text, n, LINE_MAX_BYTES, e);
}

/* --- a JSON array, element by element: only brackets and strings are looked at, each element is parsed alone --- */

static char peek(const struct row_file *r)
{
    return r->at < r->n ? r->text[r->at] : '\0';
}

static void step(struct row_file *r)
{
    r->line += r->text[r->at] == '\n';
    r->at++;
}

static void skip_space(struct row_file *r)
{
    while (r->at < r->n && (strchr(" \t\r\n", peek(r)) != NULL || peek(r) == '\0')) step(r);
}

static void skip_string(struct row_file *r)
{
    step(r);
    while (r->at < r->n && peek(r) != '"') {
        if (peek(r) == '\\') step(r);
        if (r->at < r->n) step(r);
    }
    if (r->at < r->n) step(r);
}

/* Past one element: to the comma or bracket behind it. */
static void skip_element(struct row_file *r)
{
    int depth = 0;
    while (r->at < r->n) {
        char c = peek(r);
        if (c == '"') {
            skip_string(r);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']')) return;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        step(r);
    }
}

static int array_broken(struct row_file *r, const char *what, struct err *e)
{
    r->ended = r->is_broken = true;
    return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: %s", r->path, (unsigned long long)r->line,
                   what);
}

static int next_element(struct row_file *r, json_t **row, struct err *e)
{
    char where[320];
    if (r->at == 0) {
        if (r->n >= 3 && memcmp(r->text, "\xEF\xBB\xBF", 3) == 0) r->at = 3;
        skip_space(r);
        step(r); /* the bracket that was seen */
    }
    skip_space(r);
    if (peek(r) == ']') {
        r->ended = true;
        return 0;
    }
    size_t begin = r->at;
    r->line_no = r->line;
    skip_element(r);
    if (r->at == r->n) return array_broken(r, "the array has no end", e);
    size_t end = r->at;
    if (peek(r) == ',') step(r);
    snprintf(where, sizeof(where), "\"%.250s\" line %llu", r->path, (unsigned long long)r->line_no);
    if (json_parse(r->text + begin, end - begin, where, row, e) != 0) return -ERR_INPUT;
    if (json_is_object(*row)) return 1;
    int rc = err_set(e, ERR_INPUT, r->path, "cannot read %s: it is %s, an object is needed", where, json_kind(*row));
    json_decref(*row);
    *row = NULL;
    return rc;
}

/* --- CSV: a cell is a text, or JSON where it begins like a list or an object and is one --- */

static json_t *cell_value(const struct csv_field *f)
{
    json_t *v = NULL;
    struct err ignored; /* then it is a text that begins with a bracket */
    if ((f->text[0] == '[' || f->text[0] == '{') && json_parse(f->text, f->n, "cell", &v, &ignored) == 0) return v;
    return json_stringn(f->text, f->n);
}

static int next_record(struct row_file *r, json_t **row, struct err *e)
{
    int rc = csv_next(&r->csv, e);
    r->line_no = r->csv.line_no;
    r->is_broken = rc < 0 && !r->csv.is_behind;
    if (rc != 1) return rc;
    *row = json_object();
    for (size_t i = 0; i < r->csv.n_column; i++) {
        json_t *v = cell_value(&r->csv.field[i]);
        if (v == NULL) {
            json_decref(*row);
            *row = NULL;
            return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: column \"%s\" is not valid UTF-8",
                           r->path, (unsigned long long)r->line_no, r->csv.column[i].text);
        }
        if (json_object_set_new(*row, r->csv.column[i].text, v) != 0) {
            json_decref(*row);
            *row = NULL;
            return err_set(e, ERR_NOMEM, r->path, "cannot read \"%s\": out of memory", r->path);
        }
    }
    return 1;
}

int row_file_next(struct row_file *r, json_t **row, struct err *e)
{
    *row = NULL;
    if (r->ended) return 0;
    if (r->kind == ROWS_JSON_ARRAY) return next_element(r, row, e);
    if (r->kind == ROWS_CSV) return next_record(r, row, e);
    int rc = json_lines_next(&r->lines, row, e);
    r->line_no = r->lines.line_no;
    return rc;
}
