/* From a source to the registry. Owns the staging directory while it works. What always holds: a name appears in the
 * registry after everything was fetched, checked by digest and opened as a model; the staging directory goes away then
 * and only then. */
#include "lifecycle/hub/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/archive/archive_name.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_url.h"
#include "lifecycle/hub/contents.h"
#include "lifecycle/hub/download.h"
#include "lifecycle/hub/oci.h"
#include "lifecycle/hub/package.h"
#include "lifecycle/hub/repo.h"
#include "lifecycle/hub/staging.h"

/* One pull in progress. */
struct pull {
    const struct hub_options *o;
    struct registry *registry;
    const char *home, *name;
    struct hub_source source;
    struct hub_net net;
    struct hub_staging staging;
    struct hub_item *item;
    size_t n_item;
    char *model;  /* what is imported: a file or a directory in the staging directory */
    char *origin; /* what the registry notes */
};

static void items_free(struct pull *p)
{
    for (size_t i = 0; i < p->n_item; i++) {
        mem_free((char *)(uintptr_t)p->item[i].url);
        mem_free((char *)(uintptr_t)p->item[i].path);
    }
    mem_free(p->item);
    p->item = NULL;
    p->n_item = 0;
}

/* --- fetching --- */

/* A file whose contents the registry holds is linked, not fetched. */
static void take_stored(const struct pull *p, const struct hub_item *item)
{
    char *blob = item->sha256[0] && !file_exists(item->path) ? registry_blob(p->registry, item->sha256) : NULL;
    if (blob && link(blob, item->path) && symlink(blob, item->path)) (void)unlink(item->path); /* it is fetched then */
    mem_free(blob);
}

static int check_space(const struct pull *p, struct err *e)
{
    uint64_t need = 0;
    for (size_t i = 0; i < p->n_item; i++) {
        const struct hub_item *it = &p->item[i];
        uint64_t kept = hub_download_kept_bytes(it);
        if (it->size == UINT64_MAX || file_exists(it->path) || it->size <= kept) continue;
        if (__builtin_add_overflow(need, it->size - kept, &need)) need = UINT64_MAX;
    }
    return hub_check_space(p->staging.dir, need, p->source.text, e);
}

static int fetch_all(struct pull *p, struct err *e)
{
    for (size_t i = 0; i < p->n_item; i++) {
        take_stored(p, &p->item[i]);
        if (p->item[i].size != UINT64_MAX) p->net.total_bytes += p->item[i].size;
    }
    int rc = check_space(p, e);
    for (size_t i = 0; rc == 0 && i < p->n_item; i++) rc = hub_download(&p->net, &p->item[i], e);
    return rc;
}

/* --- repositories --- */

static int add_repo_items(struct pull *p, const struct hub_repo *r, struct err *e)
{
    p->item = mem_alloc((r->choice.n + 1) * sizeof *p->item);
    for (size_t i = 0; i < r->choice.n; i++) {
        const struct hub_file *f = r->choice.file[i];
        struct hub_item *it = &p->item[p->n_item++];
        *it = (struct hub_item){.url = hub_repo_url(r, f),
                                .credential = r->credential,
                                .path = path_join(p->staging.dir, hub_flat_name(f->path)),
                                .size = f->size};
        memcpy(it->sha256, f->sha256, sizeof it->sha256);
        memcpy(it->git_id, f->git_id, sizeof it->git_id);
    }
    return r->choice.n ? 0 : err_set(e, ERR_INPUT, p->source.text, "cannot pull \"%s\": it is empty", p->source.text);
}

static int pull_repo(struct pull *p, struct err *e)
{
    struct hub_repo r;
    int rc = hub_repo_open(&r, &p->net, &p->source, e);
    if (rc == 0) rc = hub_repo_choose(&r, e);
    if (rc == 0) rc = add_repo_items(p, &r, e);
    if (rc == 0) rc = fetch_all(p, e);
    if (rc == 0) {
        p->model = mem_strdup(r.choice.is_dir ? p->staging.dir : p->item[0].path);
        p->origin = hub_repo_origin(&r);
    }
    hub_repo_close(&r);
    return rc;
}

/* --- addresses --- */

