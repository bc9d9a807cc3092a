/* Private to http/: requests, and the watcher of clients that leave. */
#ifndef HTTP_HTTP_SERVER_INT_H
#define HTTP_HTTP_SERVER_INT_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/http/http_clients_int.h"
#include "ground/http/http_server.h"

enum http_state { HTTP_READING, HTTP_LATER, HTTP_STREAMING, HTTP_REPLIED };

struct http_request {
    struct http_server *server;
    struct MHD_Connection *connection;
    struct http_client *client;
    char *method, *path;
    struct buf body;
    bool asked; /* it is complete or refused, and counted in n_open */
    bool too_large;
    size_t n_dropped; /* bytes of a body that was too large */
    enum http_state state;
    struct MHD_Response *response; /* queued, or waiting to be */
    int status;
    char *header_name[8], *header_value[8];
    int n_header;
    struct http_task task;
    bool has_task;

    pthread_mutex_t lock; /* suspended, pending, left */
    bool suspended;       /* nobody looks at the connection until it is resumed */
    bool pending;         /* http_wake came since ready or read was called last */
    bool left;

    uint64_t watch_id; /* 0: not watched */
    int fd;
    struct http_request *watch_next;
};

/* Watches the sockets of suspended connections: a client that closes its side is told as `left`. And cuts off clients
 * that are too slow to ask. */
struct http_watch {
    int epoll_fd, stop_fd;
    struct http_clients *clients;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* the list */
    struct http_request *first;
    uint64_t next_id;
};

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_options opt;
    int port;
    atomic_int n_open;
    atomic_bool stopping;
    struct http_clients clients;
    struct http_watch watch;
};

/* Start and stop the thread; stop also after a start that failed. clients is borrowed. */
int http_watch_start(struct http_watch *w, struct http_clients *clients, struct err *e) MUST_CHECK;
void http_watch_stop(struct http_watch *w);

/* Watch the socket of a request from now on. */
void http_watch_add(struct http_watch *w, struct http_request *r);
/* After this the watcher does not touch r any more. */
void http_watch_remove(struct http_watch *w, struct http_request *r);
/* Tell every watched request that its client has left. */
void http_watch_leave_all(struct http_watch *w);
/* Note that the client has left, and let the server's thread end the connection. */
void http_request_leave(struct http_request *r);

#endif
