/* Parsing what hubs answer. Owns the list. What always holds: paths in it are safe and stand once; digests are digests.
 */
#include "lifecycle/hub/listing.h"

#include <stdlib.h>
#include <string.h>

#include "ground/archive/archive_name.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

static bool take_hex(const char *text, size_t n_digit, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_digit; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        if (!c || !strchr(digits, c)) return false;
        hex[i] = c;
    }
    hex[n_digit] = '\0';
    return true;
}

bool hub_take_sha256(const char *text, char hex[DIGEST_HEX_SIZE])
{
    char digits[DIGEST_HEX_SIZE];
    if (str_starts(text, "W/")) text += 2;
    bool quoted = *text == '"';
    text += quoted;
    if (str_starts(text, "sha256:")) text += strlen("sha256:");
    if (!take_hex(text, 64, digits) || !str_eq(text + 64, quoted ? "\"" : "")) return false;
    memcpy(hex, digits, sizeof digits);
    return true;
}

static int add_file(struct hub_listing *l, size_t cap, const char *path, const char *where, struct hub_file **out,
                    struct err *e)
{
    if (!archive_name_is_safe(path)) {
        char shown[128];
        snprintf(shown, sizeof shown, "%s", path);
        str_cut_utf8(shown);
        return err_set(e, ERR_INPUT, where, "cannot use the files of %s: the name \"%s\" leads out of the repository",
                       where, shown);
    }
    if (l->n == cap) return err_set(e, ERR_INTERNAL, where, "cannot list %s", where);
    *out = &l->file[l->n++];
    **out = (struct hub_file){.path = mem_strdup(path), .size = UINT64_MAX};
    return 0;
}

