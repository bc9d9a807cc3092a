/* Private to api/. */
#ifndef API_API_INT_H
#define API_API_INT_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "doors/api/api.h"
#include "ground/http/http_server.h"

enum api_state { API_LOADING, API_SERVING, API_DRAINING };

/* Engines take turns on the device: first come, first served. */
struct turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next, serving;
};

/* One engine and its thread. */
struct lane {
    struct api *api;
    struct engine *engine;
    const struct tokenizer *tok;
    const struct chat_template *chat;
    pthread_t thread;
    bool running;
};

/* Requests for embeddings that wait, and the thread that works on them. */
struct embed_job;
struct embed_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct embed_job *first, *last;
    int n;
    pthread_t thread;
    bool running, ending;
};

/* A name that requests may ask for. */
struct served {
    char *name;
    struct lane *lane;         /* NULL: a model that only embeds */
    struct embedder *embedder; /* NULL: one that does not */
    int adapter;               /* -1: none */
    const struct served *base; /* of an adapter: the model it sits on */
};

struct api {
    struct http_server *http;
    atomic_int state;
    atomic_bool stopping;
    int max_queue;
    char **key;
    size_t n_key;
    struct turns turns;
    struct embed_queue embed;
    struct lane *lane[API_MAX_SERVED];
    int n_lane;
    struct served *served[API_MAX_SERVED];
    int n_served;
    int64_t started_s;
    atomic_uint_fast64_t n_request, n_left, next_id;
};

/* --- api_error.c --- */

/* An answer that is an error: status, and OpenAI's four fields. */
struct api_error {
    int status;
    const char *type, *code; /* code NULL: null */
    char param[64];          /* "": null */
    char message[640];
};
/* Fill *x and return -1, so that `return api_error_set(...)` reads naturally. param may be NULL. */
int api_error_set(struct api_error *x, int status, const char *code, const char *param, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* From an error of a module: input and limits are the client's (400), the rest is ours (500). */
int api_error_from(struct api_error *x, const struct err *e, const char *param);
/* {"error": ...} as a new reference. */
json_t *api_error_json(const struct api_error *x);
/* Answer with it. */
void api_error_reply(struct http_request *r, const struct api_error *x);
/* Answer with JSON; takes the reference. */
void api_json_reply(struct http_request *r, int status, json_t *body);

/* --- api_keys.c --- */

/* Is the key of an "Authorization: Bearer KEY" header (may be NULL) one of the accepted? In time that does not depend
 * on where keys differ. */
bool api_key_good(const struct api *a, const char *authorization);

/* --- chat_request.c --- */

/* A checked request for a chat completion. */
struct chat_request {
    const struct served *model;
    json_t *vars; /* for the template: {"messages": ...}, contents as strings */
    struct sampling sampling;
    int max_tokens;
    char **stop;
    size_t n_stop;
    bool stream, include_usage;
};
/* From the body of a request; 0, or -1 with *x set. Free with chat_request_deinit in both cases. */
int chat_request_parse(struct chat_request *q, struct api *a, const char *body, size_t n,
                       struct api_error *x) MUST_CHECK;
void chat_request_deinit(struct chat_request *q);

/* --- chat_format.c --- */

struct chat_usage {
    size_t n_prompt, n_cached, n_answer;
};
/* OpenAI's usage object: a new reference. */
json_t *chat_usage_json(const struct chat_usage *u);
/* Append text escaped for a JSON string to out[cap], as far as whole characters fit; returns the bytes of text taken
 * and moves *n. Allocates nothing. */
size_t chat_escape(char *out, size_t cap, size_t *n, const char *text, size_t text_len);

/* --- chat_client.c --- */

/* Answer a request for a chat completion; takes q over (and empties it) when it returns 0. */
int chat_client_start(struct api *a, struct http_request *r, struct chat_request *q, struct api_error *x) MUST_CHECK;

/* --- embeddings.c --- */

/* POST /v1/embeddings. */
void api_handle_embeddings(struct api *a, struct http_request *r);
/* The thread, once there is a model that embeds. */
int embed_queue_start(struct api *a, struct err *e) MUST_CHECK;
/* Jobs that wait are ended; no more may come. */
void embed_queue_stop(struct api *a);

/* --- api.c --- */

/* The device, first come, first served. */
void api_turn_take(struct api *a);
void api_turn_give(struct api *a);

/* --- routes.c --- */

/* Every request of the server comes here. arg is the api. */
void api_handle(void *arg, struct http_request *r);
/* Those whose body is too large come here. */
void api_handle_too_large(void *arg, struct http_request *r);
/* Those that tell the length of their body twice come here. */
void api_handle_malformed(void *arg, struct http_request *r);
/* The served model of a name, NULL: none. */
const struct served *api_find_model(const struct api *a, const char *name);

#endif
