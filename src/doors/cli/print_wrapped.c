/* Wrapped output. Owns nothing. */
#include "doors/cli/print_wrapped.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/str.h"
#include "ground/base/wrap.h"

enum { MAX_TEXT = 4000 };

/* One line without its end; a line that cannot be laid out comes as it is. */
static void print_line(const char *line)
{
    struct buf out;
    size_t spaces = strspn(line, " ");
    struct wrap w = {.out = &out, .column = (int)spaces, .indent = (int)spaces + 2};
    buf_init(&out, 4 * MAX_TEXT);
    bool laid_out = wrap_text(&w, line + spaces) == 0 && out.len;
    printf("%*s%s", (int)spaces, "", laid_out ? out.data : line + spaces);
    buf_deinit(&out);
}

void print_wrapped(const char *fmt, ...)
{
    char text[MAX_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_cut_utf8(text);
    for (char *line = text, *end; line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = '\0';
        print_line(line);
        if (end) putchar('\n');
    }
}
