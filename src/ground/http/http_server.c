/* The server: libmicrohttpd's callbacks, reading of bodies, starting and stopping. Owns the daemon, its one thread and
 * the listening socket. What always holds: a body never takes more than max_body_bytes; every request that was handed
 * out is ended by http_request_over. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_listen_int.h"
#include "ground/http/http_request_int.h"

enum { DROP_FACTOR = 4, DEFAULT_CONNECTIONS = 1024, DEFAULT_IDLE_S = 60, CONNECTION_MEMORY_BYTES = 1 << 16 };

static enum MHD_Result queue(struct http_request *r)
{
    if (!r->response) return MHD_NO;
    return MHD_queue_response(r->connection, (unsigned)r->status, r->response);
}

/* The answer is still to come: ask for it as long as somebody wakes us, then suspend. */
static enum MHD_Result wait_for_answer(struct http_request *r)
{
    while (r->state == HTTP_LATER) {
        if (!http_request_proceed(r)) return MHD_NO;
        r->task.ready(r->task.arg, r);
        if (r->state == HTTP_LATER && http_request_suspend(r)) return MHD_YES;
    }
    return queue(r);
}

static enum MHD_Result dispatch(struct http_request *r, http_request_fn fn)
{
    http_clients_asked(&r->server->clients, r->client);
    atomic_fetch_add(&r->server->n_open, 1);
    r->asked = true;
    fn(r->server->opt.arg, r);
    if (r->state == HTTP_LATER) return http_request_suspend(r) ? MHD_YES : wait_for_answer(r);
    return queue(r);
}

static void empty_too_large(void *arg, struct http_request *r)
{
    (void)arg;
    http_reply(r, MHD_HTTP_CONTENT_TOO_LARGE, "text/plain", "", 0);
}

static void empty_malformed(void *arg, struct http_request *r)
{
    (void)arg;
    http_reply(r, MHD_HTTP_BAD_REQUEST, "text/plain", "", 0);
}

static enum MHD_Result count_length(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    int *n = arg;
    (void)kind, (void)value;
    *n += !strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) || !strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    return MHD_YES;
}

/* A proxy before us may believe the other of two lengths, and take the rest of the body for a request (RFC 9112, 6.3).
 */
static bool length_is_told_twice(struct http_request *r)
{
    int n = 0;
    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_length, &n);
    return n > 1;
}

/* The head of the request is here. A body that is known to be too large is refused before it is sent, when the client
 * waits for that or when it is so large that reading it to its end would be a waste. */
static enum MHD_Result begin(struct http_request *r)
{
    const char *text = http_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n;
    size_t max = r->server->opt.max_body_bytes;
    if (length_is_told_twice(r)) return dispatch(r, r->server->opt.malformed);
    if (!text || !str_to_u64(text, &n) || n <= max) return MHD_YES;
    r->too_large = true;
    if (!http_header(r, MHD_HTTP_HEADER_EXPECT) && n / DROP_FACTOR <= max) return MHD_YES;
    return dispatch(r, r->server->opt.too_large);
}

static enum MHD_Result take_body(struct http_request *r, const char *data, size_t n)
{
    http_clients_read(&r->server->clients, r->client, n);
    if (!r->too_large && !buf_add(&r->body, data, n)) return MHD_YES;
    r->too_large = true;
    r->n_dropped += n;
    return r->n_dropped / DROP_FACTOR > r->server->opt.max_body_bytes ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                 const char *version, const char *data, size_t *n, void **slot)
{
    struct http_server *s = arg;
    struct http_request *r = *slot;
    (void)version;
    if (!r) {
        r = http_request_new(s, c, method, url);
        if (!r) return MHD_NO;
        *slot = r;
        return begin(r);
    }
    if (*n) {
        size_t n_data = *n;
        *n = 0;
        return take_body(r, data, n_data);
    }
    if (r->state == HTTP_READING) return dispatch(r, r->too_large ? s->opt.too_large : s->opt.request);
    return r->state == HTTP_LATER ? wait_for_answer(r) : MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *c, void **slot, enum MHD_RequestTerminationCode why)
{
    struct http_server *s = arg;
    (void)c;
    if (!*slot) return;
    struct http_request *r = *slot;
    bool asked = r->asked;
    http_clients_answered(&s->clients, r->client);
    http_request_over(r, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    *slot = NULL;
    if (asked) atomic_fetch_sub(&s->n_open, 1);
}

static void on_connection(void *arg, struct MHD_Connection *c, void **socket_slot,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = arg;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED)
        http_clients_remove(&s->clients, *socket_slot);
    else if (info)
        *socket_slot = http_clients_add(&s->clients, info->connect_fd);
}

static int start_daemon(struct http_server *s, struct err *e)
{
    int fd;
    int rc = http_listen(s->opt.host, s->opt.port, &fd, &s->port, e);
    if (rc) return rc;
    s->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, s,
                                 MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                                 MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)s->opt.max_connection, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)s->opt.idle_timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                 (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    if (s->daemon) return 0;
    close(fd);
    return err_set(e, ERR_IO, s->opt.host, "cannot start the HTTP server on \"%s\"", s->opt.host);
}

int http_server_start(struct http_server **out, const struct http_options *opt, struct err *e)
{
    struct http_server *s = mem_alloc(sizeof(*s));
    *out = NULL;
    s->opt = *opt;
    s->opt.too_large = opt->too_large ? opt->too_large : empty_too_large;
    s->opt.malformed = opt->malformed ? opt->malformed : empty_malformed;
    s->opt.max_connection = opt->max_connection ? opt->max_connection : DEFAULT_CONNECTIONS;
    s->opt.idle_timeout_s = opt->idle_timeout_s ? opt->idle_timeout_s : DEFAULT_IDLE_S;
    http_clients_init(&s->clients, s->opt.idle_timeout_s);
    int rc = http_watch_start(&s->watch, &s->clients, e);
    if (!rc) rc = start_daemon(s, e);
    if (rc) {
        http_watch_stop(&s->watch);
        http_clients_deinit(&s->clients);
        mem_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

int http_server_n_open(struct http_server *s)
{
    return atomic_load(&s->n_open);
}

void http_server_stop(struct http_server *s)
{
    if (!s) return;
    atomic_store(&s->stopping, true);
    http_watch_leave_all(&s->watch);
    MHD_stop_daemon(s->daemon);
    http_watch_stop(&s->watch);
    http_clients_deinit(&s->clients);
    mem_free(s);
}
