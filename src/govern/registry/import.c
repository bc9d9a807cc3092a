/* Import of model files, and digests of paths. Owns nothing between calls. What always holds: a manifest lists its
 * files sorted by name, and a GGUF or tokenizer file under a name of ours, so that the same contents have the same
 * digest wherever they came from and whatever they were called there. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "govern/registry/registry_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MAX_FILES = 4096 };

/* The files that belong to path, sorted by name; dir is where they lie. */
struct file_set {
    char *dir;
    char **name;   /* [n] in dir */
    char **stored; /* [n] in the manifest: the same for a directory, of ours for a file */
    size_t n;
    const char *kind;
    char *entry; /* stored name of the file to open, "" for the directory itself */
};

static void file_set_deinit(struct file_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        mem_free(s->name[i]);
        mem_free(s->stored[i]);
    }
    mem_free(s->name);
    mem_free(s->stored);
    mem_free(s->dir);
    mem_free(s->entry);
    *s = (struct file_set){0};
}

static bool is_regular(const char *dir, const char *name)
{
    struct stat st;
    char *path = path_join(dir, name);
    bool ok = stat(path, &st) == 0 && S_ISREG(st.st_mode);
    mem_free(path);
    return ok;
}

static bool has_file(const struct file_set *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->name[i], name)) return true;
    return false;
}

static int list_dir(struct file_set *s, const char *path, struct err *e)
{
    char **all;
    size_t n;
    int rc = file_list_dir(path, &all, &n, e);
    if (rc) return rc;
    s->dir = mem_strdup(path);
    s->entry = mem_strdup("");
    s->name = mem_alloc((n + 1) * sizeof *s->name);
    s->stored = mem_alloc((n + 1) * sizeof *s->stored);
    for (size_t i = 0; i < n; i++) {
        if (all[i][0] != '.' && is_regular(path, all[i])) {
            s->stored[s->n] = mem_strdup(all[i]);
            s->name[s->n++] = all[i];
        } else {
            mem_free(all[i]);
        }
    }
    mem_free(all);
    if (has_file(s, "adapter_config.json"))
        s->kind = "adapter";
    else if (has_file(s, "config.json"))
        s->kind = "model";
    else
        return err_set(e, ERR_INPUT, path,
                       "cannot import \"%s\": a directory needs config.json (a model) or "
                       "adapter_config.json (an adapter)",
                       path);
    if (s->n > MAX_FILES)
        return err_set(e, ERR_LIMIT, path, "cannot import \"%s\": %zu files, at most %d", path, s->n, MAX_FILES);
    return 0;
}

/* "x-00001-of-00003.gguf": the number of parts, else 1. */
static int split_parts(const char *name, size_t *stem)
{
    int part = 0, of = 0, used = 0;
    size_t n = strlen(name), tail = strlen("-00001-of-00003.gguf");
    if (n <= tail || !str_ends(name, ".gguf")) return 1;
    *stem = n - tail;
    if (sscanf(name + *stem, "-%5d-of-%5d.gguf%n", &part, &of, &used) != 2 || (size_t)used != tail || part < 1 ||
        of < 1)
        return 1;
    return of;
}

/* "STEM-00001-of-00003.gguf". */
static char *part_name(const char *stem, size_t n_stem, int part, int of)
{
    size_t size = n_stem + 64;
    char *name = mem_alloc(size);
    snprintf(name, size, "%.*s-%05d-of-%05d.gguf", (int)n_stem, stem, part, of);
    return name;
}

static int list_file(struct file_set *s, const char *path, struct err *e)
{
    const char *base = path_base(path), *whole = str_ends(base, ".json") ? "tokenizer.json" : "model.gguf";
    size_t stem = 0;
    int parts = split_parts(base, &stem);
    if (parts > MAX_FILES)
        return err_set(e, ERR_LIMIT, path, "cannot import \"%s\": %d parts, at most %d", path, parts, MAX_FILES);
    s->kind = "model";
    s->dir = base > path ? mem_strndup(path, (size_t)(base - path)) : mem_strdup(".");
    s->name = mem_alloc((size_t)parts * sizeof *s->name);
    s->stored = mem_alloc((size_t)parts * sizeof *s->stored);
    for (int i = 1; i <= parts; i++) {
        s->name[s->n] = parts == 1 ? mem_strdup(base) : part_name(base, stem, i, parts);
        s->stored[s->n++] = parts == 1 ? mem_strdup(whole) : part_name("model", strlen("model"), i, parts);
    }
    s->entry = mem_strdup(s->stored[0]);
    return 0;
}

static int list_files(struct file_set *s, const char *path, struct err *e)
{
    *s = (struct file_set){0};
    if (!file_exists(path))
        return err_set(e, ERR_NOT_FOUND, path, "cannot find \"%s\": no such file or directory", path);
    return file_is_dir(path) ? list_dir(s, path, e) : list_file(s, path, e);
}

/* Name, digest and size of each file; into blobs when r is given. */
static int describe_files(struct registry *r, const struct file_set *s, json_t *files, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->n; i++) {
        char digest[DIGEST_HEX_SIZE];
        uint64_t bytes;
        char *path = path_join(s->dir, s->name[i]);
        rc = r ? store_blob(r, path, true, digest, &bytes, e) : digest_file(path, digest, &bytes, e);
        if (rc == 0 && json_array_append_new(files, json_pack("{s:s,s:s,s:I}", "path", s->stored[i], "digest", digest,
                                                              "bytes", (json_int_t)bytes)))
            rc = err_set(e, ERR_INPUT, path, "cannot import \"%s\": its name is not UTF-8", path);
        mem_free(path);
    }
    return rc;
}

