/* pull: a model from a hub, an address or an OCI layout folder becomes a version in the registry. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "doors/cli/cli.h"
#include "doors/cli/cli_hub.h"
#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/hub/pull.h"

extern const struct command cmd_pull;

enum { TOKEN_MAX_BYTES = 4096 };

/* clang-format off */
static const struct param params[] = {
    {"source", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "SOURCE",
     "hf:org/repo[@revision][:file] or ms:org/repo (the file may be a quantization such as Q4_K_M), an https address, or an "
     "OCI layout folder[:tag]",
     "hf:组织/仓库[@版本][:文件] 或 ms:组织/仓库（文件处可写量化类型，如 Q4_K_M）、https 地址，或 OCI 布局目录[:标签]"},
    {"name", PARAM_STRING, PARAM_POSITIONAL, NULL, 0, 0, NULL, NULL, "NAME",
     "name in the registry (default: from the source)", "注册名（默认取自来源）"},
    {"list", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "show what the repository holds and what would be fetched; fetch nothing", "列出仓库的文件及将要下载的部分，不下载"},
    {"sha256", PARAM_LIST, 0, NULL, 0, 0, NULL, NULL, "HEX",
     "what an address must lead to; for a split, one for each part", "地址所指文件应有的 SHA-256；分卷时每卷一个"},
    {"token_file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "file with the access token (HF_TOKEN, MODELSCOPE_API_TOKEN; TAILOR_HF_TOKEN_FILE, TAILOR_MS_TOKEN_FILE)",
     "访问令牌所在文件（HF_TOKEN、MODELSCOPE_API_TOKEN；TAILOR_HF_TOKEN_FILE、TAILOR_MS_TOKEN_FILE）"},
    {"hf_endpoint", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "URL",
     "base address for hf: (TAILOR_HF_ENDPOINT, HF_ENDPOINT; https://huggingface.co)",
     "hf: 的基地址（TAILOR_HF_ENDPOINT、HF_ENDPOINT；https://huggingface.co）"},
    {"ms_endpoint", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "URL",
     "base address for ms: (TAILOR_MS_ENDPOINT; https://modelscope.cn)",
     "ms: 的基地址（TAILOR_MS_ENDPOINT；https://modelscope.cn）"},
    {"ca_file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "certificates to trust instead of the system's (TAILOR_CA_FILE)", "代替系统证书的受信任证书（TAILOR_CA_FILE）"},
    {"connections", PARAM_INT, 0, NULL, 1, 64, NULL, "4", "N", "parts of a file fetched at once", "同时下载的文件段数"},
    {"timeout", PARAM_INT, 0, "s", 1, 3600, NULL, "30", "N",
     "to connect, and without data, before an attempt is given up", "连接超时；无数据超过此时间即放弃本次尝试"},
    {"retries", PARAM_INT, 0, NULL, 0, 100, NULL, "5", "N",
     "after attempts in a row that brought nothing", "连续无进展时的重试次数"},
};
/* clang-format on */

/* A token is one word; anything else would be another header line. */
static int check_token(const char *token, const char *from, struct err *e)
{
    bool good = *token != '\0';
    for (const char *c = token; *c; c++) good &= (unsigned char)*c > 0x20 && (unsigned char)*c < 0x7f;
    return good ? 0
                : err_set(e, ERR_INPUT, from, "cannot use the token of %s: one word of printable characters is needed",
                          from);
}

static int read_token(const char *path, char **token, struct err *e)
{
    char *text;
    size_t n;
    struct stat st;
    int rc = file_read_all(path, TOKEN_MAX_BYTES, &text, &n, e);
    if (rc) return rc;
    if (stat(path, &st) == 0 && st.st_mode & 077)
        log_warn("token file \"%s\" can be read by other users; chmod 600 helps", path);
    size_t from = strspn(text, " \t\r\n");
    while (n > from && strchr(" \t\r\n", text[n - 1])) text[--n] = '\0';
    char quoted[300];
    snprintf(quoted, sizeof quoted, "\"%.250s\"", path);
    rc = check_token(text + from, quoted, e);
    if (rc == 0) *token = mem_strdup(text + from);
    explicit_bzero(text, n);
    mem_free(text);
    return rc;
}

/* Tokens of this run; each NULL or to be freed. */
struct tokens {
    char *hf, *ms, *address;
};

/* The environment's token, else that of the file which the settings name. */
static int setting_token(const char *value, const char *from, const char *file, char **token, struct err *e)
{
    if (!value || !*value) return file && *file ? read_token(file, token, e) : 0;
    int rc = check_token(value, from, e);
    if (rc == 0) *token = mem_strdup(value);
    return rc;
}

/* Only the token that the source needs is read. The environment's tokens are for hubs, never for an address. */
static int find_tokens(const struct cli *c, const struct param_set *args, struct tokens *t, struct err *e)
{
    const char *file = param_str(args, "token_file"), *source = param_str(args, "source");
    bool hf = str_starts(source, "hf:"), ms = str_starts(source, "ms:");
    if (file) return read_token(file, hf ? &t->hf : ms ? &t->ms : &t->address, e);
    if (hf)
        return setting_token(param_str(c->settings, "hf_token"), "HF_TOKEN", param_str(c->settings, "hf_token_file"),
                             &t->hf, e);
    if (ms)
        return setting_token(param_str(c->settings, "ms_token"), "MODELSCOPE_API_TOKEN",
                             param_str(c->settings, "ms_token_file"), &t->ms, e);
    return 0;
}

static void forget(char *token)
{
    if (token) explicit_bzero(token, strlen(token));
    mem_free(token);
}

static void fill_options(const struct cli *c, const struct param_set *args, const struct tokens *t, const char **sha256,
                         struct hub_options *o)
{
    o->hf_endpoint = param_str(param_is_set(args, "hf_endpoint") ? args : c->settings, "hf_endpoint");
    o->ms_endpoint = param_str(param_is_set(args, "ms_endpoint") ? args : c->settings, "ms_endpoint");
    o->ca_file = param_str(param_is_set(args, "ca_file") ? args : c->settings, "ca_file");
    o->hf_token = t->hf;
    o->ms_token = t->ms;
    o->token = t->address;
    o->timeout_s = (int)param_int(args, "timeout");
    o->n_retry = (int)param_int(args, "retries");
    o->n_connection = (int)param_int(args, "connections");
    o->n_sha256 = param_count(args, "sha256");
    for (size_t i = 0; i < o->n_sha256; i++) sha256[i] = param_str_at(args, "sha256", i);
    o->sha256 = sha256;
}

static void print_list(const struct cli *c, json_t *list)
{
    char size[32];
    const json_t *files = json_object_get(list, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i), *bytes = json_object_get(f, "bytes");
        snprintf(size, sizeof size, "?");
        if (json_is_integer(bytes)) str_format_bytes((uint64_t)json_integer_value(bytes), size, sizeof size);
        printf("%s %10s  %s\n", json_is_true(json_object_get(f, "chosen")) ? "*" : " ", size,
               json_string_value(json_object_get(f, "path")));
    }
    str_format_bytes((uint64_t)json_integer_value(json_object_get(list, "bytes")), size, sizeof size);
    printf(cli_text(c, "* would be fetched: %s\n", "* 将下载：%s\n"), size);
}

