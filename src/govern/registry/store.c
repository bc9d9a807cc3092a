/* Blobs and objects by digest. Owns files under the registry's root. What always holds: a file under its final name is
 * complete and durable; storing what is there already changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "govern/registry/registry_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

char *store_path(struct registry *r, const char *kind, const char *digest, const char *suffix)
{
    struct buf b;
    buf_init(&b, 8192);
    if (buf_printf(&b, "%s/%s/sha256/%.2s/%s%s", r->root, kind, digest, digest, suffix))
        buf_clear(&b); /* a home of more than 8000 bytes: opening "" says so */
    char *path = buf_take(&b, NULL);
    return path ? path : mem_strdup("");
}

static int make_parent(const char *path, struct err *e)
{
    const char *base = path_base(path);
    char *dir = mem_strndup(path, base > path ? (size_t)(base - path) - 1 : 0);
    int rc = file_mkdirs(dir[0] ? dir : ".", e);
    mem_free(dir);
    return rc;
}

static int sync_parent(const char *path, struct err *e)
{
    const char *base = path_base(path);
    char *dir = mem_strndup(path, base > path ? (size_t)(base - path) - 1 : 0);
    int rc = file_sync_dir(dir[0] ? dir : ".", e);
    mem_free(dir);
    return rc;
}

static int copy_bytes(int from, const char *path, uint64_t size, struct file_atomic *to, struct err *e)
{
    enum { CHUNK = 1 << 20 };
    char *chunk = mem_alloc(CHUNK);
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < size;) {
        size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        rc = file_pread(from, path, chunk, n, at, e);
        if (rc == 0) rc = file_atomic_write(to, chunk, n, e);
        at += n;
    }
    mem_free(chunk);
    return rc;
}

/* Share extents where the file system can, else a plain copy. */
static int clone_or_copy(const char *from, const char *to, struct err *e)
{
    struct file_atomic out;
    int fd;
    uint64_t size;
    int rc = file_open_read(from, &fd, &size, e);
    if (rc) return rc;
    rc = file_atomic_begin(&out, to, e);
    if (rc == 0) {
        if (ioctl(out.fd, FICLONE, fd) != 0) rc = copy_bytes(fd, from, size, &out, e);
        if (rc == 0 && fchmod(out.fd, 0444)) rc = err_set_errno(e, to, "cannot write \"%s\"", to);
        if (rc == 0)
            rc = file_atomic_commit(&out, e);
        else
            file_atomic_abort(&out);
    }
    close(fd);
    return rc;
}

static bool can_clone(const char *from, const char *to)
{
    struct file_atomic out;
    int fd;
    if (file_open_read(from, &fd, NULL, NULL)) return false;
    bool ok = false;
    if (file_atomic_begin(&out, to, NULL) == 0) {
        ok = ioctl(out.fd, FICLONE, fd) == 0;
        file_atomic_abort(&out);
    }
    close(fd);
    return ok;
}

/* Reflink, else a hard link, else a copy. A link shares the file with its owner, whose permissions stay; its size is
 * checked each time it is opened. */
static int place_blob(const char *from, const char *to, struct err *e)
{
    if (!can_clone(from, to) && linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0) return sync_parent(to, e);
    return clone_or_copy(from, to, e);
}

/* Whether the blob is there, whole. Large ones go by their size; those that are not shared are small enough to read. */
static bool is_stored(const char *blob, bool share, const char *digest, uint64_t bytes)
{
    struct stat st;
    char found[DIGEST_HEX_SIZE];
    if (stat(blob, &st) || (uint64_t)st.st_size != bytes) return false;
    return share || (digest_file(blob, found, NULL, NULL) == 0 && str_eq(found, digest));
}

int store_blob(struct registry *r, const char *path, bool share, char digest[DIGEST_HEX_SIZE], uint64_t *bytes,
               struct err *e)
{
    int rc = digest_file(path, digest, bytes, e);
    if (rc) return rc;
    char *to = store_path(r, "blobs", digest, "");
    if (!is_stored(to, share, digest, *bytes)) {
        (void)unlink(to); /* a damaged one: the good one takes its place */
        rc = make_parent(to, e);
        if (rc == 0) rc = share ? place_blob(path, to, e) : clone_or_copy(path, to, e);
    }
    mem_free(to);
    return rc;
}

char *registry_blob(struct registry *r, const char *digest)
{
    char found[DIGEST_HEX_SIZE], *path = store_path(r, "blobs", digest, "");
    if (file_exists(path) && digest_file(path, found, NULL, NULL) == 0 && str_eq(found, digest)) return path;
    mem_free(path);
    return NULL;
}

