/* Heads of answers. Owns the copy of the lines. What always holds: at most HEAD_MAX_BYTES are kept of one chain of
 * redirects, and every name and value ends in a NUL. */
#include "ground/http/http_head.h"

#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#include "ground/base/clock.h"
#include "ground/base/str.h"

enum { HEAD_MAX_BYTES = 1 << 17 };

void http_head_init(struct http_head *h)
{
    *h = (struct http_head){0};
    buf_init(&h->lines, HEAD_MAX_BYTES);
}

void http_head_deinit(struct http_head *h)
{
    buf_deinit(&h->lines);
}

/* "HTTP/1.1 206 Partial Content" */
static void begin_answer(struct http_head *h, const char *line, size_t n)
{
    const char *space = memchr(line, ' ', n);
    int status = 0;
    for (size_t i = space ? (size_t)(space - line) + 1 : n; i < n && isdigit((unsigned char)line[i]) && status < 100;
         i++)
        status = status * 10 + (line[i] - '0');
    if (h->status >= 100 && h->status < 200) h->lines.len = h->last; /* what an interim answer said does not count */
    h->status = status;
    h->last = h->lines.len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool http_head_add(struct http_head *h, const char *line, size_t n)
{
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        begin_answer(h, line, n);
        return true;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon || memchr(line, '\0', n)) return true; /* the empty line at the end, and rubbish */
    size_t n_name = (size_t)(colon - line), from = n_name + 1;
    while (n > from && is_space(line[n - 1])) n--;
    while (from < n && is_space(line[from])) from++;
    size_t len = h->lines.len;
    bool ok = buf_add(&h->lines, line, n_name) == 0 && buf_add_char(&h->lines, '\0') == 0 &&
              buf_add(&h->lines, line + from, n - from) == 0 && buf_add_char(&h->lines, '\0') == 0;
    for (size_t i = 0; ok && i < n_name; i++)
        h->lines.data[len + i] = (char)tolower((unsigned char)h->lines.data[len + i]);
    return ok;
}

static const char *find(const struct http_head *h, size_t from, const char *name)
{
    if (!h->lines.data) return NULL;
    const char *at = h->lines.data + from, *end = h->lines.data + h->lines.len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (str_eq(at, name)) return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

const char *http_head_get(const struct http_head *h, const char *name)
{
    return find(h, h->last, name);
}

const char *http_head_first(const struct http_head *h, const char *name)
{
    return find(h, 0, name);
}

/* Digits up to a character that ends them; false when there are none or too many. */
static bool take_number(const char **at, uint64_t *out)
{
    char digits[24];
    size_t n = strspn(*at, "0123456789");
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, *at, n);
    digits[n] = '\0';
    *at += n;
    return str_to_u64(digits, out);
}

bool http_head_range(const struct http_head *h, uint64_t *begin, uint64_t *end, uint64_t *total)
{
    const char *at = http_head_get(h, "content-range");
    if (!at || !str_starts(at, "bytes ")) return false;
    at += strlen("bytes ");
    if (!take_number(&at, begin) || *at++ != '-' || !take_number(&at, end) || *at++ != '/') return false;
    *total = UINT64_MAX;
    if (!str_eq(at, "*") && (!take_number(&at, total) || *at)) return false;
    return *begin <= *end && *end < *total;
}

uint64_t http_head_length(const struct http_head *h)
{
    const char *text = http_head_get(h, "content-length");
    uint64_t n;
    return text && str_to_u64(text, &n) ? n : UINT64_MAX;
}

int64_t http_head_retry_after_s(const struct http_head *h)
{
    const char *text = http_head_get(h, "retry-after");
    uint64_t seconds;
    if (!text) return -1;
    if (str_to_u64(text, &seconds)) return seconds < INT32_MAX ? (int64_t)seconds : INT32_MAX;
    time_t when = curl_getdate(text, NULL);
    if (when < 0) return -1;
    int64_t left = (int64_t)when - clock_unix_ms() / 1000;
    return left > 0 ? left : 0;
}
