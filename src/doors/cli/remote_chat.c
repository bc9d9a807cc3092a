/* Questions over HTTP. Owns the client and the state of each question while they last. What always holds: every
 * question ends, with an answer or an error of its own; the key is in no message. */
#include "doors/cli/remote_chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/clock.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_client.h"
#include "ground/http/http_get.h"
#include "ground/http/http_url.h"
#include "ground/json/json.h"

enum {
    BODY_MAX_BYTES = 4 << 20,
    KEY_MAX_BYTES = 4096,
    STEP_MS = 100,
    SEED_MASK = 0x7fffffff,
    LOST_MAX = 8 /* questions in a row that failed for good: then nobody is there, and the rest is not asked */
};

struct batch;
enum question_state { QUESTION_WAITS, QUESTION_RUNS, QUESTION_ENDED };
struct question {
    struct batch *batch;
    struct ask_call *call;
    enum question_state state;
    int n_failed;
    double not_before_s, until_s; /* clock: of the next attempt; by when this one has to end */
    struct buf body;              /* what came */
};

struct batch {
    const struct ask_place *place;
    struct http_client *client;
    char *url, *header;
    struct question *question;
    size_t n, n_running, n_ended;
    int n_lost;
};

/* --- address and key --- */

bool remote_chat_is_address(const char *text)
{
    return str_starts(text, "http://") || str_starts(text, "https://");
}

static char *endpoint(const char *url)
{
    static const char path[] = "/chat/completions";
    size_t n = strlen(url);
    if (str_ends(url, path)) return mem_strdup(url);
    while (n > 0 && url[n - 1] == '/') n--;
    char *out = mem_alloc(n + sizeof(path));
    memcpy(out, url, n);
    memcpy(out + n, path, sizeof(path));
    return out;
}

/* One word of printable characters; anything else would be another header line. */
static int make_header(const char *key, const char *from, char **header, struct err *e)
{
    size_t n = strlen(key);
    bool good = n > 0;
    for (size_t i = 0; i < n; i++) good &= (unsigned char)key[i] > 0x20 && (unsigned char)key[i] < 0x7f;
    if (!good)
        return err_set(e, ERR_INPUT, from, "cannot use the key of %s: one word of printable characters is needed",
                       from);
    static const char head[] = "Authorization: Bearer ";
    *header = mem_alloc(sizeof(head) + n);
    memcpy(*header, head, sizeof(head) - 1);
    memcpy(*header + sizeof(head) - 1, key, n + 1);
    return 0;
}

static int header_of_file(const char *path, char **header, struct err *e)
{
    char *text;
    size_t n;
    int rc = file_read_all(path, KEY_MAX_BYTES, &text, &n, e);
    if (rc != 0) return rc;
    size_t from = strspn(text, " \t\r\n");
    while (n > from && strchr(" \t\r\n", text[n - 1]) != NULL) text[--n] = '\0';
    rc = make_header(text + from, path, header, e);
    explicit_bzero(text, n);
    mem_free(text);
    return rc;
}

static int find_key(const struct ask_place *p, char **header, struct err *e)
{
    *header = NULL;
    if (p->key_file != NULL) return header_of_file(p->key_file, header, e);
    if (p->key_env == NULL) return 0;
    const char *key = getenv(p->key_env);
    if (key == NULL || *key == '\0')
        return err_set(e, ERR_USAGE, p->key_env, "cannot ask \"%s\": the variable %s, which holds its key, is not set",
                       p->url, p->key_env);
    return make_header(key, p->key_env, header, e);
}

/* --- what is asked --- */

static int request_body(const struct batch *b, const struct ask_call *c, struct buf *out)
{
    json_t *v = json_pack("{s:s,s:O,s:f,s:f,s:i,s:I,s:b}", "model", b->place->model, "messages", c->messages,
                          "temperature", c->temperature, "top_p", c->top_p, "max_tokens", c->max_tokens, "seed",
                          (json_int_t)(c->seed & SEED_MASK), "stream", 0);
    int rc = v == NULL ? -ERR_NOMEM : json_format(v, JSON_LINE, out);
    json_decref(v);
    return rc;
}

/* --- what comes back --- */

static int on_head(void *arg, const struct http_head *h, struct err *e)
{
    struct question *q = arg;
    (void)h;
    (void)e;
    buf_clear(&q->body);
    return 0;
}

/* A server that sends a little now and then never stalls: the whole attempt has a limit, too. */
static int on_data(void *arg, const void *p, size_t n, struct err *e)
{
    struct question *q = arg;
    const char *url = q->batch->place->url;
    if (clock_s() > q->until_s)
        return err_set(e, ERR_IO, url, "cannot ask \"%s\": its answer takes longer than %d s", url,
                       2 * q->batch->place->timeout_s);
    if (buf_add(&q->body, p, n) == 0) return 0;
    return err_set(e, ERR_LIMIT, url, "cannot use the answer of \"%s\": it has more than %d bytes", url,
                   (int)BODY_MAX_BYTES);
}

static int no_answer(const struct batch *b, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, b->place->url, "cannot use the answer of \"%s\": %s", b->place->url, what);
}