static int make_room(struct hub_listing *l, const json_t *files, const char *where, struct err *e)
{
    size_t n = json_array_size(files);
    if (n > HUB_MAX_FILES)
        return err_set(e, ERR_LIMIT, where, "cannot list %s: %zu files, at most %d", where, n, (int)HUB_MAX_FILES);
    l->file = mem_try_array(n + 1, sizeof *l->file);
    return l->file ? 0 : err_set(e, ERR_NOMEM, where, "cannot list %s: out of memory", where);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

static int sort(struct hub_listing *l, const char *where, struct err *e)
{
    if (l->n) qsort(l->file, l->n, sizeof *l->file, compare_paths);
    for (size_t i = 1; i < l->n; i++)
        if (str_eq(l->file[i].path, l->file[i - 1].path))
            return err_set(e, ERR_INPUT, where, "cannot use the files of %s: \"%.100s\" stands there twice", where,
                           l->file[i].path);
    return 0;
}

static int take_size(const json_t *obj, const char *key, uint64_t *size, const char *where, struct err *e)
{
    int64_t n = -1;
    int rc = json_opt_int(obj, key, 0, INT64_MAX, &n, where, e);
    if (rc == 0 && n >= 0) *size = (uint64_t)n;
    return rc;
}

static int bad_digest(const char *path, const char *where, struct err *e)
{
    return err_set(e, ERR_INPUT, where, "cannot use the files of %s: the digest of \"%.100s\" is none", where, path);
}

/* {"rfilename", "size", "blobId", "lfs": {"sha256", "size"}} */
static int take_hf_file(struct hub_listing *l, size_t cap, const json_t *row, const char *where, struct err *e)
{
    const char *path = NULL, *id = NULL, *sha256 = NULL;
    const json_t *lfs = NULL;
    struct hub_file *f;
    int rc = json_get_str(row, "rfilename", &path, where, e);
    if (rc == 0) rc = add_file(l, cap, path, where, &f, e);
    if (rc == 0) rc = take_size(row, "size", &f->size, where, e);
    if (rc == 0) rc = json_opt_object(row, "lfs", &lfs, where, e);
    if (rc == 0) rc = json_opt_str(row, "blobId", &id, where, e);
    if (rc == 0 && lfs) rc = json_opt_str(lfs, "sha256", &sha256, where, e);
    if (rc == 0 && lfs) rc = take_size(lfs, "size", &f->size, where, e);
    if (rc) return rc;
    if (sha256 && !hub_take_sha256(sha256, f->sha256)) return bad_digest(path, where, e);
    /* of a large file the id is that of its pointer */
    if (!lfs && id && (strlen(id) != 40 || !take_hex(id, 40, f->git_id))) return bad_digest(path, where, e);
    return 0;
}

int hub_listing_parse_hf(struct hub_listing *l, const char *text, size_t n, const char *where, struct err *e)
{
    json_t *answer;
    const json_t *files;
    const char *revision = NULL;
    *l = (struct hub_listing){.n = 0};
    int rc = json_parse(text, n, where, &answer, e);
    if (rc) return rc;
    rc = json_get_array(answer, "siblings", &files, where, e);
    if (rc == 0) rc = json_opt_str(answer, "sha", &revision, where, e);
    if (rc == 0 && revision && (strlen(revision) != 40 || !take_hex(revision, 40, l->revision)))
        rc = err_set(e, ERR_INPUT, where, "cannot use the files of %s: its commit is no commit", where);
    if (rc == 0) rc = make_room(l, files, where, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
        rc = take_hf_file(l, json_array_size(files), json_array_get(files, i), where, e);
    json_decref(answer);
    return rc ? rc : sort(l, where, e);
}

/* {"Path", "Size", "Sha256", "Type": "blob" or "tree"} */
static int take_ms_file(struct hub_listing *l, size_t cap, const json_t *row, const char *where, struct err *e)
{
    const char *path = NULL, *type = "blob", *sha256 = NULL;
    struct hub_file *f;
    int rc = json_get_str(row, "Path", &path, where, e);
    if (rc == 0) rc = json_opt_str(row, "Type", &type, where, e);
    if (rc || str_eq(type, "tree")) return rc;
    rc = add_file(l, cap, path, where, &f, e);
    if (rc == 0) rc = take_size(row, "Size", &f->size, where, e);
    if (rc == 0) rc = json_opt_str(row, "Sha256", &sha256, where, e);
    if (rc == 0 && sha256 && *sha256 && !hub_take_sha256(sha256, f->sha256)) rc = bad_digest(path, where, e);
    return rc;
}

static int ms_files(const json_t *answer, const json_t **files, const char *where, struct err *e)
{
    const json_t *data = NULL;
    const char *message = "";
    int64_t code = 200;
    int rc = json_opt_int(answer, "Code", INT64_MIN, INT64_MAX, &code, where, e);
    if (rc == 0) rc = json_opt_str(answer, "Message", &message, where, e);
    if (rc == 0 && code != 200)
        return err_set(e, ERR_INPUT, where, "cannot list %s: the hub answers %lld (%.100s)", where, (long long)code,
                       message);
    if (rc == 0) rc = json_get_object(answer, "Data", &data, where, e);
    return rc ? rc : json_get_array(data, "Files", files, where, e);
}

int hub_listing_parse_ms(struct hub_listing *l, const char *text, size_t n, const char *where, struct err *e)
{
    json_t *answer;
    const json_t *files;
    *l = (struct hub_listing){.n = 0};
    int rc = json_parse(text, n, where, &answer, e);
    if (rc) return rc;
    rc = ms_files(answer, &files, where, e);
    if (rc == 0) rc = make_room(l, files, where, e);
    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++)
        rc = take_ms_file(l, json_array_size(files), json_array_get(files, i), where, e);
    json_decref(answer);
    return rc ? rc : sort(l, where, e);
}

const struct hub_file *hub_listing_find(const struct hub_listing *l, const char *path)
{
    struct hub_file key = {.path = (char *)(uintptr_t)path}; /* read only */
    return l->n ? bsearch(&key, l->file, l->n, sizeof *l->file, compare_paths) : NULL;
}

void hub_listing_deinit(struct hub_listing *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->file[i].path);
    mem_free(l->file);
    *l = (struct hub_listing){.n = 0};
}
