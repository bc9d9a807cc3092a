/* Directories and paths: the other half of file.h. Owns descriptors only while a call lasts. Links are never
 * followed when a tree is removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"

enum { TREE_DEPTH_MAX = 128, DIR_NAMES_MAX = 1 << 20 };

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_mkdirs(const char *path, struct err *e)
{
    char *p = mem_strdup(path);
    int rc = 0;
    for (char *at = p + 1; *p && rc == 0; at++) {
        bool end = *at == '\0';
        if (!end && *at != '/') continue;
        *at = '\0';
        if (mkdir(p, 0755) && (errno != EEXIST || !file_is_dir(p)))
            rc = errno == EEXIST ? err_set(e, ERR_CONFLICT, path, "cannot create directory \"%s\": a file is there", p)
                                 : err_set_errno(e, path, "cannot create directory \"%s\"", p);
        if (end) break;
        *at = '/';
    }
    if (!*p) rc = err_set(e, ERR_INPUT, "", "cannot create directory \"\": the path is empty");
    mem_free(p);
    return rc;
}

static bool is_dot_name(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int remove_at(int dir_fd, const char *name, int depth);

/* Takes fd. Returns 0 or -1 with errno. */
static int remove_entries(int fd, int depth)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return -1;
    }
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (errno = 0, entry = readdir(d))) {
        if (!is_dot_name(entry->d_name)) rc = remove_at(dirfd(d), entry->d_name, depth + 1);
    }
    if (rc == 0 && errno) rc = -1;
    int saved_errno = errno;
    closedir(d);
    errno = saved_errno;
    return rc;
}

static int remove_at(int dir_fd, const char *name, int depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    if (depth > TREE_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || remove_entries(fd, depth)) return -1;
    return unlinkat(dir_fd, name, AT_REMOVEDIR);
}

int file_remove_tree(const char *path, struct err *e)
{
    if (remove_at(AT_FDCWD, path, 0)) return err_set_errno(e, path, "cannot remove \"%s\"", path);
    return 0;
}

int file_sync_dir(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_set_errno(e, path, "cannot open directory \"%s\"", path);
    int rc = 0;
    if (fsync(fd) && errno != EINVAL) /* EINVAL: a file system that has no such thing */
        rc = err_set_errno(e, path, "cannot write directory \"%s\" to disk", path);
    close(fd);
    return rc;
}

char *path_join(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    bool slash = n > 0 && a[n - 1] != '/';
    char *p = mem_alloc(n + m + 2);
    memcpy(p, a, n);
    if (slash) p[n++] = '/';
    memcpy(p + n, b, m);
    return p;
}

int path_absolute(const char *path, char **out, struct err *e)
{
    while (path[0] == '.' && path[1] == '/') path += 2 + strspn(path + 2, "/");
    char dir[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(dir, sizeof dir)) return err_set_errno(e, path, "cannot tell where \"%s\" is", path);
    *out = dir[0] ? path_join(dir, path) : mem_strdup(path);
    return 0;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) mem_free(names[i]);
    mem_free(names);
}

static int add_name(char ***names, size_t *n, size_t *cap, const char *path, const char *name, struct err *e)
{
    if (*n == DIR_NAMES_MAX)
        return err_set(e, ERR_LIMIT, path, "cannot list \"%s\": more than %d names", path, (int)DIR_NAMES_MAX);
    if (*n == *cap) {
        size_t grown = *cap ? *cap * 2 : 32;
        char **p = mem_try_realloc(*names, grown * sizeof *p);
        if (!p) return err_set(e, ERR_NOMEM, path, "cannot list \"%s\": out of memory", path);
        *names = p;
        *cap = grown;
    }
    (*names)[(*n)++] = mem_strdup(name);
    return 0;
}

int file_list_dir(const char *path, char ***names, size_t *n, struct err *e)
{
    DIR *d = opendir(path);
    if (!d) return err_set_errno(e, path, "cannot list \"%s\"", path);
    char **list = NULL;
    size_t count = 0, cap = 0;
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (errno = 0, entry = readdir(d))) {
        if (!is_dot_name(entry->d_name)) rc = add_name(&list, &count, &cap, path, entry->d_name, e);
    }
    if (rc == 0 && errno) rc = err_set_errno(e, path, "cannot list \"%s\"", path);
    closedir(d);
    if (rc) {
        free_names(list, count);
        return rc;
    }
    if (count > 1) qsort(list, count, sizeof *list, compare_names);
    *names = list;
    *n = count;
    return 0;
}
