/* Private to http/: connections that owe us a request. */
#ifndef HTTP_HTTP_CLIENTS_INT_H
#define HTTP_HTTP_CLIENTS_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Bodies may take a second more for every so many bytes that have come. */
enum { HTTP_SLOWEST_BYTES_S = 16 << 10 };

struct http_client {
    struct http_client *before, *next;
    int fd;
    bool owes;      /* a request is awaited or half read, else an answer is being made or sent */
    double since_s; /* clock: of the connection or the last answer */
    size_t n_read;  /* bytes of the body that came since */
};

struct http_clients {
    pthread_mutex_t lock; /* all below */
    struct http_client *first;
    double limit_s;
};

/* limit_s: for a request without a body. Before any thread uses it, and after all. */
void http_clients_init(struct http_clients *c, double limit_s);
/* Frees what is still in the list. */
void http_clients_deinit(struct http_clients *c);
/* NULL when out of memory: the connection then has no limit of ours. The functions below take NULL. */
struct http_client *http_clients_add(struct http_clients *c, int fd);
/* Before fd is closed; frees. */
void http_clients_remove(struct http_clients *c, struct http_client *x);
/* n bytes of its body came. */
void http_clients_read(struct http_clients *c, struct http_client *x, size_t n);
/* Its request is complete or refused. */
void http_clients_asked(struct http_clients *c, struct http_client *x);
/* Its answer is over: the next request is awaited. */
void http_clients_answered(struct http_clients *c, struct http_client *x);
/* Shut down the sockets of those that owe a request for too long. */
void http_clients_cut(struct http_clients *c);

#endif
