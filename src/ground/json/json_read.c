/* Reading JSON: jansson behind a check of nesting, errors with line and column. Owns nothing between calls. What
 * always holds: a value that was accepted has no duplicate keys, no NUL in strings and at most JSON_DEPTH levels. */
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

/* Where byte `at` of text is, from 1; columns count characters. */
static void find_place(const char *text, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

/* The byte at which brackets outside of strings are nested deeper than JSON_DEPTH; n when they never are. */
static size_t find_too_deep(const char *text, size_t n)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH) return i;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return n;
}

/* jansson names its own flags in some texts; those are said in our words. */
static const char *reason_of(const json_error_t *je)
{
    switch (json_error_code(je)) {
    case json_error_null_character:
        return "\\u0000 is not allowed in strings";
    case json_error_duplicate_key:
        return "the same key twice in one object";
    case json_error_end_of_input_expected:
        return "more text after the end of the value";
    case json_error_invalid_utf8:
        return "not valid UTF-8";
    default:
        return je->text;
    }
}

int json_parse(const char *text, size_t n, const char *where, json_t **out, struct err *e)
{
    size_t deep = find_too_deep(text, n), line, column;
    if (deep < n) {
        find_place(text, deep, &line, &column);
        return err_set(e, ERR_LIMIT, where, "cannot parse \"%s\": line %zu column %zu: nested deeper than %d levels",
                       where, line, column, (int)JSON_DEPTH);
    }
    json_error_t je;
    *out = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (*out) return 0;
    if (json_error_code(&je) == json_error_out_of_memory)
        return err_set(e, ERR_NOMEM, where, "cannot parse \"%s\": out of memory", where);
    if (n == 0) return err_set(e, ERR_INPUT, where, "cannot parse \"%s\": it is empty, a JSON value is needed", where);
    return err_set(e, ERR_INPUT, where, "cannot parse \"%s\": line %d column %d: %s", where, je.line, je.column,
                   reason_of(&je));
}

int json_read_file(const char *path, size_t max_bytes, json_t **out, struct err *e)
{
    char *text;
    size_t n;
    int rc = file_read_all(path, max_bytes, &text, &n, e);
    if (rc) return rc;
    size_t bom = str_starts(text, "\xEF\xBB\xBF") ? 3 : 0;
    rc = json_parse(text + bom, n - bom, path, out, e);
    mem_free(text);
    return rc;
}
