/* Parsing SOURCE. Owns the parts. What always holds: organization and repository are two plain names, a revision and a
 * file are safe to put into a path. */
#include "lifecycle/hub/source.h"

#include <string.h>

#include "ground/archive/archive_name.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_url.h"

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static int wrong(const char *text, struct err *e)
{
    return err_set(e, ERR_USAGE, text,
                   "cannot pull \"%.200s\": a source is hf:org/repo[:file], ms:org/repo[:file], an https address or an "
                   "OCI layout folder; files and directories are taken with `tailor import`",
                   text);
}

/* A name for the registry: no longer than one, of its characters. */
static void set_name(struct hub_source *s, const char *from, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n && len < 100; i++) s->name[len++] = strchr(name_chars, from[i]) ? from[i] : '-';
    s->name[len] = '\0';
    if (len == 0 || s->name[0] == '.' || s->name[0] == '-') s->name[0] = '_';
    if (len == 0) s->name[1] = '\0';
}

static bool is_repo(const char *s)
{
    size_t org = strspn(s, name_chars), repo = s[org] == '/' ? strspn(s + org + 1, name_chars) : 0;
    return org > 0 && repo > 0 && !s[org + 1 + repo] && strlen(s) <= 200 && archive_name_is_safe(s);
}

/* What stands behind the first of a character goes into *tail. */
static void cut_tail(char *s, char c, char **tail)
{
    char *at = strchr(s, c);
    if (!at) return;
    *tail = mem_strdup(at + 1);
    *at = '\0';
}

static int parse_repo(struct hub_source *s, const char *rest, struct err *e)
{
    s->repo = mem_strdup(rest);
    cut_tail(s->repo, ':', &s->selector);
    cut_tail(s->repo, '@', &s->revision);
    if (!is_repo(s->repo)) return wrong(s->text, e);
    if (s->revision && (strlen(s->revision) > 200 || !archive_name_is_safe(s->revision)))
        return err_set(e, ERR_USAGE, s->text, "cannot pull \"%.200s\": a branch, tag or commit is needed behind @",
                       s->text);
    if (s->selector && !archive_name_is_safe(s->selector))
        return err_set(
            e, ERR_USAGE, s->text,
            "cannot pull \"%.200s\": a file of the repository or a quantization is needed behind :", s->text);
    const char *base = path_base(s->repo);
    set_name(s, base, strlen(base));
    return 0;
}

static int parse_address(struct hub_source *s, struct err *e)
{
    struct http_url url;
    int rc = http_url_parse(s->text, &url, e);
    if (rc) return rc;
    size_t n = strlen(url.base);
    static const char *const ending[] = {".gguf", ".whl", ".zip", ".tar"};
    for (size_t i = 0; i < N_ELEM(ending); i++)
        if (str_ends(url.base, ending[i])) n = strlen(url.base) - strlen(ending[i]);
    size_t split = strlen("-00001-of-00003");
    if (n > split && str_ends(url.base, ".gguf") && url.base[n - split] == '-' &&
        memcmp(url.base + n - strlen("-of-00003"), "-of-", 4) == 0)
        n -= split;
    set_name(s, n ? url.base : url.host, n ? n : strlen(url.host));
    return 0;
}

static bool is_layout(const char *dir)
{
    char *marker = path_join(dir, "oci-layout");
    bool is = file_exists(marker);
    mem_free(marker);
    return is;
}

/* DIR or DIR:TAG; a directory whose name has a colon is taken whole. */
static int parse_folder(struct hub_source *s, struct err *e)
{
    s->kind = HUB_OCI;
    s->repo = mem_strdup(s->text);
    char *colon = is_layout(s->repo) ? NULL : strrchr(s->repo, ':');
    if (colon) {
        s->selector = mem_strdup(colon + 1);
        *colon = '\0';
    }
    if (!is_layout(s->repo)) return wrong(s->text, e);
    size_t n = strlen(s->repo);
    while (n > 1 && s->repo[n - 1] == '/') n--;
    char *dir = mem_strndup(s->repo, n);
    set_name(s, path_base(dir), strlen(path_base(dir)));
    mem_free(dir);
    return 0;
}

int hub_source_parse(struct hub_source *s, const char *text, struct err *e)
{
    *s = (struct hub_source){.text = mem_strdup(text)};
    s->kind = str_starts(text, "ms:") ? HUB_MS : HUB_HF;
    if (str_starts(text, "hf:") || str_starts(text, "ms:")) return parse_repo(s, text + 3, e);
    s->kind = HUB_ADDRESS;
    if (strstr(text, "://")) return parse_address(s, e);
    return parse_folder(s, e);
}

void hub_source_deinit(struct hub_source *s)
{
    mem_free(s->text);
    mem_free(s->repo);
    mem_free(s->revision);
    mem_free(s->selector);
    *s = (struct hub_source){.kind = HUB_HF};
}
