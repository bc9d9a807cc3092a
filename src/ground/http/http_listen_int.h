/* Private to http/: making a listening socket. */
#ifndef HTTP_HTTP_LISTEN_INT_H
#define HTTP_HTTP_LISTEN_INT_H

#include "ground/base/err.h"

/* Bind and listen; port 0 takes any free one, which *actual_port tells. -ERR_INPUT for a host that cannot be resolved,
 * -ERR_IO otherwise. The caller closes *fd. */
int http_listen(const char *host, int port, int *fd, int *actual_port, struct err *e) MUST_CHECK;

#endif