/* choices[0].message.content of a chat completion. */
static int read_answer(struct question *q, struct err *e)
{
    const struct batch *b = q->batch;
    json_t *v = NULL;
    struct err why;
    if (json_parse(q->body.data != NULL ? q->body.data : "", q->body.len, "answer", &v, &why) != 0) {
        /* an object that cannot be read, such as a text with a NUL in it, says nothing of the next answer */
        q->call->own_fault = q->body.len > 0 && q->body.data[0] == '{';
        return no_answer(b, "it is no JSON", e);
    }
    const json_t *choice = json_array_get(json_object_get(v, "choices"), 0);
    const json_t *text = json_object_get(json_object_get(choice, "message"), "content");
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    int rc = 0;
    if (json_is_string(text)) {
        q->call->text = mem_strndup(json_string_value(text), json_string_length(text));
        q->call->truncated = str_eq(reason, "length");
    } else {
        rc = no_answer(b, "it has no text at choices[0].message.content", e);
        q->call->own_fault = json_is_object(choice);
    }
    json_decref(v);
    return rc;
}

static void end(struct question *q, int rc)
{
    q->call->rc = rc;
    q->state = QUESTION_ENDED;
    q->batch->n_ended++;
    q->batch->n_lost = rc == 0 || q->call->own_fault ? 0 : q->batch->n_lost + 1;
}

/* Those that wait fail as the last one did. */
static void give_up(struct batch *b)
{
    const struct ask_call *last = NULL;
    for (size_t i = 0; i < b->n; i++)
        if (b->question[i].state == QUESTION_ENDED && b->question[i].call->rc != 0) last = b->question[i].call;
    for (size_t i = 0; last != NULL && i < b->n; i++) {
        if (b->question[i].state != QUESTION_WAITS) continue;
        b->question[i].call->err = last->err;
        end(&b->question[i], last->rc);
    }
}

static void on_done(void *arg, const struct http_result *r)
{
    struct question *q = arg;
    q->batch->n_running--;
    if (r->rc == 0) {
        end(q, read_answer(q, &q->call->err));
        return;
    }
    q->call->err = r->err;
    q->n_failed++;
    double delay = r->transient && q->n_failed <= q->batch->place->n_retry ? http_retry_delay_s(r, q->n_failed) : -1;
    if (delay < 0) {
        q->call->own_fault = r->status == 400 || r->status == 413 || r->status == 422;
        end(q, q->n_failed > 1 ? err_wrap(&q->call->err, r->rc, "cannot ask after %d attempts", q->n_failed) : r->rc);
        return;
    }
    q->state = QUESTION_WAITS;
    q->not_before_s = clock_s() + delay;
}

/* --- all of them --- */

static int start(struct question *q, struct err *e)
{
    struct batch *b = q->batch;
    struct buf body;
    buf_init(&body, 64 << 20);
    int rc = request_body(b, q->call, &body);
    if (rc != 0) rc = err_set(e, -rc, b->place->url, "cannot ask \"%s\": the question is too large", b->place->url);
    if (rc == 0) {
        struct http_fetch f = {.url = b->url,
                               .credential = b->header,
                               .body = body.data,
                               .range_begin = 1, /* none */
                               .head = on_head,
                               .data = on_data,
                               .done = on_done,
                               .arg = q};
        q->state = QUESTION_RUNS;
        q->until_s = clock_s() + 2.0 * b->place->timeout_s;
        b->n_running++;
        rc = http_client_start(b->client, &f, e);
    }
    buf_deinit(&body);
    return rc;
}

static int run(struct batch *b, struct err *e)
{
    int rc = 0;
    while (rc == 0 && b->n_ended < b->n) {
        if (b->n_lost >= LOST_MAX) give_up(b);
        for (size_t i = 0; rc == 0 && i < b->n && b->n_running < (size_t)b->place->n_connection; i++)
            if (b->question[i].state == QUESTION_WAITS && b->question[i].not_before_s <= clock_s())
                rc = start(&b->question[i], e);
        if (rc == 0 && cli_interrupted()) rc = err_set(e, ERR_INTERRUPTED, b->place->url, "interrupted");
        if (rc == 0 && b->n_running > 0)
            rc = http_client_step(b->client, STEP_MS, e);
        else if (rc == 0 && b->n_ended < b->n)
            rc = http_client_wait(b->client, STEP_MS, e);
    }
    return rc;
}

static int open_batch(struct batch *b, const struct remote_chat *r, struct ask_call *call, struct err *e)
{
    struct http_client_options o = {.ca_file = param_str(r->cli->settings, "ca_file"),
                                    .timeout_s = b->place->timeout_s,
                                    .max_connections = b->place->n_connection};
    b->url = endpoint(b->place->url);
    b->question = mem_try_array(b->n + 1, sizeof(*b->question));
    if (b->question == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot ask %zu questions: out of memory", b->n);
    for (size_t i = 0; i < b->n; i++) {
        b->question[i] = (struct question){.batch = b, .call = &call[i]};
        buf_init(&b->question[i].body, BODY_MAX_BYTES);
    }
    int rc = find_key(b->place, &b->header, e);
    return rc != 0 ? rc : http_client_new(&b->client, &o, e);
}

static void close_batch(struct batch *b)
{
    http_client_free(b->client);
    for (size_t i = 0; b->question != NULL && i < b->n; i++) buf_deinit(&b->question[i].body);
    mem_free(b->question);
    if (b->header != NULL) explicit_bzero(b->header, strlen(b->header));
    mem_free(b->header);
    mem_free(b->url);
}

int remote_chat_ask(void *arg, const struct ask_place *place, struct ask_call *call, size_t n, struct err *e)
{
    const struct remote_chat *r = arg;
    struct batch b = {.place = place != NULL ? place : &r->place, .n = n};
    for (size_t i = 0; i < n; i++) {
        call[i].rc = 0;
        call[i].text = NULL;
        call[i].own_fault = call[i].truncated = false;
    }
    int rc = open_batch(&b, r, call, e);
    if (rc == 0) rc = run(&b, e);
    close_batch(&b);
    return rc;
}
