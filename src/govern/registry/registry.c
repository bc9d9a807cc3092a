/* Names of the registry: versions, aliases, references, runs. Owns the handle. What always holds: a name points at
 * objects that were durable before the name's row was written, so a reader never finds a name without its object. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "govern/registry/registry_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

static const char names_log[] = "names.log", runs_log[] = "runs.log";

int registry_open(struct registry **out, const char *home, struct err *e)
{
    if (!file_is_dir(home))
        return err_set(e, ERR_NOT_FOUND, home, "cannot open the registry: \"%s\" is not a directory", home);
    struct registry *r = mem_alloc(sizeof *r);
    r->root = path_join(home, "registry");
    *out = r;
    return 0;
}

void registry_close(struct registry *r)
{
    if (!r) return;
    mem_free(r->root);
    mem_free(r);
}

static const char *member(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

static int version_of(const json_t *row)
{
    return (int)json_integer_value(json_object_get(row, "version"));
}

/* The last row of a name with this op, and alias when given; NULL: none. version 0: the newest. */
static const json_t *last_row(const json_t *rows, const char *op, const char *name, const char *alias, int version)
{
    for (size_t i = json_array_size(rows); i-- > 0;) {
        const json_t *row = json_array_get(rows, i);
        if (str_eq(member(row, "op"), op) && str_eq(member(row, "name"), name) &&
            (!alias || str_eq(member(row, "alias"), alias)) && (version == 0 || version_of(row) == version))
            return row;
    }
    return NULL;
}

static int check_name(const char *name, struct err *e)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    if (n == 0 || n > 100 || strspn(name, allowed) != n || name[0] == '.' || name[0] == '-')
        return err_set(e, ERR_USAGE, name,
                       "cannot use the name \"%.110s\": 1 to 100 letters, digits, dots, dashes and "
                       "underscores are needed, the first a letter, a digit or an underscore",
                       name);
    return 0;
}

/* The version of a name that has this digest, or NULL. */
static const json_t *version_with(const json_t *rows, const char *name, const char *digest)
{
    for (size_t i = json_array_size(rows); i-- > 0;) {
        const json_t *row = json_array_get(rows, i);
        if (str_eq(member(row, "op"), "version") && str_eq(member(row, "name"), name) &&
            str_eq(member(row, "digest"), digest))
            return row;
    }
    return NULL;
}

/* Add a version row unless one is the same; under the lock. */
static int add_version(struct registry *r, const char *name, const char *kind, const char *source,
                       struct registered *out, struct err *e)
{
    json_t *rows;
    int rc = log_read(r, names_log, &rows, e);
    if (rc) return rc;
    const json_t *last = last_row(rows, "version", name, NULL, 0);
    if (last && !str_eq(member(last, "kind"), kind))
        rc = err_set(e, ERR_CONFLICT, name, "cannot store %s \"%s\": that name is taken by a %s", kind, name,
                     member(last, "kind"));
    const json_t *same = version_with(rows, name, out->digest);
    out->added = !same;
    out->version = same ? version_of(same) : last ? version_of(last) + 1 : 1;
    out->newest = last && same ? version_of(last) : out->version;
    if (rc == 0 && out->added)
        rc = log_append(r, names_log,
                        json_pack("{s:s,s:s,s:s,s:i,s:s,s:I,s:s*}", "op", "version", "name", name, "kind", kind,
                                  "version", out->version, "digest", out->digest, "bytes", (json_int_t)out->bytes,
                                  "source", source),
                        e);
    json_decref(rows);
    return rc;
}

static uint64_t manifest_bytes(const json_t *manifest)
{
    uint64_t sum = 0;
    const json_t *files = json_object_get(manifest, manifest_files_key(manifest));
    for (size_t i = 0; i < json_array_size(files); i++)
        sum += (uint64_t)json_integer_value(json_object_get(json_array_get(files, i), "bytes"));
    return sum;
}

int put_version(struct registry *r, const char *name, const json_t *manifest, const char *source,
                struct registered *out, struct err *e)
{
    const char *kind;
    int fd;
    int rc = check_name(name, e);
    if (rc == 0) rc = json_get_str(manifest, "kind", &kind, "a manifest", e);
    if (rc) return rc;
    *out = (struct registered){.bytes = manifest_bytes(manifest)};
    snprintf(out->name, sizeof out->name, "%s", name);
    rc = registry_lock(r, &fd, e);
    if (rc) return rc;
    rc = store_object(r, manifest, out->digest, e);
    if (rc == 0) rc = add_version(r, name, kind, source, out, e);
    registry_unlock(fd);
    return rc;
}

int registry_put(struct registry *r, const char *name, const json_t *manifest, struct registered *out, struct err *e)
{
    return put_version(r, name, manifest, NULL, out, e);
}

/* --- references --- */

struct reference {
    char name[128], alias[128];
    int version; /* 0: not given */
};