/* The address of part idx of the split that url is the first of, NULL when it is too long. */
static char *part_url(const char *url, const char *base, int idx, int of)
{
    char tail[32];
    struct buf b;
    size_t n_query = strcspn(url, "?#"), n_tail = strlen("-00001-of-00003.gguf");
    (void)base;
    snprintf(tail, sizeof tail, "-%05d-of-%05d.gguf", idx, of);
    buf_init(&b, HTTP_URL_MAX);
    int rc = n_query < n_tail ? -ERR_LIMIT : buf_add(&b, url, n_query - n_tail);
    if (rc == 0) rc = buf_add_str(&b, tail);
    if (rc == 0) rc = buf_add_str(&b, url + n_query);
    char *out = rc ? NULL : buf_take(&b, NULL);
    buf_deinit(&b);
    return out ? out : mem_strdup("");
}

static int take_wanted_digest(struct pull *p, size_t i, struct err *e)
{
    const struct hub_options *o = p->o;
    if (o->n_sha256 == 0 || hub_take_sha256(o->sha256[i], p->item[i].sha256)) return 0;
    return err_set(e, ERR_USAGE, "sha256", "cannot use the SHA-256 \"%.80s\": 64 hexadecimal digits are needed",
                   o->sha256[i]);
}

static int add_address_items(struct pull *p, const struct http_url *url, const char *credential, struct err *e)
{
    int part, of;
    size_t n_stem;
    of = hub_split_parts(url->base, &part, &n_stem);
    if (of > 4096 || part != 1)
        return err_set(e, ERR_USAGE, url->base,
                       "cannot pull \"%s\": part %d of %d, the first must be named; all are taken with it", url->base,
                       part, of);
    if (p->o->n_sha256 && p->o->n_sha256 != (size_t)of)
        return err_set(e, ERR_USAGE, "sha256", "cannot pull \"%s\": %zu SHA-256 are given, it has %d files", url->base,
                       p->o->n_sha256, of);
    p->item = mem_alloc((size_t)of * sizeof *p->item);
    int rc = 0;
    for (int i = 1; rc == 0 && i <= of; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s", url->base);
        if (of > 1) snprintf(name, sizeof name, "%.*s-%05d-of-%05d.gguf", (int)n_stem, url->base, i, of);
        p->item[p->n_item++] =
            (struct hub_item){.url = of > 1 ? part_url(p->source.text, url->base, i, of) : mem_strdup(p->source.text),
                              .credential = credential,
                              .path = path_join(p->staging.dir, name),
                              .size = UINT64_MAX};
        rc = take_wanted_digest(p, p->n_item - 1, e);
    }
    return rc;
}

/* A package among what was fetched is unpacked beside it. */
static int open_up(struct pull *p, const char *path, struct err *e)
{
    if (!package_is_one(path)) {
        p->model = mem_strdup(path);
        return 0;
    }
    char *dir = path_join(p->staging.dir, "unpacked");
    int rc = file_remove_tree(dir, e);
    if (rc == 0) rc = file_mkdirs(dir, e);
    if (rc == 0) rc = package_unpack(path, dir, e);
    if (rc == 0) rc = hub_find_model(dir, p->source.text, &p->model, e);
    mem_free(dir);
    return rc;
}

/* What is readable on the way can be changed there: without a digest it must be https, or not leave the machine. */
static int check_address(const struct pull *p, struct http_url *url, struct err *e)
{
    char shown[HTTP_URL_SHOWN_MAX];
    int rc = http_url_parse(p->source.text, url, e);
    if (rc) return rc;
    http_url_show(p->source.text, shown, sizeof shown);
    if (!url->https && !url->is_loopback && !p->o->n_sha256)
        return err_set(e, ERR_USAGE, shown,
                       "cannot pull \"%s\": over http its contents can be changed on the way; https or "
                       "--sha256 is needed",
                       shown);
    if (!url->base[0] || !archive_name_is_safe(url->base))
        return err_set(e, ERR_USAGE, shown, "cannot pull \"%s\": the address names no file", shown);
    return 0;
}

