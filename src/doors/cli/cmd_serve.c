/* serve: models and adapters behind the HTTP API until SIGTERM. Owns which names are served and how much memory their
 * caches take; requests are the API's matter. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "doors/api/api.h"
#include "doors/cli/cli_embedder.h"
#include "doors/cli/cli_engine.h"
#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

/* Pages of keys and values of one model take at most this, and at most half of what is free, but always hold one whole
 * context. */
#define KV_MAX_BYTES (UINT64_C(1) << 30)

static const struct param params[] = {
    {"model", PARAM_STRING, PARAM_REPEAT | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "M[,name=N]",
     "model to serve, and the name it is asked for by", "要提供的模型及其名称"},
    {"adapter", PARAM_STRING, PARAM_REPEAT, NULL, 0, 0, NULL, NULL, "A,name=N[,model=M]",
     "adapter to serve under a name of its own, on the model named M (the first one when not given)",
     "以独立名称提供的适配器，叠加在名为 M 的模型上（不给则为第一个）"},
    {"host", PARAM_STRING, 0, NULL, 0, 0, NULL, "127.0.0.1", "ADDRESS", "address to listen on", "监听地址"},
    {"port", PARAM_INT, 0, NULL, 0, 65535, NULL, "8321", "N", "port to listen on; 0: any free one",
     "监听端口；0 为任意空闲端口"},
    {"api_key_file", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", "accepted API keys, one a line",
     "允许的 API 密钥，每行一个"},
    {"ctx", PARAM_INT, 0, "tokens", 2, 1048576, NULL, NULL, "N", "longest prompt and answer together",
     "提示词与回答合计的最大长度"},
    {"max_batch", PARAM_INT, 0, "sequences", 1, 1024, NULL, "16", "N", "answers that are computed together",
     "同时计算的回答数"},
    {"max_queue", PARAM_INT, 0, "requests", 1, 65536, NULL, "256", "N", "requests that may wait; more get status 429",
     "可排队的请求数；超过则返回 429"},
    {"max_body", PARAM_INT, 0, "bytes", 1024, 1073741824, NULL, "16777216", "N", "largest request body",
     "请求体的最大字节数"},
    {"drain_s", PARAM_FLOAT, 0, "s", 0, 86400, NULL, "30", "X", "time to finish running answers at the end",
     "结束时留给进行中回答的时间"},
};

/* A served model, with its engine and the adapters on it. */
struct stand {
    char *name;
    struct cli_model model;
    struct engine *engine;     /* NULL: a model that only embeds */
    struct cli_embedder embed; /* this one */
};

struct hall {
    const struct cli *c;
    const struct param_set *args;
    struct dev *dev;
    struct api *api;
    struct stand *stand;
    size_t n_stand;
    struct adapter **adapter;
    size_t n_adapter;
};

/* "M[,name=N]" in two parts (mem_free both). The name of a path is its last component without .gguf. */
static int split_model(const char *text, char **model, char **name, struct err *e)
{
    const char *comma = strchr(text, ',');
    if (comma && (!str_starts(comma, ",name=") || !comma[6] || strchr(comma + 1, ',')))
        return err_set(e, ERR_USAGE, text, "cannot use model \"%s\": M or M,name=NAME is needed", text);
    *model = mem_strndup(text, comma ? (size_t)(comma - text) : strlen(text));
    size_t len = strlen(*model);
    while (len > 1 && (*model)[len - 1] == '/') (*model)[--len] = '\0';
    *name = mem_strdup(comma ? comma + 6 : path_base(*model));
    if (!comma && str_ends(*name, ".gguf")) (*name)[strlen(*name) - 5] = '\0';
    return 0;
}

static int make_engine(const struct hall *h, struct stand *s, struct err *e)
{
    struct engine_options opt = {.max_batch = (int)param_int(h->args, "max_batch"), .prefix_cache = true};
    const struct model_params *p = model_params(s->model.model);
    int trained = p->n_ctx_train > 1 ? p->n_ctx_train : 8192;
    opt.n_ctx = param_is_set(h->args, "ctx") ? (int)param_int(h->args, "ctx") : trained < 8192 ? trained : 8192;
    uint64_t half = dev_memory_free(h->dev) / 2;
    opt.max_kv_bytes = half < KV_MAX_BYTES ? half : KV_MAX_BYTES;
    return engine_new(&s->engine, s->model.model, s->model.tok, &opt, e);
}

/* A model that can do nothing but embed. */
static int add_embedder(struct hall *h, struct stand *s, const char *path, struct err *e)
{
    int rc = cli_embedder_open(&s->embed, h->c, h->dev, path, NULL, e);
    if (!rc) rc = api_add_embedder(h->api, s->name, s->embed.embedder, e);
    if (!rc) log_info("model \"%s\" loaded, it embeds texts", s->name);
    return rc;
}

static int add_model(struct hall *h, const char *text, struct err *e)
{
    char *path = NULL;
    struct stand *s = &h->stand[h->n_stand];
    int rc = split_model(text, &path, &s->name, e);
    if (rc) return rc;
    h->n_stand++;
    if (cli_is_encoder(h->c, path)) {
        rc = add_embedder(h, s, path, e);
        mem_free(path);
        return rc;
    }
    rc = cli_model_open(&s->model, h->c, h->dev, path, e);
    mem_free(path);
    if (!rc) rc = cli_model_check_text(&s->model, e);
    if (!rc) rc = make_engine(h, s, e);
    if (rc) return rc;
    const struct api_model m = {.name = s->name, .engine = s->engine, .tok = s->model.tok, .chat = s->model.chat};
    rc = api_add_model(h->api, &m, e);
    if (!rc) log_info("model \"%s\" loaded in %.2f s", s->name, s->model.load_s);
    return rc;
}

