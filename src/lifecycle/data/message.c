/* Reads messages. Owns nothing beyond a call. What always holds: a message that was read has a known role, content that
 * is a string, and calls whose arguments are JSON. */
#include "lifecycle/data/message.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { TEXT_MAX_BYTES = 64 << 20 };

static int bad(enum row_verdict *v, enum row_verdict what)
{
    *v = what;
    return -ERR_INPUT;
}

static int no_memory(const char *at, struct err *e)
{
    return err_set(e, ERR_NOMEM, at, "cannot use %s: out of memory", at);
}

json_t *message_new(const char *role, const char *content)
{
    return json_pack("{s:s,s:s}", "role", role, "content", content);
}

bool message_has_role(const json_t *m, const char *role)
{
    return str_eq(json_string_value(json_object_get(m, "role")), role);
}

bool message_has_calls(const json_t *m)
{
    return json_array_size(json_object_get(m, "tool_calls")) > 0;
}

/* --- content --- */

/* Parts of the type text, one after the other. */
static int join_parts(const json_t *parts, const char *at, json_t **out, enum row_verdict *v, struct err *e)
{
    struct buf text;
    size_t i;
    json_t *part;
    int rc = 0;
    buf_init(&text, TEXT_MAX_BYTES);
    json_array_foreach((json_t *)(uintptr_t)parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *s = json_is_string(part) ? json_string_value(part) : NULL;
        if (str_eq(type, "text")) s = json_string_value(json_object_get(part, "text"));
        if (s == NULL) {
            bad(v, ROW_BAD_FIELDS);
            rc = err_set(e, ERR_INPUT, at, "cannot use %s: part %zu of its content is \"%s\", only text is accepted",
                         at, i + 1, type != NULL ? type : json_kind(part));
        } else if (buf_add_str(&text, s) != 0) {
            rc = no_memory(at, e);
        }
        if (rc != 0) break;
    }
    if (rc == 0) *out = json_string(text.data != NULL ? text.data : "");
    buf_deinit(&text);
    return rc;
}

/* Content as a string; none where `optional`. */
static int read_content(const json_t *m, bool optional, const char *at, json_t **out, enum row_verdict *v,
                        struct err *e)
{
    const json_t *content = json_object_get(m, "content");
    *out = NULL;
    int rc = 0;
    if (json_is_array(content))
        rc = join_parts(content, at, out, v, e);
    else if (optional && (content == NULL || json_is_null(content)))
        *out = json_string("");
    else {
        const char *s;
        if (json_get_str(m, "content", &s, at, e) != 0) return bad(v, ROW_BAD_FIELDS);
        *out = json_string(s);
    }
    return rc != 0 ? rc : *out == NULL ? no_memory(at, e) : 0;
}

/* --- calls --- */

/* Arguments given as JSON text become what the text says; *out is a new reference. */
static int read_arguments(json_t *arguments, const char *at, json_t **out, enum row_verdict *v, struct err *e)
{
    *out = NULL;
    if (arguments == NULL || json_is_null(arguments)) {
        *out = json_object();
    } else if (json_is_string(arguments)) {
        const char *text = json_string_value(arguments);
        if (json_parse(text, strlen(text), at, out, e) != 0) return bad(v, ROW_BAD_FIELDS);
    } else {
        *out = json_incref(arguments);
    }
    if (*out == NULL) return no_memory(at, e);
    if (json_is_object(*out)) return 0;
    bad(v, ROW_BAD_FIELDS);
    int rc = err_set(e, ERR_INPUT, at, "cannot use %s: the arguments of a call are %s, an object is needed", at,
                     json_kind(*out));
    json_decref(*out);
    *out = NULL;
    return rc;
}

/* {"function": {"name", "arguments"}} or {"name", "arguments"} -> one more call in list. */
static int add_call(json_t *list, const json_t *call, const char *at, enum row_verdict *v, struct err *e)
{
    const json_t *f = json_object_get(call, "function");
    const char *name;
    json_t *arguments;
    if (f == NULL) f = call;
    if (json_get_str(f, "name", &name, at, e) != 0) return bad(v, ROW_BAD_FIELDS);
    int rc = read_arguments(json_object_get(f, "arguments"), at, &arguments, v, e);
    if (rc != 0) return rc;
    json_t *made = json_pack("{s:s,s:{s:s,s:o}}", "type", "function", "function", "name", name, "arguments", arguments);
    const char *id = json_string_value(json_object_get(call, "id"));
    if (made != NULL && id != NULL && json_object_set_new(made, "id", json_string(id)) != 0) {
        json_decref(made);
        made = NULL;
    }
    return json_array_append_new(list, made) != 0 ? no_memory(at, e) : 0;
}

