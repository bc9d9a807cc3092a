/* Taking the files of an OCI layout folder: nothing is trusted before its digest was computed. Owns nothing between
 * calls. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/hub/oci.h"
#include "lifecycle/hub/package.h"

enum { MAX_NESTED = 4 };

static char *blob_path(const char *layout, const struct oci_descriptor *d)
{
    char *blobs = path_join(layout, "blobs/sha256"), *path = path_join(blobs, d->digest);
    mem_free(blobs);
    return path;
}

static int check_blob(const char *path, const struct oci_descriptor *d, struct err *e)
{
    char found[DIGEST_HEX_SIZE];
    uint64_t size;
    int rc = digest_file(path, found, &size, e);
    if (rc) return rc;
    if (size == d->size && str_eq(found, d->digest)) return 0;
    return err_set(e, ERR_INPUT, path,
                   "cannot use \"%s\": it has %llu bytes and the SHA-256 %s, its manifest says %llu", path,
                   (unsigned long long)size, found, (unsigned long long)d->size);
}

/* A small blob as text, checked. */
static int read_blob(const char *layout, const struct oci_descriptor *d, char **text, size_t *n, struct err *e)
{
    char *path = blob_path(layout, d);
    int rc = check_blob(path, d, e);
    if (rc == 0) rc = file_read_all(path, OCI_MAX_JSON, text, n, e);
    mem_free(path);
    return rc;
}

/* From index.json through indexes that name indexes to the manifest. */
static int find_manifest(const char *layout, const char *tag, struct oci_descriptor *d, struct err *e)
{
    char *path = path_join(layout, "index.json"), *text;
    size_t n;
    bool is_index = true;
    int rc = file_read_all(path, OCI_MAX_JSON, &text, &n, e);
    for (int depth = 0; rc == 0 && is_index; depth++) {
        if (depth == MAX_NESTED)
            rc = err_set(e, ERR_LIMIT, path, "cannot use \"%s\": indexes name indexes more than %d deep", path,
                         (int)MAX_NESTED);
        if (rc == 0) rc = oci_index_parse(text, n, depth ? NULL : tag, path, d, &is_index, e);
        mem_free(text);
        if (rc == 0 && is_index) rc = read_blob(layout, d, &text, &n, e);
    }
    mem_free(path);
    return rc;
}

static int link_layer(const char *blob, const char *dir, const char *name, struct err *e)
{
    char *to = path_join(dir, name), *from;
    int rc = path_absolute(blob, &from, e);
    if (rc == 0 && unlink(to) && errno != ENOENT) rc = err_set_errno(e, to, "cannot link \"%s\"", to);
    if (rc == 0 && symlink(from, to)) rc = err_set_errno(e, to, "cannot link \"%s\"", to);
    if (rc == 0) mem_free(from);
    mem_free(to);
    return rc;
}

static int take_layer(const char *layout, const struct oci_layer *l, const char *dir, struct err *e)
{
    char *blob = blob_path(layout, &l->blob);
    int rc = check_blob(blob, &l->blob, e);
    if (rc == 0) rc = l->is_tar ? package_unpack_tar(blob, dir, e) : link_layer(blob, dir, l->name, e);
    mem_free(blob);
    return rc;
}

int oci_stage(const char *layout, const char *tag, const char *dir, char digest[DIGEST_HEX_SIZE], struct err *e)
{
    struct oci_descriptor d;
    struct oci_manifest m = {.n = 0};
    char *text = NULL;
    size_t n;
    int rc = find_manifest(layout, tag, &d, e);
    if (rc == 0) rc = read_blob(layout, &d, &text, &n, e);
    if (rc == 0) rc = oci_manifest_parse(&m, text, n, "the manifest", e);
    for (size_t i = 0; rc == 0 && i < m.n; i++) rc = take_layer(layout, &m.layer[i], dir, e);
    if (rc == 0) memcpy(digest, d.digest, DIGEST_HEX_SIZE);
    oci_manifest_deinit(&m);
    mem_free(text);
    return rc;
}
