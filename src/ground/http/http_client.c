/* Transfers over libcurl's multi interface. Owns the multi handle and the transfers in progress. What always holds: a
 * transfer is in the list from start until its done was called or it was cancelled; libcurl follows no redirect by
 * itself; no credential is in a message. HTTP/1.1 on purpose: ranges over several connections are faster than streams
 * in one, and one that stalls does not hold up the others. */
#include "ground/http/http_client.h"

#include <stdio.h>
#include <string.h>

#include <curl/curl.h>

#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_url.h"

enum { MAX_REDIRECTS = 8, STALL_BYTES_S = 256 };

struct transfer {
    struct transfer *prev, *next;
    struct http_client *client;
    struct http_fetch f;
    CURL *easy;
    struct curl_slist *headers;
    char *credential;
    struct http_url origin; /* that the credential is for */
    char *url;
    struct http_head head;
    int n_redirect;
    bool head_given;
    bool post;
    int rc; /* of a callback, or of a head that is too large */
    struct err err;
    char curl_message[CURL_ERROR_SIZE];
};

struct http_client {
    CURLM *multi;
    struct http_client_options o;
    char *ca_file;
    struct transfer *first;
};

int http_client_new(struct http_client **out, const struct http_client_options *o, struct err *e)
{
    struct http_client *c = mem_alloc(sizeof *c);
    c->o = *o;
    c->ca_file = o->ca_file ? mem_strdup(o->ca_file) : NULL;
    c->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!c->multi) {
        http_client_free(c);
        return err_set(e, ERR_NOMEM, NULL, "cannot start the HTTP client: out of memory");
    }
    /* twice: where a hub sends on to another server, one at each is kept open for the next request */
    curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 2L * o->max_connections);
    *out = c;
    return 0;
}

static void transfer_free(struct transfer *t)
{
    struct http_client *c = t->client;
    if (t->prev)
        t->prev->next = t->next;
    else if (c->first == t)
        c->first = t->next;
    if (t->next) t->next->prev = t->prev;
    if (t->easy) curl_multi_remove_handle(c->multi, t->easy);
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    http_head_deinit(&t->head);
    if (t->credential) explicit_bzero(t->credential, strlen(t->credential));
    mem_free(t->credential);
    mem_free(t->url);
    mem_free(t);
}

void http_client_cancel(struct http_client *c)
{
    while (c->first) transfer_free(c->first);
}

void http_client_free(struct http_client *c)
{
    if (!c) return;
    http_client_cancel(c);
    curl_multi_cleanup(c->multi);
    mem_free(c->ca_file);
    mem_free(c);
    curl_global_cleanup();
}

/* --- what libcurl calls --- */

static bool is_good(int status)
{
    return status >= 200 && status < 300;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    if (http_head_add(&t->head, line, size * n)) return size * n;
    t->rc = err_set(&t->err, ERR_LIMIT, NULL, "the head of the answer is too large");
    return 0;
}

static bool give_head(struct transfer *t)
{
    if (t->head_given || t->rc) return t->rc == 0;
    t->head_given = true;
    if (t->f.head) t->rc = t->f.head(t->f.arg, &t->head, &t->err);
    return t->rc == 0;
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    if (!is_good(t->head.status)) return size * n; /* what a redirect or an error shows to people */
    if (give_head(t)) t->rc = t->f.data(t->f.arg, p, size * n, &t->err);
    return t->rc ? 0 : size * n;
}

/* --- beginning --- */

static bool set_options(struct transfer *t)
{
    const struct http_client *c = t->client;
    CURL *h = t->easy;
    char range[48];
    snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)t->f.range_begin,
             (unsigned long long)t->f.range_end);
    bool bad = curl_easy_setopt(h, CURLOPT_URL, t->url) || curl_easy_setopt(h, CURLOPT_PRIVATE, t) ||
               curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") || curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) ||
               curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
               curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) ||
               curl_easy_setopt(h, CURLOPT_USERAGENT, "tailor") ||
               curl_easy_setopt(h, CURLOPT_HTTPHEADER, t->headers) ||
               curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)c->o.timeout_s) ||
               curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)c->o.timeout_s) ||
               curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_S) ||
               curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header) || curl_easy_setopt(h, CURLOPT_HEADERDATA, t) ||
               curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_data) || curl_easy_setopt(h, CURLOPT_WRITEDATA, t) ||
               curl_easy_setopt(h, CURLOPT_ERRORBUFFER, t->curl_message);
    if (!bad && c->ca_file) bad = curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    if (!bad && t->post) bad = curl_easy_setopt(h, CURLOPT_COPYPOSTFIELDS, t->f.body);
    if (!bad && !t->post && t->f.range_begin <= t->f.range_end) bad = curl_easy_setopt(h, CURLOPT_RANGE, range);
    return !bad;
}

