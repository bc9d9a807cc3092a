/* Loads on a server, from one thread: requests in flight are transfers of the HTTP client, and a user asks again in the
 * call that says that the last answer ended. Owns the transfers' states while it runs. */
#include "doors/cli/plan_against.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/sort.h"
#include "ground/base/str.h"
#include "ground/http/http_client.h"
#include "ground/json/json.h"

enum { TIMEOUT_S = 600, MAX_EVENT = 1 << 20, WORDS = 64 };

/* Two letters a syllable, so that a word is a token or two whatever the tokenizer; their number is corrected by what
 * the first answer says. */
#define TOKENS_A_WORD 2.0
#define LEAST_APART_S 1e-4

struct asked {
    struct asked *next; /* in flight */
    struct drive *drive;
    double start_s, first_s;
    struct buf line; /* of the stream, not yet complete */
    int prompt, output, cached;
};

struct drive {
    struct http_client *client;
    const char *url; /* of chat completions */
    size_t n, started, done;
    uint64_t seed;       /* of the words: a server keeps beginnings that it has seen */
    bool same;           /* one prompt for all, that it keeps */
    struct asked *first; /* in flight */
    char model[256];     /* that the server names first */
    int prompt_tokens, max_tokens;
    double words_a_token;
    struct load_times sum;
    double *ttft_s, *tpot_s, *total_s; /* of each request that was counted; tpot: of those with two tokens and more */
    size_t n_tpot;
    int rc;
    struct err err;
};

static int start(struct drive *d);

static void forget(struct asked *a)
{
    struct asked **at = &a->drive->first;
    while (*at != a) at = &(*at)->next;
    *at = a->next;
    buf_deinit(&a->line);
    mem_free(a);
}

/* --- a request --- */

static int add_words(struct buf *out, uint64_t seed, size_t request, int n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    int rc = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        uint64_t r = rng_u64(seed, request, (uint64_t)i);
        rc = buf_printf(out, "%s%c%c%c", i ? " " : "", letters[r % 26], letters[r / 26 % 26], letters[r / 676 % 26]);
    }
    return rc;
}

static int compose(const struct drive *d, struct buf *body)
{
    struct buf words;
    int n = (int)fmax(1, round(d->prompt_tokens * d->words_a_token));
    buf_init(&words, 1 << 24);
    int rc = add_words(&words, d->seed, d->same ? 0 : d->started, n);
    json_t *o = rc ? NULL
                   : json_pack("{s:s,s:[{s:s,s:s}],s:i,s:b,s:f,s:{s:b}}", "model", d->model, "messages", "role", "user",
                               "content", words.data, "max_tokens", d->max_tokens, "stream", 1, "temperature", 0.0,
                               "stream_options", "include_usage", 1);
    rc = o ? json_format(o, JSON_LINE, body) : -ERR_NOMEM;
    json_decref(o);
    buf_deinit(&words);
    return rc;
}

/* One event of the stream: the first text, and the counts at the end. */
static void take_event(struct asked *a, const char *text, size_t n)
{
    json_t *o = NULL;
    if (json_parse(text, n, "the stream", &o, NULL)) return; /* [DONE] */
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0), *usage = json_object_get(o, "usage");
    const char *content = json_string_value(json_object_get(json_object_get(choice, "delta"), "content"));
    if (content && content[0] && a->first_s <= 0) a->first_s = clock_s();
    if (json_is_object(usage)) {
        a->prompt = (int)json_integer_value(json_object_get(usage, "prompt_tokens"));
        a->output = (int)json_integer_value(json_object_get(usage, "completion_tokens"));
        const json_t *details = json_object_get(usage, "prompt_tokens_details");
        a->cached = (int)json_integer_value(json_object_get(details, "cached_tokens"));
    }
    json_decref(o);
}

static int on_data(void *arg, const void *p, size_t n, struct err *e)
{
    struct asked *a = arg;
    const char *text = p;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n') {
            if (buf_add(&a->line, &text[i], 1)) return err_set(e, ERR_LIMIT, NULL, "an event is too long");
            continue;
        }
        if (a->line.len > 6 && str_starts(a->line.data, "data: ")) take_event(a, a->line.data + 6, a->line.len - 6);
        buf_clear(&a->line);
    }
    return 0;
}