/* A name for a path: its last component without known endings, other characters as dashes. */
static void name_of_path(const char *path, char *out, size_t size)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(path), stem = 0;
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/') from--;
    if (n - from > 5 && memcmp(path + n - 5, ".gguf", 5) == 0) {
        n -= split_parts(path + from, &stem) > 1 ? strlen("-00001-of-00003.gguf") : 5;
    }
    size_t len = 0;
    for (size_t i = from; i < n && len + 1 < size && len < 100; i++)
        out[len++] = strchr(allowed, path[i]) ? path[i] : '-';
    out[len] = '\0';
    if (len == 0 || out[0] == '.' || out[0] == '-') out[0] = '_';
}

int registry_import(struct registry *r, const char *path, const char *name, struct registered *out, struct err *e)
{
    return registry_import_from(r, path, name, path_base(path), out, e);
}

int registry_import_from(struct registry *r, const char *path, const char *name, const char *source,
                         struct registered *out, struct err *e)
{
    struct file_set s;
    char from_path[128];
    json_t *files = json_array(), *manifest = NULL;
    int fd;
    if (!name) {
        name_of_path(path, from_path, sizeof from_path);
        name = from_path;
    }
    int rc = list_files(&s, path, e);
    if (rc == 0) rc = registry_lock(r, &fd, e);
    if (rc == 0) {
        rc = describe_files(r, &s, files, e);
        registry_unlock(fd);
    }
    if (rc == 0) {
        manifest = json_pack("{s:s,s:s,s:O}", "kind", s.kind, "entry", s.entry, "files", files);
        rc = manifest ? put_version(r, name, manifest, source[0] ? source : NULL, out, e)
                      : err_set(e, ERR_NOMEM, path, "cannot import \"%s\": out of memory", path);
    }
    if (rc == 0) {
        char *dir;
        rc = view_make(r, out->digest, manifest, &dir, e);
        if (rc == 0) mem_free(dir);
    }
    json_decref(files);
    json_decref(manifest);
    file_set_deinit(&s);
    return rc;
}

/* --- digests of paths, remembered --- */

static json_t *stamp(const struct file_set *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        struct stat st;
        char *path = path_join(s->dir, s->name[i]);
        if (stat(path, &st) == 0)
            (void)json_array_append_new(list, json_pack("[s,I,I,I,I,I]", s->name[i], (json_int_t)st.st_dev,
                                                        (json_int_t)st.st_ino, (json_int_t)st.st_size,
                                                        (json_int_t)st.st_mtim.tv_sec, (json_int_t)st.st_mtim.tv_nsec));
        mem_free(path);
    }
    return list;
}

static int compute(const struct file_set *s, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    json_t *files = json_array();
    int rc = describe_files(NULL, s, files, e);
    if (rc == 0 && json_array_size(files) == 1)
        snprintf(hex, DIGEST_HEX_SIZE, "%s", json_string_value(json_object_get(json_array_get(files, 0), "digest")));
    else if (rc == 0)
        rc = json_digest(files, hex, e);
    json_decref(files);
    return rc;
}

/* The cache is one small file a stamp: HOME/registry/digests/STAMP-DIGEST holds the hex digest. */
static char *cache_path(struct registry *r, const json_t *of, struct err *e)
{
    char hex[DIGEST_HEX_SIZE];
    if (json_digest(of, hex, e)) return NULL;
    char *dir = path_join(r->root, "digests"), *path = path_join(dir, hex);
    mem_free(dir);
    return path;
}

static bool cache_load(const char *path, char hex[DIGEST_HEX_SIZE])
{
    char *text;
    size_t n;
    if (file_read_all(path, 256, &text, &n, NULL)) return false;
    bool ok = n == DIGEST_HEX_SIZE - 1 && strspn(text, "0123456789abcdef") == n;
    if (ok) memcpy(hex, text, n + 1);
    mem_free(text);
    return ok;
}

static int cache_save(struct registry *r, const char *path, const char *hex, struct err *e)
{
    char *dir = path_join(r->root, "digests");
    int rc = file_mkdirs(dir, e);
    if (rc == 0) rc = file_write_atomic(path, hex, DIGEST_HEX_SIZE - 1, e);
    mem_free(dir);
    return rc;
}

int registry_digest_path(struct registry *r, const char *path, char hex[DIGEST_HEX_SIZE], struct err *e)
{
    struct file_set s;
    int rc = list_files(&s, path, e);
    if (rc) {
        file_set_deinit(&s);
        return rc;
    }
    json_t *of = stamp(&s);
    char *cache = cache_path(r, of, e);
    if (!cache)
        rc = -ERR_NOMEM;
    else if (!cache_load(cache, hex)) {
        rc = compute(&s, hex, e);
        if (rc == 0) rc = cache_save(r, cache, hex, e);
    }
    mem_free(cache);
    json_decref(of);
    file_set_deinit(&s);
    return rc;
}
