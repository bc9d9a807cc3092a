/* The CSV reader. Owns its file, one chunk of it, and the texts of one row. What always holds: a returned row has
 * n_column fields of valid UTF-8 without NUL, and memory stays below CSV_MAX_ROW_BYTES whatever the file. */
#include "ground/table/csv.h"

#include <string.h>
#include <errno.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { CHUNK = 64 * 1024, END = -1, FAILED = -2 };

static int refill(struct csv_reader *r, struct err *e)
{
    if (r->fd < 0 || r->eof) return END;
    ssize_t n;
    do n = read(r->fd, r->chunk, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        err_set_errno(e, r->path, "cannot read \"%s\"", r->path);
        return FAILED;
    }
    r->eof = n == 0;
    r->chunk_at = 0;
    r->chunk_len = (size_t)n;
    return n ? 0 : END;
}

/* The next byte without taking it, END or FAILED. */
static int peek(struct csv_reader *r, struct err *e)
{
    if (r->chunk_at == r->chunk_len) {
        int rc = refill(r, e);
        if (rc < 0) return rc;
    }
    return (unsigned char)r->chunk[r->chunk_at];
}

static void take(struct csv_reader *r)
{
    r->line += r->chunk[r->chunk_at] == '\n';
    r->chunk_at++;
}

static int add(struct csv_reader *r, int c, struct err *e)
{
    if (c == 0)
        return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: a NUL byte, text is needed", r->path,
                       (unsigned long long)r->line);
    int rc = buf_add_char(&r->row, (char)c);
    if (rc)
        return err_set(e, -rc, r->path, "cannot read \"%s\" line %llu: the row is longer than %d bytes", r->path,
                       (unsigned long long)r->line_no, CSV_MAX_ROW_BYTES);
    return 0;
}

/* A quoted field after its opening quote, up to and with the closing one. */
static int quoted(struct csv_reader *r, struct err *e)
{
    uint64_t opened = r->line;
    for (;;) {
        int c = peek(r, e);
        if (c == FAILED) return -ERR_IO;
        if (c == END)
            return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: the quoted field has no closing quote",
                           r->path, (unsigned long long)opened);
        take(r);
        if (c == '"') {
            if (peek(r, e) != '"') return 0;
            take(r);
        }
        int rc = add(r, c, e);
        if (rc) return rc;
    }
}

static bool ends_field(int c)
{
    return c == ',' || c == '\n' || c == '\r' || c == END;
}

static int unquoted(struct csv_reader *r, struct err *e)
{
    for (;;) {
        int c = peek(r, e);
        if (c == FAILED) return -ERR_IO;
        if (ends_field(c)) return 0;
        if (c == '"')
            return err_set(e, ERR_INPUT, r->path,
                           "cannot read \"%s\" line %llu: a quote inside a field that does not begin with one; "
                           "quote the whole field and double its quotes",
                           r->path, (unsigned long long)r->line);
        take(r);
        int rc = add(r, c, e);
        if (rc) return rc;
    }
}

static int check_text(struct csv_reader *r, size_t start, struct err *e)
{
    const char *s = r->row.data + start;
    size_t n = r->row.len - start;
    for (size_t i = 0; i < n;) {
        int k = str_utf8_char(s + i, n - i);
        if (k == 0)
            return err_set(e, ERR_INPUT, r->path,
                           "cannot read \"%s\" line %llu: byte 0x%02x is not UTF-8; save the file "
                           "as UTF-8",
                           r->path, (unsigned long long)r->line_no, (unsigned char)s[i]);
        i += (size_t)k;
    }
    return 0;
}

static int one_field(struct csv_reader *r, struct err *e)
{
    if (r->n_field == CSV_MAX_COLUMNS)
        return err_set(e, ERR_LIMIT, r->path, "cannot read \"%s\" line %llu: more than %d columns", r->path,
                       (unsigned long long)r->line_no, CSV_MAX_COLUMNS);
    size_t start = r->row.len;
    r->start[r->n_field++] = start;
    int rc;
    if (peek(r, e) == '"') {
        take(r);
        rc = quoted(r, e);
        int c = rc ? END : peek(r, e);
        if (rc == 0 && c != FAILED && !ends_field(c))
            rc = err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: text after the closing quote of a field",
                         r->path, (unsigned long long)r->line);
    } else {
        rc = unquoted(r, e);
    }
    if (rc == 0) rc = buf_add_char(&r->row, '\0');
    if (rc == 0) {
        r->row.len--; /* the NUL is not part of the text while that is checked */
        rc = check_text(r, start, e);
        r->row.len++;
    }
    return rc;
}

/* The end of a row: LF, CR LF or the end of the file. */
static int end_of_row(struct csv_reader *r, struct err *e)
{
    int c = peek(r, e);
    if (c == '\r') {
        take(r);
        c = peek(r, e);
        if (c != '\n' && c != FAILED)
            return err_set(e, ERR_INPUT, r->path,
                           "cannot read \"%s\" line %llu: a carriage return without line feed; lines "
                           "end in LF or CR LF",
                           r->path, (unsigned long long)r->line);
    }
    if (c == '\n') take(r);
    return c == FAILED ? -ERR_IO : 0;
}