static void count(struct drive *d, const struct asked *a)
{
    double end = clock_s();
    d->ttft_s[d->sum.n] = (a->first_s > 0 ? a->first_s : end) - a->start_s;
    d->total_s[d->sum.n] = end - a->start_s;
    d->sum.prompt_tokens += a->prompt;
    d->sum.output_tokens += a->output;
    d->sum.cached_tokens += a->cached;
    if (a->output > 1) d->tpot_s[d->n_tpot++] = (end - a->first_s) / (a->output - 1);
    d->sum.n++;
}

static void on_done(void *arg, const struct http_result *r)
{
    struct asked *a = arg;
    struct drive *d = a->drive;
    d->done++;
    if (r->rc && d->rc == 0) {
        d->rc = r->rc;
        d->err = r->err;
    } else if (d->rc == 0 &&
               (a->output < 1 || (a->first_s <= 0 && a->output > 1))) { /* one token may be half a letter */
        d->rc =
            err_set(&d->err, ERR_INPUT, d->url,
                    "cannot compare with \"%s\": an answer without text or without the count of its tokens", d->url);
    }
    if (d->rc == 0) {
        count(d, a);
        if (!d->same) d->words_a_token *= fmin(2, fmax(0.5, (double)d->prompt_tokens / fmax(1, a->prompt)));
    }
    forget(a);
    if (d->rc == 0 && d->started < d->n) d->rc = start(d);
}

static int start(struct drive *d)
{
    struct buf body;
    struct asked *a = mem_alloc(sizeof *a);
    a->drive = d;
    a->next = d->first;
    d->first = a;
    buf_init(&a->line, MAX_EVENT);
    buf_init(&body, 1 << 26);
    int rc = compose(d, &body);
    d->started++;
    a->start_s = clock_s();
    struct http_fetch f = {
        .url = d->url, .body = body.data, .range_begin = 1, .data = on_data, .done = on_done, .arg = a};
    rc = rc ? err_set(&d->err, ERR_NOMEM, NULL, "cannot ask the server: out of memory")
            : http_client_start(d->client, &f, &d->err);
    buf_deinit(&body);
    if (rc) forget(a);
    return rc;
}

/* --- the server's model --- */

struct listing {
    struct buf text;
    bool done;
    struct http_result result;
};

static int on_listing(void *arg, const void *p, size_t n, struct err *e)
{
    struct listing *l = arg;
    return buf_add(&l->text, p, n) ? err_set(e, ERR_LIMIT, NULL, "the list of models is too long") : 0;
}

static void on_listed(void *arg, const struct http_result *r)
{
    struct listing *l = arg;
    l->done = true;
    l->result = *r;
}

static int read_listing(struct drive *d, const struct listing *l, const char *url, struct err *e)
{
    json_t *o = NULL;
    int rc = json_parse(l->text.data, l->text.len, url, &o, e);
    if (rc) return rc;
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(o, "data"), 0), "id"));
    if (id)
        snprintf(d->model, sizeof d->model, "%s", id);
    else
        rc = err_set(e, ERR_INPUT, url, "cannot compare with \"%s\": it lists no model", url);
    json_decref(o);
    return rc;
}

static int find_model(struct drive *d, const char *url, struct err *e)
{
    struct listing l = {.done = false};
    struct http_fetch f = {.url = url, .range_begin = 1, .data = on_listing, .done = on_listed, .arg = &l};
    buf_init(&l.text, MAX_EVENT);
    int rc = http_client_start(d->client, &f, e);
    while (rc == 0 && !l.done) rc = http_client_step(d->client, 1000, e);
    if (rc == 0 && l.result.rc) {
        rc = l.result.rc;
        if (e) *e = l.result.err;
    }
    if (rc == 0) rc = read_listing(d, &l, url, e);
    buf_deinit(&l.text);
    return rc;
}

/* --- a load --- */

static double middle_of(double *v, size_t n)
{
    if (n == 0) return 0;
    sort_doubles(v, n);
    return sim_middle(v, n);
}

static void divide(struct drive *d, struct load_times *out)
{
    double n = (double)d->sum.n;
    *out = (struct load_times){.ttft_s = middle_of(d->ttft_s, d->sum.n),
                               .tpot_s = middle_of(d->tpot_s, d->n_tpot),
                               .total_s = middle_of(d->total_s, d->sum.n),
                               .prompt_tokens = d->sum.prompt_tokens / n,
                               .output_tokens = d->sum.output_tokens / n,
                               .cached_tokens = d->sum.cached_tokens / n,
                               .n = d->sum.n};
}

