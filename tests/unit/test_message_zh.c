/* Messages in Chinese: the whole way from English text to Chinese text, and what the table does not know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "doors/cli/message_zh.h"

static void messages_are_translated(void **state)
{
    (void)state;
    static const struct {
        const char *en, *zh; /* zh NULL: stays as it is */
    } c[] = {
        {"cannot set \"--rank\": \"0\" is not an integer from 1 to 1024", "“--rank”的值“0”无效，应为 1 到 1024 的整数"},
        {"cannot set \"--ctx\": \"1\" is not an integer from 2 to 99 (tokens)",
         "“--ctx”的值“1”无效，应为 2 到 99 的整数（单位：词元）"},
        {"cannot set \"--lang\": \"fr\" is not one of en, zh", "“--lang”的值“fr”无效，应为 en、zh 之一"},
        {"cannot go on: MODEL is missing", "缺少 MODEL"},
        {"cannot read \"run.yaml\": line 3: cannot set \"rnk\": there is no such field, did you mean rank?",
         "无法读取“run.yaml”：第 3 行：没有字段“rnk”，您是否要用 rank？"},
        {"cannot open \"a: b\": No such file or directory", "无法打开“a: b”：没有这个文件或目录"},
        {"cannot read \"a\": an unheard of reason", "无法读取“a”：an unheard of reason"},
        {"d.jsonl: 10 rows, 99 tokens, 9 of them trained, longest row 12; 1 are cut at max_length; 2 are duplicates",
         "d.jsonl：10 行，99 个词元，其中 9 个参与训练，最长一行 12 个；1 行在 max_length 处截断；2 行重复"},
        {"the moon is made of cheese", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct buf out;
        buf_init(&out, 4096);
        bool known = message_zh(c[i].en, &out);
        if (known != (c[i].zh != NULL) || (known && strcmp(out.data, c[i].zh) != 0))
            fail_msg("\"%s\" became \"%s\"", c[i].en, known ? out.data : "(not translated)");
        buf_deinit(&out);
    }
}

/* Every pattern fits a text made of itself, so none hides behind an earlier one that would say something else. */
static void none_is_hidden(const struct message_zh *table)
{
    for (const struct message_zh *m = table; m->en; m++) {
        struct buf text, zh, wanted;
        buf_init(&text, 4096);
        buf_init(&zh, 4096);
        buf_init(&wanted, 4096);
        for (const char *p = m->en; *p; p++) assert_int_equal(buf_add_char(&text, *p == '*' ? 'q' : *p), 0);
        assert_true(message_zh(text.data, &zh));
        for (const char *p = m->zh; *p; p++) {
            bool capture = (*p == '$' || *p == '@' || *p == '#') && p[1] >= '1' && p[1] <= '6';
            assert_int_equal(buf_add_char(&wanted, capture ? 'q' : *p), 0);
            p += capture;
        }
        char *at = zh.data; /* spaces come and go with what is filled in */
        for (char *p = wanted.data; *p; p++) {
            while (*at == ' ' && *p != ' ') at++;
            if (*at++ != *p) fail_msg("\"%s\" is taken by an earlier pattern: \"%s\"", m->en, zh.data);
        }
        buf_deinit(&text);
        buf_deinit(&zh);
        buf_deinit(&wanted);
    }
}

static void no_pattern_hides_another(void **state)
{
    (void)state;
    none_is_hidden(message_zh_table_plan);
    none_is_hidden(message_zh_table_tune);
    none_is_hidden(message_zh_table_ask);
    none_is_hidden(message_zh_table);
    none_is_hidden(message_zh_table_reasons);
}

/* A file's own bytes may stand in a message: they neither hang the matching nor get lost. */
static void hostile_texts_come_through(void **state)
{
    (void)state;
    char name[400], text[512];
    struct buf out;
    for (size_t i = 0; i + 4 < sizeof name; i += 4) memcpy(name + i, "\": \"", 5);
    snprintf(text, sizeof text, "cannot set \"%s\": oh", name);
    buf_init(&out, 4096);
    (void)message_zh(text, &out);
    snprintf(text, sizeof text, "cannot open \"%s\": Permission denied", name);
    buf_clear(&out);
    assert_true(message_zh(text, &out));
    assert_non_null(strstr(out.data, "无法打开"));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_translated),
        cmocka_unit_test(no_pattern_hides_another),
        cmocka_unit_test(hostile_texts_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