static struct transfer *transfer_new(struct http_client *c, const struct http_fetch *f, const struct http_url *origin)
{
    struct transfer *t = mem_alloc(sizeof *t);
    *t = (struct transfer){.client = c, .f = *f, .origin = *origin, .next = c->first};
    if (c->first) c->first->prev = t;
    c->first = t;
    t->url = mem_strdup(f->url);
    t->credential = f->credential ? mem_strdup(f->credential) : NULL;
    http_head_init(&t->head);
    t->easy = curl_easy_init();
    if (t->credential) t->headers = curl_slist_append(NULL, t->credential);
    t->post = f->body != NULL;
    if (t->post) t->headers = curl_slist_append(t->headers, "Content-Type: application/json");
    return t;
}

int http_client_start(struct http_client *c, const struct http_fetch *f, struct err *e)
{
    struct http_url url;
    char shown[HTTP_URL_SHOWN_MAX];
    int rc = http_url_parse(f->url, &url, e);
    if (rc) return rc;
    http_url_show(f->url, shown, sizeof shown);
    if (url.has_user)
        return err_set(e, ERR_USAGE, shown,
                       "cannot use the address \"%s\": it holds a user or password; give a token file", shown);
    if (f->credential && !url.https && !url.is_loopback)
        return err_set(e, ERR_USAGE, shown,
                       "cannot send a token to \"%s\": http is readable on the way, https is needed", shown);
    struct transfer *t = transfer_new(c, f, &url);
    if (t->easy && (t->credential || t->post) == (t->headers != NULL) && set_options(t) &&
        curl_multi_add_handle(c->multi, t->easy) == CURLM_OK) {
        log_debug("GET %s", shown);
        return 0;
    }
    transfer_free(t);
    return err_set(e, ERR_NOMEM, shown, "cannot get \"%s\": out of memory", shown);
}

/* --- redirects --- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where a redirect may lead: anywhere but from https to http, a bounded number of times. */
static int check_redirect(const struct transfer *t, const char *to, struct http_url *url, struct err *e)
{
    struct http_url from;
    char shown[HTTP_URL_SHOWN_MAX], next[HTTP_URL_SHOWN_MAX];
    http_url_show(t->f.url ? t->url : "", shown, sizeof shown);
    if (!to || !*to) return err_set(e, ERR_INPUT, shown, "cannot get \"%s\": a redirect that names no address", shown);
    http_url_show(to, next, sizeof next);
    int rc = http_url_parse(to, url, e);
    if (rc == 0) rc = http_url_parse(t->url, &from, e);
    if (rc) return -ERR_INPUT;
    if (t->n_redirect >= MAX_REDIRECTS)
        return err_set(e, ERR_INPUT, shown, "cannot get \"%s\": more than %d redirects", shown, (int)MAX_REDIRECTS);
    if (from.https && !url->https)
        return err_set(e, ERR_INPUT, shown, "cannot get \"%s\": it leads from https to the open http of \"%s\"", shown,
                       next);
    if (url->has_user)
        return err_set(e, ERR_INPUT, shown, "cannot get \"%s\": a redirect with a password, to \"%s\"", shown, next);
    return 0;
}

/* The same transfer at the new place, without the credential where the origin is another one. 1: it goes on. */
static int follow(struct transfer *t, struct err *e)
{
    struct http_url url;
    char *to = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
    int rc = check_redirect(t, to, &url, e);
    if (rc) return rc;
    char *next = mem_strdup(to); /* to belongs to the handle */
    mem_free(t->url);
    t->url = next;
    t->n_redirect++;
    if (!http_url_same_origin(&url, &t->origin)) { /* once it left, it does not come back with it */
        curl_slist_free_all(t->headers);
        t->headers = NULL;
    }
    curl_multi_remove_handle(t->client->multi, t->easy);
    if (!set_options(t) || curl_multi_add_handle(t->client->multi, t->easy) != CURLM_OK)
        return err_set(e, ERR_NOMEM, NULL, "cannot follow a redirect: out of memory");
    return 1;
}

