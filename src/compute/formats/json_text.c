/* JSON at the border to untrusted bytes: strings made UTF-8, and objects read from files with limits that hold before
 * the parser allocates. Owns nothing; what JSON means is decided by the callers. */
#include "compute/formats/formats_int.h"

#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/file.h"

/* An empty array of 3 bytes costs the parser a hundred. Vocabularies take 6 bytes and more a value; small files and
 * lists of digits may be denser. */
enum { JSON_BYTES_PER_MARK = 3, JSON_FREE_MARKS = 1 << 16 };

/* Length of the well-formed UTF-8 character at s, 0 when there is none (RFC 3629: no surrogates, no overlong forms). */
static size_t utf8_char_len(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) {
        return 0;
    }
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

bool bytes_are_utf8(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        size_t len = utf8_char_len(u + i, n - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

json_t *json_from_bytes(const char *s, size_t n)
{
    if (bytes_are_utf8(s, n)) {
        return json_stringn(s, n);
    }
    struct buf b;
    buf_init(&b, 3 * n + 1);
    const unsigned char *u = (const unsigned char *)s;
    json_t *out = NULL;
    for (size_t i = 0; i < n;) {
        size_t len = utf8_char_len(u + i, n - i);
        if (len ? buf_add(&b, s + i, len) : buf_add(&b, "\xef\xbf\xbd", 3)) {
            goto out;
        }
        i += len ? len : 1;
    }
    out = json_stringn(b.data, b.len);
out:
    buf_deinit(&b);
    return out;
}

void json_measure(const char *s, size_t n, int *depth, size_t *n_mark)
{
    int level = 0;
    bool in_string = false;
    *depth = 0;
    *n_mark = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        in_string = c == '"';
        if (c == '[' || c == '{') {
            level++;
            *depth = level > *depth ? level : *depth;
        } else if (c == ']' || c == '}') {
            level -= level > 0;
        }
        *n_mark += c == '[' || c == '{' || c == ',';
    }
}

int json_parse_object(json_t **out, const char *path, const char *text, size_t n, size_t flags, struct err *e)
{
    int depth;
    size_t n_mark;
    json_error_t why;
    *out = NULL;
    json_measure(text, n, &depth, &n_mark);
    if (depth > LIMIT_JSON_DEPTH) {
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": JSON nested %d deep, at most %d", path, depth,
                       (int)LIMIT_JSON_DEPTH);
    }
    if (n_mark > n / JSON_BYTES_PER_MARK + JSON_FREE_MARKS) {
        return err_set(e, ERR_LIMIT, path, "cannot read \"%s\": %zu JSON values in %zu bytes are too many", path,
                       n_mark, n);
    }
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES | flags, &why);
    if (!j) {
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": line %d, column %d: %s", path, why.line, why.column,
                       why.text);
    }
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": must hold a JSON object", path);
    }
    *out = j;
    return 0;
}

int json_load_object(json_t **out, const char *path, size_t max_bytes, size_t flags, struct err *e)
{
    char *text;
    size_t n;
    *out = NULL;
    int rc = file_read_all(path, max_bytes, &text, &n, e);
    if (rc) {
        return rc;
    }
    rc = json_parse_object(out, path, text, n, flags, e);
    mem_free(text);
    return rc;
}