int store_object(struct registry *r, const json_t *manifest, char digest[DIGEST_HEX_SIZE], struct err *e)
{
    struct buf text;
    buf_init(&text, REGISTRY_MAX_MANIFEST);
    int rc = json_digest(manifest, digest, e);
    if (rc) return rc;
    char *path = store_path(r, "objects", digest, ".json");
    if (!file_exists(path)) {
        if (json_format(manifest, JSON_CANONICAL, &text))
            rc = err_set(e, ERR_LIMIT, path, "cannot write \"%s\": the manifest is too large", path);
        if (rc == 0) rc = make_parent(path, e);
        if (rc == 0) rc = file_write_atomic(path, text.data, text.len, e);
    }
    buf_deinit(&text);
    mem_free(path);
    return rc;
}

int store_load_object(struct registry *r, const char *digest, json_t **out, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    char *path = store_path(r, "objects", digest, ".json");
    int rc = json_read_file(path, REGISTRY_MAX_MANIFEST, out, e);
    if (rc == 0) {
        rc = json_digest(*out, hex, e);
        if (rc == 0 && !str_eq(hex, digest))
            rc = err_set(e, ERR_INPUT, path, "cannot trust \"%s\": its contents have the digest %s", path, hex);
        if (rc) json_decref(*out);
    }
    mem_free(path);
    return rc;
}

/* --- views: the files of a model under their own names --- */

const char *manifest_files_key(const json_t *manifest)
{
    return json_object_get(manifest, "files") ? "files" : "outputs";
}

static int link_file(struct registry *r, const json_t *file, const char *dir, struct err *e)
{
    const char *name, *digest;
    int64_t bytes;
    int rc = json_get_str(file, "path", &name, "a manifest", e);
    if (rc == 0) rc = json_get_str(file, "digest", &digest, "a manifest", e);
    if (rc == 0) rc = json_get_int(file, "bytes", 0, INT64_MAX, &bytes, "a manifest", e);
    if (rc) return rc;
    char *blob = store_path(r, "blobs", digest, ""), *to = path_join(dir, name);
    struct stat st;
    if (stat(blob, &st) || st.st_size != bytes)
        rc = err_set(e, ERR_INPUT, name,
                     "cannot use \"%s\": its blob %s is missing or has another size than %lld bytes; import "
                     "it again",
                     name, digest, (long long)bytes);
    else if (link(blob, to) && errno != EEXIST)
        rc = err_set_errno(e, to, "cannot link \"%s\"", to);
    mem_free(blob);
    mem_free(to);
    return rc;
}

static int fill_view(struct registry *r, const json_t *manifest, const char *dir, struct err *e)
{
    const json_t *files;
    int rc = json_get_array(manifest, manifest_files_key(manifest), &files, "a manifest", e);
    if (rc == 0) rc = file_mkdirs(dir, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) rc = link_file(r, json_array_get(files, i), dir, e);
    return rc;
}

/* Whether every file of a finished view still has its size. */
static int check_view(const json_t *manifest, const char *dir, struct err *e)
{
    const json_t *files;
    int rc = json_get_array(manifest, manifest_files_key(manifest), &files, "a manifest", e);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i);
        char *path = path_join(dir, json_string_value(json_object_get(f, "path")));
        struct stat st;
        if (stat(path, &st) || st.st_size != json_integer_value(json_object_get(f, "bytes")))
            rc = err_set(e, ERR_INPUT, path,
                         "cannot use \"%s\": it is missing or was changed since it was imported; import it "
                         "again",
                         path);
        mem_free(path);
    }
    return rc;
}

/* Build the view beside its place, then rename it there. */
static int build_view(struct registry *r, const json_t *manifest, const char *views, const char *at, struct err *e)
{
    struct buf tmp;
    buf_init(&tmp, 8192);
    if (buf_printf(&tmp, "%s/tmp-%ld", views, (long)getpid())) {
        buf_deinit(&tmp);
        return err_set(e, ERR_LIMIT, views, "cannot use \"%s\": the path is too long", views);
    }
    int rc = file_remove_tree(tmp.data, e);
    if (rc == 0) rc = fill_view(r, manifest, tmp.data, e);
    if (rc == 0) rc = file_remove_tree(at, e); /* a damaged one; blobs are untouched */
    if (rc == 0 && rename(tmp.data, at) && errno != EEXIST && errno != ENOTEMPTY) /* another process was first */
        rc = err_set_errno(e, at, "cannot make \"%s\"", at);
    int cleaned = file_remove_tree(tmp.data, rc ? NULL : e);
    if (rc == 0) rc = cleaned;
    if (rc) err_rename(e, tmp.data, at);
    buf_deinit(&tmp);
    return rc ? rc : file_sync_dir(views, e);
}

int view_make(struct registry *r, const char *digest, const json_t *manifest, char **dir, struct err *e)
{
    char *views = path_join(r->root, "views"), *at = path_join(views, digest);
    int rc = 0;
    if (!file_is_dir(at) || check_view(manifest, at, NULL)) rc = build_view(r, manifest, views, at, e);
    mem_free(views);
    if (rc)
        mem_free(at);
    else
        *dir = at;
    return rc;
}
