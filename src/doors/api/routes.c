/* Routes: which request is answered by what. Owns authentication, states of the server (loading, draining), the limit
 * of the queue, and the short answers; completions are chat_client's matter. */
#include <string.h>

#include "doors/api/api_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { METRICS_MAX_BYTES = 1 << 20 };

const struct served *api_find_model(const struct api *a, const char *name)
{
    for (int i = 0; i < a->n_served; i++)
        if (str_eq(a->served[i]->name, name)) return a->served[i];
    return NULL;
}

/* --- health, models, metrics --- */

static json_t *lane_json(const struct api *a, const struct lane *lane)
{
    struct engine_stats s;
    engine_get_stats(lane->engine, &s);
    const char *name = "";
    for (int i = a->n_served; i-- > 0;)
        if (a->served[i]->lane == lane) name = a->served[i]->name;
    return json_pack("{s:s, s:i, s:i, s:i, s:i}", "id", name, "running", s.n_running, "waiting", s.n_waiting,
                     "kv_pages", s.n_page, "kv_pages_free", s.n_page_free);
}

static void handle_health(struct api *a, struct http_request *r)
{
    static const char *const name[] = {"loading", "ok", "draining"};
    int state = atomic_load(&a->state);
    json_t *models = json_array();
    for (int i = 0; state != API_LOADING && i < a->n_lane; i++) json_array_append_new(models, lane_json(a, a->lane[i]));
    api_json_reply(r, state == API_SERVING ? 200 : 503,
                   json_pack("{s:s, s:o}", "status", name[state], "models", models));
}

static json_t *model_json(const struct api *a, const struct served *m)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:s}", "id", m->name, "object", "model", "created", (json_int_t)a->started_s,
                          "owned_by", "tailor");
    if (m->base) json_object_set_new(o, "parent", json_string(m->base->name));
    return o;
}