static int list(const struct cli *c, const char *source, const struct hub_options *o, struct err *e)
{
    json_t *files;
    int rc = hub_list(o, source, &files, e);
    if (rc) return rc;
    if (c->json) {
        cli_print_json(files);
        return 0;
    }
    print_list(c, files);
    json_decref(files);
    return 0;
}

static int pull(const struct cli *c, const struct param_set *args, struct cli_hub *hub, struct err *e)
{
    struct registry *registry;
    struct registered r;
    int rc = registry_open(&registry, c->home, e);
    if (rc) return rc;
    rc = hub_pull(&hub->options, registry, c->home, param_str(args, "source"), param_str(args, "name"), &r, e);
    cli_hub_end(hub);
    if (rc == 0) cli_hub_print(c, &r);
    registry_close(registry);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct tokens t = {NULL, NULL, NULL};
    struct cli_hub hub;
    const char **sha256 = mem_alloc((param_count(args, "sha256") + 1) * sizeof *sha256);
    int rc = find_tokens(c, args, &t, e);
    cli_hub_begin(&hub, c);
    fill_options(c, args, &t, sha256, &hub.options);
    if (rc == 0 && param_bool(args, "list"))
        rc = list(c, param_str(args, "source"), &hub.options, e);
    else if (rc == 0)
        rc = pull(c, args, &hub, e);
    mem_free(sha256);
    forget(t.hf);
    forget(t.ms);
    forget(t.address);
    return rc;
}

const struct command cmd_pull = {
    .name = "pull",
    .summary_en = "get a model from a hub, an address or an OCI layout folder",
    .summary_zh = "从模型站、网址或 OCI 布局目录获取模型",
    .usage = "SOURCE [NAME] [--list] [--token-file FILE] [--hf-endpoint URL] ...",
    .example = "tailor pull hf:org/repo:Q4_K_M my-model",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