/* A list of calls, or one alone, as member tool_calls of m. */
static int set_calls(json_t *m, const json_t *calls, const char *at, enum row_verdict *v, struct err *e)
{
    json_t *list = json_array();
    size_t n = json_is_array(calls) ? json_array_size(calls) : 1;
    int rc = list == NULL ? no_memory(at, e) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_call(list, json_is_array(calls) ? json_array_get(calls, i) : calls, at, v, e);
    if (rc == 0 && n > 0 && json_object_set(m, "tool_calls", list) != 0) rc = no_memory(at, e);
    json_decref(list);
    return rc;
}

/* --- one message --- */

static int check_role(const char *role, const char *at, enum row_verdict *v, struct err *e)
{
    static const char *const known[] = {"system", "user", "assistant", "tool", "developer"};
    for (size_t k = 0; k < N_ELEM(known); k++)
        if (str_eq(role, known[k])) return 0;
    bad(v, ROW_BAD_FIELDS);
    return err_set(e, ERR_INPUT, at, "cannot use %s: role \"%s\" is none of system, user, assistant, tool, developer",
                   at, role);
}

static int keep_strings(json_t *to, const json_t *from, const char *at, struct err *e)
{
    static const struct {
        const char *from, *to;
    } member[] = {{"name", "name"},
                  {"tool_call_id", "tool_call_id"},
                  {"reasoning_content", "reasoning_content"},
                  {"reasoning", "reasoning_content"},
                  {"thinking", "reasoning_content"}};
    for (size_t i = 0; i < N_ELEM(member); i++) {
        json_t *s = json_object_get(from, member[i].from);
        if (!json_is_string(s) || json_string_length(s) == 0) continue;
        if (json_object_set(to, member[i].to, s) != 0) return no_memory(at, e);
    }
    return 0;
}

static int read_openai(const json_t *m, const char *at, json_t **out, enum row_verdict *v, struct err *e)
{
    const char *role;
    json_t *content;
    const json_t *calls = json_object_get(m, "tool_calls");
    if (json_get_str(m, "role", &role, at, e) != 0) return bad(v, ROW_BAD_FIELDS);
    int rc = check_role(role, at, v, e);
    bool has_calls = str_eq(role, "assistant") && json_array_size(calls) > 0;
    if (rc == 0) rc = read_content(m, has_calls, at, &content, v, e);
    if (rc != 0) return rc;
    *out = json_pack("{s:s,s:o}", "role", role, "content", content);
    if (*out == NULL) return no_memory(at, e);
    rc = keep_strings(*out, m, at, e);
    return rc == 0 && has_calls ? set_calls(*out, calls, at, v, e) : rc;
}

static const char *sharegpt_role(const char *from)
{
    static const char *const role[][2] = {{"human", "user"},
                                          {"user", "user"},
                                          {"gpt", "assistant"},
                                          {"assistant", "assistant"},
                                          {"model", "assistant"},
                                          {"chatgpt", "assistant"},
                                          {"bot", "assistant"},
                                          {"system", "system"},
                                          {"function_call", "assistant"},
                                          {"observation", "tool"},
                                          {"function_response", "tool"},
                                          {"tool", "tool"}};
    for (size_t i = 0; i < N_ELEM(role); i++)
        if (str_eq(from, role[i][0])) return role[i][1];
    return NULL;
}

