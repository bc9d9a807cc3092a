/* Run directories. What always holds: a directory under its final name has run.yaml and manifest.json; events.jsonl
 * holds whole lines up to events_bytes. */
#include "lifecycle/train/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MANIFEST_MAX_BYTES = 16 << 20, EVENT_MAX_BYTES = 1 << 20, EVENTS_MAX_BYTES = 1 << 30 };

static int write_in(const char *dir, const char *name, const char *text, struct err *e)
{
    char *path = path_join(dir, name);
    int rc = file_write_atomic(path, text, strlen(text), e);
    mem_free(path);
    return rc;
}

static int fill(const char *dir, const char *yaml, const json_t *manifest, struct err *e)
{
    char *checkpoints = path_join(dir, "checkpoints"), *manifest_path = path_join(dir, "manifest.json");
    int rc = file_mkdirs(checkpoints, e);
    if (rc == 0) rc = write_in(dir, "run.yaml", yaml, e);
    if (rc == 0) rc = json_write_file(manifest_path, manifest, e);
    if (rc == 0) rc = write_in(dir, "events.jsonl", "", e);
    mem_free(checkpoints);
    mem_free(manifest_path);
    return rc;
}

static char *parent_of(const char *path)
{
    const char *base = path_base(path);
    size_t n = (size_t)(base - path);
    while (n > 1 && path[n - 1] == '/') n--;
    return n == 0 ? mem_strdup(".") : mem_strndup(path, n);
}

/* Make the run under the name tmp and put it in its place. */
static int make_at(const char *path, const char *tmp, const char *yaml, const json_t *manifest, struct err *e)
{
    int rc = file_remove_tree(tmp, e);
    if (rc == 0) rc = file_mkdirs(tmp, e);
    if (rc == 0) rc = fill(tmp, yaml, manifest, e);
    if (rc == 0 && rename(tmp, path) != 0) rc = err_set_errno(e, path, "cannot create the run \"%s\"", path);
    if (rc == 0) return 0;
    err_rename(e, tmp, path);
    return file_remove_tree(tmp, NULL) == 0 ? rc : err_wrap(e, rc, "an unfinished copy is left beside it");
}

int run_dir_create(const char *path, const char *yaml, const json_t *manifest, struct err *e)
{
    if (file_exists(path))
        return err_set(e, ERR_CONFLICT, path, "cannot tune into \"%s\": it exists (--resume %s goes on with a run)",
                       path, path);
    struct buf tmp;
    buf_init(&tmp, 1 << 16);
    char *parent = parent_of(path);
    int rc = buf_printf(&tmp, "%s.new-%ld", path, (long)getpid());
    if (rc != 0) rc = err_set(e, ERR_LIMIT, path, "cannot tune into \"%s\": the name is too long", path);
    if (rc == 0) rc = file_mkdirs(parent, e);
    if (rc == 0) rc = make_at(path, tmp.data, yaml, manifest, e);
    if (rc == 0) rc = file_sync_dir(parent, e);
    mem_free(parent);
    buf_deinit(&tmp);
    return rc;
}

static int open_lock(struct run_dir *r, struct err *e)
{
    char *path = path_join(r->path, "lock");
    r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int rc = r->lock_fd < 0 ? err_set_errno(e, path, "cannot open \"%s\"", path) : 0;
    if (rc == 0 && flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK
                 ? err_set(e, ERR_CONFLICT, r->path, "cannot work in the run \"%s\": another process does", r->path)
                 : err_set_errno(e, path, "cannot lock \"%s\"", path);
    mem_free(path);
    return rc;
}

int run_dir_open(struct run_dir *r, const char *path, struct err *e)
{
    *r = (struct run_dir){.lock_fd = -1, .events_fd = -1};
    char *yaml = path_join(path, "run.yaml");
    struct stat st;
    int rc = file_exists(yaml) ? 0 : err_set(e, ERR_NOT_FOUND, path, "cannot resume \"%s\": no run is there", path);
    mem_free(yaml);
    if (rc != 0) return rc;
    r->path = mem_strdup(path);
    r->events_path = path_join(path, "events.jsonl");
    if ((rc = open_lock(r, e)) != 0) goto out;
    r->events_fd = open(r->events_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (r->events_fd < 0 || fstat(r->events_fd, &st) != 0)
        rc = err_set_errno(e, r->events_path, "cannot open \"%s\"", r->events_path);
    else
        r->events_bytes = (uint64_t)st.st_size;
out:
    if (rc != 0) run_dir_close(r);
    return rc;
}

void run_dir_close(struct run_dir *r)
{
    if (r->events_fd >= 0) close(r->events_fd);
    if (r->lock_fd >= 0) close(r->lock_fd);
    mem_free(r->path);
    mem_free(r->events_path);
    *r = (struct run_dir){.lock_fd = -1, .events_fd = -1};
}

int run_dir_event(struct run_dir *r, json_t *event, struct err *e)
{
    struct buf line;
    buf_init(&line, EVENT_MAX_BYTES);
    int rc = event == NULL ? -ERR_NOMEM : json_format(event, JSON_LINE, &line);
    if (rc == 0) rc = buf_add_char(&line, '\n');
    if (rc != 0) rc = err_set(e, ERR_NOMEM, r->events_path, "cannot write \"%s\": out of memory", r->events_path);
    if (rc == 0) rc = file_append_sync(r->events_fd, r->events_path, line.data, line.len, e);
    if (rc == 0) r->events_bytes += line.len;
    buf_deinit(&line);
    json_decref(event);
    return rc;
}

int run_dir_truncate(struct run_dir *r, uint64_t bytes, struct err *e)
{
    if (bytes > r->events_bytes)
        return err_set(e, ERR_INPUT, r->events_path,
                       "cannot resume \"%s\": \"%s\" is %llu bytes, its checkpoint was written after %llu", r->path,
                       r->events_path, (unsigned long long)r->events_bytes, (unsigned long long)bytes);
    if (ftruncate(r->events_fd, (off_t)bytes) != 0 || fsync(r->events_fd) != 0)
        return err_set_errno(e, r->events_path, "cannot truncate \"%s\"", r->events_path);
    r->events_bytes = bytes;
    return 0;
}

json_t *run_dir_done(const struct run_dir *r)
{
    char *data = NULL;
    size_t n = 0;
    json_t *event = NULL;
    struct err ignored; /* no events are no end */
    if (file_read_all(r->events_path, EVENTS_MAX_BYTES, &data, &n, &ignored) != 0) return NULL;
    if (n > 1 && data[n - 1] == '\n') {
        size_t begin = n - 1;
        while (begin > 0 && data[begin - 1] != '\n') begin--;
        if (json_parse(data + begin, n - 1 - begin, r->events_path, &event, &ignored) != 0) event = NULL;
    }
    mem_free(data);
    if (event != NULL && !str_eq(json_string_value(json_object_get(event, "event")), "done")) {
        json_decref(event);
        event = NULL;
    }
    return event;
}

int run_dir_manifest(const struct run_dir *r, json_t **out, struct err *e)
{
    char *path = path_join(r->path, "manifest.json");
    int rc = json_read_file(path, MANIFEST_MAX_BYTES, out, e);
    mem_free(path);
    return rc;
}
