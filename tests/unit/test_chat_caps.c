/* What chat templates can take, by probing the templates that the project carries and some made here; and system
 * messages where a template has no place for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/text/chat_caps.h"
#include "compute/text/chat_prompt.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

static struct chat_template *parse(const char *source)
{
    struct chat_template *t;
    struct err e;
    if (chat_template_new(&t, source, strlen(source), &e)) {
        fail_msg("%s", e.msg);
    }
    return t;
}

static void carried(void **state)
{
    (void)state;
    static const struct {
        const char *name, *caps;
    } row[] = {
        {"GLM-4.6", "s t c r p y enable_thinking"},
        {"Mistral-Small-3.2-24B-Instruct-2506", "s t c r p -"},
        {"Qwen-Qwen2.5-7B-Instruct", "s t c r -"},
        {"Qwen-Qwen3-0.6B", "s t c r y enable_thinking"},
        {"deepseek-ai-DeepSeek-V3.1", "s c r enable_thinking"},
        {"microsoft-Phi-3.5-mini-instruct", "s -"},
        {"openai-gpt-oss-120b", "s t c r reasoning_effort"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char path[128], got[64], *source;
        size_t n;
        struct err e;
        struct chat_caps c;
        snprintf(path, sizeof path, "tests/data/chat-templates/%s.jinja", row[i].name);
        if (file_read_all(path, 1 << 20, &source, &n, &e)) {
            fail_msg("%s", e.msg);
        }
        struct chat_template *t = parse(source);
        chat_caps_probe(t, &c);
        snprintf(got, sizeof got, "%s%s%s%s%s%s%s", c.system_role ? "s " : "", c.tools ? "t " : "",
                 c.tool_calls ? "c " : "", c.tool_results ? "r " : "", c.typed_content ? "p " : "",
                 c.reasoning ? "y " : "", c.thinking_switch ? c.thinking_switch : "-");
        if (strcmp(got, row[i].caps) != 0) {
            fail_msg("%s: %s, expected %s", row[i].name, got, row[i].caps);
        }
        chat_template_free(t);
        mem_free(source);
    }
}

static void arguments(void **state)
{
    (void)state;
    struct chat_caps c;
    struct chat_template *t =
        parse("{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name + ' ' + "
              "c.function.arguments }}{% endfor %}{% endfor %}");
    chat_caps_probe(t, &c);
    assert_true(c.tool_calls && c.arguments_text && !c.tool_results && !c.tools && !c.system_role);
    chat_template_free(t);
    t = parse("{{ raise_exception('never') }}");
    chat_caps_probe(t, &c);
    assert_true(!c.tool_calls && !c.system_role && !c.typed_content && !c.thinking_switch && !c.reasoning);
    chat_template_free(t);
}

/* A vocabulary for chat_prompt, which only asks it for its special tokens. */
static struct tokenizer *tokenizer(void)
{
    static const char *const token[] = {"[UNK]", "\xE2\x96\x81"
                                                 "a"};
    static const uint32_t len[] = {5, 4};
    static const int32_t type[] = {3, 1};
    const struct vocab_source v = {.model = "bert",
                                   .n_token = 2,
                                   .token = token,
                                   .token_len = len,
                                   .type = type,
                                   .bos_id = -1,
                                   .eos_id = -1,
                                   .eot_id = -1,
                                   .eom_id = -1,
                                   .unk_id = 0,
                                   .pad_id = -1};
    struct tokenizer *t;
    struct err e;
    assert_int_equal(tokenizer_new(&t, &v, &e), 0);
    return t;
}

static void expect(const char *source, const char *messages, const char *want)
{
    struct chat_template *t = parse(source);
    struct tokenizer *tok = tokenizer();
    struct rendered r;
    struct err e = {0};
    json_t *vars = json_object();
    json_object_set_new(vars, "messages", json_loads(messages, 0, NULL));
    int rc = chat_prompt_render(t, tok, vars, false, &r, &e);
    if (rc) {
        fail_msg("%s", e.msg);
    }
    assert_string_equal(r.text, want);
    rendered_deinit(&r);
    json_decref(vars);
    tokenizer_free(tok);
    chat_template_free(t);
}

#define TURNS                                                   \
    "{% for m in messages %}{% if m.role == 'system' %}" SYSTEM \
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"

static void folding(void **state)
{
    (void)state;
#define SYSTEM "{{ raise_exception('no system role') }}"
    expect(TURNS, "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}]", "<user>S\n\nU");
    expect(TURNS,
           "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"system\",\"content\":\"T\"},{\"role\":\"user\","
           "\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\"A\"},{\"role\":\"system\",\"content\":\"V\"},{"
           "\"role\":\"user\",\"content\":\"W\"}]",
           "<user>S\n\nT\n\nU<assistant>A<user>V\n\nW");
    expect(TURNS, "[{\"role\":\"system\",\"content\":\"S\"}]", "<user>S");
    expect(TURNS, "[{\"role\":\"system\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"U\"}]", "<user>U");
    expect("{% for m in messages %}{{ m.content | length }}{{ m.content[0].text }}{% endfor %}",
           "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"U\"}"
           "]}]",
           "2S");
#undef SYSTEM
#define SYSTEM ""
    expect(TURNS, "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}]", "<user>S\n\nU");
#undef SYSTEM
#define SYSTEM "[{{ m.content }}]"
    expect(TURNS, "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}]", "[S]<user>U");
#undef SYSTEM
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(carried), cmocka_unit_test(arguments),
                                       cmocka_unit_test(folding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
