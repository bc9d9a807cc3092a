/* Files: limited whole reads, positioned reads, atomic durable writes, durable appends. Owns descriptors only while a
 * call (or a struct file_atomic) lasts. Directories and paths are in dir.c. What always holds: after a write that
 * returned 0 the data survives a crash; after one that failed the old file is as it was. */
#include "ground/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/mem.h"

static int check_regular(int fd, const char *path, struct stat *st, struct err *e)
{
    if (fstat(fd, st)) return err_set_errno(e, path, "cannot read \"%s\"", path);
    if (S_ISDIR(st->st_mode))
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it is a directory, a regular file is needed", path);
    if (!S_ISREG(st->st_mode)) return err_set(e, ERR_INPUT, path, "cannot read \"%s\": not a regular file", path);
    return 0;
}

int file_open_read(const char *path, int *fd, uint64_t *size_bytes, struct err *e)
{
    /* O_NONBLOCK: a FIFO without a writer must be refused, not waited for; it changes nothing for regular files. */
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f < 0) return err_set_errno(e, path, "cannot open \"%s\"", path);
    struct stat st;
    int rc = check_regular(f, path, &st, e);
    if (rc) {
        close(f);
        return rc;
    }
    *fd = f;
    if (size_bytes) *size_bytes = (uint64_t)st.st_size;
    return 0;
}

static ssize_t read_some(int fd, void *p, size_t n)
{
    ssize_t r;
    do r = read(fd, p, n);
    while (r < 0 && errno == EINTR);
    return r;
}

static int too_large(const char *path, size_t max_bytes, struct err *e)
{
    return err_set(e, ERR_LIMIT, path, "cannot read \"%s\": larger than the limit of %zu bytes", path, max_bytes);
}

/* Reads to the end, not to st_size: files of /proc say 0, and a file may grow meanwhile. */
static int read_to_end(int fd, const char *path, size_t max_bytes, size_t hint, char **data, size_t *size,
                       struct err *e)
{
    size_t cap = hint + 1, len = 0; /* hint <= max_bytes < SIZE_MAX */
    char *p = mem_try_realloc(NULL, cap + 1);
    ssize_t r = 1;
    while (p) {
        r = read_some(fd, p + len, cap - len);
        if (r <= 0) break;
        len += (size_t)r;
        if (len > max_bytes) {
            mem_free(p);
            return too_large(path, max_bytes, e);
        }
        if (len < cap) continue;
        size_t grown = cap < max_bytes / 2 ? cap * 2 : max_bytes + 1;
        char *q = mem_try_realloc(p, grown + 1);
        if (!q) mem_free(p);
        p = q;
        cap = grown;
    }
    if (!p) return err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    if (r < 0) {
        int rc = err_set_errno(e, path, "cannot read \"%s\"", path);
        mem_free(p);
        return rc;
    }
    p[len] = '\0';
    *data = p;
    if (size) *size = len;
    return 0;
}

int file_read_all(const char *path, size_t max_bytes, char **data, size_t *size, struct err *e)
{
    int fd;
    uint64_t st_size;
    if (max_bytes > SIZE_MAX - 2) max_bytes = SIZE_MAX - 2;
    int rc = file_open_read(path, &fd, &st_size, e);
    if (rc) return rc;
    if (st_size > max_bytes)
        rc = too_large(path, max_bytes, e);
    else
        rc = read_to_end(fd, path, max_bytes, (size_t)st_size, data, size, e);
    close(fd);
    return rc;
}

int file_pread(int fd, const char *path, void *p, size_t n, uint64_t offset, struct err *e)
{
    char *to = p;
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(fd, to + done, n - done, (off_t)(offset + done));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0)
            return err_set_errno(e, path, "cannot read \"%s\" at byte %llu", path, (unsigned long long)(offset + done));
        if (r == 0)
            return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it ends at byte %llu, %zu more bytes are needed",
                           path, (unsigned long long)(offset + done), n - done);
        done += (size_t)r;
    }
    return 0;
}

static uint64_t time_ns(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * UINT64_C(1000000000) + (uint64_t)t->tv_nsec;
}

