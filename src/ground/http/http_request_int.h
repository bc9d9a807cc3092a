/* Private to http/: the life of a request, for the server's callbacks. */
#ifndef HTTP_HTTP_REQUEST_INT_H
#define HTTP_HTTP_REQUEST_INT_H

#include "ground/http/http_server_int.h"

/* NULL: out of memory. */
struct http_request *http_request_new(struct http_server *s, struct MHD_Connection *c, const char *method,
                                      const char *path) MUST_CHECK;
void http_request_free(struct http_request *r);
/* Suspend the connection unless it was woken, its client left or the server stops; whether it is suspended now. */
bool http_request_suspend(struct http_request *r);
/* Before ready or read: forget earlier wakes; false when the answer is pointless. */
bool http_request_proceed(struct http_request *r) MUST_CHECK;
/* The connection is finished with the request: left (unless complete), done, and freed. */
void http_request_over(struct http_request *r, bool complete);

#endif
