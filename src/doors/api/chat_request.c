/* The body of a chat completion request, checked. Owns the list of parameters: those that are honoured, those that may
 * be ignored because they change nothing, and the rule that everything else is refused by its name. */
#include <stdio.h>
#include <string.h>

#include "doors/api/api_int.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { MAX_STOP = 16, MAX_STOP_BYTES = 256, MAX_TOKENS_LIMIT = 1 << 24 };

/* --- single values --- */

static int take_number(const json_t *v, const char *name, double *out, struct api_error *x)
{
    if (!json_is_number(v))
        return api_error_set(x, 400, "invalid_type", name, "cannot use %s: a number is needed, not %s", name,
                             json_kind(v));
    *out = json_number_value(v);
    return 0;
}

static int take_float(const json_t *v, const char *name, double min, double max, float *out, struct api_error *x)
{
    double value = 0;
    int rc = take_number(v, name, &value, x);
    if (!rc && !(value >= min && value <= max))
        rc = api_error_set(x, 400, "invalid_value", name, "cannot use %s %g: it must be %g to %g", name, value, min,
                           max);
    if (!rc) *out = (float)value;
    return rc;
}

/* Above 0, also as the float that it becomes, and at most 1. */
static int take_share(const json_t *v, const char *name, float *out, struct api_error *x)
{
    double value = 0;
    int rc = take_number(v, name, &value, x);
    if (!rc && !((float)value > 0 && value <= 1))
        rc = api_error_set(x, 400, "invalid_value", name, "cannot use %s %g: it must be above 0, at most 1", name,
                           value);
    if (!rc) *out = (float)value;
    return rc;
}

static int take_int(const json_t *v, const char *name, int64_t min, int64_t max, int64_t *out, struct api_error *x)
{
    if (!json_is_integer(v))
        return api_error_set(x, 400, "invalid_type", name, "cannot use %s: an integer is needed, not %s", name,
                             json_kind(v));
    *out = json_integer_value(v);
    if (*out < min || *out > max)
        return api_error_set(x, 400, "invalid_value", name, "cannot use %s %lld: it must be %lld to %lld", name,
                             (long long)*out, (long long)min, (long long)max);
    return 0;
}

static int take_bool(const json_t *v, const char *name, bool *out, struct api_error *x)
{
    if (!json_is_boolean(v))
        return api_error_set(x, 400, "invalid_type", name, "cannot use %s: true or false is needed, not %s", name,
                             json_kind(v));
    *out = json_is_true(v);
    return 0;
}

/* --- messages --- */

/* The texts of a list of parts, one after the other. */
static int take_parts(const json_t *parts, const char *where, struct buf *out, struct api_error *x)
{
    size_t i;
    json_t *part;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        json_t *text = json_object_get(part, "text");
        if (!type) return api_error_set(x, 400, "invalid_type", where, "cannot use %s: part %zu has no type", where, i);
        if (!str_eq(type, "text"))
            return api_error_set(x, 400, "unsupported", where,
                                 "cannot use %s: part %zu is \"%s\", only \"text\" is supported", where, i, type);
        if (!json_is_string(text))
            return api_error_set(x, 400, "invalid_type", where,
                                 "cannot use %s: the text of part %zu must be a string, not %s", where, i,
                                 json_kind(text));
        if (buf_add(out, json_string_value(text), json_string_length(text)))
            return api_error_set(x, 400, "invalid_value", where, "cannot use %s: its text is too long", where);
    }
    return 0;
}

static int take_content(const json_t *message, const char *where, json_t **out, struct api_error *x)
{
    json_t *content = json_object_get(message, "content");
    struct buf text;
    if (json_is_string(content)) {
        *out = json_incref(content);
        return 0;
    }
    if (!json_is_array(content))
        return api_error_set(x, 400, "invalid_type", where,
                             "cannot use %s: a string or a list of parts is needed, not %s", where, json_kind(content));
    buf_init(&text, 1 << 26);
    int rc = take_parts(content, where, &text, x);
    if (!rc) *out = json_stringn(text.data ? text.data : "", text.len);
    buf_deinit(&text);
    return rc;
}

static int check_message_keys(json_t *message, size_t i, struct api_error *x)
{
    const char *key;
    json_t *value;
    json_object_foreach(message, key, value)
    {
        bool known = str_eq(key, "role") || str_eq(key, "content") || str_eq(key, "name") || str_eq(key, "refusal");
        if (!known && !json_is_null(value) && !(json_is_array(value) && !json_array_size(value)))
            return api_error_set(x, 400, "unsupported", "messages",
                                 "cannot use messages[%zu].%.40s: it is not supported", i, key);
    }
    return 0;
}

