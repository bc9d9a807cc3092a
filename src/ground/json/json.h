/* What jansson lacks: limits and places of errors when reading, JSON Lines, getters that say what is wrong, and one
 * writer (compact, canonical, for people) that prints the shortest number that reads back the same.
 *
 * Reading refuses duplicate keys, \u0000, invalid UTF-8, nesting past JSON_DEPTH and rubbish after the value.
 * `where` in all functions is what a user would look for: a file name, "cases.jsonl line 12", "the request body". */
#ifndef JSON_JSON_H
#define JSON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

enum { JSON_DEPTH = 128 };

/* --- reading --- */

/* Parse n bytes of text; *out is a new reference. -ERR_INPUT names line and column. Any kind of value is accepted. */
int json_parse(const char *text, size_t n, const char *where, json_t **out, struct err *e) MUST_CHECK;
/* Parse a file of at most max_bytes. */
int json_read_file(const char *path, size_t max_bytes, json_t **out, struct err *e) MUST_CHECK;

/* JSON Lines: one object a line. Blank lines are skipped, a byte order mark at the start and CR LF are accepted.
 * After a line that was refused the next call goes on with the line after it. */
struct json_lines {
    uint64_t line_no; /* of the last line returned or refused, from 1 */
    const char *text; /* that line without its end, text_len bytes; valid until the next call */
    size_t text_len;
    char *path;
    int fd;     /* -1 when reading from memory */
    char *data; /* read but not yet returned: [begin, end) */
    size_t begin, end, cap, max_line_bytes;
    bool eof;
};
/* Open a file; lines longer than max_line_bytes are refused. */
int json_lines_open(struct json_lines *r, const char *path, size_t max_line_bytes, struct err *e) MUST_CHECK;
/* The same from a copy of n bytes in memory; name stands for the path in errors. */
int json_lines_open_memory(struct json_lines *r, const char *name, const char *text, size_t n, size_t max_line_bytes,
                           struct err *e) MUST_CHECK;
/* 1 with *row a new reference, 0 at the end, -ERR_* with path, line and column. */
int json_lines_next(struct json_lines *r, json_t **row, struct err *e) MUST_CHECK;
void json_lines_close(struct json_lines *r);

/* --- getters: borrowed results; -ERR_INPUT names where, the key, what it is and what is needed --- */

/* Required members. */
int json_get_str(const json_t *obj, const char *key, const char **out, const char *where, struct err *e) MUST_CHECK;
int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out, const char *where,
                 struct err *e) MUST_CHECK;
/* An integer is accepted as a number; the value is finite (JSON has nothing else). */
int json_get_float(const json_t *obj, const char *key, double min, double max, double *out, const char *where,
                   struct err *e) MUST_CHECK;
int json_get_bool(const json_t *obj, const char *key, bool *out, const char *where, struct err *e) MUST_CHECK;
int json_get_array(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e) MUST_CHECK;
int json_get_object(const json_t *obj, const char *key, const json_t **out, const char *where,
                    struct err *e) MUST_CHECK;

/* Optional members: when absent or null, *out keeps the value it had. A wrong type is an error all the same. */
int json_opt_str(const json_t *obj, const char *key, const char **out, const char *where, struct err *e) MUST_CHECK;
int json_opt_int(const json_t *obj, const char *key, int64_t min, int64_t max, int64_t *out, const char *where,
                 struct err *e) MUST_CHECK;
int json_opt_float(const json_t *obj, const char *key, double min, double max, double *out, const char *where,
                   struct err *e) MUST_CHECK;
int json_opt_bool(const json_t *obj, const char *key, bool *out, const char *where, struct err *e) MUST_CHECK;
int json_opt_array(const json_t *obj, const char *key, const json_t **out, const char *where, struct err *e) MUST_CHECK;
int json_opt_object(const json_t *obj, const char *key, const json_t **out, const char *where,
                    struct err *e) MUST_CHECK;

/* "a string", "an integer", ... : what a value is, for errors; NULL is "missing". */
const char *json_kind(const json_t *v);
/* A number, or null when v is NaN or infinite: jansson's own json_real gives no value at all then. New reference. */
json_t *json_finite(double v);

/* --- writing --- */

enum json_form {
    JSON_LINE,      /* one line, members in their order */
    JSON_CANONICAL, /* one line, members sorted by the bytes of their keys: what digests are made of */
    JSON_PRETTY     /* indented by two, members in their order, newline at the end */
};
/* Append v to out: 0, -ERR_LIMIT, -ERR_NOMEM. UTF-8 stays as it is, control characters are escaped. */
int json_format(const json_t *v, enum json_form form, struct buf *out) MUST_CHECK;
/* Replace a file atomically by v in JSON_PRETTY. */
int json_write_file(const char *path, const json_t *v, struct err *e) MUST_CHECK;
/* SHA-256 of the canonical form. */
int json_digest(const json_t *v, char hex[65], struct err *e) MUST_CHECK;

#endif
