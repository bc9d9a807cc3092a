/* An HTTP/1.1 server: requests come complete (body read, limited), answers are given at once, later, or as a stream
 * that the server pulls at the client's pace. Knows neither JSON nor models. TLS is a proxy's matter.
 *
 * Threads: callbacks run on the server's thread, but for `left`, which may run on its watcher's thread. They must not
 * block. A request is valid until its `done` (or, without a task, until the request callback returns). */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "ground/base/err.h"

struct http_server;
struct http_request;

/* Must end in exactly one of http_reply, http_later, http_stream. */
typedef void (*http_request_fn)(void *arg, struct http_request *r);
struct http_options {
    const char *host;      /* address or name to listen on */
    int port;              /* 0: any free one */
    size_t max_body_bytes; /* larger bodies are answered with 413 through too_large */
    int max_connection;    /* 0: 1024 */
    int idle_timeout_s;    /* for a client to send its request, large ones a second more per 16 KiB; 0: 60 */
    http_request_fn request;
    http_request_fn too_large; /* like request; NULL: an empty 413 */
    http_request_fn malformed; /* like request, when the length of its body is told twice; NULL: an empty 400 */
    void *arg;
};
/* Listen and serve; -ERR_IO names address and reason. */
int http_server_start(struct http_server **out, const struct http_options *opt, struct err *e) MUST_CHECK;
/* The port that is listened on. */
int http_server_port(const struct http_server *s);
/* Connections that wait for their answer or receive it. Thread-safe. */
int http_server_n_open(struct http_server *s);
/* End: open answers are cut off (their `left`, then `done` are called), connections closed, memory freed. */
void http_server_stop(struct http_server *s);

/* --- the request --- */

const char *http_method(const struct http_request *r); /* "GET" */
const char *http_path(const struct http_request *r);   /* "/v1/models", without query */
/* The value of a header (name in any case) or NULL; borrowed until the request is done. */
const char *http_header(const struct http_request *r, const char *name);
/* The body, n bytes and a NUL. */
const char *http_body(const struct http_request *r, size_t *n);
size_t http_max_body(const struct http_request *r);

/* --- the answer --- */

/* One more header of the answer that follows; name and value are copied. */
void http_add_header(struct http_request *r, const char *name, const char *value);
/* The whole answer; body is copied. */
void http_reply(struct http_request *r, int status, const char *content_type, const void *body, size_t n);

/* An answer that is not ready yet. */
struct http_task {
    void *arg;
    /* http_later: called after every http_wake; must reply, or return to wait on. */
    void (*ready)(void *arg, struct http_request *r);
    /* http_stream: up to max bytes into data; 0: nothing now, wait for http_wake; HTTP_STREAM_END, HTTP_STREAM_CUT. */
    ssize_t (*read)(void *arg, char *data, size_t max);
    /* The client has left before its answer was complete; at most once. May be NULL. */
    void (*left)(void *arg);
    /* The last call, always made once: the request is over and must not be named any more. */
    void (*done)(void *arg);
};
enum { HTTP_STREAM_END = -1, HTTP_STREAM_CUT = -2 }; /* the answer is complete; cut the connection off */

/* Answer later: task->ready will. *task is copied. */
void http_later(struct http_request *r, const struct http_task *task);
/* Answer with a stream of unknown length that task->read gives. */
void http_stream(struct http_request *r, int status, const char *content_type, const struct http_task *task);
/* Call ready or read (again) soon. Any thread, from http_later or http_stream until done; cheap, allocates nothing. */
void http_wake(struct http_request *r);

#endif
