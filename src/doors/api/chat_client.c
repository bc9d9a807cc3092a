/* One chat completion between a connection and a sequence. Owns what both sides share: how much text is there, how much
 * was sent, whether it is over. The engine's thread reports tokens; the server's thread pulls bytes; the watcher's
 * thread reports a client that left. The sequence's own text is the ring: when more than WINDOW bytes are unsent, the
 * sequence pauses, never the engine.
 *
 * What always holds: two references, one of the connection (until done) and one of the sequence (until its end); a
 * client that leaves cancels its sequence; the path of a token to the wire allocates nothing. */
#include <stdio.h>
#include <string.h>

#include "compute/text/chat_prompt.h"
#include "doors/api/api_int.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { WINDOW_BYTES = 4096, EVENT_BYTES = 6144, EVENT_TEXT_BYTES = 3072, ID_SIZE = 40 };

enum stage { STAGE_ROLE, STAGE_TEXT, STAGE_FINISH, STAGE_USAGE, STAGE_DONE, STAGE_OVER };

struct chat_client {
    pthread_mutex_t lock;
    int n_ref;
    struct api *api;
    struct engine *engine;
    struct sequence *sequence;
    struct http_request *http; /* NULL when the connection is done */
    struct chat_request request;
    char id[ID_SIZE];
    int64_t created_s;

    const char *text; /* of the sequence; the first text_len bytes do not change */
    size_t text_len;
    bool ended, paused;
    enum finish_reason reason;
    struct chat_usage usage;

    enum stage stage; /* of a stream: the event that comes next */
    size_t n_sent;    /* bytes of text in events */
    char *prefix;     /* of every event: {"id": ... "model": "..." */
    char event[EVENT_BYTES];
    size_t event_len, event_at;
};

static void drop(struct chat_client *c)
{
    pthread_mutex_lock(&c->lock);
    bool last = --c->n_ref == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last) return;
    sequence_release(c->engine, c->sequence);
    chat_request_deinit(&c->request);
    pthread_mutex_destroy(&c->lock);
    mem_free(c->prefix);
    mem_free(c);
}

/* --- the engine's side --- */

static bool on_token(void *arg, struct sequence *s, int32_t id, enum finish_reason reason)
{
    struct chat_client *c = arg;
    struct sequence_result r;
    (void)id;
    sequence_get(s, &r);
    pthread_mutex_lock(&c->lock);
    bool more = r.text_len > c->text_len, ended = reason != FINISH_NONE;
    c->text = r.text;
    c->text_len = r.text_len;
    c->usage = (struct chat_usage){.n_prompt = r.n_prompt, .n_cached = r.n_cached, .n_answer = r.n_id};
    c->reason = reason;
    c->ended = ended;
    c->paused = c->request.stream && !ended && c->text_len - c->n_sent > WINDOW_BYTES;
    bool go = !c->paused;
    if (c->http && (ended || (more && c->request.stream))) http_wake(c->http);
    pthread_mutex_unlock(&c->lock);
    if (ended) drop(c);
    return go;
}

/* --- answers in one piece --- */

static int answer_error(const struct chat_client *c, struct api_error *x)
{
    if (c->reason == FINISH_CANCELLED && atomic_load(&c->api->state) == API_DRAINING)
        return api_error_set(x, 503, "draining", NULL, "cannot finish the answer: the server is ending");
    if (c->reason == FINISH_CANCELLED)
        return api_error_set(x, 503, "cancelled", NULL, "cannot go on with the answer: the client reads too slowly");
    return api_error_set(x, 500, "internal", NULL, "cannot go on with the answer: it cannot be computed");
}

static json_t *completion_json(const struct chat_client *c)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:[{s:i, s:{s:s, s:o}, s:n, s:s}], s:o}", "id", c->id, "object",
                     "chat.completion", "created", (json_int_t)c->created_s, "model", c->request.model->name, "choices",
                     "index", 0, "message", "role", "assistant", "content", json_stringn(c->text, c->text_len),
                     "logprobs", "finish_reason", finish_reason_name(c->reason), "usage", chat_usage_json(&c->usage));
}

