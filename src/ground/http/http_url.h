/* Addresses: taken apart, made, and shown without what is nobody's business (passwords, signatures). */
#ifndef HTTP_HTTP_URL_H
#define HTTP_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

enum { HTTP_URL_MAX = 8192, HTTP_URL_SHOWN_MAX = 256 };

struct http_url {
    bool https;       /* else http */
    bool is_loopback; /* localhost, 127.0.0.0/8 or ::1: bytes do not leave this machine */
    bool has_user;    /* user:password@ stands in it */
    char host[256];
    int port;       /* the scheme's when none is given */
    char base[256]; /* last component of the path with %XX decoded; "" when the path ends in / */
};
/* -ERR_USAGE for what is no http or https address; the message shows it without query and password. */
int http_url_parse(const char *url, struct http_url *out, struct err *e) MUST_CHECK;
/* Same scheme, host and port: what a token for one may be sent to. */
bool http_url_same_origin(const struct http_url *a, const struct http_url *b);
/* The address without user, query and fragment, cut to fit: for messages and logs. size >= 16. */
void http_url_show(const char *url, char *out, size_t size);
/* Append text with everything but letters, digits, - . _ ~ as %XX; keep_slash: / stays, too. 0, -ERR_LIMIT, -ERR_NOMEM.
 */
int http_url_add_escaped(struct buf *b, const char *text, bool keep_slash) MUST_CHECK;

#endif
