/* Reads examples. Owns the rules by which a row's members become a conversation. What always holds after a successful
 * read: messages are in the order of a conversation, and what is trained says something. */
#include "lifecycle/data/example.h"

#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/data/message.h"

/* A row on the way: its prompt, and its answer where that stands apart. */
struct reading {
    const json_t *row;
    enum example_form form;
    const char *where;
    enum row_verdict *v;
    struct err *e;
    json_t *prompt; /* messages; a whole conversation where answer is NULL */
    json_t *answer; /* messages, or NULL */
};

static int bad(const struct reading *r, enum row_verdict what)
{
    *r->v = what;
    return -ERR_INPUT;
}

static int no_memory(const struct reading *r)
{
    return err_set(r->e, ERR_NOMEM, r->where, "cannot use %s: out of memory", r->where);
}

void example_deinit(struct example *x)
{
    json_decref(x->messages);
    json_decref(x->rejected);
    json_decref(x->tools);
    json_decref(x->variables);
    *x = (struct example){0};
}

static bool has(const struct reading *r, const char *key)
{
    const json_t *v = json_object_get(r->row, key);
    return v != NULL && !json_is_null(v);
}

static int take_string(const struct reading *r, const char *key, const char **out)
{
    return json_get_str(r->row, key, out, r->where, r->e) != 0 ? bad(r, ROW_BAD_FIELDS) : 0;
}

static int optional_string(const struct reading *r, const char *key, const char **out)
{
    *out = NULL;
    return json_opt_str(r->row, key, out, r->where, r->e) != 0 ? bad(r, ROW_BAD_FIELDS) : 0;
}

/* A member that is one text of `role`, one message, or a list of messages: *out is a new list. */
static int read_part(const struct reading *r, const char *key, const char *role, json_t **out)
{
    json_t *v = json_object_get(r->row, key);
    *out = NULL;
    if (json_is_array(v)) return messages_read(v, r->where, out, r->v, r->e);
    if (json_is_object(v)) {
        json_t *one = json_pack("[O]", v);
        int rc = one == NULL ? no_memory(r) : messages_read(one, r->where, out, r->v, r->e);
        json_decref(one);
        return rc;
    }
    const char *text;
    int rc = take_string(r, key, &text);
    if (rc != 0) return rc;
    *out = json_pack("[o]", message_new(role, text));
    return *out == NULL ? no_memory(r) : 0;
}

static int put_message(const struct reading *r, json_t *list, const char *role, const char *content)
{
    return json_array_append_new(list, message_new(role, content)) != 0 ? no_memory(r) : 0;
}

/* The row's own system text, in front of a prompt that has none. */
static int add_system(struct reading *r)
{
    const char *text;
    int rc = optional_string(r, "system", &text);
    if (rc != 0 || text == NULL || *text == '\0') return rc;
    if (message_has_role(json_array_get(r->prompt, 0), "system")) return 0;
    return json_array_insert_new(r->prompt, 0, message_new("system", text)) != 0 ? no_memory(r) : 0;
}

/* --- forms --- */

static int read_history(struct reading *r)
{
    const json_t *history = NULL;
    if (json_opt_array(r->row, "history", &history, r->where, r->e) != 0) return bad(r, ROW_BAD_FIELDS);
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *turn = json_array_get(history, i);
        const char *asked = json_string_value(json_array_get(turn, 0)),
                   *said = json_string_value(json_array_get(turn, 1));
        if (json_array_size(turn) != 2 || asked == NULL || said == NULL) {
            bad(r, ROW_BAD_FIELDS);
            return err_set(r->e, ERR_INPUT, r->where,
                           "cannot use %s: history[%zu] is no pair of texts, what was asked and what was answered",
                           r->where, i);
        }
        int rc = put_message(r, r->prompt, "user", asked);
        if (rc == 0) rc = put_message(r, r->prompt, "assistant", said);
        if (rc != 0) return rc;
    }
    return 0;
}

static int read_alpaca(struct reading *r)
{
    const char *instruction, *input;
    int rc = take_string(r, "instruction", &instruction);
    if (rc == 0) rc = optional_string(r, "input", &input);
    if (rc != 0) return rc;
    r->prompt = json_array();
    rc = r->prompt == NULL ? no_memory(r) : read_history(r);
    if (rc != 0) return rc;
    bool more = input != NULL && *input != '\0';
    json_t *asked = json_sprintf("%s%s%s", instruction, more ? "\n" : "", more ? input : "");
    json_t *m = json_pack("{s:s,s:o}", "role", "user", "content", asked);
    if (json_array_append_new(r->prompt, m) != 0) return no_memory(r);
    return has(r, "output") ? read_part(r, "output", "assistant", &r->answer) : 0;
}