static int parse_reference(const char *ref, struct reference *out, struct err *e)
{
    *out = (struct reference){0};
    size_t n = strcspn(ref, ":@");
    if (n == 0 || n >= sizeof out->name || strlen(ref) >= n + sizeof out->alias)
        return err_set(e, ERR_NOT_FOUND, ref, "cannot find \"%.200s\": neither a path nor a registry name", ref);
    memcpy(out->name, ref, n);
    if (!ref[n]) return 0;
    int64_t version = 0;
    if (ref[n] == '@' && ref[n + 1]) {
        snprintf(out->alias, sizeof out->alias, "%s", ref + n + 1);
        return 0;
    }
    if (ref[n] == '@' || !str_to_i64(ref + n + 1, &version) || version < 1 || version > 1000000000)
        return err_set(e, ERR_NOT_FOUND, ref,
                       "cannot find \"%.200s\": a registry name is name, name:VERSION or name@ALIAS", ref);
    out->version = (int)version;
    return 0;
}

static int not_found(const json_t *rows, const char *ref, const char *name, struct err *e)
{
    const char *best = NULL;
    int limit = str_distance_max(name) + 1;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *other = member(json_array_get(rows, i), "name");
        int d = str_mistyped(name, other);
        if (d < limit) best = other;
        if (d < limit) limit = d;
    }
    if (json_array_size(rows) == 0)
        return err_set(e, ERR_NOT_FOUND, ref,
                       "cannot find \"%s\": no such file or directory, and the registry is empty; "
                       "import a model first",
                       ref);
    if (!best)
        return err_set(e, ERR_NOT_FOUND, ref,
                       "cannot find \"%s\": no such file or directory, and no such name in the registry", ref);
    return err_set(e, ERR_NOT_FOUND, ref,
                   "cannot find \"%s\": no such file or directory, and no such name in the registry; did you mean %s?",
                   ref, best);
}

/* The version row that a reference means; borrowed from rows. */
static int find_version(const json_t *rows, const char *ref, struct reference *p, const json_t **row, struct err *e)
{
    int rc = parse_reference(ref, p, e);
    if (rc) return rc;
    if (!last_row(rows, "version", p->name, NULL, 0)) return not_found(rows, ref, p->name, e);
    if (p->alias[0]) {
        const json_t *alias = last_row(rows, "alias", p->name, p->alias, 0);
        if (!alias)
            return err_set(e, ERR_NOT_FOUND, ref, "cannot find \"%s\": \"%s\" has no alias \"%s\"", ref, p->name,
                           p->alias);
        p->version = version_of(alias);
    }
    *row = last_row(rows, "version", p->name, NULL, p->version);
    if (!*row)
        return err_set(e, ERR_NOT_FOUND, ref, "cannot find \"%s\": the newest version of \"%s\" is %d", ref, p->name,
                       version_of(last_row(rows, "version", p->name, NULL, 0)));
    return 0;
}

int registry_resolve(struct registry *r, const char *ref, char **path, struct err *e)
{
    json_t *rows, *manifest = NULL;
    struct reference p;
    const json_t *row;
    const char *entry = "";
    char *dir = NULL;
    int rc = log_read(r, names_log, &rows, e);
    if (rc) return rc;
    rc = find_version(rows, ref, &p, &row, e);
    if (rc == 0) rc = store_load_object(r, member(row, "digest"), &manifest, e);
    if (rc == 0) rc = json_opt_str(manifest, "entry", &entry, ref, e);
    if (rc == 0 && !json_object_get(manifest, "files"))
        rc = err_set(e, ERR_INPUT, ref, "cannot open \"%s\": it is a %s, a model or an adapter is needed", ref,
                     member(row, "kind"));
    if (rc == 0) rc = view_make(r, member(row, "digest"), manifest, &dir, e);
    if (rc == 0) *path = entry[0] ? path_join(dir, entry) : mem_strdup(dir);
    mem_free(dir);
    json_decref(manifest);
    json_decref(rows);
    return rc;
}

int registry_pin(struct registry *r, const char *ref, char **pinned, struct err *e)
{
    json_t *rows;
    struct reference p;
    const json_t *row;
    char text[160];
    int rc = log_read(r, names_log, &rows, e);
    if (rc) return rc;
    rc = find_version(rows, ref, &p, &row, e);
    if (rc == 0) {
        snprintf(text, sizeof text, "%s:%d", p.name, version_of(row));
        *pinned = mem_strdup(text);
    }
    json_decref(rows);
    return rc;
}

/* Whether the move may be made, from where it is now; under the lock. */
static int check_move(const json_t *rows, const struct alias_move *m, int now, struct err *e)
{
    const json_t *newest = last_row(rows, "version", m->name, NULL, 0);
    if (!newest) return not_found(rows, m->name, m->name, e);
    if (!last_row(rows, "version", m->name, NULL, m->version))
        return err_set(e, ERR_NOT_FOUND, m->name,
                       "cannot point %s@%s at version %d: there is no such version, the newest is %d", m->name,
                       m->alias, m->version, version_of(newest));
    if (m->expected_version >= 0 && now != m->expected_version)
        return err_set(e, ERR_CONFLICT, m->name, "cannot move %s@%s: it points at version %d, not at %d", m->name,
                       m->alias, now, m->expected_version);
    return 0;
}

