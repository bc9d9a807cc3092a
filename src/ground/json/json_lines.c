/* JSON Lines. Owns the file and a window of it that holds at least the current line. What always holds: the window
 * never grows past the longest line allowed plus one read, and a refused line never hides the ones after it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"

enum { WINDOW_BYTES = 1 << 16 };

int json_lines_open(struct json_lines *r, const char *path, size_t max_line_bytes, struct err *e)
{
    *r = (struct json_lines){.fd = -1, .max_line_bytes = max_line_bytes};
    int rc = file_open_read(path, &r->fd, NULL, e);
    if (rc) return rc;
    r->path = mem_strdup(path);
    return 0;
}

int json_lines_open_memory(struct json_lines *r, const char *name, const char *text, size_t n, size_t max_line_bytes,
                           struct err *e)
{
    *r = (struct json_lines){.fd = -1, .eof = true, .end = n, .cap = n, .max_line_bytes = max_line_bytes};
    r->data = mem_try_realloc(NULL, n);
    if (!r->data) return err_set(e, ERR_NOMEM, name, "cannot read \"%s\": out of memory", name);
    if (n) memcpy(r->data, text, n);
    r->path = mem_strdup(name);
    return 0;
}

void json_lines_close(struct json_lines *r)
{
    if (r->fd >= 0) close(r->fd);
    mem_free(r->path);
    mem_free(r->data);
    *r = (struct json_lines){.fd = -1};
}

static int grow(struct json_lines *r, struct err *e)
{
    size_t cap = r->cap ? r->cap * 2 : WINDOW_BYTES;
    char *data = mem_try_realloc(r->data, cap);
    if (!data) return err_set(e, ERR_NOMEM, r->path, "cannot read \"%s\": out of memory", r->path);
    r->data = data;
    r->cap = cap;
    return 0;
}

/* Read more behind what is there. */
static int fill(struct json_lines *r, struct err *e)
{
    if (r->begin > 0) {
        memmove(r->data, r->data + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    if (r->end == r->cap) {
        int rc = grow(r, e);
        if (rc) return rc;
    }
    ssize_t n;
    do n = read(r->fd, r->data + r->end, r->cap - r->end);
    while (n < 0 && errno == EINTR);
    if (n < 0) return err_set_errno(e, r->path, "cannot read \"%s\"", r->path);
    r->eof = n == 0;
    r->end += (size_t)n;
    return 0;
}

static char *find_end(const struct json_lines *r)
{
    return r->end > r->begin ? memchr(r->data + r->begin, '\n', r->end - r->begin) : NULL;
}

static void take_line(struct json_lines *r, const char *end)
{
    r->text = r->data + r->begin;
    r->text_len = (size_t)(end - r->text);
    r->begin += r->text_len + (r->begin + r->text_len < r->end);
    if (r->text_len && r->text[r->text_len - 1] == '\r') r->text_len--;
}

/* Drop the rest of a line that is too long. */
static int skip_line(struct json_lines *r, struct err *e)
{
    char *end;
    while (!(end = find_end(r)) && !r->eof) {
        r->begin = r->end;
        int rc = fill(r, e);
        if (rc) return rc;
    }
    r->begin = end ? (size_t)(end - r->data) + 1 : r->end;
    r->text = r->data;
    r->text_len = 0;
    return err_set(e, ERR_LIMIT, r->path, "cannot read \"%s\": line %llu is longer than the limit of %zu bytes",
                   r->path, (unsigned long long)r->line_no, r->max_line_bytes);
}

/* 1: a line, 0: the end. */
static int next_line(struct json_lines *r, struct err *e)
{
    char *end;
    while (!(end = find_end(r)) && !r->eof && r->end - r->begin <= r->max_line_bytes) {
        int rc = fill(r, e);
        if (rc) return rc;
    }
    if (r->begin == r->end) return 0;
    r->line_no++;
    size_t len = end ? (size_t)(end - r->data) - r->begin : r->end - r->begin;
    if (len > r->max_line_bytes) return skip_line(r, e);
    take_line(r, end ? end : r->data + r->end);
    if (r->line_no == 1 && r->text_len >= 3 && memcmp(r->text, "\xEF\xBB\xBF", 3) == 0) {
        r->text += 3;
        r->text_len -= 3;
    }
    return 1;
}

static bool is_blank(const struct json_lines *r)
{
    for (size_t i = 0; i < r->text_len; i++) {
        if (r->text[i] != ' ' && r->text[i] != '\t' && r->text[i] != '\r') return false;
    }
    return true;
}

/* json_parse counts lines from the text it got: here the line is known, so only the rest of its message is kept. */
static int parse_line(const struct json_lines *r, json_t **row, struct err *e)
{
    struct err inner = {0};
    int rc = json_parse(r->text, r->text_len, "row", row, &inner);
    if (rc) {
        const char *column = strstr(inner.msg, "column");
        return err_set(e, -rc, r->path, "cannot read \"%s\": line %llu %s", r->path, (unsigned long long)r->line_no,
                       column ? column : inner.msg);
    }
    if (json_is_object(*row)) return 1;
    rc = err_set(e, ERR_INPUT, r->path, "cannot read \"%s\": line %llu is %s, an object is needed", r->path,
                 (unsigned long long)r->line_no, json_kind(*row));
    json_decref(*row);
    *row = NULL;
    return rc;
}

int json_lines_next(struct json_lines *r, json_t **row, struct err *e)
{
    *row = NULL;
    for (;;) {
        int rc = next_line(r, e);
        if (rc <= 0) return rc;
        if (!is_blank(r)) return parse_line(r, row, e);
    }
}