static int read_list(struct reading *r, const char *key)
{
    const json_t *list;
    if (json_get_array(r->row, key, &list, r->where, r->e) != 0) return bad(r, ROW_BAD_FIELDS);
    return messages_read(list, r->where, &r->prompt, r->v, r->e);
}

static int read_prompt(struct reading *r)
{
    int rc = read_part(r, "prompt", "user", &r->prompt);
    return rc == 0 && has(r, "completion") ? read_part(r, "completion", "assistant", &r->answer) : rc;
}

static enum example_form form_of(const struct reading *r)
{
    if (r->form != FORM_ANY) return r->form;
    if (has(r, "messages")) return FORM_OPENAI;
    if (has(r, "conversations")) return FORM_SHAREGPT;
    if (has(r, "instruction")) return FORM_ALPACA;
    return has(r, "prompt") ? FORM_PROMPT : FORM_ANY;
}

static int read_form(struct reading *r)
{
    int rc;
    switch (form_of(r)) {
    case FORM_OPENAI:
        rc = read_list(r, "messages");
        break;
    case FORM_SHAREGPT:
        rc = read_list(r, "conversations");
        break;
    case FORM_ALPACA:
        rc = read_alpaca(r);
        break;
    case FORM_PROMPT:
        rc = read_prompt(r);
        break;
    case FORM_ANY:
    default:
        bad(r, ROW_BAD_FIELDS);
        return err_set(
            r->e, ERR_INPUT, r->where,
            "cannot use %s: it has neither messages nor prompt and completion, conversations, or instruction "
            "and output",
            r->where);
    }
    return rc == 0 ? add_system(r) : rc;
}

/* --- what goes with it --- */

/* Descriptions of tools: a list, or a text that holds one; each {"type": "function", "function": {...}}. */
static int read_tools(const struct reading *r, struct example *x)
{
    json_t *tools = json_object_get(r->row, "tools");
    if (tools == NULL || json_is_null(tools)) return 0;
    const char *text = json_string_value(tools);
    if (text != NULL && *text == '\0') return 0;
    if (text == NULL)
        x->tools = json_deep_copy(tools);
    else if (json_parse(text, strlen(text), r->where, &x->tools, r->e) != 0)
        return bad(r, ROW_BAD_FIELDS);
    if (x->tools == NULL) return no_memory(r);
    for (size_t i = 0; i < json_array_size(x->tools); i++) {
        json_t *tool = json_array_get(x->tools, i);
        if (json_object_get(tool, "function") != NULL || json_object_get(tool, "name") == NULL) continue;
        json_t *wrapped = json_pack("{s:s,s:O}", "type", "function", "function", tool);
        if (json_array_set_new(x->tools, i, wrapped) != 0) return no_memory(r);
    }
    if (json_is_array(x->tools)) return 0;
    bad(r, ROW_BAD_FIELDS);
    return err_set(r->e, ERR_INPUT, r->where, "cannot use %s: tools is %s, an array is needed", r->where,
                   json_kind(x->tools));
}

static int read_variables(const struct reading *r, struct example *x)
{
    const json_t *v = NULL;
    if (json_opt_object(r->row, "chat_template_kwargs", &v, r->where, r->e) != 0) return bad(r, ROW_BAD_FIELDS);
    if (v != NULL && (x->variables = json_deep_copy(v)) == NULL) return no_memory(r);
    json_t *thinking = json_object_get(r->row, "enable_thinking");
    if (!json_is_boolean(thinking)) return 0;
    if (x->variables == NULL) x->variables = json_object();
    return json_object_set(x->variables, "enable_thinking", thinking) != 0 ? no_memory(r) : 0;
}

/* true, false, 1, 0, or these as texts, as tables have them. */
static int read_label(const struct reading *r, bool *out)
{
    const json_t *v = json_object_get(r->row, has(r, "label") ? "label" : "kto_tag");
    const char *s = json_string_value(v);
    bool yes = json_is_true(v) || (json_is_integer(v) && json_integer_value(v) == 1) || str_eq(s, "true") ||
               str_eq(s, "True") || str_eq(s, "1");
    bool no = json_is_false(v) || (json_is_integer(v) && json_integer_value(v) == 0) || str_eq(s, "false") ||
              str_eq(s, "False") || str_eq(s, "0");
    *out = yes;
    if (yes || no) return 0;
    bad(r, ROW_BAD_FIELDS);
    return err_set(r->e, ERR_INPUT, r->where, "cannot use %s: its label is %s, true (desirable) or false is needed",
                   r->where, json_kind(v));
}

/* --- kinds --- */

