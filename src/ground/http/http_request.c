/* One request: what the handler may ask of it, and its answer. Owns the memory of a request and the two flags by which
 * any thread can wake it. What always holds: a connection is suspended only with `suspended` set under the request's
 * lock, and resumed once, by whoever clears it. */
#include "ground/http/http_request_int.h"

#include <string.h>

#include "ground/base/mem.h"

struct http_request *http_request_new(struct http_server *s, struct MHD_Connection *c, const char *method,
                                      const char *path)
{
    struct http_request *r = mem_try_alloc(sizeof(*r));
    if (!r) return NULL;
    r->server = s;
    r->connection = c;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    r->client = info ? info->socket_context : NULL;
    r->method = mem_strdup(method);
    r->path = mem_strdup(path);
    buf_init(&r->body, s->opt.max_body_bytes);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void http_request_free(struct http_request *r)
{
    if (r->response) MHD_destroy_response(r->response);
    for (int i = 0; i < r->n_header; i++) {
        mem_free(r->header_name[i]);
        mem_free(r->header_value[i]);
    }
    pthread_mutex_destroy(&r->lock);
    buf_deinit(&r->body);
    mem_free(r->method);
    mem_free(r->path);
    mem_free(r);
}

const char *http_method(const struct http_request *r)
{
    return r->method;
}

const char *http_path(const struct http_request *r)
{
    return r->path;
}

const char *http_header(const struct http_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *r, size_t *n)
{
    *n = r->body.len;
    return r->body.data ? r->body.data : "";
}

size_t http_max_body(const struct http_request *r)
{
    return r->server->opt.max_body_bytes;
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
    if ((size_t)r->n_header == N_ELEM(r->header_name)) return;
    r->header_name[r->n_header] = mem_strdup(name);
    r->header_value[r->n_header++] = mem_strdup(value);
}

/* The answer is there; it is queued when the callback returns. */
static void set_response(struct http_request *r, int status, const char *content_type, struct MHD_Response *response)
{
    r->status = status;
    r->response = response;
    if (!response) return; /* no memory: the connection is closed */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (int i = 0; i < r->n_header; i++)
        (void)MHD_add_response_header(response, r->header_name[i], r->header_value[i]);
}

void http_reply(struct http_request *r, int status, const char *content_type, const void *body, size_t n)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(n, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    set_response(r, status, content_type, response);
    r->state = HTTP_REPLIED;
}

static void set_task(struct http_request *r, const struct http_task *task)
{
    r->task = *task;
    r->has_task = true;
    http_watch_add(&r->server->watch, r);
}

void http_later(struct http_request *r, const struct http_task *task)
{
    r->state = HTTP_LATER;
    set_task(r, task);
}

/* Suspend unless there is a reason to go on: false then. On the server's thread. */
bool http_request_suspend(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    bool suspend = !r->pending && !r->left && !atomic_load(&r->server->stopping);
    if (suspend) {
        MHD_suspend_connection(r->connection);
        r->suspended = true;
    }
    pthread_mutex_unlock(&r->lock);
    return suspend;
}

/* Forget earlier wakes, as what they announced is looked at now; false when the client is gone. */
bool http_request_proceed(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    bool here = !r->left && !atomic_load(&r->server->stopping);
    r->pending = false;
    pthread_mutex_unlock(&r->lock);
    return here;
}

static ssize_t read_stream(void *arg, uint64_t pos, char *data, size_t max)
{
    struct http_request *r = arg;
    (void)pos;
    if (!http_request_proceed(r)) return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t n = r->task.read(r->task.arg, data, max);
    if (n == HTTP_STREAM_END) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) (void)http_request_suspend(r); /* not suspended: called again at once */
    return n;
}

void http_stream(struct http_request *r, int status, const char *content_type, const struct http_task *task)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, r, NULL);
    r->state = HTTP_STREAMING;
    set_task(r, task);
    set_response(r, status, content_type, response);
}

static void resume(struct http_request *r)
{
    if (!r->suspended) return;
    r->suspended = false;
    MHD_resume_connection(r->connection);
}

void http_wake(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    r->pending = true;
    resume(r);
    pthread_mutex_unlock(&r->lock);
}

void http_request_leave(struct http_request *r)
{
    pthread_mutex_lock(&r->lock);
    bool first = !r->left;
    r->left = true;
    resume(r);
    pthread_mutex_unlock(&r->lock);
    if (first && r->task.left) r->task.left(r->task.arg);
}

void http_request_over(struct http_request *r, bool complete)
{
    if (r->has_task) {
        http_watch_remove(&r->server->watch, r);
        if (!complete && !r->left && r->task.left) r->task.left(r->task.arg);
        r->task.done(r->task.arg);
    }
    http_request_free(r);
}