int registry_move_alias(struct registry *r, const struct alias_move *m, int *from, struct err *e)
{
    json_t *rows = NULL;
    int fd;
    int rc = check_name(m->alias, e);
    if (rc == 0) rc = registry_lock(r, &fd, e);
    if (rc) return rc;
    rc = log_read(r, names_log, &rows, e);
    const json_t *now = rc ? NULL : last_row(rows, "alias", m->name, m->alias, 0);
    *from = now ? version_of(now) : 0;
    if (rc == 0) rc = check_move(rows, m, *from, e);
    if (rc == 0 && *from != m->version)
        rc = log_append(r, names_log,
                        json_pack("{s:s,s:s,s:s,s:i,s:i,s:s,s:s}", "op", "alias", "name", m->name, "alias", m->alias,
                                  "version", m->version, "from", *from, "actor", m->actor ? m->actor : "", "reason",
                                  m->reason ? m->reason : ""),
                        e);
    json_decref(rows);
    registry_unlock(fd);
    return rc;
}

/* --- lists --- */

static json_t *aliases_of(const json_t *rows, const char *name)
{
    json_t *all = json_object();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (str_eq(member(row, "op"), "alias") && str_eq(member(row, "name"), name) &&
            json_object_set(all, member(row, "alias"), json_object_get(row, "version"))) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

int registry_list(struct registry *r, const char *kind, json_t **out, struct err *e)
{
    json_t *rows;
    int rc = log_read(r, names_log, &rows, e);
    if (rc) return rc;
    *out = json_array();
    for (size_t i = 0; rc == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *name = member(row, "name");
        if (!str_eq(member(row, "kind"), kind) || last_row(rows, "version", name, NULL, 0) != row) continue;
        if (json_array_append_new(*out,
                                  json_pack("{s:s,s:i,s:s,s:O,s:s,s:o}", "name", name, "version", version_of(row),
                                            "digest", member(row, "digest"), "bytes", json_object_get(row, "bytes"),
                                            "time", member(row, "time"), "aliases", aliases_of(rows, name))))
            rc = err_set(e, ERR_NOMEM, NULL, "cannot list the registry: out of memory");
    }
    json_decref(rows);
    if (rc) json_decref(*out);
    return rc;
}

static json_t *history_of(const json_t *rows, const char *name)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (str_eq(member(row, "name"), name) && json_array_append(all, row)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

int registry_show(struct registry *r, const char *ref, json_t **out, struct err *e)
{
    json_t *rows;
    struct reference p;
    const json_t *row;
    int rc = log_read(r, names_log, &rows, e);
    if (rc) return rc;
    rc = find_version(rows, ref, &p, &row, e);
    if (rc == 0) rc = store_load_object(r, member(row, "digest"), out, e);
    if (rc == 0 && (json_object_set_new(*out, "name", json_string(p.name)) ||
                    json_object_set(*out, "version", json_object_get(row, "version")) ||
                    json_object_set(*out, "digest", json_object_get(row, "digest")) ||
                    json_object_set_new(*out, "aliases", aliases_of(rows, p.name)) ||
                    json_object_set_new(*out, "history", history_of(rows, p.name)))) {
        json_decref(*out);
        rc = err_set(e, ERR_NOMEM, ref, "cannot show \"%s\": out of memory", ref);
    }
    json_decref(rows);
    return rc;
}

int registry_note_run(struct registry *r, const char *kind, const char *dir, struct err *e)
{
    int fd;
    char full[PATH_MAX];
    if (!realpath(dir, full)) return err_set_errno(e, dir, "cannot record run \"%s\"", dir);
    json_t *row = json_pack("{s:s,s:s}", "kind", kind, "path", full);
    int rc = row ? registry_lock(r, &fd, e)
                 : err_set(e, ERR_INPUT, dir, "cannot record run \"%s\": its path is not UTF-8", dir);
    if (rc) {
        json_decref(row);
        return rc;
    }
    rc = log_append(r, runs_log, row, e);
    registry_unlock(fd);
    return rc;
}

static bool seen_path(const json_t *list, const char *path)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(member(json_array_get(list, i), "path"), path)) return true;
    return false;
}

int registry_runs(struct registry *r, json_t **out, struct err *e)
{
    json_t *rows;
    int rc = log_read(r, runs_log, &rows, e);
    if (rc) return rc;
    *out = json_array();
    for (size_t i = json_array_size(rows); rc == 0 && i-- > 0;) {
        const json_t *row = json_array_get(rows, i);
        const char *path = member(row, "path");
        if (seen_path(*out, path)) continue;
        if (json_array_append_new(*out, json_pack("{s:s,s:s,s:s,s:b}", "kind", member(row, "kind"), "path", path,
                                                  "time", member(row, "time"), "exists", file_is_dir(path))))
            rc = err_set(e, ERR_NOMEM, NULL, "cannot list runs: out of memory");
    }
    json_decref(rows);
    if (rc) json_decref(*out);
    return rc;
}
