/* POST /v1/embeddings: a request becomes a job, jobs wait in a queue, one thread takes them and gives the answers back
 * to the server's thread. It takes turns on the device with the engines, a few texts a turn, so that a long list of
 * texts does not hold up answers that are being written.
 *
 * What always holds: a job has two references, one of the connection (until done) and one of the queue (until it was
 * worked on); a client that leaves is noticed between turns. */
#include <stdlib.h>
#include <string.h>

#include "doors/api/api_int.h"
#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { TURN_TEXTS = 8, MAX_TEXTS = 2048, MAX_DIMENSIONS = 1 << 16 };

struct embed_job {
    pthread_mutex_t lock;
    int n_ref;
    const struct served *model;
    json_t *body; /* holds the texts */
    struct embedder_text *text;
    size_t n_text, n_tok;
    int n_embd;
    bool base64, left, ended;
    float *out;
    int rc;
    struct err err;
    struct http_request *http; /* NULL when the connection is done */
    struct api *api;
    struct embed_job *next; /* in the queue */
};

static void drop(struct embed_job *j)
{
    pthread_mutex_lock(&j->lock);
    bool last = --j->n_ref == 0;
    pthread_mutex_unlock(&j->lock);
    if (!last) return;
    pthread_mutex_destroy(&j->lock);
    json_decref(j->body);
    mem_free(j->text);
    mem_free(j->out);
    mem_free(j);
}

/* --- the request --- */

static int take_model(struct embed_job *j, const json_t *v, struct api_error *x)
{
    if (!json_is_string(v))
        return api_error_set(x, 400, "invalid_type", "model", "cannot answer: model must be a string, not %s",
                             json_kind(v));
    j->model = api_find_model(j->api, json_string_value(v));
    if (!j->model)
        return api_error_set(x, 404, "model_not_found", "model",
                             "cannot find the model \"%.128s\": /v1/models lists those there are",
                             json_string_value(v));
    if (!j->model->embedder)
        return api_error_set(x, 400, "unsupported", "model", "cannot embed with \"%s\": it is no embedding model",
                             j->model->name);
    j->n_embd = embedder_n_embd(j->model->embedder);
    return 0;
}

static int take_input(struct embed_job *j, const json_t *v, struct api_error *x)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n == 0 || n > MAX_TEXTS)
        return api_error_set(x, 400, "invalid_value", "input", "cannot use input: 1 to %d texts are needed, not %zu",
                             MAX_TEXTS, n);
    j->text = mem_alloc(n * sizeof(*j->text));
    for (size_t i = 0; i < n; i++) {
        const json_t *t = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(t))
            return api_error_set(x, 400, "invalid_type", "input",
                                 "cannot use input: a string or a list of strings is needed, not %s",
                                 json_is_array(v) ? "a list with something else" : json_kind(t));
        j->text[i] = (struct embedder_text){json_string_value(t), json_string_length(t)};
    }
    j->n_text = n;
    return 0;
}

static int take_format(struct embed_job *j, const json_t *v, struct api_error *x)
{
    const char *s = json_string_value(v);
    if (!str_eq(s, "float") && !str_eq(s, "base64"))
        return api_error_set(x, 400, "invalid_value", "encoding_format",
                             "cannot use encoding_format: \"float\" or \"base64\" is needed");
    j->base64 = str_eq(s, "base64");
    return 0;
}

static int take_dimensions(struct embed_job *j, const json_t *v, struct api_error *x)
{
    int max = embedder_n_embd(j->model->embedder);
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max)
        return api_error_set(x, 400, "invalid_value", "dimensions", "cannot use dimensions: 1 to %d are there", max);
    j->n_embd = (int)json_integer_value(v);
    return 0;
}