static int pull_address(struct pull *p, struct err *e)
{
    struct http_url url;
    char shown[HTTP_URL_SHOWN_MAX];
    char *credential = hub_bearer(p->o->token);
    int rc = check_address(p, &url, e);
    if (rc == 0) rc = add_address_items(p, &url, credential, e);
    if (rc == 0) rc = fetch_all(p, e);
    if (rc == 0) rc = open_up(p, p->item[0].path, e);
    if (rc == 0) {
        http_url_show(p->source.text, shown, sizeof shown);
        p->origin = mem_strdup(shown);
    }
    if (credential) explicit_bzero(credential, strlen(credential));
    mem_free(credential);
    return rc;
}

/* --- folders --- */

static int pull_folder(struct pull *p, struct err *e)
{
    char digest[DIGEST_HEX_SIZE], origin[160];
    int rc = file_remove_tree(p->staging.dir, e); /* links and unpacked files: made anew in no time */
    if (rc == 0) rc = file_mkdirs(p->staging.dir, e);
    if (rc == 0) rc = oci_stage(p->source.repo, p->source.selector, p->staging.dir, digest, e);
    if (rc == 0) rc = hub_find_model(p->staging.dir, p->source.text, &p->model, e);
    if (rc == 0) {
        snprintf(origin, sizeof origin, "oci:%.100s@sha256:%.12s", p->source.name, digest);
        p->origin = mem_strdup(origin);
    }
    return rc;
}

/* --- all of it --- */

/* What the staging directory is for: the same text from the same hub. */
static char *identity_of(const struct pull *p)
{
    struct buf b;
    const char *endpoint = p->source.kind == HUB_HF   ? p->o->hf_endpoint
                           : p->source.kind == HUB_MS ? p->o->ms_endpoint
                                                      : "";
    buf_init(&b, 1 << 16);
    int rc = buf_printf(&b, "%d %s %s", (int)p->source.kind, endpoint, p->source.text);
    char *text = rc ? NULL : buf_take(&b, NULL);
    buf_deinit(&b);
    return text ? text : mem_strdup(p->source.text);
}

static int store(const struct pull *p, struct registered *out, struct err *e)
{
    int rc = hub_check_model(p->model, p->o, e);
    if (rc == 0)
        rc = registry_import_from(p->registry, p->model, p->name ? p->name : p->source.name, p->origin, out, e);
    if (rc) err_rename(e, p->staging.dir, p->source.text);
    return rc;
}

static int pull_locked(struct pull *p, struct registered *out, struct err *e)
{
    struct http_client_options co = {
        .ca_file = p->o->ca_file, .timeout_s = p->o->timeout_s, .max_connections = p->o->n_connection};
    int rc = p->source.kind == HUB_OCI ? 0 : http_client_new(&p->net.client, &co, e);
    if (rc == 0 && p->source.kind == HUB_OCI)
        rc = pull_folder(p, e);
    else if (rc == 0 && p->source.kind == HUB_ADDRESS)
        rc = pull_address(p, e);
    else if (rc == 0)
        rc = pull_repo(p, e);
    if (rc == 0) rc = store(p, out, e);
    http_client_free(p->net.client);
    return rc;
}

int hub_pull(const struct hub_options *o, struct registry *r, const char *home, const char *source, const char *name,
             struct registered *out, struct err *e)
{
    struct pull p = {.o = o, .registry = r, .home = home, .name = name, .net = {.o = o}};
    int rc = hub_source_parse(&p.source, source, e);
    if (rc == 0 && o->n_sha256 && p.source.kind != HUB_ADDRESS)
        rc = err_set(e, ERR_USAGE, "sha256", "cannot use --sha256 with \"%s\": it is for addresses, a hub says its own",
                     source);
    if (rc == 0) {
        char *identity = identity_of(&p);
        rc = hub_staging_open(&p.staging, home, identity, o, e);
        mem_free(identity);
    }
    if (rc == 0) {
        rc = pull_locked(&p, out, e);
        hub_staging_close(&p.staging, rc == 0);
    }
    items_free(&p);
    mem_free(p.model);
    mem_free(p.origin);
    hub_source_deinit(&p.source);
    return rc;
}

/* --- what else the door asks --- */

