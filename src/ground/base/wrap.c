/* Breaking lines by display width, for Latin and Chinese text alike. Owns nothing. What always holds: no line is wider
 * than WRAP_LINE_COLUMNS unless a piece of it alone is. */
#include "ground/base/wrap.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

static bool is_one_of(const char *p, int len, const char *set)
{
    char c[5] = "";
    memcpy(c, p, (size_t)len);
    return strstr(set, c) != NULL;
}

static bool ends_only(const char *p, int len)
{
    return len > 1 && is_one_of(p, len, "，。；：、！？）”》");
}

static bool begins_only(const char *p, int len)
{
    return len > 1 && is_one_of(p, len, "（“《");
}

static int char_len(const char *p)
{
    int len = str_utf8_char(p, strlen(p));
    return len ? len : 1;
}

/* Whether a line may break before the character at s + i, i > 0; last is the length of the character before it. */
static bool may_break(const char *s, size_t i, int last)
{
    int len = char_len(s + i);
    const char *before = s + i - last;
    if (s[i] == ' ') return true;
    if (*before == ' ') return false; /* a space goes with what follows, so that no line ends in one */
    if (ends_only(s + i, len) || begins_only(before, last)) return false;
    return str_char_columns(s + i, len) == 2 || str_char_columns(before, last) == 2;
}

/* The bytes up to the first place where the line may break; keep: not inside square brackets. */
static size_t piece_len(const char *s, bool keep)
{
    size_t i = 0;
    int depth = 0;
    while (s[i]) {
        depth += (s[i] == '[') - (s[i] == ']');
        int len = char_len(s + i);
        i += (size_t)len;
        if (s[i] && may_break(s, i, len) && !(keep && depth > 0)) break;
    }
    return i;
}

static int columns_of(const char *s, size_t n)
{
    int columns = 0;
    for (size_t i = 0; i < n;) {
        int len = char_len(s + i);
        columns += str_char_columns(s + i, len);
        i += (size_t)len;
    }
    return columns;
}

static int put(struct wrap *w, const char *s, size_t n)
{
    int rc = 0, columns = columns_of(s, n);
    if (w->column + columns > WRAP_LINE_COLUMNS && w->column > w->indent) {
        rc = buf_printf(w->out, "\n%*s", w->indent, "");
        w->column = w->indent;
        if (*s == ' ') s++, n--, columns--;
    }
    w->column += columns;
    return rc ? rc : buf_add(w->out, s, n);
}

int wrap_text(struct wrap *w, const char *text)
{
    int rc = 0;
    while (*text && rc == 0) {
        size_t n = piece_len(text, true);
        if (columns_of(text, n) > WRAP_LINE_COLUMNS - w->indent) n = piece_len(text, false);
        rc = put(w, text, n);
        text += n;
    }
    return rc;
}

int wrap_piece(struct wrap *w, const char *text)
{
    return put(w, text, strlen(text));
}