/* --- the end --- */

static int code_of(int status)
{
    if (status == 404 || status == 410) return ERR_NOT_FOUND;
    return status >= 400 && status < 500 && status != 429 && status != 408 ? ERR_INPUT : ERR_IO;
}

static const char *hint_of(int status, bool credential)
{
    if (status == 401 || status == 403)
        return credential ? "; the token may lack the right, or the terms of the model were not accepted yet"
                          : "; it may be private or not exist: a token may be needed";
    if (status == 404 || status == 410) return "; nothing is at this address";
    return status == 429 ? "; too many requests" : "";
}

static int status_error(const struct transfer *t, const char *shown, struct http_result *r)
{
    char said[160] = "";
    const char *reason = http_head_get(&t->head, "x-error-message");
    if (reason) snprintf(said, sizeof said, " (%s)", reason);
    str_make_printable(said);
    r->transient = t->head.status == 408 || t->head.status == 429 || t->head.status >= 500;
    return err_set(&r->err, code_of(t->head.status), shown, "cannot get \"%s\": the server answers %d%s%s", shown,
                   t->head.status, said, hint_of(t->head.status, t->credential && t->headers));
}

static bool is_transient(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
        return true;
    default:
        return false;
    }
}

/* Why libcurl gave up. Its texts are English and name hosts at most. */
static int curl_error(const struct transfer *t, CURLcode code, const char *shown, struct http_result *r)
{
    r->transient = is_transient(code);
    if (code == CURLE_OPERATION_TIMEDOUT && t->head.status)
        return err_set(&r->err, ERR_IO, shown, "cannot get \"%s\": nothing came for %d s", shown,
                       t->client->o.timeout_s);
    if (code == CURLE_PARTIAL_FILE)
        return err_set(&r->err, ERR_IO, shown, "cannot get \"%s\": the connection was cut", shown);
    char why[CURL_ERROR_SIZE];
    snprintf(why, sizeof why, "%s", t->curl_message[0] ? t->curl_message : curl_easy_strerror(code));
    str_make_printable(why);
    return err_set(&r->err, ERR_IO, shown, "cannot get \"%s\": %s", shown, why);
}

static void finish(struct transfer *t, CURLcode code)
{
    struct http_result r = {.status = t->head.status, .retry_after_s = http_head_retry_after_s(&t->head)};
    char shown[HTTP_URL_SHOWN_MAX];
    http_url_show(t->url, shown, sizeof shown);
    if (t->rc == 0 && code == CURLE_OK && is_redirect(t->head.status) && !t->post) {
        r.rc = follow(t, &r.err);
        if (r.rc == 1) return;
    } else if (t->rc == 0 && code == CURLE_OK && is_good(t->head.status)) {
        (void)give_head(t); /* an empty body */
    } else if (t->rc == 0) {
        r.rc = code ? curl_error(t, code, shown, &r) : status_error(t, shown, &r);
    }
    if (t->rc) {
        r.rc = t->rc;
        r.err = t->err;
    }
    void (*done)(void *, const struct http_result *) = t->f.done;
    void *arg = t->f.arg;
    transfer_free(t);
    done(arg, &r);
}

int http_client_wait(struct http_client *c, int timeout_ms, struct err *e)
{
    CURLMcode rc = curl_multi_poll(c->multi, NULL, 0, timeout_ms, NULL);
    return rc ? err_set(e, ERR_IO, NULL, "cannot go on with HTTP: %s", curl_multi_strerror(rc)) : 0;
}

int http_client_step(struct http_client *c, int timeout_ms, struct err *e)
{
    CURLMsg *m;
    int n, n_left;
    CURLMcode rc = curl_multi_perform(c->multi, &n);
    if (!rc && n) rc = curl_multi_poll(c->multi, NULL, 0, timeout_ms, NULL);
    if (!rc) rc = curl_multi_perform(c->multi, &n);
    if (rc) return err_set(e, ERR_IO, NULL, "cannot go on with HTTP: %s", curl_multi_strerror(rc));
    while ((m = curl_multi_info_read(c->multi, &n_left))) {
        char *private = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode code = m->data.result; /* m dies with the handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        finish((struct transfer *)(void *)private, code);
    }
    return 0;
}