static void handle_models(struct api *a, struct http_request *r)
{
    json_t *list = json_array();
    for (int i = 0; i < a->n_served; i++) json_array_append_new(list, model_json(a, a->served[i]));
    api_json_reply(r, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

static void handle_model(struct api *a, struct http_request *r)
{
    struct api_error x;
    const char *name = http_path(r) + strlen("/v1/models/");
    const struct served *m = api_find_model(a, name);
    if (m) {
        api_json_reply(r, 200, model_json(a, m));
        return;
    }
    (void)api_error_set(&x, 404, "model_not_found", "model", "cannot find the model \"%.128s\"", name);
    api_error_reply(r, &x);
}

static int write_metrics(const struct api *a, struct buf *out)
{
    int rc = buf_printf(out, "tailor_requests_total %llu\ntailor_clients_left_total %llu\n",
                        (unsigned long long)atomic_load(&a->n_request), (unsigned long long)atomic_load(&a->n_left));
    for (int i = 0; i < a->n_lane && !rc; i++) {
        struct engine_stats s;
        engine_get_stats(a->lane[i]->engine, &s);
        rc = buf_printf(
            out,
            "tailor_sequences_running{engine=\"%d\"} %d\ntailor_sequences_waiting{engine=\"%d\"} %d\n"
            "tailor_kv_pages{engine=\"%d\"} %d\ntailor_kv_pages_free{engine=\"%d\"} %d\n"
            "tailor_steps_total{engine=\"%d\"} %llu\ntailor_prompt_tokens_total{engine=\"%d\"} %llu\n"
            "tailor_cached_tokens_total{engine=\"%d\"} %llu\ntailor_answer_tokens_total{engine=\"%d\"} %llu\n"
            "tailor_preemptions_total{engine=\"%d\"} %llu\n",
            i, s.n_running, i, s.n_waiting, i, s.n_page, i, s.n_page_free, i, (unsigned long long)s.n_step, i,
            (unsigned long long)s.n_prompt_tok, i, (unsigned long long)s.n_cached_tok, i,
            (unsigned long long)s.n_answer_tok, i, (unsigned long long)s.n_preempted);
    }
    return rc;
}

static void handle_metrics(struct api *a, struct http_request *r)
{
    struct buf text;
    buf_init(&text, METRICS_MAX_BYTES);
    int rc = write_metrics(a, &text);
    http_reply(r, rc ? 500 : 200, "text/plain; version=0.0.4", rc ? "" : text.data, rc ? 0 : text.len);
    buf_deinit(&text);
}

/* --- chat completions --- */

static int check_queue(const struct api *a, const struct served *m, struct api_error *x)
{
    struct engine_stats s;
    engine_get_stats(m->lane->engine, &s);
    if (s.n_waiting < a->max_queue) return 0;
    return api_error_set(x, 429, "queue_full", NULL, "cannot take the request now: %d wait already, at most %d may",
                         s.n_waiting, a->max_queue);
}

static void handle_chat(struct api *a, struct http_request *r)
{
    struct api_error x;
    struct chat_request q;
    size_t n;
    const char *body = http_body(r, &n);
    int rc = chat_request_parse(&q, a, body, n, &x);
    if (!rc) rc = check_queue(a, q.model, &x);
    if (!rc) rc = chat_client_start(a, r, &q, &x);
    if (rc) api_error_reply(r, &x);
    chat_request_deinit(&q);
}

/* --- dispatch --- */

struct route {
    const char *method, *path;
    bool prefix; /* path is the beginning of the request's */
    bool open;   /* without a key, and while loading or draining */
    void (*handle)(struct api *a, struct http_request *r);
};

static const struct route routes[] = {
    {"GET", "/health", false, true, handle_health},
    {"GET", "/v1/models", false, false, handle_models},
    {"GET", "/v1/models/", true, false, handle_model},
    {"GET", "/metrics", false, false, handle_metrics},
    {"POST", "/v1/chat/completions", false, false, handle_chat},
    {"POST", "/v1/embeddings", false, false, api_handle_embeddings},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < N_ELEM(routes); i++)
        if (routes[i].prefix ? str_starts(path, routes[i].path) : str_eq(path, routes[i].path)) return &routes[i];
    return NULL;
}

static bool method_fits(const struct route *route, const char *method)
{
    return str_eq(method, route->method) || (str_eq(route->method, "GET") && str_eq(method, "HEAD"));
}

/* Whether the route may be taken now; else *x says why not. */
static int check_route(struct api *a, struct http_request *r, const struct route *route, struct api_error *x)
{
    const char *method = http_method(r), *path = http_path(r);
    if (!route)
        return api_error_set(x, 404, "not_found", NULL, "cannot find \"%.200s\": there is no such address", path);
    if (!method_fits(route, method)) {
        http_add_header(r, "Allow", str_eq(route->method, "GET") ? "GET, HEAD" : route->method);
        return api_error_set(x, 405, "method_not_allowed", NULL, "cannot use %.20s on %s: %s is needed", method,
                             route->path, route->method);
    }
    if (route->open) return 0;
    if (!api_key_good(a, http_header(r, "Authorization")))
        return api_error_set(x, 401, "invalid_api_key", NULL,
                             "cannot accept the request: a valid API key is needed (Authorization: Bearer KEY)");
    int state = atomic_load(&a->state);
    if (state == API_SERVING) return 0;
    return api_error_set(x, 503, state == API_LOADING ? "loading" : "draining", NULL,
                         "cannot take requests: the server is %s", state == API_LOADING ? "loading" : "ending");
}

void api_handle(void *arg, struct http_request *r)
{
    struct api *a = arg;
    struct api_error x;
    const struct route *route = find_route(http_path(r));
    atomic_fetch_add(&a->n_request, 1);
    if (check_route(a, r, route, &x))
        api_error_reply(r, &x);
    else
        route->handle(a, r);
}

void api_handle_too_large(void *arg, struct http_request *r)
{
    struct api *a = arg;
    struct api_error x;
    atomic_fetch_add(&a->n_request, 1);
    (void)api_error_set(&x, 413, "body_too_large", NULL, "cannot take a request body of more than %zu bytes",
                        http_max_body(r));
    api_error_reply(r, &x);
}

void api_handle_malformed(void *arg, struct http_request *r)
{
    struct api *a = arg;
    struct api_error x;
    atomic_fetch_add(&a->n_request, 1);
    (void)api_error_set(&x, 400, "malformed", NULL,
                        "cannot read the request: Content-Length or Transfer-Encoding must be given, and only once");
    api_error_reply(r, &x);
}
