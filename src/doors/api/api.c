/* The API's life: listening, models and their engine threads, draining, stopping. Owns the threads that step engines.
 * What always holds: names are set up before API_SERVING and do not change afterwards, so requests read them without a
 * lock; the server is stopped before the engines' threads, so that every sequence still meets a thread that ends it. */
#include "doors/api/api.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "doors/api/api_int.h"
#include "ground/base/clock.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"

enum { DEFAULT_BODY_BYTES = 16 << 20, DEFAULT_QUEUE = 256, IDLE_WAIT_MS = 1000, DRAIN_POLL_MS = 20 };
/* Time for clients to read how their answer ended; those that do not read are left. */
#define CUT_WAIT_S 2.0

static void turn_take(struct turns *t)
{
    pthread_mutex_lock(&t->lock);
    uint64_t mine = t->next++;
    while (t->serving != mine) pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

static void turn_give(struct turns *t)
{
    pthread_mutex_lock(&t->lock);
    t->serving++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void api_turn_take(struct api *a)
{
    turn_take(&a->turns);
}

void api_turn_give(struct api *a)
{
    turn_give(&a->turns);
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    struct api *a = lane->api;
    while (!atomic_load(&a->stopping)) {
        struct err e = {0};
        engine_wait(lane->engine, IDLE_WAIT_MS);
        turn_take(&a->turns);
        if (engine_step(lane->engine, &e) < 0) log_error("%s", e.msg);
        turn_give(&a->turns);
    }
    return NULL;
}

static void copy_keys(struct api *a, const struct api_options *opt)
{
    a->key = mem_alloc((opt->n_key + 1) * sizeof(*a->key));
    a->n_key = opt->n_key;
    for (size_t i = 0; i < opt->n_key; i++) a->key[i] = mem_strdup(opt->key[i]);
}

int api_start(struct api **out, const struct api_options *opt, struct err *e)
{
    struct api *a = mem_alloc(sizeof(*a));
    *out = NULL;
    atomic_store(&a->state, API_LOADING);
    a->max_queue = opt->max_queue ? opt->max_queue : DEFAULT_QUEUE;
    a->started_s = clock_unix_ms() / 1000;
    pthread_mutex_init(&a->turns.lock, NULL);
    pthread_cond_init(&a->turns.changed, NULL);
    pthread_mutex_init(&a->embed.lock, NULL);
    pthread_cond_init(&a->embed.changed, NULL);
    copy_keys(a, opt);
    const struct http_options http = {.host = opt->host,
                                      .port = opt->port,
                                      .max_body_bytes = opt->max_body_bytes ? opt->max_body_bytes : DEFAULT_BODY_BYTES,
                                      .request = api_handle,
                                      .too_large = api_handle_too_large,
                                      .malformed = api_handle_malformed,
                                      .arg = a};
    int rc = http_server_start(&a->http, &http, e);
    if (rc) {
        api_stop(a);
        return rc;
    }
    *out = a;
    return 0;
}

int api_port(const struct api *a)
{
    return http_server_port(a->http);
}

static int add_name(struct api *a, const char *name, struct lane *lane, int adapter, const struct served *base,
                    struct err *e)
{
    if (!*name || strlen(name) > API_NAME_MAX)
        return err_set(e, ERR_USAGE, name, "cannot serve \"%.140s\": a name of 1 to %d bytes is needed", name,
                       API_NAME_MAX);
    if (api_find_model(a, name))
        return err_set(e, ERR_USAGE, name, "cannot serve two models under the name \"%s\": name=NAME gives another",
                       name);
    if (a->n_served == API_MAX_SERVED)
        return err_set(e, ERR_LIMIT, name, "cannot serve more than %d models and adapters", API_MAX_SERVED);
    struct served *m = mem_alloc(sizeof(*m));
    m->name = mem_strdup(name);
    m->lane = lane;
    m->adapter = adapter;
    m->base = base;
    a->served[a->n_served++] = m;
    return 0;
}

int api_add_model(struct api *a, const struct api_model *m, struct err *e)
{
    struct lane *lane = mem_alloc(sizeof(*lane));
    *lane = (struct lane){.api = a, .engine = m->engine, .tok = m->tok, .chat = m->chat};
    int rc = add_name(a, m->name, lane, -1, NULL, e);
    if (rc)
        mem_free(lane);
    else
        a->lane[a->n_lane++] = lane;
    return rc;
}

int api_add_embedder(struct api *a, const char *name, struct embedder *embedder, struct err *e)
{
    int rc = add_name(a, name, NULL, -1, NULL, e);
    if (!rc) a->served[a->n_served - 1]->embedder = embedder;
    return rc;
}

static bool embeds(const struct api *a)
{
    for (int i = 0; i < a->n_served; i++)
        if (a->served[i]->embedder) return true;
    return false;
}

int api_add_adapter(struct api *a, const char *base, const char *name, int adapter, struct err *e)
{
    const struct served *m = api_find_model(a, base);
    if (!m)
        return err_set(e, ERR_USAGE, base, "cannot serve the adapter \"%s\": there is no model named \"%s\"", name,
                       base);
    if (!m->lane) return err_set(e, ERR_USAGE, base, "cannot serve the adapter \"%s\": \"%s\" only embeds", name, base);
    return add_name(a, name, m->lane, adapter, m, e);
}

int api_ready(struct api *a, struct err *e)
{
    for (int i = 0; i < a->n_lane; i++) {
        errno = pthread_create(&a->lane[i]->thread, NULL, run_lane, a->lane[i]);
        if (errno) return err_set_errno(e, NULL, "cannot start the thread of an engine");
        a->lane[i]->running = true;
    }
    int rc = embeds(a) ? embed_queue_start(a, e) : 0;
    if (!rc) atomic_store(&a->state, API_SERVING);
    return rc;
}

/* Wait until no answer is open, at most until a time of clock_s; with cut, end those that are. Returns how many are
 * open. */
static int wait_for_answers(struct api *a, double until, bool cut)
{
    const struct timespec pause = {.tv_nsec = DRAIN_POLL_MS * 1000000L};
    while (http_server_n_open(a->http) > 0 && clock_s() < until) {
        /* again every time: a request may have been read before the state changed and submitted after */
        for (int i = 0; cut && i < a->n_lane; i++) engine_cancel_all(a->lane[i]->engine);
        nanosleep(&pause, NULL);
    }
    return http_server_n_open(a->http);
}

int api_drain(struct api *a, double drain_s)
{
    atomic_store(&a->state, API_DRAINING);
    int n_cut = wait_for_answers(a, clock_s() + drain_s, false);
    (void)wait_for_answers(a, clock_s() + CUT_WAIT_S, true);
    return n_cut;
}

static void free_names(struct api *a)
{
    for (int i = 0; i < a->n_served; i++) {
        mem_free(a->served[i]->name);
        mem_free(a->served[i]);
    }
    for (int i = 0; i < a->n_lane; i++) mem_free(a->lane[i]);
    for (size_t i = 0; i < a->n_key; i++) {
        memset(a->key[i], 0, strlen(a->key[i]));
        mem_free(a->key[i]);
    }
    mem_free(a->key);
}

/* Step until no sequence is left: those whose connections were cut off have been cancelled. */
static void end_sequences(struct lane *lane)
{
    struct err e = {0};
    int n = 1;
    for (int i = 0; n > 0 && i < 1000; i++) n = engine_step(lane->engine, &e);
}

void api_stop(struct api *a)
{
    if (!a) return;
    atomic_store(&a->state, API_DRAINING);
    http_server_stop(a->http);
    atomic_store(&a->stopping, true);
    embed_queue_stop(a);
    for (int i = 0; i < a->n_lane; i++) {
        engine_wake(a->lane[i]->engine);
        if (a->lane[i]->running) pthread_join(a->lane[i]->thread, NULL);
        end_sequences(a->lane[i]);
    }
    free_names(a);
    pthread_cond_destroy(&a->embed.changed);
    pthread_mutex_destroy(&a->embed.lock);
    pthread_cond_destroy(&a->turns.changed);
    pthread_mutex_destroy(&a->turns.lock);
    mem_free(a);
}
