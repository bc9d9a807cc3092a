/* Fuzz target: any bytes as the head of an answer (its lines), and as an address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/http/http_head.h"
#include "ground/http/http_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_head(const uint8_t *data, size_t n)
{
    struct http_head h;
    uint64_t begin, end, total;
    http_head_init(&h);
    for (size_t at = 0; at < n;) {
        const uint8_t *lf = memchr(data + at, '\n', n - at);
        size_t len = lf ? (size_t)(lf - data) - at + 1 : n - at;
        if (!http_head_add(&h, (const char *)data + at, len)) break;
        at += len;
    }
    if (http_head_range(&h, &begin, &end, &total) && (begin > end || end >= total)) abort();
    if (http_head_retry_after_s(&h) < -1) abort();
    (void)http_head_length(&h);
    const char *etag = http_head_first(&h, "etag");
    if (etag && strlen(etag) > n) abort();
    http_head_deinit(&h);
}

static void check_url(const char *url)
{
    struct http_url u;
    struct err e = {0};
    char shown[HTTP_URL_SHOWN_MAX];
    http_url_show(url, shown, sizeof shown);
    if (strlen(shown) >= sizeof shown) abort();
    if (http_url_parse(url, &u, &e) == 0 && (!u.host[0] || u.port < 0 || u.port > 65535)) abort();
    if (e.code && !e.msg[0]) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check_head(data, n);
    char *text = mem_strndup((const char *)data, n);
    check_url(text);
    mem_free(text);
    return 0;
}
