/* Prompts of cases. Owns the parsed template. What always holds: text of a case never becomes a control token, since it
 * reaches the chat template as message content only. */
#include "lifecycle/eval/prompt.h"

#include <string.h>

#include "compute/text/chat_prompt.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

static const char free_source[] = "{% if context %}{{ context }}\n\n{% endif %}{{ input }}";
static const char listed_en[] =
    "Choose the one category that fits the message best and answer with its name only.\n\nCategories:\n"
    "{% for c in choices %}{{ c }}\n{% endfor %}\n{% if context %}{{ context }}\n\n{% endif %}Message: {{ input "
    "}}\nCategory:";
static const char listed_zh[] = "请为下面的消息选出最合适的一个类别，只回答类别名称。\n\n类别：\n"
                                "{% for c in choices %}{{ c }}\n{% endfor %}\n{% if context %}{{ context }}\n\n{% "
                                "endif %}消息：{{ input }}\n类别：";

const char *choices_mode_name(enum choices_mode m)
{
    static const char *const name[] = {"free", "listed", "constrained"};
    return name[m];
}

int prompt_builder_init(struct prompt_builder *b, enum choices_mode mode, const char *source, const char *lang,
                        struct err *e)
{
    b->source = source ? source : mode == CHOICES_FREE ? free_source : str_eq(lang, "zh") ? listed_zh : listed_en;
    int rc = chat_template_new(&b->tmpl, b->source, strlen(b->source), e);
    return rc ? err_wrap(e, rc, "prompt template") : 0;
}

void prompt_builder_deinit(struct prompt_builder *b)
{
    chat_template_free(b->tmpl);
    b->tmpl = NULL;
}

/* The template filled in with one input: new text (mem_free). */
static int fill(const struct prompt_builder *b, const struct eval_case *c, const char *input, char **out, struct err *e)
{
    struct rendered r;
    json_t *vars = json_pack("{s:[],s:s,s:s,s:O*}", "messages", "input", input, "context", c->context ? c->context : "",
                             "choices", b->labels);
    if (!vars) return err_set(e, ERR_NOMEM, c->id, "cannot build the prompt of case \"%s\": out of memory", c->id);
    int rc = chat_template_render(b->tmpl, vars, false, &r, e);
    if (rc == 0) {
        *out = mem_strndup(r.text, r.n);
        rendered_deinit(&r);
    }
    json_decref(vars);
    return rc ? err_wrap(e, rc, "prompt of case \"%s\"", c->id) : 0;
}

/* Replace the content of the last user message by the filled template. */
static int fill_last(const struct prompt_builder *b, const struct eval_case *c, json_t *messages, struct err *e)
{
    for (size_t i = json_array_size(messages); i-- > 0;) {
        json_t *m = json_array_get(messages, i);
        const char *content = json_string_value(json_object_get(m, "content"));
        if (!content || !str_eq(json_string_value(json_object_get(m, "role")), "user")) continue;
        char *text = NULL;
        int rc = fill(b, c, content, &text, e);
        if (rc == 0 && json_object_set_new(m, "content", json_string(text)))
            rc = err_set(e, ERR_NOMEM, c->id, "cannot build the prompt of case \"%s\": out of memory", c->id);
        if (rc == 0) mem_free(text);
        return rc;
    }
    return err_set(e, ERR_INPUT, c->id, "cannot build the prompt of case \"%s\": no user message with text", c->id);
}

static int make_messages(const struct prompt_builder *b, const struct eval_case *c, json_t **out, struct err *e)
{
    json_t *messages =
        c->messages ? json_deep_copy(c->messages) : json_pack("[{s:s,s:s}]", "role", "user", "content", c->input);
    if (!messages) return err_set(e, ERR_NOMEM, c->id, "cannot build the prompt of case \"%s\": out of memory", c->id);
    int rc = fill_last(b, c, messages, e);
    if (rc == 0 && b->system &&
        json_array_insert_new(messages, 0, json_pack("{s:s,s:s}", "role", "system", "content", b->system)))
        rc = err_set(e, ERR_INPUT, "system", "cannot use the system message: it is not UTF-8");
    if (rc)
        json_decref(messages);
    else
        *out = messages;
    return rc;
}

static int add_text(struct buf *text, const char *s, size_t n, const char *id, struct err *e)
{
    buf_clear(text);
    int rc = buf_add(text, s, n);
    return rc ? err_set(e, -rc, id, "cannot build the prompt of case \"%s\": it is longer than %zu bytes", id,
                        text->max)
              : 0;
}

static int build_chat(const struct prompt_builder *b, const struct eval_case *c, json_t *messages,
                      struct token_list *ids, struct buf *text, struct err *e)
{
    struct rendered r;
    json_t *vars = json_pack("{s:O,s:O*}", "messages", messages, "tools", c->tools);
    if (!vars) return err_set(e, ERR_NOMEM, c->id, "cannot build the prompt of case \"%s\": out of memory", c->id);
    int rc = chat_prompt_render(b->chat, b->tok, vars, true, &r, e);
    json_decref(vars);
    if (rc) return err_wrap(e, rc, "case \"%s\"", c->id);
    rc = add_text(text, r.text, r.n, c->id, e);
    if (rc == 0) rc = chat_prompt_encode(b->tok, &r, ids, NULL, e);
    rendered_deinit(&r);
    return rc;
}

/* Without a chat template: the contents one after the other, separated by blank lines. */
static int build_plain(const struct prompt_builder *b, const struct eval_case *c, const json_t *messages,
                       struct token_list *ids, struct buf *text, struct err *e)
{
    buf_clear(text);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const char *s = json_string_value(json_object_get(json_array_get(messages, i), "content"));
        if (!s)
            return err_set(e, ERR_UNSUPPORTED, c->id,
                           "cannot ask case \"%s\": the model has no chat template, and message %zu "
                           "has no text",
                           c->id, i + 1);
        if ((i && buf_add_str(text, "\n\n")) || buf_add_str(text, s))
            return err_set(e, ERR_LIMIT, c->id, "cannot build the prompt of case \"%s\": too long", c->id);
    }
    if (c->tools)
        return err_set(e, ERR_UNSUPPORTED, c->id,
                       "cannot ask case \"%s\": it has tools, and the model has no chat template", c->id);
    int bos = tokenizer_bos(b->tok);
    if (tokenizer_adds_bos(b->tok) && bos >= 0 && token_list_add(ids, bos))
        return err_set(e, ERR_NOMEM, c->id, "cannot ask case \"%s\": out of memory", c->id);
    return tokenizer_encode(b->tok, text->data, text->len, 0, ids, e);
}

int prompt_build(const struct prompt_builder *b, const struct eval_case *c, struct token_list *ids, struct buf *text,
                 struct err *e)
{
    json_t *messages = NULL;
    int rc = make_messages(b, c, &messages, e);
    if (rc) return rc;
    rc = b->chat ? build_chat(b, c, messages, ids, text, e) : build_plain(b, c, messages, ids, text, e);
    json_decref(messages);
    return rc;
}