static int read_sharegpt(const json_t *m, const char *at, json_t **out, enum row_verdict *v, struct err *e)
{
    const char *from, *value, *role;
    if (json_get_str(m, "from", &from, at, e) != 0) return bad(v, ROW_BAD_FIELDS);
    if (json_get_str(m, "value", &value, at, e) != 0) return bad(v, ROW_BAD_FIELDS);
    if ((role = sharegpt_role(from)) == NULL) {
        bad(v, ROW_BAD_FIELDS);
        return err_set(e, ERR_INPUT, at,
                       "cannot use %s: \"%s\" is none of human, gpt, system, function_call, observation", at, from);
    }
    bool is_call = str_eq(from, "function_call");
    *out = message_new(role, is_call ? "" : value);
    if (*out == NULL) return no_memory(at, e);
    if (!is_call) return 0;
    json_t *calls = NULL;
    if (json_parse(value, strlen(value), at, &calls, e) != 0) return bad(v, ROW_BAD_FIELDS);
    int rc = set_calls(*out, calls, at, v, e);
    json_decref(calls);
    return rc;
}

int message_read(const json_t *m, const char *at, json_t **out, enum row_verdict *v, struct err *e)
{
    *out = NULL;
    bool is_sharegpt = json_object_get(m, "role") == NULL && json_object_get(m, "from") != NULL;
    int rc = is_sharegpt ? read_sharegpt(m, at, out, v, e) : read_openai(m, at, out, v, e);
    if (rc == 0) return 0;
    json_decref(*out);
    *out = NULL;
    return rc;
}

int messages_read(const json_t *list, const char *where, json_t **out, enum row_verdict *v, struct err *e)
{
    size_t n = json_array_size(list);
    *out = NULL;
    if (n == 0 || n > MESSAGES_MAX) {
        bad(v, ROW_BAD_FIELDS);
        return err_set(e, ERR_INPUT, where, "cannot use %s: %zu messages, 1 to %d are accepted", where, n,
                       MESSAGES_MAX);
    }
    json_t *made = json_array();
    int rc = made == NULL ? no_memory(where, e) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char at[320];
        json_t *m = NULL;
        snprintf(at, sizeof(at), "%.280s, message %zu", where, i + 1);
        rc = message_read(json_array_get(list, i), at, &m, v, e);
        if (rc == 0 && json_array_append_new(made, m) != 0) rc = no_memory(where, e);
    }
    if (rc == 0)
        *out = made;
    else
        json_decref(made);
    return rc;
}

/* --- a conversation --- */

static int bad_order(const char *where, size_t i, const char *role, const char *reason, enum row_verdict *v,
                     struct err *e)
{
    bad(v, ROW_BAD_ROLES);
    return err_set(e, ERR_INPUT, where, "cannot use %s, message %zu: its role is %s, %s", where, i + 1, role, reason);
}

int messages_check_order(const json_t *messages, const char *where, enum row_verdict *v, struct err *e)
{
    const char *before = NULL; /* role of the last message behind the system's */
    bool had_calls = false;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role")), *reason = NULL;
        bool is_system = str_eq(role, "system") || str_eq(role, "developer");
        if (is_system && before != NULL)
            reason = "which stands at the start only";
        else if (!is_system && before == NULL && !str_eq(role, "user"))
            reason = "a conversation begins with the user";
        else if (str_eq(role, "user") && str_eq(before, "user"))
            reason = "and nobody answered the user's message before";
        else if (str_eq(role, "assistant") && str_eq(before, "assistant"))
            reason = "and so is that of the message before";
        else if (str_eq(role, "tool") && !str_eq(before, "assistant") && !str_eq(before, "tool"))
            reason = "and no answer of the assistant stands before it";
        else if (str_eq(role, "user") && had_calls && str_eq(before, "assistant"))
            reason = "and the calls of the message before have no result";
        if (reason != NULL) return bad_order(where, i, role, reason, v, e);
        if (!is_system) before = role;
        had_calls = message_has_calls(m);
    }
    return 0;
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n")] == '\0';
}

int messages_check_target(const json_t *messages, size_t first, const char *where, enum row_verdict *v, struct err *e)
{
    size_t n_answer = 0;
    for (size_t i = first; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        if (!message_has_role(m, "assistant")) continue;
        n_answer++;
        if (message_has_calls(m) || !is_blank(json_string_value(json_object_get(m, "content")))) continue;
        bad(v, ROW_EMPTY_TARGET);
        return err_set(e, ERR_INPUT, where, "cannot use %s, message %zu: the assistant's text is empty", where, i + 1);
    }
    if (n_answer > 0) return 0;
    bad(v, ROW_EMPTY_TARGET);
    return err_set(e, ERR_INPUT, where, "cannot use %s: it has no message of the assistant, so nothing to train",
                   where);
}
