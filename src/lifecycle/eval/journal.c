/* The journal of an evaluation. Owns its descriptor. What always holds: a record that was added is there after a crash;
 * of a line that a crash tore nothing is used. */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "lifecycle/eval/result.h"

enum { MAX_LINE = 64 * 1024 * 1024 };

static int take_line(const char *path, const char *text, size_t n, json_t *by_id, struct err *e)
{
    json_t *row;
    int rc = json_parse(text, n, path, &row, e);
    if (rc) return rc;
    /* what failed on our side is asked again */
    if (record_state(row) != CASE_INFRA_FAILED && json_object_set(by_id, record_str(row, "id"), row))
        rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    json_decref(row);
    return rc;
}

/* Whole lines into by_id; *whole is where the last one ends. */
static int take_lines(const char *path, const char *text, size_t n, json_t *by_id, size_t *whole, struct err *e)
{
    int rc = 0;
    *whole = 0;
    while (rc == 0) {
        const char *end = memchr(text + *whole, '\n', n - *whole);
        if (!end) return 0;
        size_t len = (size_t)(end - text) - *whole;
        rc = take_line(path, text + *whole, len, by_id, e);
        *whole += len + 1;
    }
    return rc;
}

static int read_back(struct eval_journal *j, json_t *by_id, struct err *e)
{
    char *text;
    size_t n, whole;
    int rc = file_read_all(j->path, SIZE_MAX, &text, &n, e);
    if (rc) return rc;
    rc = take_lines(j->path, text, n, by_id, &whole, e);
    mem_free(text);
    if (rc == 0 && whole < n && ftruncate(j->fd, (off_t)whole))
        rc = err_set_errno(e, j->path, "cannot mend \"%s\"", j->path);
    return rc;
}

int eval_journal_open(struct eval_journal *j, const char *dir, json_t **by_id, struct err *e)
{
    *j = (struct eval_journal){.path = path_join(dir, "journal.jsonl")};
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    *by_id = json_object();
    int rc = 0;
    if (j->fd < 0) rc = err_set_errno(e, j->path, "cannot open \"%s\"", j->path);
    if (rc == 0 && flock(j->fd, LOCK_EX | LOCK_NB))
        rc = err_set(e, ERR_CONFLICT, dir, "cannot evaluate into \"%s\": another process is at it", dir);
    if (rc == 0 && !*by_id) rc = err_set(e, ERR_NOMEM, j->path, "cannot read \"%s\": out of memory", j->path);
    if (rc == 0) rc = read_back(j, *by_id, e);
    if (rc == 0) rc = file_sync_dir(dir, e);
    if (rc) {
        json_decref(*by_id);
        eval_journal_close(j);
    }
    return rc;
}

int eval_journal_add(struct eval_journal *j, const json_t *record, struct err *e)
{
    struct buf line;
    buf_init(&line, MAX_LINE);
    int rc = json_format(record, JSON_LINE, &line);
    if (rc == 0) rc = buf_add_char(&line, '\n');
    rc = rc ? err_set(e, -rc, j->path, "cannot write \"%s\": a case is longer than %d bytes", j->path, MAX_LINE)
            : file_append_sync(j->fd, j->path, line.data, line.len, e);
    buf_deinit(&line);
    return rc;
}

void eval_journal_close(struct eval_journal *j)
{
    if (j->fd >= 0) close(j->fd);
    mem_free(j->path);
    *j = (struct eval_journal){.fd = -1};
}