static int take_body(struct embed_job *j, struct api_error *x)
{
    const char *key;
    json_t *value;
    if (!json_is_object(j->body))
        return api_error_set(x, 400, "invalid_type", NULL, "cannot use the request body: an object is needed, not %s",
                             json_kind(j->body));
    int rc = take_model(j, json_object_get(j->body, "model"), x);
    if (!rc) rc = take_input(j, json_object_get(j->body, "input"), x);
    json_object_foreach(j->body, key, value)
    {
        if (rc || json_is_null(value) || str_eq(key, "model") || str_eq(key, "input") || str_eq(key, "user")) continue;
        if (str_eq(key, "encoding_format"))
            rc = take_format(j, value, x);
        else if (str_eq(key, "dimensions"))
            rc = take_dimensions(j, value, x);
        else
            rc = api_error_set(x, 400, "unsupported_parameter", key,
                               "cannot use the parameter \"%.60s\": it is not supported", key);
    }
    return rc;
}

/* --- the answer --- */

/* RFC 4648, of little-endian float32. */
static json_t *base64_json(const float *v, int n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n_byte = (size_t)n * sizeof(*v), out = 0;
    unsigned char *byte = mem_alloc(n_byte + 2); /* zeros behind */
    char *text = mem_alloc(n_byte / 3 * 4 + 8);
    memcpy(byte, v, n_byte);
    for (size_t i = 0; i < n_byte; i += 3) {
        unsigned w = (unsigned)byte[i] << 16 | (unsigned)byte[i + 1] << 8 | byte[i + 2];
        for (int k = 0; k < 4; k++) text[out++] = i + (size_t)k > n_byte ? '=' : digit[w >> (18 - 6 * k) & 63];
    }
    json_t *j = json_stringn(text, out);
    mem_free(byte);
    mem_free(text);
    return j;
}

static json_t *floats_json(const float *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real((double)v[i]));
    return list;
}

static json_t *answer_json(const struct embed_job *j)
{
    json_t *data = json_array();
    for (size_t i = 0; i < j->n_text; i++) {
        const float *v = j->out + i * (size_t)j->n_embd;
        json_t *vector = j->base64 ? base64_json(v, j->n_embd) : floats_json(v, j->n_embd);
        json_array_append_new(
            data, json_pack("{s:s, s:I, s:o}", "object", "embedding", "index", (json_int_t)i, "embedding", vector));
    }
    return json_pack("{s:s, s:o, s:s, s:{s:I, s:I}}", "object", "list", "data", data, "model", j->model->name, "usage",
                     "prompt_tokens", (json_int_t)j->n_tok, "total_tokens", (json_int_t)j->n_tok);
}

static void on_ready(void *arg, struct http_request *r)
{
    struct embed_job *j = arg;
    struct api_error x;
    pthread_mutex_lock(&j->lock);
    bool ended = j->ended;
    pthread_mutex_unlock(&j->lock);
    if (!ended) return;
    if (!j->rc) {
        api_json_reply(r, 200, answer_json(j));
        return;
    }
    if (j->rc == -ERR_INTERRUPTED)
        (void)api_error_set(&x, 503, "draining", NULL, "cannot finish the answer: the server is ending");
    else
        (void)api_error_from(&x, &j->err, "input");
    api_error_reply(r, &x);
}

static void on_left(void *arg)
{
    struct embed_job *j = arg;
    pthread_mutex_lock(&j->lock);
    if (!j->ended) atomic_fetch_add(&j->api->n_left, 1);
    j->left = true;
    pthread_mutex_unlock(&j->lock);
}

static void on_done(void *arg)
{
    struct embed_job *j = arg;
    pthread_mutex_lock(&j->lock);
    j->http = NULL;
    j->left = true;
    pthread_mutex_unlock(&j->lock);
    drop(j);
}

/* --- the thread --- */

static bool has_left(struct embed_job *j)
{
    pthread_mutex_lock(&j->lock);
    bool left = j->left;
    pthread_mutex_unlock(&j->lock);
    return left || atomic_load(&j->api->stopping);
}

