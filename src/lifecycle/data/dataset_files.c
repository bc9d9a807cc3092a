/* The files of a dataset: inputs and outputs by digest, and the seal of its manifest. Owns nothing. */
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"
#include "lifecycle/data/dataset_int.h"

int dataset_check_place(const char *dir, struct err *e)
{
    char *path = path_join(dir, "manifest.json");
    json_t *m = NULL;
    int rc = file_exists(path) ? json_read_file(path, 1 << 26, &m, e) : 0;
    const char *kind = json_string_value(json_object_get(m, "kind"));
    if (rc == 0 && m && !str_eq(kind, "dataset"))
        rc = err_set(e, ERR_CONFLICT, dir,
                     "cannot import into \"%s\": its manifest.json is of another kind (%.40s); choose another --out",
                     dir, kind ? kind : "none");
    json_decref(m);
    mem_free(path);
    return rc;
}

int dataset_add_input(json_t *inputs, const char *role, const char *path, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    if (!path) return 0;
    int rc = digest_file(path, digest, NULL, e);
    if (rc == 0 && json_array_append_new(
                       inputs, json_pack("{s:s,s:s,s:s}", "role", role, "name", path_base(path), "digest", digest)))
        rc = err_set(e, ERR_NOMEM, path, "cannot import \"%s\": out of memory", path);
    return rc;
}

int dataset_write_output(const char *dir, const char *name, const struct buf *text, size_t n_row, json_t *outputs,
                         struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    char *path = path_join(dir, name);
    int rc = digest_memory(text->data, text->len, digest, e);
    if (rc == 0) rc = file_write_atomic(path, text->data, text->len, e);
    if (rc == 0 && json_array_append_new(outputs, json_pack("{s:s,s:s,s:I,s:I}", "path", name, "digest", digest,
                                                            "bytes", (json_int_t)text->len, "rows", (json_int_t)n_row)))
        rc = err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
    mem_free(path);
    return rc;
}

int dataset_seal(json_t *manifest, struct err *e)
{
    char digest[DIGEST_HEX_SIZE];
    if (!manifest) return err_set(e, ERR_NOMEM, NULL, "cannot write the manifest: out of memory");
    int rc = json_digest(manifest, digest, e);
    if (rc == 0 && json_object_set_new(manifest, "digest", json_string(digest)))
        rc = err_set(e, ERR_NOMEM, NULL, "cannot write the manifest: out of memory");
    return rc;
}