/* a and b one after the other, new. */
static json_t *joined(const json_t *a, json_t *b)
{
    json_t *list = json_copy((json_t *)(uintptr_t)a);
    if (list == NULL || json_array_extend(list, b) == 0) return list;
    json_decref(list);
    return NULL;
}

static int check(const struct reading *r, const json_t *messages, size_t n_prompt)
{
    int rc = messages_check_order(messages, r->where, r->v, r->e);
    return rc != 0 ? rc : messages_check_target(messages, n_prompt, r->where, r->v, r->e);
}

static int read_answer(struct reading *r, struct example *x)
{
    int rc = read_form(r);
    if (rc != 0) return rc;
    if (r->answer == NULL && form_of(r) != FORM_OPENAI && form_of(r) != FORM_SHAREGPT) {
        bad(r, ROW_BAD_FIELDS);
        return err_set(r->e, ERR_INPUT, r->where, "cannot use %s: its %s is missing, a string is needed", r->where,
                       form_of(r) == FORM_ALPACA ? "output" : "completion");
    }
    x->messages = r->answer == NULL ? json_incref(r->prompt) : joined(r->prompt, r->answer);
    /* texts asked before are history, and trained; messages given as a prompt are not */
    if (r->answer != NULL && form_of(r) == FORM_PROMPT) x->n_prompt = json_array_size(r->prompt);
    return x->messages == NULL ? no_memory(r) : check(r, x->messages, x->n_prompt);
}

/* Two whole conversations: what they begin with in common is the prompt, up to the last message both have. */
static void common_start(struct example *x)
{
    size_t n = 0, a = json_array_size(x->messages), b = json_array_size(x->rejected);
    while (n < a && n < b && json_equal(json_array_get(x->messages, n), json_array_get(x->rejected, n))) n++;
    x->n_prompt = n;
}

static bool is_whole(const json_t *messages)
{
    return !message_has_role(json_array_get(messages, 0), "assistant");
}

static int join_pair(struct reading *r, struct example *x)
{
    if (is_whole(x->messages) && is_whole(x->rejected)) {
        common_start(x);
        return 0;
    }
    int rc = read_form(r);
    json_t *chosen = rc == 0 ? joined(r->prompt, x->messages) : NULL;
    json_t *rejected = rc == 0 ? joined(r->prompt, x->rejected) : NULL;
    if (rc == 0 && (chosen == NULL || rejected == NULL)) rc = no_memory(r);
    if (rc != 0) {
        json_decref(chosen);
        json_decref(rejected);
        return rc;
    }
    json_decref(x->messages);
    json_decref(x->rejected);
    x->messages = chosen;
    x->rejected = rejected;
    x->n_prompt = json_array_size(r->prompt);
    return 0;
}

static int read_pair(struct reading *r, struct example *x)
{
    if (!has(r, "chosen") || !has(r, "rejected")) {
        bad(r, ROW_BAD_FIELDS);
        return err_set(r->e, ERR_INPUT, r->where, "cannot use %s: it has no %s (a preference has chosen and rejected)",
                       r->where, has(r, "chosen") ? "rejected" : "chosen");
    }
    int rc = read_part(r, "chosen", "assistant", &x->messages);
    if (rc == 0) rc = read_part(r, "rejected", "assistant", &x->rejected);
    if (rc == 0) rc = join_pair(r, x);
    if (rc == 0 && json_equal(x->messages, x->rejected)) {
        bad(r, ROW_NO_CONTRAST);
        rc = err_set(r->e, ERR_INPUT, r->where, "cannot use %s: chosen and rejected are the same", r->where);
    }
    if (rc == 0) rc = check(r, x->messages, x->n_prompt);
    return rc == 0 ? check(r, x->rejected, x->n_prompt) : rc;
}

static int read_judged(struct reading *r, struct example *x)
{
    int rc = read_label(r, &x->desirable);
    if (rc == 0) rc = read_answer(r, x);
    if (rc != 0 || x->n_prompt > 0) return rc;
    size_t n = json_array_size(x->messages);
    x->n_prompt = n - 1;
    return messages_check_target(x->messages, x->n_prompt, r->where, r->v, r->e);
}

int example_read(struct example *x, const json_t *row, enum example_form form, enum example_kind kind,
                 const char *where, enum row_verdict *v, struct err *e)
{
    struct reading r = {.row = row, .form = form, .where = where, .v = v, .e = e};
    example_deinit(x);
    *v = ROW_KEPT;
    int rc = read_tools(&r, x);
    if (rc == 0) rc = read_variables(&r, x);
    if (rc == 0)
        rc = kind == EXAMPLE_ANSWER ? read_answer(&r, x) : kind == EXAMPLE_PAIR ? read_pair(&r, x) : read_judged(&r, x);
    json_decref(r.prompt);
    json_decref(r.answer);
    return rc;
}
