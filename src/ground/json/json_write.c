/* The one JSON writer. Owns nothing between calls. What always holds: numbers are the shortest text that reads back as
 * the same double; a value that is not finite is written as null; the canonical form of equal values is equal bytes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "ground/sys/digest.h"

enum { FILE_MAX_BYTES = 1 << 30 };

static int write_value(const json_t *v, enum json_form form, int depth, struct buf *out);

static int write_escape(unsigned char c, struct buf *out)
{
    static const char *const short_form[32] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    if (c == '"') return buf_add_str(out, "\\\"");
    if (c == '\\') return buf_add_str(out, "\\\\");
    return short_form[c] ? buf_add_str(out, short_form[c]) : buf_printf(out, "\\u%04x", c);
}

static int write_string(const char *s, size_t n, struct buf *out)
{
    int rc = buf_add_char(out, '"');
    for (size_t i = 0; i < n && rc == 0;) {
        size_t plain = i;
        while (plain < n && (unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\') plain++;
        rc = buf_add(out, s + i, plain - i);
        if (rc == 0 && plain < n) rc = write_escape((unsigned char)s[plain++], out);
        i = plain;
    }
    return rc ? rc : buf_add_char(out, '"');
}

static int write_real(double v, struct buf *out)
{
    char text[40];
    if (!isfinite(v)) return buf_add_str(out, "null");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (memcmp(&back, &v, sizeof v) == 0) break;
    }
    int rc = buf_add_str(out, text);
    if (rc == 0 && !strpbrk(text, ".e")) rc = buf_add_str(out, ".0"); /* stays a real number when it is read again */
    return rc;
}

static int write_break(enum json_form form, int depth, struct buf *out)
{
    return form == JSON_PRETTY ? buf_printf(out, "\n%*s", 2 * depth, "") : 0;
}

static int write_array(const json_t *v, enum json_form form, int depth, struct buf *out)
{
    size_t n = json_array_size(v);
    int rc = buf_add_char(out, '[');
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (i) rc = buf_add_char(out, ',');
        if (rc == 0) rc = write_break(form, depth + 1, out);
        if (rc == 0) rc = write_value(json_array_get(v, i), form, depth + 1, out);
    }
    if (rc == 0 && n) rc = write_break(form, depth, out);
    return rc ? rc : buf_add_char(out, ']');
}

static int write_member(const char *key, const json_t *v, enum json_form form, int depth, struct buf *out)
{
    int rc = write_break(form, depth, out);
    if (rc == 0) rc = write_string(key, strlen(key), out);
    if (rc == 0) rc = buf_add_str(out, form == JSON_PRETTY ? ": " : ":");
    return rc ? rc : write_value(v, form, depth, out);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* jansson's iterators want an object that is not const, though they do not change it. */
static json_t *iterable(const json_t *v)
{
    union {
        const json_t *in;
        json_t *out;
    } cast = {.in = v};
    return cast.out;
}

static const char **sorted_keys(const json_t *v, size_t n)
{
    const char **keys = mem_try_array(n, sizeof *keys);
    size_t i = 0;
    for (void *at = keys ? json_object_iter(iterable(v)) : NULL; at; at = json_object_iter_next(iterable(v), at))
        keys[i++] = json_object_iter_key(at);
    if (keys) qsort(keys, n, sizeof *keys, compare_keys);
    return keys;
}

static int write_sorted(const json_t *v, int depth, struct buf *out)
{
    size_t n = json_object_size(v);
    const char **keys = sorted_keys(v, n);
    int rc = keys ? 0 : -ERR_NOMEM;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (i) rc = buf_add_char(out, ',');
        if (rc == 0) rc = write_member(keys[i], json_object_get(v, keys[i]), JSON_CANONICAL, depth + 1, out);
    }
    mem_free(keys);
    return rc;
}

static int write_in_order(const json_t *v, enum json_form form, int depth, struct buf *out)
{
    int rc = 0;
    json_t *obj = iterable(v);
    void *first = json_object_iter(obj);
    for (void *at = first; at && rc == 0; at = json_object_iter_next(obj, at)) {
        if (at != first) rc = buf_add_char(out, ',');
        if (rc == 0) rc = write_member(json_object_iter_key(at), json_object_iter_value(at), form, depth + 1, out);
    }
    return rc == 0 && first ? write_break(form, depth, out) : rc;
}

static int write_object(const json_t *v, enum json_form form, int depth, struct buf *out)
{
    int rc = buf_add_char(out, '{');
    if (rc == 0) rc = form == JSON_CANONICAL ? write_sorted(v, depth, out) : write_in_order(v, form, depth, out);
    return rc ? rc : buf_add_char(out, '}');
}

static int write_value(const json_t *v, enum json_form form, int depth, struct buf *out)
{
    if (depth > JSON_DEPTH) return -ERR_LIMIT;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return write_object(v, form, depth, out);
    case JSON_ARRAY:
        return write_array(v, form, depth, out);
    case JSON_STRING:
        return write_string(json_string_value(v), json_string_length(v), out);
    case JSON_INTEGER:
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    case JSON_REAL:
        return write_real(json_real_value(v), out);
    case JSON_TRUE:
        return buf_add_str(out, "true");
    case JSON_FALSE:
        return buf_add_str(out, "false");
    default:
        return buf_add_str(out, "null");
    }
}

int json_format(const json_t *v, enum json_form form, struct buf *out)
{
    int rc = write_value(v, form, 0, out);
    return rc == 0 && form == JSON_PRETTY ? buf_add_char(out, '\n') : rc;
}

static int format_error(int rc, const char *what, struct err *e)
{
    if (rc == -ERR_NOMEM) return err_set(e, ERR_NOMEM, what, "cannot write \"%s\": out of memory", what);
    return err_set(e, ERR_LIMIT, what, "cannot write \"%s\": more than %d bytes or %d levels", what,
                   (int)FILE_MAX_BYTES, (int)JSON_DEPTH);
}

int json_write_file(const char *path, const json_t *v, struct err *e)
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    int rc = json_format(v, JSON_PRETTY, &text);
    if (rc)
        rc = format_error(rc, path, e);
    else
        rc = file_write_atomic(path, text.data, text.len, e);
    buf_deinit(&text);
    return rc;
}

int json_digest(const json_t *v, char hex[65], struct err *e)
{
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    int rc = json_format(v, JSON_CANONICAL, &text);
    if (rc)
        rc = format_error(rc, "digest", e);
    else
        rc = digest_memory(text.data, text.len, hex, e);
    buf_deinit(&text);
    return rc;
}
