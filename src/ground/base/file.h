/* Files: whole reads with a limit, positioned reads, and writes that are atomic and durable
 * (temporary file in the same directory, fsync, rename, fsync of the directory). */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

/* Read a whole file of at most max_bytes; *data is NUL-terminated (mem_free), *size without the NUL.
 * -ERR_LIMIT when it is larger, -ERR_INPUT when it is not a regular file. */
int file_read_all(const char *path, size_t max_bytes, char **data, size_t *size, struct err *e) MUST_CHECK;
/* Open for reading (O_CLOEXEC); refuses what is not a regular file. *size_bytes from fstat. Close with close(2). */
int file_open_read(const char *path, int *fd, uint64_t *size_bytes, struct err *e) MUST_CHECK;
/* Read exactly n bytes at offset; a short file is an error (it shrank or is truncated). */
int file_pread(int fd, const char *path, void *p, size_t n, uint64_t offset, struct err *e) MUST_CHECK;

/* What tells a file from another and from itself after a change, without reading it. */
struct file_identity {
    uint64_t inode, size_bytes, mtime_ns, ctime_ns; /* ctime: a file that is written and given its old time is seen */
};
int file_identify(int fd, const char *path, struct file_identity *out, struct err *e) MUST_CHECK;

/* Atomic replacement of path by data. */
int file_write_atomic(const char *path, const void *data, size_t size, struct err *e) MUST_CHECK;
/* The same in steps, for large files. -ERR_CONFLICT where a directory is. abort after a failure; after commit or abort
 * the struct is done with. */
struct file_atomic {
    int fd;
    char *path, *tmp_path;
};
int file_atomic_begin(struct file_atomic *f, const char *path, struct err *e) MUST_CHECK;
int file_atomic_write(struct file_atomic *f, const void *p, size_t n, struct err *e) MUST_CHECK;
int file_atomic_commit(struct file_atomic *f, struct err *e) MUST_CHECK;
void file_atomic_abort(struct file_atomic *f);

/* Append one record and fsync it (events, audit): the bytes are durable when it returns 0. */
int file_append_sync(int fd, const char *path, const void *p, size_t n, struct err *e) MUST_CHECK;

/* Something is at path; links are followed. */
bool file_exists(const char *path);
/* A directory is at path; links are followed. */
bool file_is_dir(const char *path);
/* Create a directory and its parents (0755); an existing directory is fine, -ERR_CONFLICT where a file is. */
int file_mkdirs(const char *path, struct err *e) MUST_CHECK;
/* Remove a file or a directory tree; a missing path is fine. Does not follow links. */
int file_remove_tree(const char *path, struct err *e) MUST_CHECK;
/* fsync of a directory: names created or renamed in it are durable. */
int file_sync_dir(const char *path, struct err *e) MUST_CHECK;
/* "a/b" in newly allocated memory (mem_free). */
char *path_join(const char *a, const char *b) MUST_CHECK;
/* The path from the root (mem_free): a relative one behind the working directory. Links are not resolved and nothing
 * has to be there. */
int path_absolute(const char *path, char **out, struct err *e) MUST_CHECK;
/* Last component, pointing into path. */
const char *path_base(const char *path);
/* Sorted names in a directory, without . and ..; free each and the array with mem_free. */
int file_list_dir(const char *path, char ***names, size_t *n, struct err *e) MUST_CHECK;

#endif
