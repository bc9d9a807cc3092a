/* One request to its end, with retries; and how long to wait before a retry, for everybody who makes them. */
#ifndef HTTP_HTTP_GET_H
#define HTTP_HTTP_GET_H

#include "ground/base/buf.h"
#include "ground/http/http_client.h"

struct http_get {
    struct http_fetch fetch;         /* its done stays empty; head and data are called anew in each attempt */
    int n_retry;                     /* after failures that may pass */
    bool (*is_cancelled)(void *arg); /* NULL: never; asked a few times a second */
    void *arg;
};
/* Blocks until an attempt succeeded or the last failed. -ERR_INTERRUPTED when it is cancelled. */
int http_get(struct http_client *c, const struct http_get *g, struct err *e) MUST_CHECK;
/* The body of a 2xx answer into body, whose maximum is the limit; fetch needs an address and perhaps a credential. */
int http_get_text(struct http_client *c, const struct http_get *g, struct buf *body, struct err *e) MUST_CHECK;

/* Seconds to wait before attempt n_failed + 1 (n_failed >= 1): twice as long each time, half a second at first, half a
 * minute at most, some of it random; what the server asks for when that is longer. Negative: it asks for more than a
 * quarter of an hour, which nobody waits for. */
double http_retry_delay_s(const struct http_result *r, int n_failed);

#endif