static struct stand *find_stand(struct hall *h, const char *name)
{
    for (size_t i = 0; i < h->n_stand; i++)
        if (!name || str_eq(h->stand[i].name, name)) return &h->stand[i];
    return NULL;
}

static int add_parsed_adapter(struct hall *h, const struct cli_adapter *a, const char *text, struct err *e)
{
    struct stand *s = find_stand(h, a->model);
    if (!a->name) return err_set(e, ERR_USAGE, text, "cannot serve adapter \"%s\": a name is needed (A,name=N)", text);
    if (!s)
        return err_set(e, ERR_USAGE, text, "cannot serve adapter \"%s\": no model is served as \"%s\"", text, a->model);
    if (!s->engine)
        return err_set(e, ERR_USAGE, text, "cannot serve the adapter \"%s\": \"%s\" only embeds", a->name, s->name);
    int rc = cli_adapter_load(h->c, a, &s->model, &h->adapter[h->n_adapter], e);
    if (rc) return rc;
    int idx = engine_add_adapter(s->engine, h->adapter[h->n_adapter++], e);
    return idx < 0 ? idx : api_add_adapter(h->api, s->name, a->name, idx, e);
}

static int add_adapter(struct hall *h, const char *text, struct err *e)
{
    struct cli_adapter a;
    int rc = cli_adapter_parse(&a, text, e);
    if (rc) return rc;
    rc = add_parsed_adapter(h, &a, text, e);
    cli_adapter_deinit(&a);
    return rc;
}

static int load_all(struct hall *h, struct err *e)
{
    size_t n_model = param_count(h->args, "model"), n_adapter = param_count(h->args, "adapter");
    int rc = cli_device(h->c, &h->dev, e);
    h->stand = mem_alloc((n_model + 1) * sizeof(*h->stand));
    h->adapter = mem_alloc((n_adapter + 1) * sizeof(*h->adapter));
    for (size_t i = 0; i < n_model && !rc; i++) rc = add_model(h, param_str_at(h->args, "model", i), e);
    for (size_t i = 0; i < n_adapter && !rc; i++) rc = add_adapter(h, param_str_at(h->args, "adapter", i), e);
    return rc;
}

static void close_hall(struct hall *h)
{
    api_stop(h->api);
    for (size_t i = 0; i < h->n_stand; i++) engine_free(h->stand[i].engine);
    for (size_t i = 0; i < h->n_adapter; i++) adapter_free(h->adapter[i]);
    for (size_t i = 0; i < h->n_stand; i++) {
        cli_embedder_close(&h->stand[i].embed);
        cli_model_close(&h->stand[i].model);
        mem_free(h->stand[i].name);
    }
    mem_free(h->stand);
    mem_free(h->adapter);
    dev_free(h->dev);
}

static int start_api(struct hall *h, struct err *e)
{
    char **key = NULL;
    size_t n_key = 0;
    const char *file = param_str(h->args, "api_key_file");
    int rc = file ? api_keys_load(file, &key, &n_key, e) : 0;
    if (rc) return rc;
    struct api_options opt = {.host = param_str(h->args, "host"),
                              .port = (int)param_int(h->args, "port"),
                              .key = (const char *const *)key,
                              .n_key = n_key,
                              .max_body_bytes = (size_t)param_int(h->args, "max_body"),
                              .max_queue = (int)param_int(h->args, "max_queue")};
    rc = api_start(&h->api, &opt, e);
    for (size_t i = 0; i < n_key; i++) mem_free(key[i]);
    mem_free(key);
    return rc;
}

static void print_address(const struct hall *h)
{
    const char *host = param_str(h->args, "host");
    char address[320];
    snprintf(address, sizeof(address), strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, api_port(h->api));
    if (h->c->json)
        cli_print_json(json_pack("{s:s, s:i}", "listening", address, "port", api_port(h->api)));
    else
        printf("listening on %s\n", address);
    fflush(stdout);
}

/* Until SIGINT or SIGTERM; a signal ends the wait early. */
static void serve_until_signal(struct hall *h)
{
    while (!cli_interrupted()) (void)poll(NULL, 0, 200);
    int left = api_drain(h->api, param_float(h->args, "drain_s"));
    if (left) log_warn("%d answers were cut off after %.0f s", left, param_float(h->args, "drain_s"));
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct hall h = {.c = c, .args = args};
    int rc = start_api(&h, e);
    if (!rc) rc = load_all(&h, e);
    if (!rc) rc = api_ready(h.api, e);
    if (!rc) {
        print_address(&h);
        serve_until_signal(&h);
    }
    close_hall(&h);
    return rc;
}

const struct command cmd_serve = {
    .name = "serve",
    .summary_en = "serve models over HTTP, compatible with OpenAI's API",
    .summary_zh = "通过 HTTP 提供模型服务，兼容 OpenAI API",
    .usage =
        "--model M[,name=N]... [--adapter A,name=N[,model=M]]... [--host ADDRESS] [--port N] [--api-key-file FILE]",
    .example = "tailor serve --model model.gguf,name=assistant --port 8321",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
