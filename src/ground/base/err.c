/* Errors as values. Owns the formatting of messages; owns no memory. What always holds: msg and object are
 * NUL-terminated valid UTF-8 without control characters, whatever the bytes of a hostile file put into them, so they
 * can go to a terminal or into JSON as they are. */
#include "ground/base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

static void copy_clean(char *out, size_t size, const char *s)
{
    size_t n = strnlen(s, size - 1);
    memcpy(out, s, n);
    out[n] = '\0';
    if (n == size - 1) str_cut_utf8(out); /* a character cut in half goes whole */
    str_make_printable(out);
}

static void set_object(struct err *e, const char *object)
{
    copy_clean(e->object, sizeof e->object, object ? object : "");
}

int err_set(struct err *e, int code, const char *object, const char *fmt, ...)
{
    if (!e) return -code;
    char text[sizeof e->msg], name[sizeof e->object];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap); /* the arguments may point into *e, so not directly */
    va_end(ap);
    copy_clean(name, sizeof name, object ? object : "");
    e->code = code;
    set_object(e, name);
    copy_clean(e->msg, sizeof e->msg, text);
    return -code;
}

static int code_of_errno(int number)
{
    if (number == ENOENT) return ERR_NOT_FOUND;
    return number == ENOMEM ? ERR_NOMEM : ERR_IO;
}

int err_set_errno(struct err *e, const char *object, const char *fmt, ...)
{
    int number = errno;
    int code = code_of_errno(number);
    if (!e) return -code;
    char text[sizeof e->msg], reason[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *why = strerror_r(number, reason, sizeof reason); /* GNU: may return a constant */
    return err_set(e, code, object, "%s: %s", text, why);
}

int err_wrap(struct err *e, int rc, const char *fmt, ...)
{
    if (!e) return rc;
    char prefix[sizeof e->msg], text[2 * sizeof e->msg + 4];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof text, "%s: %s", prefix, e->msg);
    copy_clean(e->msg, sizeof e->msg, text);
    return rc;
}

static void replace(char *text, size_t size, const char *from, const char *to)
{
    char out[2048];
    size_t n = 0;
    for (const char *at = text; *at && n + 1 < sizeof out;) {
        bool hit = strncmp(at, from, strlen(from)) == 0;
        n += (size_t)snprintf(out + n, sizeof out - n, "%.*s", hit ? (int)strlen(to) : 1, hit ? to : at);
        at += hit ? strlen(from) : 1;
    }
    out[n < sizeof out ? n : sizeof out - 1] = '\0';
    copy_clean(text, size, out);
}

void err_rename(struct err *e, const char *from, const char *to)
{
    if (!e || !*from) return;
    replace(e->msg, sizeof e->msg, from, to);
    replace(e->object, sizeof e->object, from, to);
}

const char *err_code_name(int code)
{
    switch (code < 0 ? -code : code) {
#define X(name, number, text) \
    case ERR_##name:          \
        return text;
        ERR_CODES(X)
#undef X
    default:
        return "unknown";
    }
}
