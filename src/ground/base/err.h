/* Errors: a fixed-size value that says what failed, on which object, and why.
 *
 * Functions that can fail return 0 or -ERR_* and take `struct err *e` last (may be NULL). The error is set
 * where its cause is known; a caller wraps it only to add what the callee could not know. Nothing to free.
 * Text: `cannot X "object": reason`, lower case, no full stop, with the value and what would be accepted. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

#include "ground/base/attr.h"

/* name, number, text of the JSON "code". Append only: numbers are seen by scripts. */
#define ERR_CODES(X)                 \
    X(NOMEM, 1, "out_of_memory")     \
    X(IO, 2, "io")                   \
    X(INPUT, 3, "invalid_input")     \
    X(USAGE, 4, "usage")             \
    X(LIMIT, 5, "limit_exceeded")    \
    X(NOT_FOUND, 6, "not_found")     \
    X(UNSUPPORTED, 7, "unsupported") \
    X(INTERRUPTED, 8, "interrupted") \
    X(CONFLICT, 9, "conflict")       \
    X(INTERNAL, 10, "internal")

enum err_code {
#define X(name, number, text) ERR_##name = (number),
    ERR_CODES(X)
#undef X
};

struct err {
    int code;         /* ERR_*, 0 when no error was set */
    char object[160]; /* the thing it is about: path, field, id; "" when there is none */
    char msg[512];    /* complete text, fit to be shown alone */
};

/* Set *e (when not NULL) and return -code, so that `return err_set(...)` reads naturally.
 * object may be NULL. The message must stand alone, so name the object in it too. */
int err_set(struct err *e, int code, const char *object, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* As err_set with ": strerror(errno)" appended; code is ERR_IO, or ERR_NOT_FOUND for ENOENT, ERR_NOMEM for ENOMEM. */
int err_set_errno(struct err *e, const char *object, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "prefix: " before the message that is there; returns rc unchanged (rc survives e == NULL). */
int err_wrap(struct err *e, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put `to` wherever `from` stands in message and object: a caller that wrote under a temporary name says the name that
 * the user gave. */
void err_rename(struct err *e, const char *from, const char *to);

/* The JSON name of a code, e.g. "invalid_input"; "unknown" for others. Accepts ERR_* and -ERR_*. */
const char *err_code_name(int code);

#endif
