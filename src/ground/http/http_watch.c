/* The watcher: notices clients that leave while their connection is suspended, which libmicrohttpd does not look at,
 * and once a second those that are too slow to send their request. Owns one thread and one epoll set of sockets it
 * never reads. A client that half-closes its side counts as gone. What always holds: a request is in the list from
 * http_watch_add to http_watch_remove, and `left` is called under the list's lock, so it never meets a request that is
 * over. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/http/http_server_int.h"

static void leave_by_id(struct http_watch *w, uint64_t id)
{
    pthread_mutex_lock(&w->lock);
    for (struct http_request *r = w->first; r; r = r->watch_next)
        if (r->watch_id == id) {
            http_request_leave(r);
            break;
        }
    pthread_mutex_unlock(&w->lock);
}

#define CUT_EVERY_S 1.0

static void *watch_thread(void *arg)
{
    struct http_watch *w = arg;
    double cut_s = clock_s();
    for (;;) {
        struct epoll_event event[16];
        int n = epoll_wait(w->epoll_fd, event, 16, (int)(CUT_EVERY_S * 1e3));
        if (n < 0 && errno != EINTR) return NULL;
        if (clock_s() - cut_s >= CUT_EVERY_S) {
            http_clients_cut(w->clients);
            cut_s = clock_s();
        }
        for (int i = 0; i < n; i++) {
            if (event[i].data.u64 == 0) return NULL; /* stop_fd */
            leave_by_id(w, event[i].data.u64);
        }
    }
}

int http_watch_start(struct http_watch *w, struct http_clients *clients, struct err *e)
{
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = 0};
    w->next_id = 1;
    w->clients = clients;
    pthread_mutex_init(&w->lock, NULL);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->stop_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->stop_fd, &stop))
        return err_set_errno(e, NULL, "cannot watch connections");
    errno = pthread_create(&w->thread, NULL, watch_thread, w);
    if (errno) return err_set_errno(e, NULL, "cannot start the thread that watches connections");
    w->running = true;
    return 0;
}

void http_watch_stop(struct http_watch *w)
{
    uint64_t one = 1;
    if (w->running) {
        while (write(w->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR) continue;
        pthread_join(w->thread, NULL);
    }
    if (w->epoll_fd >= 0) close(w->epoll_fd);
    if (w->stop_fd >= 0) close(w->stop_fd);
    pthread_mutex_destroy(&w->lock);
}

void http_watch_add(struct http_watch *w, struct http_request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    pthread_mutex_lock(&w->lock);
    r->watch_id = w->next_id++;
    r->fd = info ? info->connect_fd : -1;
    r->watch_next = w->first;
    w->first = r;
    /* one shot: a half-closed socket would otherwise be reported for ever */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = r->watch_id};
    if (r->fd >= 0) (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, r->fd, &event);
    pthread_mutex_unlock(&w->lock);
}

void http_watch_remove(struct http_watch *w, struct http_request *r)
{
    if (!r->watch_id) return;
    pthread_mutex_lock(&w->lock);
    struct http_request **link = &w->first;
    while (*link && *link != r) link = &(*link)->watch_next;
    if (*link) *link = r->watch_next;
    if (r->fd >= 0) (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, r->fd, NULL);
    pthread_mutex_unlock(&w->lock);
}

void http_watch_leave_all(struct http_watch *w)
{
    pthread_mutex_lock(&w->lock);
    for (struct http_request *r = w->first; r; r = r->watch_next) http_request_leave(r);
    pthread_mutex_unlock(&w->lock);
}
