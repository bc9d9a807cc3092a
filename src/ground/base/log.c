/* Log lines. Owns the level and the form, which main() sets before threads start and nobody changes afterwards. What
 * always holds: a line is written with one write(2), so lines of threads and processes do not mix. */
#include "ground/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/clock.h"
#include "ground/base/str.h"

/* The exception to "no mutable globals": every line of the process goes by them. */
static enum log_level max_level = LOG_WARN;
static bool as_json;

enum { LINE_MAX_BYTES = 2048 };

void log_init(enum log_level level, bool json)
{
    max_level = level;
    as_json = json;
}

bool log_enabled(enum log_level level)
{
    return level <= max_level;
}

static const char *level_name(enum log_level level)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    return name[level];
}

/* Escape text that str_make_printable went over: only quote and backslash are left to escape. */
static size_t escape(char *out, size_t size, const char *s)
{
    size_t n = 0;
    for (; *s && n + 2 < size; s++) {
        if (*s == '"' || *s == '\\') out[n++] = '\\';
        out[n++] = *s;
    }
    out[n] = '\0';
    str_cut_utf8(out);
    return strlen(out);
}

static size_t format_line(char *line, size_t size, enum log_level level, const char *text)
{
    if (!as_json) return (size_t)snprintf(line, size, "tailor: %s: %s\n", level_name(level), text);
    char when[32], escaped[LINE_MAX_BYTES * 2];
    clock_format_utc(clock_unix_ms(), when, sizeof when);
    escape(escaped, sizeof escaped, text);
    return (size_t)snprintf(line, size, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n", when,
                            level_name(level), escaped);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(level)) return;
    int saved_errno = errno;
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES * 2 + 128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_cut_utf8(text);
    str_make_printable(text);
    size_t n = format_line(line, sizeof line, level, text);
    for (size_t done = 0; done < n;) {
        ssize_t w = write(STDERR_FILENO, line + done, n - done);
        if (w < 0 && errno != EINTR) break; /* nowhere left to say it */
        done += w > 0 ? (size_t)w : 0;
    }
    errno = saved_errno;
}
