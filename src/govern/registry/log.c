/* Append-only logs of the registry. Owns nothing between calls. What always holds: rows are numbered from 1 and each
 * carries the hash of the one before, so a changed or dropped row shows; a crash in the middle of an append leaves a
 * torn last line, which the next append cuts off. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "govern/registry/registry_int.h"
#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

int registry_lock(struct registry *r, int *fd, struct err *e)
{
    int rc = file_mkdirs(r->root, e);
    if (rc) return rc;
    char *path = path_join(r->root, "lock");
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int got = -1;
    if (*fd >= 0) do
            got = flock(*fd, LOCK_EX);
        while (got && errno == EINTR);
    if (got) {
        rc = err_set_errno(e, path, "cannot lock \"%s\"", path);
        if (*fd >= 0) close(*fd);
    }
    mem_free(path);
    return rc;
}

void registry_unlock(int fd)
{
    close(fd); /* the lock goes with the descriptor */
}

static int row_hash(json_t *row, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    json_t *bare = json_copy(row);
    if (!bare) return err_set(e, ERR_NOMEM, NULL, "cannot hash a log row: out of memory");
    (void)json_object_del(bare, "hash");
    int rc = json_digest(bare, hex, e);
    json_decref(bare);
    return rc;
}

static int check_row(json_t *row, const char *path, size_t number, const char *prev, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    int rc = row_hash(row, hex, e);
    if (rc) return rc;
    if (!str_eq(json_string_value(json_object_get(row, "hash")), hex) ||
        !str_eq(json_string_value(json_object_get(row, "prev_hash")), prev))
        return err_set(e, ERR_INPUT, path,
                       "cannot trust \"%s\": row %zu does not fit the hash chain, so it or the one before "
                       "was changed",
                       path, number);
    return 0;
}

/* Rows of text; *whole is the length up to the last line end. */
static int parse_rows(const char *path, const char *text, size_t n, json_t *rows, size_t *whole, struct err *e)
{
    const char *prev = "";
    int rc = 0;
    *whole = 0;
    for (size_t at = 0; rc == 0 && at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        json_t *row = NULL;
        if (!end) break;
        rc = json_parse(text + at, (size_t)(end - text) - at, path, &row, e);
        if (rc == 0) rc = check_row(row, path, json_array_size(rows) + 1, prev, e);
        if (rc == 0 && json_array_append(rows, row))
            rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
        prev = rc ? prev : json_string_value(json_object_get(row, "hash"));
        json_decref(row); /* rows keeps it */
        at = (size_t)(end - text) + 1;
        *whole = at;
    }
    return rc;
}

static int read_rows(const char *path, json_t **rows, size_t *whole, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    *rows = json_array();
    *whole = 0;
    if (!*rows) return err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    if (!file_exists(path)) return 0;
    int rc = file_read_all(path, REGISTRY_MAX_LOG, &text, &n, e);
    if (rc == 0) rc = parse_rows(path, text, n, *rows, whole, e);
    mem_free(text);
    if (rc) {
        json_decref(*rows);
        *rows = NULL;
    }
    return rc;
}

int log_read(struct registry *r, const char *name, json_t **rows, struct err *e)
{
    char *path = path_join(r->root, name);
    size_t whole;
    int rc = read_rows(path, rows, &whole, e);
    mem_free(path);
    return rc;
}

static int complete_row(json_t *row, const json_t *rows, struct err *e)
{
    char time[32], hex[DIGEST_HEX_SIZE];
    size_t n = json_array_size(rows);
    const json_t *last = n ? json_array_get(rows, n - 1) : NULL;
    const char *prev = last ? json_string_value(json_object_get(last, "hash")) : "";
    clock_format_utc(clock_unix_ms(), time, sizeof time);
    if (json_object_set_new(row, "seq", json_integer((json_int_t)n + 1)) ||
        json_object_set_new(row, "time", json_string(time)) || json_object_set_new(row, "prev_hash", json_string(prev)))
        return err_set(e, ERR_NOMEM, NULL, "cannot append to a log: out of memory");
    int rc = row_hash(row, hex, e);
    if (rc == 0 && json_object_set_new(row, "hash", json_string(hex)))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot append to a log: out of memory");
    return rc;
}

static int append_line(const char *path, size_t whole, const json_t *row, struct err *e)
{
    struct buf line;
    buf_init(&line, REGISTRY_MAX_MANIFEST);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int rc = 0;
    if (fd < 0 || ftruncate(fd, (off_t)whole)) rc = err_set_errno(e, path, "cannot append to \"%s\"", path);
    if (rc == 0 && (json_format(row, JSON_LINE, &line) || buf_add_char(&line, '\n')))
        rc = err_set(e, ERR_NOMEM, path, "cannot append to \"%s\": out of memory", path);
    if (rc == 0) rc = file_append_sync(fd, path, line.data, line.len, e);
    if (fd >= 0) close(fd);
    buf_deinit(&line);
    return rc;
}

int log_append(struct registry *r, const char *name, json_t *row, struct err *e)
{
    char *path = path_join(r->root, name);
    json_t *rows = NULL;
    size_t whole;
    int rc = row ? read_rows(path, &rows, &whole, e)
                 : err_set(e, ERR_NOMEM, path, "cannot append to \"%s\": out of memory", path);
    if (rc == 0) rc = complete_row(row, rows, e);
    if (rc == 0) rc = append_line(path, whole, row, e);
    if (rc == 0) rc = file_sync_dir(r->root, e);
    json_decref(rows);
    json_decref(row);
    mem_free(path);
    return rc;
}