static int take_message(json_t *message, size_t i, json_t *list, struct api_error *x)
{
    char where[48];
    json_t *content = NULL;
    if (!json_is_object(message))
        return api_error_set(x, 400, "invalid_type", "messages",
                             "cannot use messages[%zu]: an object is needed, not %s", i, json_kind(message));
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!role || (!str_eq(role, "system") && !str_eq(role, "user") && !str_eq(role, "assistant")))
        return api_error_set(x, 400, role ? "unsupported" : "invalid_type", "messages",
                             "cannot use the role \"%.40s\" of messages[%zu]: system, user and assistant are supported",
                             role ? role : "", i);
    int rc = check_message_keys(message, i, x);
    snprintf(where, sizeof(where), "messages[%zu].content", i);
    if (!rc) rc = take_content(message, where, &content, x);
    if (rc) return rc;
    json_array_append_new(list, json_pack("{s:s, s:o}", "role", role, "content", content));
    return 0;
}

static int take_messages(struct chat_request *q, const json_t *v, struct api_error *x)
{
    size_t i;
    json_t *message, *list = json_array();
    q->vars = json_pack("{s:o}", "messages", list);
    if (!json_is_array(v) || !json_array_size(v))
        return api_error_set(x, 400, "invalid_type", "messages",
                             "cannot use messages: a list with at least one is needed");
    json_array_foreach(v, i, message)
    {
        int rc = take_message(message, i, list, x);
        if (rc) return rc;
    }
    return 0;
}

/* --- parameters --- */

static int take_stop_text(struct chat_request *q, const json_t *v, struct api_error *x)
{
    const char *text = json_string_value(v);
    if (!text || !*text || strlen(text) > MAX_STOP_BYTES)
        return api_error_set(x, 400, "invalid_value", "stop", "cannot use stop: texts of 1 to %d bytes are needed",
                             MAX_STOP_BYTES);
    q->stop[q->n_stop++] = mem_strdup(text);
    return 0;
}

static int take_stop(struct chat_request *q, const json_t *v, struct api_error *x)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n > MAX_STOP)
        return api_error_set(x, 400, "invalid_value", "stop", "cannot use %zu stop texts: at most %d", n, MAX_STOP);
    q->stop = mem_alloc((n + 1) * sizeof(*q->stop));
    if (!json_is_array(v)) return take_stop_text(q, v, x);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) rc = take_stop_text(q, json_array_get(v, i), x);
    return rc;
}

static int take_stream_options(struct chat_request *q, json_t *v, struct api_error *x)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return api_error_set(x, 400, "invalid_type", "stream_options",
                             "cannot use stream_options: an object is needed");
    json_object_foreach(v, key, value)
    {
        if (!str_eq(key, "include_usage"))
            return api_error_set(x, 400, "unsupported", "stream_options",
                                 "cannot use stream_options.%.40s: only include_usage is supported", key);
        int rc = take_bool(value, "stream_options.include_usage", &q->include_usage, x);
        if (rc) return rc;
    }
    return 0;
}

static int take_max_tokens(struct chat_request *q, const json_t *v, const char *name, struct api_error *x)
{
    int64_t n = 0;
    int rc = take_int(v, name, 1, MAX_TOKENS_LIMIT, &n, x);
    if (rc) return rc;
    if (q->max_tokens && q->max_tokens != n)
        return api_error_set(x, 400, "invalid_value", name,
                             "cannot use max_tokens and max_completion_tokens that differ");
    q->max_tokens = (int)n;
    return 0;
}

static int take_seed(struct chat_request *q, const json_t *v, struct api_error *x)
{
    int64_t seed = 0;
    int rc = take_int(v, "seed", INT64_MIN, INT64_MAX, &seed, x);
    if (!rc) q->sampling.seed = (uint64_t)seed;
    return rc;
}

static int take_n(const json_t *v, struct api_error *x)
{
    int64_t n = 0;
    int rc = take_int(v, "n", INT64_MIN, INT64_MAX, &n, x);
    if (!rc && n != 1)
        rc = api_error_set(x, 400, "unsupported", "n", "cannot use n %lld: only 1 is supported", (long long)n);
    return rc;
}

/* Values that ask for nothing: "logprobs": false, "tools": [], "response_format": {"type": "text"}. */
static bool asks_nothing(const char *key, const json_t *v)
{
    if (json_is_null(v) || json_is_false(v)) return true;
    if (str_eq(key, "tools") || str_eq(key, "functions") || str_eq(key, "logit_bias"))
        return json_is_array(v) ? !json_array_size(v) : json_is_object(v) && !json_object_size(v);
    if (str_eq(key, "tool_choice") || str_eq(key, "function_call"))
        return json_is_string(v) && str_eq(json_string_value(v), "none");
    if (str_eq(key, "response_format"))
        return json_is_object(v) && str_eq(json_string_value(json_object_get(v, "type")), "text");
    return false;
}

