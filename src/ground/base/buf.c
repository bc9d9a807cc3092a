/* The growable buffer. Owns its bytes. What always holds: len <= cap <= max, one more byte than cap is allocated, and
 * that byte run ends in NUL; a failed append changes nothing. */
#include "ground/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes < SIZE_MAX ? max_bytes : SIZE_MAX - 1};
}

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

static int reserve(struct buf *b, size_t n)
{
    if (n > b->max - b->len) return -ERR_LIMIT;
    size_t need = b->len + n;
    if (b->data && need <= b->cap) return 0;
    size_t cap = b->cap < b->max / 2 ? b->cap * 2 : b->max;
    if (cap < 64) cap = b->max < 64 ? b->max : 64;
    if (cap < need) cap = need;
    char *data = mem_try_realloc(b->data, cap + 1);
    if (!data) return -ERR_NOMEM;
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    int rc = reserve(b, n);
    if (rc) return rc;
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add_str(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    int rc = n < 0 ? -ERR_INTERNAL : reserve(b, (size_t)n);
    if (rc == 0) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data) b->data[0] = '\0';
}

char *buf_take(struct buf *b, size_t *len)
{
    if (reserve(b, 0)) return NULL;
    char *data = b->data;
    if (len) *len = b->len;
    buf_init(b, b->max);
    return data;
}
