/* Conversations to ids. Owns the one rule about BOS and which variables a template gets from the model; rendering and
 * tokenizing are done elsewhere. What always holds: at most one BOS stands at the start, none is added twice. */
#include "compute/text/chat_prompt.h"

#include <stdint.h>
#include <string.h>

#include "compute/text/chat_caps.h"
#include "ground/base/str.h"

static int set_token_text(json_t *vars, const char *name, const struct tokenizer *tok, int id)
{
    const char *bytes;
    size_t n;
    if (id < 0 || json_object_get(vars, name) || tokenizer_token(tok, id, true, &bytes, &n)) return 0;
    json_t *text = json_stringn(bytes, n); /* NULL when it is not UTF-8: then the variable stays undefined */
    return text ? json_object_set_new(vars, name, text) : 0;
}

static bool is_system(const json_t *message)
{
    return str_eq(json_string_value(json_object_get(message, "role")), "system");
}

static bool has_system(const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (is_system(json_array_get(messages, i))) return true;
    return false;
}

/* Text parts of content, which may be one string, added to list. */
static int add_parts(json_t *list, json_t *content)
{
    if (json_is_array(content)) return json_array_extend(list, content);
    if (!json_is_string(content)) return 0;
    return json_array_append_new(list, json_pack("{s:s, s:O}", "type", "text", "text", content));
}

/* Two contents as one, new: strings with a blank line between, else the parts of both. */
static json_t *join_content(json_t *a, json_t *b)
{
    if (json_is_string(a) && json_is_string(b)) {
        bool empty = !json_string_length(a) || !json_string_length(b);
        return json_sprintf("%s%s%s", json_string_value(a), empty ? "" : "\n\n", json_string_value(b));
    }
    json_t *list = json_array();
    if (add_parts(list, a) || add_parts(list, b)) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* The messages with every system message in front of the next user's, or as a user's where none follows; new, NULL
 * without memory. */
static json_t *fold_system(const json_t *messages)
{
    json_t *list = json_array(), *held = NULL;
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < json_array_size(messages); i++) {
        json_t *m = json_array_get(messages, i);
        json_t *content = json_object_get(m, "content");
        bool user = str_eq(json_string_value(json_object_get(m, "role")), "user");
        if ((is_system(m) || user) && held) {
            json_t *joined = join_content(held, content);
            json_decref(held);
            held = joined;
            ok = held != NULL;
        } else if (is_system(m)) {
            held = json_incref(content);
        }
        if (!ok || is_system(m)) continue;
        json_t *copy = json_copy(m);
        ok = copy && (!user || !held || !json_object_set(copy, "content", held)) && !json_array_append(list, copy);
        json_decref(copy);
        if (user) {
            json_decref(held);
            held = NULL;
        }
    }
    if (ok && held) ok = !json_array_append_new(list, json_pack("{s:s, s:O}", "role", "user", "content", held));
    json_decref(held);
    if (!ok) json_decref(list);
    return ok ? list : NULL;
}

int chat_prompt_render(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                       bool add_generation_prompt, struct rendered *out, struct err *e)
{
    json_t *all = json_object();
    const json_t *messages = json_object_get(vars, "messages");
    bool fold = has_system(messages) && !chat_caps_system_role(t);
    int rc = -1;
    if (all && !json_object_update(all, (json_t *)(uintptr_t)vars) &&
        !set_token_text(all, "bos_token", tok, tokenizer_bos(tok)) &&
        !set_token_text(all, "eos_token", tok, tokenizer_eos(tok)) &&
        (!fold || !json_object_set_new(all, "messages", fold_system(messages))))
        rc = chat_template_render(t, all, add_generation_prompt, out, e);
    else
        rc = err_set(e, ERR_NOMEM, NULL, "cannot prepare the variables of a chat template: out of memory");
    json_decref(all);
    return rc;
}

int chat_prompt_encode(const struct tokenizer *tok, const struct rendered *r, struct token_list *out, size_t *span_end,
                       struct err *e)
{
    size_t begin = out->n;
    int bos = tokenizer_bos(tok);
    int rc = tokenizer_encode_spans(tok, r->span, r->n_span, out, span_end, e);
    if (rc || bos < 0 || !tokenizer_adds_bos(tok) || (out->n > begin && out->ids[begin] == bos)) return rc;
    if (token_list_add(out, bos)) return err_set(e, ERR_NOMEM, NULL, "cannot tokenize a conversation: out of memory");
    memmove(out->ids + begin + 1, out->ids + begin, (out->n - begin - 1) * sizeof(*out->ids));
    out->ids[begin] = bos;
    for (size_t i = 0; span_end && i < r->n_span; i++) span_end[i]++;
    return 0;
}

int chat_prompt_ids(const struct chat_template *t, const struct tokenizer *tok, const json_t *vars,
                    bool add_generation_prompt, struct token_list *out, struct err *e)
{
    struct rendered r = {0};
    int rc = chat_prompt_render(t, tok, vars, add_generation_prompt, &r, e);
    if (!rc) rc = chat_prompt_encode(tok, &r, out, NULL, e);
    rendered_deinit(&r);
    return rc;
}
