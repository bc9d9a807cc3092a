/* Packed models in the home. Owns the directory, how full the disk may become, and which files in it are of use. */
#include "doors/cli/cli_packed.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include <string.h>

#include "compute/model/packed_file.h"
#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { DISK_KEPT_FREE = 20, /* a twentieth */ WRITER_MAX_S = 3600 };

char *cli_packed_dir(const struct cli *c)
{
    char *cache = path_join(c->home, "cache"), *dir = path_join(cache, "packed");
    mem_free(cache);
    return dir;
}

/* --- loading --- */

/* NULL: there is none that can be used. */
static struct packed_file *open_packed(const struct cli *c, struct dev *d, const struct model_file *f)
{
    struct packed_file *p = NULL;
    char *path = NULL, *dir = cli_packed_dir(c);
    struct err why;
    int rc = packed_file_path(dir, f, d, &path, &why);
    if (!rc) rc = packed_file_open(&p, path, f, d, &why);
    if (rc && rc != -ERR_NOT_FOUND && rc != -ERR_UNSUPPORTED) log_warn("%s; the model file is read", why.msg);
    mem_free(path);
    mem_free(dir);
    return p;
}

int cli_packed_load(const struct cli *c, struct dev *d, const struct model_file *f, struct model **out, struct err *e)
{
    bool looks = c->packed_cache != PACKED_CACHE_OFF && c->home != NULL && model_file_is_gguf(f);
    struct packed_file *p = looks ? open_packed(c, d, f) : NULL;
    bool writes = looks && !p && c->packed_cache == PACKED_CACHE_WRITE;
    int rc = model_load_packed(out, d, f, p, e);
    if (rc || !writes) return rc;
    char *path;
    struct err why;
    if (cli_packed_write(c, *out, f, &path, &why)) {
        log_warn("%s", why.msg);
        return 0;
    }
    fprintf(stderr, cli_text(c, "packed form of \"%s\" written to \"%s\"\n", "“%s”的打包形式已写入“%s”\n"),
            model_file_path(f), path);
    mem_free(path);
    return 0;
}

/* --- writing --- */

static int check_disk(const char *dir, const struct model *m, const struct model_file *f, struct err *e)
{
    struct statvfs v;
    uint64_t need = packed_file_bytes(m);
    if (statvfs(dir, &v)) return err_set_errno(e, dir, "cannot look at the disk of \"%s\"", dir);
    uint64_t left = (uint64_t)v.f_bavail * v.f_frsize, kept = (uint64_t)v.f_blocks * v.f_frsize / DISK_KEPT_FREE;
    if (left >= kept && left - kept >= need) return 0;
    char takes[32], has[32];
    str_format_bytes(need, takes, sizeof(takes));
    str_format_bytes(left, has, sizeof(has));
    return err_set(
        e, ERR_LIMIT, dir,
        "cannot keep \"%s\" packed: it takes %s, and of the disk of \"%s\", with %s free, a twentieth stays free",
        model_file_path(f), takes, dir, has);
}

int cli_packed_write(const struct cli *c, const struct model *m, const struct model_file *f, char **path, struct err *e)
{
    char *dir = cli_packed_dir(c);
    *path = NULL;
    int rc = packed_file_path(dir, f, model_dev(m), path, e);
    if (!rc) rc = file_mkdirs(dir, e);
    if (!rc) {
        int n = cli_packed_sweep(c, model_dev(m), e);
        rc = n < 0 ? n : 0;
    }
    if (!rc) rc = check_disk(dir, m, f, e);
    if (!rc) rc = packed_file_write(*path, m, f, e);
    mem_free(dir);
    if (rc) {
        mem_free(*path);
        *path = NULL;
    }
    return rc;
}

/* --- sweeping --- */

/* A file of a writer that was killed: no writer takes an hour. */
static bool is_left_over(const char *path)
{
    struct stat st;
    return strstr(path_base(path), ".packed.tmp-") && !stat(path, &st) && time(NULL) - st.st_mtime > WRITER_MAX_S;
}

static bool is_useless(const char *path, uint64_t layout)
{
    struct packed_info info;
    struct err e;
    if (!str_ends(path, ".packed")) return is_left_over(path);
    int rc = packed_file_describe(path, false, &info, &e);
    return rc == -ERR_INPUT || (!rc && (!info.is_current || info.layout != layout));
}

int cli_packed_sweep(const struct cli *c, struct dev *d, struct err *e)
{
    char **name = NULL, *dir = cli_packed_dir(c);
    size_t n = 0;
    int n_removed = 0;
    uint64_t layout;
    int rc = dev_layout(d, &layout, e);
    if (!rc && file_is_dir(dir)) rc = file_list_dir(dir, &name, &n, e);
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(dir, name[i]);
        if (!rc && is_useless(path, layout)) {
            rc = file_remove_tree(path, e);
            n_removed++;
        }
        mem_free(path);
        mem_free(name[i]);
    }
    mem_free(name);
    mem_free(dir);
    return rc ? rc : n_removed;
}
