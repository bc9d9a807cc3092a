/* The head of an answer: status and headers, those of the redirects before it included. Lines come from a server that
 * nobody vouches for. */
#ifndef HTTP_HTTP_HEAD_H
#define HTTP_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"

struct http_head {
    int status;
    struct buf lines; /* "name\0value\0" of all answers, names in lower case */
    size_t last;      /* where those of the last answer begin */
};
/* An empty head; deinit frees it. */
void http_head_init(struct http_head *h);
void http_head_deinit(struct http_head *h);
/* One line as it was received, n bytes: a status line begins a new answer. Returns false when the head is too large. */
bool http_head_add(struct http_head *h, const char *line, size_t n) MUST_CHECK;
/* A header of the last answer, or of the first that has it (before redirects); NULL when there is none. */
const char *http_head_get(const struct http_head *h, const char *name);
const char *http_head_first(const struct http_head *h, const char *name);

/* Content-Range: bytes BEGIN-END/TOTAL, both ends counted; total UINT64_MAX where it is '*'. False: none, or nonsense.
 */
bool http_head_range(const struct http_head *h, uint64_t *begin, uint64_t *end, uint64_t *total) MUST_CHECK;
/* Content-Length; UINT64_MAX: not said. */
uint64_t http_head_length(const struct http_head *h);
/* Retry-After in seconds from now (a date is converted); -1: not said, or nonsense. */
int64_t http_head_retry_after_s(const struct http_head *h);

#endif