static int take_sampling(struct sampling *s, const char *key, const json_t *v, bool *known, struct api_error *x)
{
    int64_t k = 0;
    *known = true;
    if (str_eq(key, "temperature")) return take_float(v, key, 0, 100, &s->temperature, x);
    if (str_eq(key, "top_p")) return take_share(v, key, &s->top_p, x);
    if (str_eq(key, "min_p")) return take_float(v, key, 0, 1, &s->min_p, x);
    if (str_eq(key, "presence_penalty")) return take_float(v, key, -10, 10, &s->presence_penalty, x);
    if (str_eq(key, "frequency_penalty")) return take_float(v, key, -10, 10, &s->frequency_penalty, x);
    if (str_eq(key, "repetition_penalty")) return take_float(v, key, 0.01, 10, &s->repetition_penalty, x);
    if (!str_eq(key, "top_k")) {
        *known = false;
        return 0;
    }
    int rc = take_int(v, key, 0, 1 << 24, &k, x);
    if (!rc) s->top_k = (int)k;
    return rc;
}

static int take_member(struct chat_request *q, const char *key, json_t *v, struct api_error *x)
{
    bool known;
    if (str_eq(key, "model") || str_eq(key, "messages") || str_eq(key, "user") || str_eq(key, "store") ||
        str_eq(key, "metadata") || json_is_null(v))
        return 0; /* taken elsewhere, or without meaning for the answer */
    int rc = take_sampling(&q->sampling, key, v, &known, x);
    if (rc || known) return rc;
    if (str_eq(key, "max_tokens") || str_eq(key, "max_completion_tokens")) return take_max_tokens(q, v, key, x);
    if (str_eq(key, "seed")) return take_seed(q, v, x);
    if (str_eq(key, "stop")) return take_stop(q, v, x);
    if (str_eq(key, "stream")) return take_bool(v, key, &q->stream, x);
    if (str_eq(key, "stream_options")) return take_stream_options(q, v, x);
    if (str_eq(key, "n")) return take_n(v, x);
    if (asks_nothing(key, v)) return 0;
    return api_error_set(x, 400, "unsupported_parameter", key,
                         "cannot use the parameter \"%.60s\": it is not supported", key);
}

static int take_model(struct chat_request *q, const struct api *a, const json_t *v, struct api_error *x)
{
    if (!json_is_string(v))
        return api_error_set(x, 400, "invalid_type", "model", "cannot answer: model must be a string, not %s",
                             json_kind(v));
    q->model = api_find_model(a, json_string_value(v));
    if (!q->model)
        return api_error_set(x, 404, "model_not_found", "model",
                             "cannot find the model \"%.128s\": /v1/models lists those there are",
                             json_string_value(v));
    if (!q->model->lane)
        return api_error_set(x, 400, "unsupported", "model", "cannot chat with \"%s\": it is an embedding model",
                             q->model->name);
    if (!q->model->lane->tok || !q->model->lane->chat)
        return api_error_set(x, 400, "unsupported", "model", "cannot chat with \"%s\": it has no chat template",
                             q->model->name);
    return 0;
}

static int take_body(struct chat_request *q, const struct api *a, json_t *body, struct api_error *x)
{
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return api_error_set(x, 400, "invalid_type", NULL, "cannot use the request body: an object is needed, not %s",
                             json_kind(body));
    int rc = take_model(q, a, json_object_get(body, "model"), x);
    if (!rc) rc = take_messages(q, json_object_get(body, "messages"), x);
    if (rc) return rc;
    json_object_foreach(body, key, value)
    {
        rc = take_member(q, key, value, x);
        if (rc) return rc;
    }
    if (q->include_usage && !q->stream)
        return api_error_set(x, 400, "invalid_value", "stream_options", "cannot use stream_options without stream");
    if (q->sampling.temperature == 0.0f) q->sampling.greedy = true;
    return 0;
}

int chat_request_parse(struct chat_request *q, struct api *a, const char *body, size_t n, struct api_error *x)
{
    struct err e = {0};
    json_t *json = NULL;
    *q = (struct chat_request){0};
    sampling_init(&q->sampling);
    q->sampling.seed = rng_u64(clock_ns(), 0, atomic_fetch_add(&a->next_id, 1));
    if (json_parse(body, n, "the request body", &json, &e))
        return api_error_set(x, 400, "invalid_json", NULL, "%s", e.msg);
    int rc = take_body(q, a, json, x);
    json_decref(json);
    return rc;
}

void chat_request_deinit(struct chat_request *q)
{
    json_decref(q->vars);
    for (size_t i = 0; i < q->n_stop; i++) mem_free(q->stop[i]);
    mem_free(q->stop);
    *q = (struct chat_request){0};
}
