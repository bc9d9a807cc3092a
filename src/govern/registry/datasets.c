/* Datasets in the registry: their files as blobs, and the way from a reference back to a file. Owns nothing between
 * calls. What always holds: a file that is handed out has the contents that the dataset was registered with. */
#include <string.h>

#include "govern/registry/registry_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

/* One output of a manifest into blobs; it must be what the manifest says. */
static int store_output(struct registry *r, const char *dir, const json_t *output, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    uint64_t bytes;
    const char *name, *want;
    int rc = json_get_str(output, "path", &name, "a manifest", e);
    if (rc == 0) rc = json_get_str(output, "digest", &want, "a manifest", e);
    if (rc) return rc;
    char *path = path_join(dir, name);
    rc = store_blob(r, path, false, digest, &bytes, e);
    if (rc == 0 && !str_eq(digest, want))
        rc = err_set(e, ERR_CONFLICT, path, "cannot register \"%s\": it was changed while it was imported", path);
    mem_free(path);
    return rc;
}

int registry_put_dataset(struct registry *r, const char *name, const json_t *manifest, const char *dir,
                         struct registered *out, struct err *e)
{
    const json_t *outputs;
    int fd;
    int rc = json_get_array(manifest, "outputs", &outputs, "a manifest", e);
    if (rc == 0) rc = registry_lock(r, &fd, e);
    if (rc) return rc;
    for (size_t i = 0; rc == 0 && i < json_array_size(outputs); i++)
        rc = store_output(r, dir, json_array_get(outputs, i), e);
    registry_unlock(fd);
    return rc ? rc : registry_put(r, name, manifest, out, e);
}

static const json_t *find_output(const json_t *manifest, const char *file)
{
    size_t i;
    json_t *output;
    json_array_foreach(json_object_get(manifest, "outputs"), i, output)
    {
        if (str_eq(json_string_value(json_object_get(output, "path")), file)) return output;
    }
    return NULL;
}

static int check_contents(const json_t *output, const char *path, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    int rc = digest_file(path, digest, NULL, e);
    if (rc == 0 && !str_eq(digest, json_string_value(json_object_get(output, "digest"))))
        rc = err_set(e, ERR_INPUT, path, "cannot use \"%s\": it was changed since it was imported; import it again",
                     path);
    return rc;
}

/* Path of a file in the dataset's view, and whether its contents are right. */
static int view_file(struct registry *r, const json_t *manifest, const json_t *output, char **path, struct err *e)
{
    char *dir;
    int rc = view_make(r, json_string_value(json_object_get(manifest, "digest")), manifest, &dir, e);
    if (rc) return rc;
    *path = path_join(dir, json_string_value(json_object_get(output, "path")));
    mem_free(dir);
    rc = check_contents(output, *path, e);
    if (rc) {
        mem_free(*path);
        *path = NULL;
    }
    return rc;
}

/* A view that was damaged is made once more: its blob may be whole. */
static int find_file(struct registry *r, const json_t *manifest, const json_t *output, char **path, struct err *e)
{
    int rc = view_file(r, manifest, output, path, e);
    if (rc != -ERR_INPUT) return rc;
    char *views = path_join(r->root, "views");
    char *dir = path_join(views, json_string_value(json_object_get(manifest, "digest")));
    rc = file_remove_tree(dir, e);
    mem_free(views);
    mem_free(dir);
    return rc ? rc : view_file(r, manifest, output, path, e);
}

int registry_dataset_file(struct registry *r, const char *ref, const char *file, char **path, json_t **manifest,
                          struct err *e)
{
    json_t *m = NULL;
    *path = NULL;
    int rc = registry_show(r, ref, &m, e);
    if (rc) return rc;
    const char *kind = json_string_value(json_object_get(m, "kind"));
    const json_t *output = find_output(m, file);
    if (!str_eq(kind, "dataset"))
        rc = err_set(e, ERR_INPUT, ref, "cannot use \"%s\" as data: it is a %s, a dataset is needed", ref, kind);
    else if (!output)
        rc = err_set(e, ERR_NOT_FOUND, ref, "cannot use \"%s\": the dataset has no %s", ref, file);
    if (rc == 0) rc = find_file(r, m, output, path, e);
    if (rc)
        json_decref(m);
    else
        *manifest = m;
    return rc;
}
