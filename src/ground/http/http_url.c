/* Addresses by libcurl's parser, so that what is checked is what is asked for. Owns nothing. */
#include "ground/http/http_url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "ground/base/str.h"

void http_url_show(const char *url, char *out, size_t size)
{
    const char *scheme_end = strstr(url, "://"), *host = scheme_end ? scheme_end + 3 : url;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));
    if (at) host = at + 1;
    size_t n = strcspn(host, "?#");
    snprintf(out, size, "%.*s%.*s", scheme_end ? (int)(scheme_end + 3 - url) : 0, url, (int)(n < size ? n : size),
             host);
    str_cut_utf8(out);
    str_make_printable(out);
}

/* libcurl takes localhost for this machine without asking a name server. */
static bool is_loopback(const char *host)
{
    unsigned char ip[4];
    bool is_ip = inet_pton(AF_INET, host, ip) == 1;
    return (is_ip && ip[0] == 127) || strcasecmp(host, "localhost") == 0 || str_eq(host, "[::1]");
}

static bool copy_part(CURLU *u, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, flags)) return false;
    bool fits = strlen(text) < size;
    snprintf(out, size, "%s", text);
    curl_free(text);
    return fits;
}

static bool take_base(CURLU *u, struct http_url *out)
{
    char path[HTTP_URL_MAX];
    if (!copy_part(u, CURLUPART_PATH, CURLU_URLDECODE, path, sizeof path)) return false; /* %00 and the like */
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    if (strlen(base) < sizeof out->base) memcpy(out->base, base, strlen(base) + 1);
    return true;
}

static bool take_apart(CURLU *u, const char *url, struct http_url *out)
{
    char scheme[16], port[16], user[16] = "";
    if (strlen(url) >= HTTP_URL_MAX || curl_url_set(u, CURLUPART_URL, url, 0)) return false;
    if (!copy_part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme)) return false;
    out->https = str_eq(scheme, "https");
    if (!out->https && !str_eq(scheme, "http")) return false;
    if (!copy_part(u, CURLUPART_HOST, 0, out->host, sizeof out->host) || !out->host[0]) return false;
    if (!copy_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port)) return false;
    out->port = (int)strtol(port, NULL, 10);
    out->has_user = copy_part(u, CURLUPART_USER, 0, user, sizeof user) || user[0];
    out->is_loopback = is_loopback(out->host);
    return take_base(u, out);
}

int http_url_parse(const char *url, struct http_url *out, struct err *e)
{
    char shown[HTTP_URL_SHOWN_MAX];
    *out = (struct http_url){0};
    CURLU *u = curl_url();
    bool good = u && take_apart(u, url, out);
    curl_url_cleanup(u);
    if (good) return 0;
    http_url_show(url, shown, sizeof shown);
    return err_set(e, ERR_USAGE, shown, "cannot use the address \"%s\": http:// or https:// and a host are needed",
                   shown);
}

bool http_url_same_origin(const struct http_url *a, const struct http_url *b)
{
    return a->https == b->https && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

int http_url_add_escaped(struct buf *b, const char *text, bool keep_slash)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    int rc = 0;
    for (; rc == 0 && *text; text++) {
        bool stays = strchr(plain, *text) || (keep_slash && *text == '/');
        rc = stays ? buf_add_char(b, *text) : buf_printf(b, "%%%02X", (unsigned)(unsigned char)*text);
    }
    return rc;
}
