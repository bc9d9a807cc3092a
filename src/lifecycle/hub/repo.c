/* What the two kinds of hubs have different: addresses and answers. Owns listing and choice while a repository is open.
 */
#include "lifecycle/hub/repo.h"

#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_url.h"

static char *line_of(const char *before, const char *token)
{
    size_t n = strlen(before), m = token ? strlen(token) : 0;
    char *line = token ? mem_alloc(n + m + 1) : NULL;
    if (line) memcpy(line, before, n);
    if (line) memcpy(line + n, token, m + 1);
    return line;
}

char *hub_bearer(const char *token)
{
    return line_of("Authorization: Bearer ", token);
}

/* Text put together, or "" when it grew too long, which no server takes. */
static char *take_url(struct buf *b, int rc)
{
    char *url = rc ? NULL : buf_take(b, NULL);
    buf_deinit(b);
    return url ? url : mem_strdup("");
}

static int add_base(const struct hub_repo *r, struct buf *b)
{
    size_t n = strlen(r->endpoint);
    while (n && r->endpoint[n - 1] == '/') n--;
    buf_init(b, HTTP_URL_MAX);
    return buf_add(b, r->endpoint, n);
}

static char *listing_url(const struct hub_repo *r)
{
    struct buf b;
    bool hf = r->source->kind == HUB_HF;
    int rc = add_base(r, &b);
    if (rc == 0) rc = buf_add_str(&b, hf ? "/api/models/" : "/api/v1/models/");
    if (rc == 0) rc = buf_add_str(&b, r->source->repo);
    if (rc == 0) rc = buf_add_str(&b, hf ? "/revision/" : "/repo/files?Recursive=true&Revision=");
    if (rc == 0) rc = http_url_add_escaped(&b, r->revision, false);
    if (rc == 0 && hf) rc = buf_add_str(&b, "?blobs=true");
    return take_url(&b, rc);
}

char *hub_repo_url(const struct hub_repo *r, const struct hub_file *f)
{
    struct buf b;
    const char *revision = r->listing.revision[0] ? r->listing.revision : r->revision;
    int rc = add_base(r, &b);
    if (rc == 0) rc = buf_add_str(&b, r->source->kind == HUB_HF ? "/" : "/models/");
    if (rc == 0) rc = buf_add_str(&b, r->source->repo);
    if (rc == 0) rc = buf_add_str(&b, "/resolve/");
    if (rc == 0) rc = http_url_add_escaped(&b, revision, false);
    if (rc == 0) rc = buf_add_char(&b, '/');
    if (rc == 0) rc = http_url_add_escaped(&b, f->path, true);
    return take_url(&b, rc);
}

char *hub_repo_origin(const struct hub_repo *r)
{
    struct buf b;
    const char *revision = r->listing.revision[0] ? r->listing.revision : r->revision;
    buf_init(&b, HTTP_URL_MAX);
    int rc = buf_printf(&b, "%s:%s@%s", r->source->kind == HUB_HF ? "hf" : "ms", r->source->repo, revision);
    if (rc == 0 && !r->choice.is_dir && r->choice.n) rc = buf_printf(&b, ":%s", r->choice.file[0]->path);
    return take_url(&b, rc);
}

static int get_listing(struct hub_repo *r, struct err *e)
{
    struct buf body;
    char *url = listing_url(r);
    buf_init(&body, HUB_MAX_ANSWER_BYTES);
    int rc = hub_get_text(r->net, url, r->credential, &body, e);
    const char *text = body.data ? body.data : "";
    if (rc == 0 && r->source->kind == HUB_HF)
        rc = hub_listing_parse_hf(&r->listing, text, body.len, r->source->text, e);
    else if (rc == 0)
        rc = hub_listing_parse_ms(&r->listing, text, body.len, r->source->text, e);
    buf_deinit(&body);
    mem_free(url);
    return rc;
}

int hub_repo_open(struct hub_repo *r, struct hub_net *net, const struct hub_source *source, struct err *e)
{
    bool hf = source->kind == HUB_HF;
    *r = (struct hub_repo){.source = source,
                           .net = net,
                           .endpoint = hf ? net->o->hf_endpoint : net->o->ms_endpoint,
                           .revision = source->revision ? source->revision
                                       : hf             ? "main"
                                                        : "master",
                           .credential =
                               hf ? hub_bearer(net->o->hf_token) : line_of("Cookie: m_session_id=", net->o->ms_token)};
    return get_listing(r, e);
}

void hub_repo_close(struct hub_repo *r)
{
    hub_choice_deinit(&r->choice);
    hub_listing_deinit(&r->listing);
    if (r->credential) explicit_bzero(r->credential, strlen(r->credential));
    mem_free(r->credential);
    r->credential = NULL;
}

int hub_repo_choose(struct hub_repo *r, struct err *e)
{
    struct buf text;
    int rc = hub_choose(&r->choice, &r->listing, r->source->text, r->source->selector, e);
    if (rc || !r->choice.index) return rc;
    char *url = hub_repo_url(r, r->choice.index);
    buf_init(&text, HUB_MAX_ANSWER_BYTES);
    rc = hub_get_text(r->net, url, r->credential, &text, e);
    if (rc == 0)
        rc = hub_choose_shards(&r->choice, &r->listing, r->source->text, text.data ? text.data : "", text.len, e);
    buf_deinit(&text);
    mem_free(url);
    return rc;
}