static int compute(struct embed_job *j)
{
    struct embedder *m = j->model->embedder;
    size_t n_full = (size_t)embedder_n_embd(m);
    float *part = mem_try_array(TURN_TEXTS * n_full, sizeof(*part));
    j->out = mem_try_array(j->n_text * (size_t)j->n_embd, sizeof(*j->out));
    int rc = part && j->out ? 0 : err_set(&j->err, ERR_NOMEM, NULL, "cannot embed %zu texts: out of memory", j->n_text);
    for (size_t i = 0; !rc && i < j->n_text; i += TURN_TEXTS) {
        size_t n = j->n_text - i < TURN_TEXTS ? j->n_text - i : TURN_TEXTS, n_tok = 0;
        if (has_left(j)) {
            rc = err_set(&j->err, ERR_INTERRUPTED, NULL, "the client has left");
            break;
        }
        api_turn_take(j->api);
        rc = embedder_run(m, j->text + i, n, false, j->n_embd, part, &n_tok, &j->err);
        api_turn_give(j->api);
        j->n_tok += n_tok;
        memcpy(j->out + i * (size_t)j->n_embd, part, rc ? 0 : n * (size_t)j->n_embd * sizeof(*part));
    }
    mem_free(part);
    return rc;
}

static void work(struct embed_job *j)
{
    int rc = compute(j);
    pthread_mutex_lock(&j->lock);
    j->rc = rc;
    j->ended = true;
    if (j->http) http_wake(j->http);
    pthread_mutex_unlock(&j->lock);
    drop(j);
}

static void *run_jobs(void *arg)
{
    struct api *a = arg;
    struct embed_queue *q = &a->embed;
    pthread_mutex_lock(&q->lock);
    while (!q->ending || q->first) {
        struct embed_job *j = q->first;
        if (!j) {
            pthread_cond_wait(&q->changed, &q->lock);
            continue;
        }
        q->first = j->next;
        q->last = q->first ? q->last : NULL;
        q->n--;
        pthread_mutex_unlock(&q->lock);
        work(j);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

int embed_queue_start(struct api *a, struct err *e)
{
    struct embed_queue *q = &a->embed;
    int rc = pthread_create(&q->thread, NULL, run_jobs, a);
    if (rc) return err_set(e, ERR_INTERNAL, NULL, "cannot start the thread that embeds: error %d", rc);
    q->running = true;
    return 0;
}

void embed_queue_stop(struct api *a)
{
    struct embed_queue *q = &a->embed;
    pthread_mutex_lock(&q->lock);
    q->ending = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (q->running) pthread_join(q->thread, NULL);
    q->running = false;
}

static int enqueue(struct embed_job *j, struct api_error *x)
{
    struct embed_queue *q = &j->api->embed;
    int rc = 0;
    pthread_mutex_lock(&q->lock);
    if (q->n >= j->api->max_queue) {
        rc = api_error_set(x, 429, "queue_full", NULL, "cannot take the request now: %d wait already, at most %d may",
                           q->n, j->api->max_queue);
    } else {
        if (q->last)
            q->last->next = j;
        else
            q->first = j;
        q->last = j;
        q->n++;
        pthread_cond_signal(&q->changed);
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

void api_handle_embeddings(struct api *a, struct http_request *r)
{
    struct api_error x;
    struct err e = {0};
    size_t n;
    const char *body = http_body(r, &n);
    struct embed_job *j = mem_alloc(sizeof(*j));
    pthread_mutex_init(&j->lock, NULL);
    j->n_ref = 2;
    j->api = a;
    j->http = r;
    int rc = json_parse(body, n, "the request body", &j->body, &e)
                 ? api_error_set(&x, 400, "invalid_json", NULL, "%s", e.msg)
                 : take_body(j, &x);
    if (!rc) {
        const struct http_task task = {.arg = j, .ready = on_ready, .left = on_left, .done = on_done};
        pthread_mutex_lock(&j->lock); /* the thread must not wake a request that is not waiting yet */
        rc = enqueue(j, &x);
        if (!rc) http_later(r, &task);
        pthread_mutex_unlock(&j->lock);
    }
    if (rc) {
        api_error_reply(r, &x);
        j->n_ref = 1;
        drop(j);
    }
}
