/* How long a client may take to send its request. libmicrohttpd closes connections that are silent; one that sends a
 * byte now and then would hold its place for ever, and there are only so many. Owns the list of connections and the
 * clock of each, not the sockets: it only shuts them down, and the server's thread then finds them at their end.
 *
 * What always holds: a socket is shut down under the list's lock, and leaves the list before it is closed. */
#include "ground/http/http_clients_int.h"

#include <sys/socket.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"

void http_clients_init(struct http_clients *c, double limit_s)
{
    *c = (struct http_clients){.limit_s = limit_s};
    pthread_mutex_init(&c->lock, NULL);
}

void http_clients_deinit(struct http_clients *c)
{
    while (c->first) http_clients_remove(c, c->first);
    pthread_mutex_destroy(&c->lock);
}

struct http_client *http_clients_add(struct http_clients *c, int fd)
{
    struct http_client *x = mem_try_alloc(sizeof(*x));
    if (!x) return NULL;
    *x = (struct http_client){.fd = fd, .owes = true, .since_s = clock_s()};
    pthread_mutex_lock(&c->lock);
    x->next = c->first;
    if (c->first) c->first->before = x;
    c->first = x;
    pthread_mutex_unlock(&c->lock);
    return x;
}

void http_clients_remove(struct http_clients *c, struct http_client *x)
{
    if (!x) return;
    pthread_mutex_lock(&c->lock);
    if (x->next) x->next->before = x->before;
    if (x->before)
        x->before->next = x->next;
    else
        c->first = x->next;
    pthread_mutex_unlock(&c->lock);
    mem_free(x);
}

void http_clients_read(struct http_clients *c, struct http_client *x, size_t n)
{
    if (!x) return;
    pthread_mutex_lock(&c->lock);
    x->n_read += n;
    pthread_mutex_unlock(&c->lock);
}

void http_clients_asked(struct http_clients *c, struct http_client *x)
{
    if (!x) return;
    pthread_mutex_lock(&c->lock);
    x->owes = false;
    pthread_mutex_unlock(&c->lock);
}

void http_clients_answered(struct http_clients *c, struct http_client *x)
{
    if (!x) return;
    pthread_mutex_lock(&c->lock);
    x->owes = true;
    x->since_s = clock_s();
    x->n_read = 0;
    pthread_mutex_unlock(&c->lock);
}

void http_clients_cut(struct http_clients *c)
{
    double now = clock_s();
    pthread_mutex_lock(&c->lock);
    for (struct http_client *x = c->first; x; x = x->next)
        if (x->owes && now - x->since_s > c->limit_s + (double)x->n_read / HTTP_SLOWEST_BYTES_S)
            (void)shutdown(x->fd, SHUT_RDWR);
    pthread_mutex_unlock(&c->lock);
}
