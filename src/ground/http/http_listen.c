/* A listening socket by host name or address and port. */
#include "ground/http/http_listen_int.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections inherit it. Without a limit the kernel holds up to several megabytes for each client that does not read,
 * and a stream is noticed to be slow only when they are full. */
enum { SEND_BUFFER_BYTES = 128 << 10 };

static int listen_on(const struct addrinfo *a)
{
    int one = 1, send_bytes = SEND_BUFFER_BYTES;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) &&
        !setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes)) &&
        !bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, SOMAXCONN))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &n)) return -1;
    if (a.ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)&a)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&a)->sin_port);
}

int http_listen(const char *host, int port, int *fd, int *actual_port, struct err *e)
{
    char service[16], object[160];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    snprintf(service, sizeof(service), "%d", port);
    snprintf(object, sizeof(object), "%.120s:%d", host, port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc) return err_set(e, ERR_INPUT, object, "cannot listen on \"%s\": %s", object, gai_strerror(rc));
    *fd = -1;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) *fd = listen_on(a);
    int saved = errno;
    freeaddrinfo(list);
    if (*fd < 0) {
        errno = saved;
        return err_set_errno(e, object, "cannot listen on \"%s\"", object);
    }
    *actual_port = bound_port(*fd);
    return 0;
}