static int run_some(struct drive *d, size_t at_once, size_t n, struct err *e)
{
    d->done = d->n_tpot = 0;
    d->sum = (struct load_times){.n = 0};
    d->n = d->started + n;
    for (size_t i = 0; d->rc == 0 && i < at_once && i < n; i++) d->rc = start(d);
    while (d->rc == 0 && d->done < n) {
        if (cli_interrupted()) return err_set(e, ERR_INTERRUPTED, NULL, "cannot finish the load: interrupted");
        int rc = http_client_step(d->client, 1000, e);
        if (rc) return rc;
    }
    if (d->rc && e) *e = d->err;
    return d->rc;
}

/* One request first, whose count of tokens corrects the length of the prompts; it is left out. */
static int run_requests(struct drive *d, int users, size_t n, struct err *e)
{
    int rc = run_some(d, 1, 1, e);
    return rc ? rc : run_some(d, (size_t)users, n, e);
}

static int join_url(struct buf *out, const char *url, const char *path, struct err *e)
{
    int rc = buf_printf(out, "%s%sv1/%s", url, str_ends(url, "/") ? "" : "/", path);
    return rc ? err_set(e, -rc, url, "cannot use the address \"%s\": it is too long", url) : 0;
}

static int drive_server(struct drive *d, const char *models, int users, size_t n, struct err *e)
{
    struct http_client_options o = {.timeout_s = TIMEOUT_S, .max_connections = users};
    int rc = http_client_new(&d->client, &o, e);
    if (rc) return rc;
    rc = find_model(d, models, e);
    if (rc == 0) rc = run_requests(d, users, n, e);
    http_client_cancel(d->client);
    while (d->first) forget(d->first);
    http_client_free(d->client);
    return rc;
}

/* d has what is asked; its first request is left out. */
static int load(struct drive *d, const char *url, int users, size_t n, struct load_times *out, struct err *e)
{
    struct buf chat, models;
    buf_init(&chat, 4096);
    buf_init(&models, 4096);
    d->seed = (uint64_t)clock_unix_ms();
    d->words_a_token = 1 / TOKENS_A_WORD;
    d->ttft_s = mem_alloc(3 * (n + 1) * sizeof *d->ttft_s);
    d->tpot_s = d->ttft_s + n + 1;
    d->total_s = d->tpot_s + n + 1;
    int rc = join_url(&chat, url, "chat/completions", e);
    if (rc == 0) rc = join_url(&models, url, "models", e);
    d->url = chat.data;
    if (rc == 0) rc = drive_server(d, models.data, users, n, e);
    if (rc == 0) divide(d, out);
    mem_free(d->ttft_s);
    buf_deinit(&chat);
    buf_deinit(&models);
    return rc;
}

int load_server(const char *url, int users, size_t n, int prompt_tokens, int max_tokens, struct load_times *out,
                struct err *e)
{
    struct drive d = {.prompt_tokens = prompt_tokens, .max_tokens = max_tokens};
    return load(&d, url, users, n, out, e);
}

int load_least(const char *url, size_t n, struct load_times *out, struct err *e)
{
    struct drive d = {.prompt_tokens = 1, .max_tokens = 1, .same = true};
    return load(&d, url, 1, n, out, e);
}

int load_simulated(const struct sim_setup *setup, int users, const struct load_times *seen, struct load_times *out,
                   struct err *e)
{
    struct sim_setup s = *setup;
    struct sim_result r;
    size_t n = seen->n;
    struct sim_request *list = mem_alloc(n * sizeof *list);
    int prompt = (int)fmax(1, round(seen->prompt_tokens)), cached = (int)round(seen->cached_tokens);
    for (size_t i = 0; i < n; i++)
        list[i] = (struct sim_request){.prompt_tokens = prompt,
                                       .output_tokens = (int)fmax(1, round(seen->output_tokens)),
                                       .cached_tokens = cached < prompt ? cached : prompt - 1};
    s.users = users;
    s.think_s = 0;
    /* the server takes one after the other: the first is under way when the second comes */
    s.apart_s = fmax(s.server.first_token_s, LEAST_APART_S);
    s.warmup_share = 0;
    int rc = simulate(&s, list, n, &r, e);
    if (rc == 0)
        *out = (struct load_times){.ttft_s = r.ttft_s.middle,
                                   .tpot_s = r.tpot_s.middle,
                                   .total_s = r.total_s.middle,
                                   .prompt_tokens = seen->prompt_tokens,
                                   .output_tokens = seen->output_tokens,
                                   .cached_tokens = seen->cached_tokens,
                                   .n = n};
    mem_free(list);
    return rc;
}
