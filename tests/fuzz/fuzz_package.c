/* Fuzz target: any bytes as a package (a wheel, a zip, a tar): listed, then unpacked into a directory of its own, in
 * which nothing but plain files of the sizes that were promised may lie then. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "ground/archive/archive_name.h"
#include "ground/base/file.h"
#include "lifecycle/hub/package_int.h"
#include "model_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What a zip may promise of one file here: it is unpacked into memory or a small disk. */
static const uint64_t MAX_BYTES = 4 << 20;

static bool is_small(const struct package *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct packed_file *f = &p->file[i];
        if (!archive_name_is_safe(f->name) || f->size > INT64_MAX) abort();
        sum += f->size < MAX_BYTES ? f->size : MAX_BYTES;
    }
    return sum < MAX_BYTES;
}

static void check_dir(const char *dir)
{
    char **names;
    size_t n;
    if (file_list_dir(dir, &names, &n, NULL)) abort();
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        char *path = path_join(dir, names[i]);
        if (lstat(path, &st) || !S_ISREG(st.st_mode)) abort();
        mem_free(path);
        mem_free(names[i]);
    }
    mem_free(names);
}

/* Memory where there is enough of it: what is unpacked is synced, which a disk takes its time for. */
static const char *root(void)
{
    struct statvfs st;
    bool good = statvfs("/dev/shm", &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize > 128 << 20;
    return good ? "/dev/shm" : "/tmp";
}

static void unpack(const char *path, int (*fn)(const char *, const char *, struct err *))
{
    char dir[64];
    struct err e = {0};
    snprintf(dir, sizeof dir, "%s/fuzz-package-%d", root(), (int)getpid());
    if (file_mkdirs(dir, NULL)) abort();
    if (fn(path, dir, &e) && !e.msg[0]) abort();
    check_dir(dir);
    if (file_remove_tree(dir, NULL)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input_file f;
    struct package p = {.n = 0};
    struct err e = {0};
    input_file_init(&f, data, n);
    if (package_is_one(f.path)) {
        int rc = package_add(&p, f.path, &e);
        if (rc && !e.msg[0]) abort();
        if (rc == 0 && is_small(&p)) unpack(f.path, package_unpack);
    }
    package_deinit(&p);
    if (package_add_tar(&p, f.path, &e) == 0 && is_small(&p)) unpack(f.path, package_unpack_tar);
    package_deinit(&p);
    input_file_deinit(&f);
    return 0;
}