int file_identify(int fd, const char *path, struct file_identity *out, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st)) return err_set_errno(e, path, "cannot look at \"%s\"", path);
    *out = (struct file_identity){.inode = (uint64_t)st.st_ino,
                                  .size_bytes = (uint64_t)st.st_size,
                                  .mtime_ns = time_ns(&st.st_mtim),
                                  .ctime_ns = time_ns(&st.st_ctim)};
    return 0;
}

static int write_all(int fd, const void *p, size_t n)
{
    const char *from = p;
    for (size_t done = 0; done < n;) {
        ssize_t w = write(fd, from + done, n - done);
        if (w < 0 && errno != EINTR) return -1;
        done += w > 0 ? (size_t)w : 0;
    }
    return 0;
}

static char *tmp_name(const char *path)
{
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, 0) != sizeof r) r = (uint64_t)getpid(); /* O_EXCL keeps it safe all the same */
    size_t size = strlen(path) + 32;
    char *name = mem_alloc(size);
    snprintf(name, size, "%s.tmp-%016llx", path, (unsigned long long)r);
    return name;
}

/* A replaced file keeps its permissions: a key file readable by its owner must stay so. */
static int keep_mode(int fd, const char *path)
{
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return 0;
    return fchmod(fd, st.st_mode & 0777);
}

int file_atomic_begin(struct file_atomic *f, const char *path, struct err *e)
{
    *f = (struct file_atomic){.fd = -1};
    if (file_is_dir(path))
        return err_set(e, ERR_CONFLICT, path, "cannot write \"%s\": it is a directory, a file is needed", path);
    *f = (struct file_atomic){.fd = -1, .path = mem_strdup(path), .tmp_path = tmp_name(path)};
    f->fd = open(f->tmp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->fd >= 0 && keep_mode(f->fd, path) == 0) return 0;
    int rc = err_set_errno(e, path, "cannot write \"%s\"", path);
    file_atomic_abort(f);
    return rc;
}

int file_atomic_write(struct file_atomic *f, const void *p, size_t n, struct err *e)
{
    if (write_all(f->fd, p, n)) return err_set_errno(e, f->path, "cannot write \"%s\"", f->path);
    return 0;
}

static int sync_parent(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return file_sync_dir(".", e);
    char *dir = mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
    int rc = file_sync_dir(dir, e);
    mem_free(dir);
    return rc;
}

int file_atomic_commit(struct file_atomic *f, struct err *e)
{
    int rc = 0;
    if (fsync(f->fd)) rc = err_set_errno(e, f->path, "cannot write \"%s\" to disk", f->path);
    if (close(f->fd) && rc == 0) rc = err_set_errno(e, f->path, "cannot write \"%s\"", f->path);
    f->fd = -1;
    if (rc == 0 && rename(f->tmp_path, f->path)) rc = err_set_errno(e, f->path, "cannot replace \"%s\"", f->path);
    if (rc) {
        file_atomic_abort(f);
        return rc;
    }
    rc = sync_parent(f->path, e);
    mem_free(f->path);
    mem_free(f->tmp_path);
    *f = (struct file_atomic){.fd = -1};
    return rc;
}

void file_atomic_abort(struct file_atomic *f)
{
    if (f->fd >= 0) close(f->fd);
    if (f->tmp_path) unlink(f->tmp_path);
    mem_free(f->path);
    mem_free(f->tmp_path);
    *f = (struct file_atomic){.fd = -1};
}

int file_write_atomic(const char *path, const void *data, size_t size, struct err *e)
{
    struct file_atomic f;
    int rc = file_atomic_begin(&f, path, e);
    if (rc) return rc;
    rc = file_atomic_write(&f, data, size, e);
    if (rc == 0) return file_atomic_commit(&f, e);
    file_atomic_abort(&f);
    return rc;
}

int file_append_sync(int fd, const char *path, const void *p, size_t n, struct err *e)
{
    off_t end = lseek(fd, 0, SEEK_END);
    if (end >= 0 && write_all(fd, p, n) == 0 && fdatasync(fd) == 0) /* fdatasync writes the new length too */
        return 0;
    int rc = err_set_errno(e, path, "cannot append to \"%s\"", path);
    if (end >= 0 && ftruncate(fd, end)) /* no half record in front of the next one, where that is possible */
        return err_wrap(e, rc, "a partial record remains");
    return rc;
}
