/* Tokenizer and template as facts. Owns nothing. Whether they can be used is found out by using them: the tokenizer is
 * made, the template parsed and probed. */
#include "doors/cli/inspect_words.h"

#include <stdio.h>
#include <string.h>

#include "compute/text/chat_caps.h"
#include "compute/text/tokenizer.h"
#include "doors/cli/message_zh.h"
#include "ground/base/buf.h"

static json_t *text_or_null(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

json_t *inspect_tokenizer(const struct model_file *f)
{
    struct vocab_source v;
    struct tokenizer *t = NULL;
    struct err e = {0};
    int rc = model_file_vocab(f, &v, &e);
    if (!rc && !v.model) return json_null();
    if (!rc) rc = tokenizer_new(&t, &v, &e);
    tokenizer_free(t);
    return json_pack("{s:o, s:o, s:I, s:o}", "model", text_or_null(v.model), "pre", text_or_null(v.pre), "n_tokens",
                     (json_int_t)v.n_token, "problem", text_or_null(rc ? e.msg : NULL));
}

json_t *inspect_chat(const struct model_file *f)
{
    struct vocab_source v;
    struct chat_template *t = NULL;
    struct chat_caps caps;
    struct err e = {0};
    if (model_file_vocab(f, &v, &e) || !v.chat_template) return json_null();
    if (chat_template_new(&t, v.chat_template, strlen(v.chat_template), &e))
        return json_pack("{s:o}", "problem", text_or_null(e.msg));
    chat_caps_probe(t, &caps);
    chat_template_free(t);
    return chat_caps_json(&caps);
}

static void print_problem(const struct cli *c, const char *problem)
{
    struct buf zh;
    buf_init(&zh, 1 << 16);
    bool translated = c->lang == LANG_ZH && message_zh(problem, &zh);
    printf("%s\n", translated ? zh.data : problem);
    buf_deinit(&zh);
}

static void print_chat(const struct cli *c, const json_t *chat)
{
    static const char *const part[][3] = {
        {"system_role", "system role", "系统角色"},     {"tools", "tools", "工具"},
        {"tool_calls", "tool calls", "工具调用"},       {"tool_results", "tool results", "工具结果"},
        {"typed_content", "typed content", "分段内容"}, {"reasoning", "reasoning", "思考过程"}};
    const char *turn = json_string_value(json_object_get(chat, "thinking_switch"));
    bool first = true;
    for (size_t i = 0; i < N_ELEM(part); i++) {
        if (!json_is_true(json_object_get(chat, part[i][0]))) continue;
        printf("%s%s", first ? "" : cli_text(c, ", ", "、"), cli_text(c, part[i][1], part[i][2]));
        first = false;
    }
    if (turn) printf(cli_text(c, "%sthinking by %s", "%s思考开关 %s"), first ? "" : cli_text(c, ", ", "、"), turn);
    puts(first && !turn ? cli_text(c, "plain turns only", "仅普通对话") : "");
}

void inspect_words_print(const struct cli *c, const json_t *tokenizer, const json_t *chat,
                         void (*name)(const struct cli *c, const char *en, const char *zh))
{
    if (json_is_object(tokenizer)) {
        const char *model = json_string_value(json_object_get(tokenizer, "model"));
        const char *pre = json_string_value(json_object_get(tokenizer, "pre"));
        const char *problem = json_string_value(json_object_get(tokenizer, "problem"));
        name(c, "tokenizer", "分词器");
        if (problem)
            print_problem(c, problem);
        else
            printf(cli_text(c, "%s (%s), %lld tokens\n", "%s（%s），%lld 个词元\n"), model ? model : "", pre ? pre : "",
                   (long long)json_integer_value(json_object_get(tokenizer, "n_tokens")));
    }
    if (json_is_object(chat)) {
        const char *problem = json_string_value(json_object_get(chat, "problem"));
        name(c, "chat", "对话模板");
        if (problem)
            print_problem(c, problem);
        else
            print_chat(c, chat);
    }
}
