/* HTTP client over libcurl: many transfers at once in one thread, redirects followed by rules of ours, answers handed
 * on as they come. GET, and POST of JSON.
 *
 * What it does without being asked: proxies come from the usual environment variables (https_proxy, no_proxy ...);
 * certificates are checked; https never leads to http; a credential goes to the origin (scheme, host, port) that it was
 * given for and nowhere else; a transfer that stalls is given up. Addresses in messages are shown without their query.
 */
#ifndef HTTP_HTTP_CLIENT_H
#define HTTP_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/http/http_head.h"

struct http_client_options {
    const char *ca_file; /* certificates to trust instead of the system's; NULL: the system's */
    int timeout_s;       /* for a connection to be made, and without data before a transfer is given up; >= 1 */
    int max_connections; /* transfers that the caller wants at once; >= 1 */
};
struct http_client;
/* One thread a client. -ERR_NOMEM. */
int http_client_new(struct http_client **out, const struct http_client_options *o, struct err *e) MUST_CHECK;
/* Transfers in progress end without a call of done. */
void http_client_free(struct http_client *c);

/* How a transfer ended. */
struct http_result {
    int rc;                /* 0 after a 2xx answer that arrived whole */
    bool transient;        /* the same request may succeed later: cut, stalled, 408, 429, 5xx */
    int status;            /* of the last answer; 0: there was none */
    int64_t retry_after_s; /* what the server asks for; -1: nothing */
    struct err err;        /* when rc != 0 */
};
struct http_fetch {
    const char *url;                 /* copied */
    const char *credential;          /* a whole header line, "Authorization: Bearer x"; NULL: none; copied */
    const char *body;                /* JSON to POST; NULL: GET; copied, and not sent on by a redirect */
    uint64_t range_begin, range_end; /* both counted; begin > end: no range is asked for */
    /* The head of a 2xx answer, then its bytes; anything but 0 (with *e set) gives up, and is what done gets. */
    int (*head)(void *arg, const struct http_head *h, struct err *e);
    int (*data)(void *arg, const void *p, size_t n, struct err *e);
    /* Once, at the end. It may start other transfers. */
    void (*done)(void *arg, const struct http_result *r);
    void *arg;
};
/* Begin a transfer; it makes progress in http_client_step. */
int http_client_start(struct http_client *c, const struct http_fetch *f, struct err *e) MUST_CHECK;
/* Wait at most timeout_ms for something to happen and handle it. */
int http_client_step(struct http_client *c, int timeout_ms, struct err *e) MUST_CHECK;
/* Nothing but wait, at most timeout_ms; transfers go on in the next step. */
int http_client_wait(struct http_client *c, int timeout_ms, struct err *e) MUST_CHECK;
/* End all transfers without a call of done. */
void http_client_cancel(struct http_client *c);

#endif
