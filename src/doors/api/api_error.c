/* Errors as OpenAI's clients expect them, and JSON answers. Owns the mapping from our error codes to HTTP. */
#include <stdarg.h>
#include <stdio.h>

#include "doors/api/api_int.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { ANSWER_MAX_BYTES = 1 << 28 };

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "service_unavailable";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

int api_error_set(struct api_error *x, int status, const char *code, const char *param, const char *fmt, ...)
{
    va_list ap;
    x->status = status;
    x->type = type_of(status);
    x->code = code;
    snprintf(x->param, sizeof(x->param), "%s", param ? param : "");
    va_start(ap, fmt);
    vsnprintf(x->message, sizeof(x->message), fmt, ap);
    va_end(ap);
    str_make_printable(x->param);
    str_cut_utf8(x->message);
    str_make_printable(x->message);
    return -1;
}

int api_error_from(struct api_error *x, const struct err *e, const char *param)
{
    bool client = e->code == ERR_INPUT || e->code == ERR_LIMIT || e->code == ERR_USAGE || e->code == ERR_UNSUPPORTED;
    return api_error_set(x, client ? 400 : 500, err_code_name(e->code), param, "%s", e->msg);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

json_t *api_error_json(const struct api_error *x)
{
    return json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message", json_string(x->message), "type", x->type, "param",
                     text_or_null(x->param), "code", text_or_null(x->code));
}

void api_json_reply(struct http_request *r, int status, json_t *body)
{
    struct buf text;
    buf_init(&text, ANSWER_MAX_BYTES);
    if (!body || json_format(body, JSON_LINE, &text)) {
        static const char failed[] = "{\"error\":{\"message\":\"cannot write the answer: out of memory\","
                                     "\"type\":\"server_error\",\"param\":null,\"code\":\"out_of_memory\"}}";
        http_reply(r, 500, "application/json", failed, sizeof(failed) - 1);
    } else {
        http_reply(r, status, "application/json", text.data, text.len);
    }
    buf_deinit(&text);
    json_decref(body);
}

void api_error_reply(struct http_request *r, const struct api_error *x)
{
    if (x->status == 401) http_add_header(r, "WWW-Authenticate", "Bearer");
    if (x->status == 429 || x->status == 503) http_add_header(r, "Retry-After", "1");
    api_json_reply(r, x->status, api_error_json(x));
}