static json_t *describe(const struct hub_repo *r)
{
    json_t *files = json_array();
    json_int_t sum = 0;
    int bad = 0;
    for (size_t i = 0; i < r->listing.n; i++) {
        const struct hub_file *f = &r->listing.file[i];
        bool chosen = false;
        for (size_t k = 0; k < r->choice.n; k++) chosen |= r->choice.file[k] == f;
        json_t *bytes = f->size == UINT64_MAX ? json_null() : json_integer((json_int_t)f->size);
        if (chosen && f->size != UINT64_MAX) sum += (json_int_t)f->size;
        bad |= json_array_append_new(files, json_pack("{s:s,s:o,s:s?,s:b}", "path", f->path, "bytes", bytes, "sha256",
                                                      f->sha256[0] ? f->sha256 : NULL, "chosen", chosen));
    }
    json_t *out = bad ? NULL
                      : json_pack("{s:s,s:s?,s:I,s:O}", "source", r->source->text, "revision",
                                  r->listing.revision[0] ? r->listing.revision : NULL, "bytes", sum, "files", files);
    json_decref(files);
    return out;
}

static int list_repo(struct hub_net *net, const struct hub_source *source, json_t **out, struct err *e)
{
    struct hub_repo r;
    int rc = hub_repo_open(&r, net, source, e);
    if (rc == 0 && hub_repo_choose(&r, NULL)) r.choice.n = 0; /* nothing could be chosen: that is seen in the list */
    if (rc == 0) *out = describe(&r);
    if (rc == 0 && !*out) rc = err_set(e, ERR_NOMEM, source->text, "cannot list %s: out of memory", source->text);
    hub_repo_close(&r);
    return rc;
}

int hub_list(const struct hub_options *o, const char *source, json_t **out, struct err *e)
{
    struct hub_source s;
    struct hub_net net = {.o = o};
    struct http_client_options co = {.ca_file = o->ca_file, .timeout_s = o->timeout_s, .max_connections = 1};
    int rc = hub_source_parse(&s, source, e);
    if (rc == 0 && s.kind != HUB_HF && s.kind != HUB_MS)
        rc = err_set(e, ERR_USAGE, source, "cannot list \"%s\": hf:org/repo or ms:org/repo is needed", source);
    if (rc == 0) rc = http_client_new(&net.client, &co, e);
    if (rc == 0) rc = list_repo(&net, &s, out, e);
    http_client_free(net.client);
    hub_source_deinit(&s);
    return rc;
}

/* The name of a model that is a directory in a package: that of the package, without slashes at its end. */
static char *package_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    char *whole = mem_strndup(path, n), *name = mem_strdup(path_base(whole));
    mem_free(whole);
    return name;
}

static int import_package(const struct hub_options *o, struct registry *r, const char *home, const char *path,
                          const char *name, struct registered *out, struct err *e)
{
    struct hub_staging s;
    char *full, *model = NULL;
    int rc = path_absolute(path, &full, e);
    if (rc) return rc;
    rc = hub_staging_open(&s, home, full, o, e);
    mem_free(full);
    if (rc) return rc;
    rc = file_remove_tree(s.dir, e);
    if (rc == 0) rc = file_mkdirs(s.dir, e);
    if (rc == 0) rc = package_unpack(path, s.dir, e);
    if (rc == 0) rc = hub_find_model(s.dir, path, &model, e);
    if (rc == 0) rc = hub_check_model(model, o, e);
    bool in_dir = rc == 0 && str_eq(model, s.dir);
    char *own = package_name(path);
    if (rc == 0) rc = registry_import_from(r, model, name ? name : in_dir ? own : NULL, own, out, e);
    mem_free(own);
    if (rc) err_rename(e, s.dir, path);
    hub_staging_close(&s, true);
    mem_free(model);
    return rc;
}

int hub_import(const struct hub_options *o, struct registry *r, const char *home, const char *path, const char *name,
               struct registered *out, struct err *e)
{
    char *model = NULL;
    if (!file_exists(path))
        return err_set(e, ERR_NOT_FOUND, path, "cannot find \"%s\": no such file or directory", path);
    if (package_is_one(path)) return import_package(o, r, home, path, name, out, e);
    int rc = 0;
    if (file_is_dir(path))
        rc = hub_find_model(path, path, &model, e);
    else
        model = mem_strdup(path);
    if (rc == 0) rc = hub_check_model(model, o, e);
    if (rc == 0) rc = registry_import_from(r, model, name, path_base(path), out, e);
    mem_free(model);
    return rc;
}
