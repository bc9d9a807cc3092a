/* The CSV writer. Owns nothing. What always holds: what is written reads back as the same text, but for the apostrophe
 * that keeps a spreadsheet from running a cell as a formula. */
#include <string.h>

#include "ground/base/str.h"
#include "ground/table/csv.h"

static bool is_number(const char *text, size_t n)
{
    char copy[64];
    if (n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    double v;
    return str_to_double(copy, &v);
}

static bool must_quote(const char *text, size_t n)
{
    return n && (memchr(text, ',', n) || memchr(text, '"', n) || memchr(text, '\n', n) || memchr(text, '\r', n) ||
                 text[0] == ' ' || text[n - 1] == ' ');
}

static int write_quoted(struct buf *out, const char *text, size_t n)
{
    int rc = buf_add_char(out, '"');
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (text[i] == '"') rc = buf_add_char(out, '"');
        if (rc == 0) rc = buf_add_char(out, text[i]);
    }
    return rc ? rc : buf_add_char(out, '"');
}

int csv_write_field(struct buf *out, const char *text, size_t n, bool first, bool guard)
{
    int rc = first ? 0 : buf_add_char(out, ',');
    bool formula = guard && n && memchr("=+-@\t\r", text[0], 6) && !is_number(text, n);
    bool quote = must_quote(text, n);
    if (rc) return rc;
    if (!formula) return quote ? write_quoted(out, text, n) : buf_add(out, text, n);
    struct buf guarded;
    buf_init(&guarded, n + 1);
    rc = buf_add_char(&guarded, '\'');
    if (rc == 0) rc = buf_add(&guarded, text, n);
    if (rc == 0) rc = quote ? write_quoted(out, guarded.data, guarded.len) : buf_add(out, guarded.data, guarded.len);
    buf_deinit(&guarded);
    return rc;
}

int csv_write_end(struct buf *out)
{
    return buf_add_str(out, "\r\n");
}