static int skip_blank(struct csv_reader *r, struct err *e)
{
    int c = peek(r, e);
    while (c == '\n' || c == '\r') {
        take(r);
        c = peek(r, e);
    }
    return c;
}

/* 1 with the fields of a row in row/start/n_field, 0 at the end. */
static int read_row(struct csv_reader *r, struct err *e)
{
    buf_clear(&r->row);
    r->n_field = 0;
    int c = skip_blank(r, e);
    if (c == FAILED) return -ERR_IO;
    if (c == END) return 0;
    r->line_no = r->line;
    for (;;) {
        int rc = one_field(r, e);
        if (rc) return rc;
        if (peek(r, e) != ',') break;
        take(r);
    }
    int rc = end_of_row(r, e);
    return rc ? rc : 1;
}

static void point_fields(struct csv_reader *r, const char *text, size_t end, struct csv_field *out)
{
    for (size_t i = 0; i < r->n_field; i++) {
        size_t next = i + 1 < r->n_field ? r->start[i + 1] : end;
        out[i] = (struct csv_field){.text = text + r->start[i], .n = next - r->start[i] - 1};
    }
}

static int read_names(struct csv_reader *r, struct err *e)
{
    int rc = read_row(r, e);
    if (rc < 0) return rc;
    if (rc == 0)
        return err_set(e, ERR_INPUT, r->path,
                       "cannot read \"%s\": it is empty, a first row with the names of the columns "
                       "is needed",
                       r->path);
    r->n_column = r->n_field;
    r->column = mem_alloc(r->n_column * sizeof *r->column);
    r->field = mem_alloc(r->n_column * sizeof *r->field);
    if (buf_add(&r->head, r->row.data, r->row.len))
        return err_set(e, ERR_NOMEM, r->path, "cannot read \"%s\": out of memory", r->path);
    point_fields(r, r->head.data, r->head.len, r->column);
    for (size_t i = 0; i < r->n_column; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(r->column[i].text, r->column[k].text))
                return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: two columns are named \"%s\"",
                               r->path, (unsigned long long)r->line_no, r->column[i].text);
    return 0;
}

static int start(struct csv_reader *r, struct err *e)
{
    buf_init(&r->row, CSV_MAX_ROW_BYTES);
    buf_init(&r->head, CSV_MAX_ROW_BYTES);
    r->start = mem_alloc((CSV_MAX_COLUMNS + 1) * sizeof *r->start);
    r->line = 1;
    static const char mark[] = "\xEF\xBB\xBF";
    (void)peek(r, e); /* fills the chunk; an error shows again in read_row */
    if (r->chunk_len >= 3 && memcmp(r->chunk, mark, 3) == 0) r->chunk_at = 3;
    return read_names(r, e);
}

int csv_open(struct csv_reader *r, const char *path, struct err *e)
{
    *r = (struct csv_reader){.fd = -1, .path = mem_strdup(path)};
    int rc = file_open_read(path, &r->fd, NULL, e);
    if (rc) return rc;
    r->chunk = mem_alloc(CHUNK);
    return start(r, e);
}

int csv_open_memory(struct csv_reader *r, const char *name, const char *text, size_t n, struct err *e)
{
    *r = (struct csv_reader){
        .fd = -1, .path = mem_strdup(name), .chunk = mem_try_alloc(n + 1), .chunk_len = n, .eof = true};
    if (!r->chunk) return err_set(e, ERR_NOMEM, name, "cannot read \"%s\": out of memory", name);
    memcpy(r->chunk, text, n);
    return start(r, e);
}

int csv_next(struct csv_reader *r, struct err *e)
{
    int rc = read_row(r, e);
    r->is_behind = rc >= 0;
    if (rc <= 0) return rc;
    if (r->n_field != r->n_column)
        return err_set(e, ERR_INPUT, r->path, "cannot read \"%s\" line %llu: %zu fields, the first row has %zu",
                       r->path, (unsigned long long)r->line_no, r->n_field, r->n_column);
    point_fields(r, r->row.data, r->row.len, r->field);
    return 1;
}

int csv_column(const struct csv_reader *r, const char *name, struct err *e)
{
    char list[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < r->n_column; i++) {
        if (str_eq(r->column[i].text, name)) return (int)i;
        size_t n = r->column[i].n;
        if (at + n + 3 < sizeof list) {
            if (at) list[at++] = ',', list[at++] = ' ';
            memcpy(list + at, r->column[i].text, n);
            at += n;
        }
    }
    list[at] = '\0';
    return err_set(e, ERR_NOT_FOUND, name, "cannot find column \"%s\" in \"%s\": its columns are %s", name, r->path,
                   list);
}

void csv_close(struct csv_reader *r)
{
    if (r->fd >= 0) close(r->fd);
    mem_free(r->path);
    mem_free(r->chunk);
    mem_free(r->column);
    mem_free(r->field);
    mem_free(r->start);
    buf_deinit(&r->row);
    buf_deinit(&r->head);
    *r = (struct csv_reader){.fd = -1};
}
