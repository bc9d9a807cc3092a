/* A growable byte buffer that is created with its maximum. data is NUL-terminated after every successful call
 * (len does not count the NUL), so it can be printed. A failed append leaves the contents as they were. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "ground/base/attr.h"

struct buf {
    char *data; /* NULL only before the first append */
    size_t len, cap, max;
};

/* An empty buffer that never holds more than max_bytes; deinit frees it (also after take). */
void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b);
/* 0, -ERR_LIMIT (max reached) or -ERR_NOMEM. */
int buf_add(struct buf *b, const void *p, size_t n) MUST_CHECK;
int buf_add_str(struct buf *b, const char *s) MUST_CHECK;
int buf_add_char(struct buf *b, char c) MUST_CHECK;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
void buf_clear(struct buf *b); /* len 0, memory kept */
/* Hands the memory to the caller (mem_free) and empties b; never NULL unless out of memory. */
char *buf_take(struct buf *b, size_t *len) MUST_CHECK;

#endif