static void on_ready(void *arg, struct http_request *r)
{
    struct chat_client *c = arg;
    struct api_error x;
    pthread_mutex_lock(&c->lock);
    bool ended = c->ended;
    pthread_mutex_unlock(&c->lock);
    if (!ended) return;
    if (c->reason == FINISH_STOP || c->reason == FINISH_LENGTH) {
        api_json_reply(r, 200, completion_json(c));
    } else {
        (void)answer_error(c, &x);
        api_error_reply(r, &x);
    }
}

/* --- streams --- */

/* The next event starts with "data: " and the prefix. */
static void event_begin(struct chat_client *c)
{
    c->event_at = 0;
    c->event_len = (size_t)snprintf(c->event, sizeof(c->event), "data: %s", c->prefix);
}

static void event_add(struct chat_client *c, const char *text)
{
    size_t n = strlen(text);
    n = n < sizeof(c->event) - c->event_len ? n : sizeof(c->event) - c->event_len;
    memcpy(c->event + c->event_len, text, n);
    c->event_len += n;
}

static void event_end(struct chat_client *c)
{
    event_add(c, c->request.include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

static void make_text_event(struct chat_client *c)
{
    size_t room = sizeof(c->event) - 256;
    event_begin(c);
    event_add(c, ",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
    room = c->event_len + EVENT_TEXT_BYTES < room ? c->event_len + EVENT_TEXT_BYTES : room;
    c->n_sent += chat_escape(c->event, room, &c->event_len, c->text + c->n_sent, c->text_len - c->n_sent);
    event_add(c, "\"},\"logprobs\":null,\"finish_reason\":null}]");
    event_end(c);
}

static void make_finish_event(struct chat_client *c)
{
    char reason[64];
    snprintf(reason, sizeof(reason), "%s\"}]", finish_reason_name(c->reason));
    event_begin(c);
    event_add(c, ",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"");
    event_add(c, reason);
    event_end(c);
}

static void make_usage_event(struct chat_client *c)
{
    char usage[256];
    snprintf(usage, sizeof(usage),
             ",\"choices\":[],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
             "\"prompt_tokens_details\":{\"cached_tokens\":%zu}}}\n\n",
             c->usage.n_prompt, c->usage.n_answer, c->usage.n_prompt + c->usage.n_answer, c->usage.n_cached);
    event_begin(c);
    event_add(c, usage);
}

static void make_error_event(struct chat_client *c)
{
    struct api_error x;
    char text[1024];
    (void)answer_error(c, &x);
    snprintf(text, sizeof(text),
             "data: {\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}\n\n", x.message,
             x.type, x.code);
    c->event_at = c->event_len = 0;
    event_add(c, text);
}

static void make_first_event(struct chat_client *c)
{
    event_begin(c);
    event_add(c, ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                 "\"finish_reason\":null}]");
    event_end(c);
}

/* Put the next event into c->event; false when there is none yet, or no more. */
static bool next_event(struct chat_client *c)
{
    switch (c->stage) {
    case STAGE_ROLE:
        make_first_event(c);
        c->stage = STAGE_TEXT;
        return true;
    case STAGE_TEXT:
        if (c->n_sent < c->text_len) {
            make_text_event(c);
            return true;
        }
        if (!c->ended) return false;
        c->stage = STAGE_FINISH;
        return next_event(c);
    case STAGE_FINISH:
        if (c->reason != FINISH_STOP && c->reason != FINISH_LENGTH) {
            make_error_event(c);
            c->stage = STAGE_DONE;
            return true;
        }
        make_finish_event(c);
        c->stage = c->request.include_usage ? STAGE_USAGE : STAGE_DONE;
        return true;
    case STAGE_USAGE:
        make_usage_event(c);
        c->stage = STAGE_DONE;
        return true;
    case STAGE_DONE:
        c->event_at = c->event_len = 0;
        event_add(c, "data: [DONE]\n\n");
        c->stage = STAGE_OVER;
        return true;
    case STAGE_OVER:
        break;
    }
    return false;
}

static ssize_t on_read(void *arg, char *data, size_t max)
{
    struct chat_client *c = arg;
    size_t n = 0;
    pthread_mutex_lock(&c->lock);
    while (n < max && (c->event_at < c->event_len || next_event(c))) {
        size_t left = c->event_len - c->event_at, take = left < max - n ? left : max - n;
        memcpy(data + n, c->event + c->event_at, take);
        c->event_at += take;
        n += take;
    }
    if (c->paused && c->text_len - c->n_sent < WINDOW_BYTES / 2) {
        c->paused = false;
        engine_resume(c->engine, c->sequence);
    }
    bool over = c->stage == STAGE_OVER;
    pthread_mutex_unlock(&c->lock);
    return n ? (ssize_t)n : over ? HTTP_STREAM_END : 0;
}

/* --- the connection's side --- */

static void on_left(void *arg)
{
    struct chat_client *c = arg;
    pthread_mutex_lock(&c->lock);
    if (!c->ended) { /* a client may close its side as soon as it has read the end: that is no leaving */
        atomic_fetch_add(&c->api->n_left, 1);
        engine_cancel(c->engine, c->sequence);
    }
    pthread_mutex_unlock(&c->lock);
}

static void on_done(void *arg)
{
    struct chat_client *c = arg;
    pthread_mutex_lock(&c->lock);
    c->http = NULL;
    if (!c->ended) engine_cancel(c->engine, c->sequence);
    pthread_mutex_unlock(&c->lock);
    drop(c);
}

/* --- start --- */

/* {"id": ..., "model": "NAME" : what every event of a stream begins with. */
static char *make_prefix(const struct chat_client *c)
{
    char name[6 * API_NAME_MAX + 1];
    size_t n = 0;
    (void)chat_escape(name, sizeof(name) - 1, &n, c->request.model->name, strlen(c->request.model->name));
    name[n] = '\0';
    size_t size = sizeof(name) + 256;
    char *prefix = mem_alloc(size);
    snprintf(prefix, size, "{\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":\"%s\"",
             c->id, (long long)c->created_s, name);
    return prefix;
}

static struct chat_client *make(struct api *a, struct http_request *r, struct chat_request *q)
{
    struct chat_client *c = mem_alloc(sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    c->n_ref = 2;
    c->api = a;
    c->engine = q->model->lane->engine;
    c->http = r;
    c->request = *q;
    *q = (struct chat_request){0};
    c->created_s = clock_unix_ms() / 1000;
    snprintf(c->id, sizeof(c->id), "chatcmpl-%016llx",
             (unsigned long long)rng_u64(clock_ns(), 1, atomic_fetch_add(&a->next_id, 1)));
    if (c->request.stream) c->prefix = make_prefix(c);
    return c;
}

static int submit(struct chat_client *c, const struct token_list *ids, struct api_error *x)
{
    const struct chat_request *q = &c->request;
    struct err e = {0};
    struct sequence_request s = {.ids = ids->ids,
                                 .n_id = ids->n,
                                 .max_tokens = q->max_tokens,
                                 .adapter = q->model->adapter,
                                 .sampling = q->sampling,
                                 .stop = (const char *const *)q->stop,
                                 .n_stop = q->n_stop,
                                 .fn = on_token,
                                 .arg = c};
    int rc = engine_submit(c->engine, &s, &c->sequence, &e);
    if (rc == -ERR_LIMIT) return api_error_set(x, 400, "context_length_exceeded", "messages", "%s", e.msg);
    return rc ? api_error_from(x, &e, NULL) : 0;
}

int chat_client_start(struct api *a, struct http_request *r, struct chat_request *q, struct api_error *x)
{
    struct token_list ids = {0};
    struct err e = {0};
    const struct lane *lane = q->model->lane;
    if (chat_prompt_ids(lane->chat, lane->tok, q->vars, true, &ids, &e)) {
        token_list_deinit(&ids);
        return api_error_from(x, &e, "messages");
    }
    struct chat_client *c = make(a, r, q);
    int rc = submit(c, &ids, x);
    token_list_deinit(&ids);
    if (rc) {
        c->n_ref = 1;
        drop(c);
        return rc;
    }
    const struct http_task task = {.arg = c, .ready = on_ready, .read = on_read, .left = on_left, .done = on_done};
    if (c->request.stream) {
        http_add_header(r, "Cache-Control", "no-cache");
        http_stream(r, 200, "text/event-stream", &task);
    } else {
        http_later(r, &task);
    }
    return 0;
}
