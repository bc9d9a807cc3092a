/* The parameter table: the same values from the command line, YAML and JSON; errors that name what would be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/param/param.h"

static const struct param table[] = {
    {.name = "model",
     .type = PARAM_STRING,
     .flags = PARAM_POSITIONAL | PARAM_REQUIRED,
     .help_en = "a model",
     .help_zh = "模型"},
    {.name = "more",
     .type = PARAM_STRING,
     .flags = PARAM_POSITIONAL | PARAM_REST,
     .help_en = "others",
     .help_zh = "其他"},
    {.name = "max_tokens",
     .type = PARAM_INT,
     .unit = "tokens",
     .min = 1,
     .max = 100,
     .initial = "16",
     .help_en = "how many tokens at most",
     .help_zh = "最多生成的词元数"},
    {.name = "lr", .type = PARAM_FLOAT, .min = 0, .max = 1e30, .help_en = "learning rate", .help_zh = "学习率"},
    {.name = "packing", .type = PARAM_BOOL, .initial = "true", .help_en = "pack rows", .help_zh = "打包"},
    {.name = "raw", .type = PARAM_BOOL, .help_en = "raw", .help_zh = "原样"},
    {.name = "schedule",
     .type = PARAM_CHOICE,
     .choices = "constant|linear|cosine",
     .initial = "cosine",
     .help_en = "schedule",
     .help_zh = "学习率曲线"},
    {.name = "target", .type = PARAM_LIST, .help_en = "names", .help_zh = "名称"},
    {.name = "betas",
     .type = PARAM_FLOATS,
     .min = 0,
     .max = 1,
     .initial = "0.9,0.999",
     .help_en = "betas",
     .help_zh = "系数"},
    {.name = "share",
     .type = PARAM_FLOAT,
     .flags = PARAM_ABOVE,
     .min = 0,
     .max = 1,
     .help_en = "share",
     .help_zh = "份额"},
    {.name = "batch", .type = PARAM_INTS, .min = 1, .max = 64, .help_en = "batches", .help_zh = "批次"},
    {.name = "adapter",
     .type = PARAM_STRING,
     .flags = PARAM_REPEAT,
     .metavar = "A",
     .help_en = "adapter",
     .help_zh = "适配器"},
    {.name = "single", .type = PARAM_STRING, .flags = PARAM_ONCE, .help_en = "one", .help_zh = "一个"},
    {.name = "text", .type = PARAM_STRING, .help_en = "text", .help_zh = "文本"},
    {.name = "method", .type = PARAM_CHOICE, .choices = "sft||dpo|grpo", .help_en = "method", .help_zh = "方法"},
    {.name = "rules", .type = PARAM_LIST, .flags = PARAM_OBJECTS, .help_en = "rules", .help_zh = "规则"},
    {.name = "later",
     .type = PARAM_INT,
     .flags = PARAM_REFUSED,
     .help_en = "of a later version",
     .help_zh = "留待以后"},
};

static struct param_set *new_set(void)
{
    return param_set_new(table, N_ELEM(table));
}

/* A command line of words separated by single spaces. */
static int set_line(struct param_set *s, const char *line, struct err *e)
{
    char *copy = mem_strdup(line), *argv[32], *rest = copy;
    int argc = 0;
    while (rest && argc < 32) argv[argc++] = strsep(&rest, " ");
    int rc = param_set_args(s, argc, argv, e);
    mem_free(copy);
    return rc;
}

static void defaults_are_there(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    assert_int_equal(param_int(s, "max_tokens"), 16);
    assert_true(param_bool(s, "packing") && !param_bool(s, "raw"));
    assert_string_equal(param_str(s, "schedule"), "cosine");
    assert_int_equal(param_count(s, "betas"), 2);
    assert_true(param_float_at(s, "betas", 1) == 0.999);
    assert_false(param_is_set(s, "max_tokens"));
    assert_null(param_str(s, "text"));
    assert_int_equal(param_count(s, "adapter"), 0);
    assert_int_equal(param_set_check(s, &e), -ERR_USAGE);
    assert_string_equal(e.object, "model");
    param_set_free(s);
}

static void command_lines_are_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    int rc = set_line(s,
                      "m.gguf --max-tokens 5 --lr=1e-3 --no-packing --raw x --target q,k --batch 1,8 --adapter a "
                      "--adapter=b,scale=2 --text -1 -- --y",
                      &e);
    if (rc) fail_msg("%s", e.msg);
    assert_int_equal(param_set_check(s, &e), 0);
    assert_string_equal(param_str(s, "model"), "m.gguf");
    assert_int_equal(param_count(s, "more"), 2);
    assert_string_equal(param_str_at(s, "more", 1), "--y");
    assert_int_equal(param_int(s, "max_tokens"), 5);
    assert_true(param_is_set(s, "max_tokens"));
    assert_true(param_float(s, "lr") == 1e-3);
    assert_true(!param_bool(s, "packing") && param_bool(s, "raw"));
    assert_string_equal(param_str_at(s, "target", 1), "k");
    assert_int_equal(param_int_at(s, "batch", 1), 8);
    assert_int_equal(param_count(s, "adapter"), 2);
    assert_string_equal(param_str_at(s, "adapter", 1), "b,scale=2");
    assert_string_equal(param_str(s, "text"), "-1");
    param_set_free(s);
}

static void values_are_taken_back(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    assert_int_equal(set_line(s, "m --max-tokens 4 --betas 0.5,0.6 --lr 1", &e), 0);
    param_clear(s, "max_tokens");
    param_clear(s, "betas");
    param_clear(s, "lr");
    assert_false(param_is_set(s, "max_tokens") || param_is_set(s, "betas") || param_is_set(s, "lr"));
    assert_int_equal(param_int(s, "max_tokens"), 16);
    assert_int_equal(param_count(s, "betas"), 2);
    assert_true(param_float_at(s, "betas", 1) == 0.999);
    assert_int_equal(param_set_text(s, "lr", "2", &e), 0);
    assert_true(param_is_set(s, "lr") && param_float(s, "lr") == 2);
    param_set_free(s);
}

static void wrong_command_lines_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } c[] = {
        {"--max-tokens 0", "cannot set \"--max-tokens\": \"0\" is not an integer from 1 to 100 (tokens)"},
        {"--max-tokens x", "\"x\" is not an integer from 1 to 100"},
        {"--max-tokens", "a value is missing, an integer from 1 to 100"},
        {"--max-tokens --raw", "the option \"--raw\" stands where"},
        {"--max-token 3", "did you mean --max-tokens?"},
        {"--tetx x", "did you mean --text?"},
        {"--maxtok 3", "did you mean --max-tokens?"},
        {"--modle m", "there is no such option"},
        {"--method ppo", "\"ppo\" is not sft"},
        {"--zzzzzz 3", "cannot set \"--zzzzzz\": there is no such option"},
        {"--lr -1", "is not a number of at least 0"},
        {"--lr nan", "is not a number"},
        {"--schedule cosin", "\"cosin\" is not one of constant, linear, cosine"},
        {"--schedule ", "is not one of"},
        {"--raw=yes", "\"yes\" is not true or false"},
        {"--betas 0.9,2", "\"2\" is not a number from 0 to 1"},
        {"--share 0", "\"0\" is not a number above 0, at most 1"},
        {"--batch 1,,2", "\"\" is not an integer"},
        {"--model m", "there is no such option"},
        {"-x", "options begin with two dashes"},
        {"--text \xff", "is not valid UTF-8"},
        {"--target q,,k", "\"\" is not a name"},
        {"--single a --text x --single=b", "cannot set \"--single\" a second time: one is possible"},
    };
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct err e = {0};
        struct param_set *s = new_set();
        int rc = set_line(s, c[i].line, &e);
        if (rc != -ERR_USAGE || !strstr(e.msg, c[i].want)) fail_msg("%s: %d %s", c[i].line, rc, e.msg);
        param_set_free(s);
    }
}

static void what_is_refused_says_so(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    assert_int_equal(set_line(s, "--method dpo", &e), -ERR_UNSUPPORTED);
    assert_string_equal(e.msg, "cannot set \"--method\" to \"dpo\": this version does not support it, it has sft");
    assert_int_equal(set_line(s, "--later 3", &e), -ERR_UNSUPPORTED);
    assert_string_equal(e.msg, "cannot use \"--later\": this version does not support it");
    assert_int_equal(set_line(s, "--method sft", &e), 0);
    assert_int_equal(set_line(s, "--latr 3", &e), -ERR_USAGE);
    assert_null(strstr(e.msg, "did you mean"));
    param_set_free(s);
}

static void one_of_two_is_needed(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } c[] = {{"--text a", NULL},
             {"--raw", NULL},
             {"--text a --no-raw", NULL},
             {"--lr 1", "cannot try: --text or --raw is needed"},
             {"--text a --raw", "cannot try: --text and --raw are both given, one is needed"}};
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct err e = {0};
        struct param_set *s = new_set();
        assert_int_equal(set_line(s, c[i].line, &e), 0);
        int rc = param_need_one(s, "try", "text", "raw", &e);
        if (rc != (c[i].want ? -ERR_USAGE : 0) || strcmp(e.msg, c[i].want ? c[i].want : "") != 0)
            fail_msg("%s: %d %s", c[i].line, rc, e.msg);
        param_set_free(s);
    }
}

static void another_table_is_suggested_from(void **state)
{
    (void)state;
    static const struct param other[] = {{.name = "threads", .type = PARAM_INT, .help_en = "t", .help_zh = "t"}};
    struct err e = {0};
    struct param_set *s = new_set();
    param_set_suggest(s, other, 1);
    assert_int_equal(set_line(s, "--thread 3", &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "did you mean --threads?"));
    assert_int_equal(set_line(s, "--threads 3", &e), -ERR_USAGE); /* it takes no values */
    param_set_free(s);
}

static int set_yaml(struct param_set *s, const char *text, struct err *e)
{
    return param_set_yaml_text(s, "run.yaml", text, strlen(text), e);
}

/* Lists of objects are the same objects from YAML, JSON and the command line, and from what they are written as. */
static void objects_are_kept(void **state)
{
    (void)state;
    static const char json[] = "[{\"type\":\"regex\",\"pattern\":\"a,b: c\",\"weight\":0.5,\"list\":[1,true,null]},{}]";
    static const char yaml[] =
        "rules:\n  - {type: regex, pattern: \"a,b: c\", weight: 0.5, list: [1, true, null]}\n  - {}\n";
    struct err e = {0};
    struct buf text;
    json_t *want = json_loads(json, 0, NULL);
    struct param_set *s[4] = {new_set(), new_set(), new_set(), new_set()};
    if (set_yaml(s[0], yaml, &e) || param_set_json(s[1], "rules", want, &e) || param_set_text(s[2], "rules", json, &e))
        fail_msg("%s", e.msg);
    buf_init(&text, 1 << 16);
    assert_int_equal(param_to_yaml(s[0], &text), 0);
    if (set_yaml(s[3], text.data, &e)) fail_msg("%s: %s", text.data, e.msg);
    for (size_t i = 0; i < N_ELEM(s); i++) {
        json_t *all = param_to_json(s[i]), *got = json_object_get(all, "rules");
        assert_int_equal(param_count(s[i], "rules"), 2);
        if (!json_equal(got, want)) fail_msg("set %zu: %s", i, param_str_at(s[i], "rules", 0));
        json_decref(all);
        param_set_free(s[i]);
    }
    buf_deinit(&text);
    json_decref(want);
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const text[] = {"exact", "{\"type\":\"exact\"", "[1]", "[[]]", "[{\"a\":1},\"b\"]",
                                       "3",     "[{\"a\":1,\"a\":2}]"};
    for (size_t i = 0; i < N_ELEM(text); i++) {
        struct err e = {0};
        struct param_set *s = new_set();
        int rc = param_set_text(s, "rules", text[i], &e);
        if ((rc != -ERR_USAGE && rc != -ERR_INPUT) || strcmp(e.object, "rules") != 0)
            fail_msg("%s: %d %s %s", text[i], rc, e.object, e.msg);
        param_set_free(s);
    }
    static const char *const yaml[] = {"rules: [a]\n", "rules: {type: exact}\n", "rules:\n  - [1]\n"};
    for (size_t i = 0; i < N_ELEM(yaml); i++) {
        struct err e = {0};
        struct param_set *s = new_set();
        int rc = set_yaml(s, yaml[i], &e);
        if (rc != -ERR_USAGE && rc != -ERR_INPUT) fail_msg("%s: %d %s", yaml[i], rc, e.msg);
        param_set_free(s);
    }
}

static void yaml_is_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    int rc = set_yaml(s,
                      "# a run\nmodel: \"m: 1\"\nmax_tokens: 7\nlr: 2.0e-4\npacking: false\ntarget: [q, 'k,v']\n"
                      "betas:\n  - 0.8\n  - 0.9\nbatch: 1,2\nadapter: [a, b]\ntext: null\nschedule: ~\n",
                      &e);
    if (rc) fail_msg("%s", e.msg);
    assert_string_equal(param_str(s, "model"), "m: 1");
    assert_int_equal(param_int(s, "max_tokens"), 7);
    assert_true(param_float(s, "lr") == 2e-4);
    assert_false(param_bool(s, "packing"));
    assert_string_equal(param_str_at(s, "target", 1), "k,v");
    assert_true(param_float_at(s, "betas", 0) == 0.8);
    assert_int_equal(param_count(s, "batch"), 2);
    assert_int_equal(param_count(s, "adapter"), 2);
    assert_null(param_str(s, "text"));
    assert_string_equal(param_str(s, "schedule"), "cosine");
    assert_int_equal(set_line(s, "--adapter c", &e), 0); /* a later source replaces, it does not add */
    assert_int_equal(param_count(s, "adapter"), 1);
    assert_int_equal(set_yaml(s, "", &e), 0);
    assert_int_equal(set_yaml(s, "# nothing\n", &e), 0);
    param_set_free(s);
}

static void wrong_yaml_names_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } c[] = {
        {"max_tokens: 7\nmax_tokens: 8\n", "line 2: the same name is given twice"},
        {"lr: 1\nmax_token: 8\n", "line 2: cannot set \"max_token\": there is no such field, did you mean max_tokens?"},
        {"lr: 1\n\nmax_tokens: 1000\n", "line 3: cannot set \"max_tokens\": \"1000\" is not an integer"},
        {"max_tokens: [1]\n", "a sequence stands where one value is needed"},
        {"text: {a: b}\n", "a value must be a scalar"},
        {"target: [[a]]\n", "a value must be a scalar"},
        {"- a\n- b\n", "a mapping of names to values is needed"},
        {"a: &x 1\nb: *x\n", "run.yaml"},
        {"text: &x 1\n", "anchors and tags are not supported"},
        {"text: !!str 1\n", "anchors and tags are not supported"},
        {"lr: 1\n---\nlr: 2\n", "more than one document"},
        {"text: \"abc\n", "line"},
        {"text: \xff\n", "cannot read \"run.yaml\""},
        {"text: \"\\0\"\n", "NUL"},
        {"lr: a: b\n", "line 1"},
    };
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct err e = {0};
        struct param_set *s = new_set();
        int rc = set_yaml(s, c[i].text, &e);
        if (rc >= 0 || !strstr(e.msg, c[i].want) || !strstr(e.msg, "run.yaml"))
            fail_msg("%s: %d %s", c[i].text, rc, e.msg);
        param_set_free(s);
    }
}

static void json_is_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct param_set *s = new_set();
    json_t *o = json_pack("{ss,si,si,sb,s[ff],ss,sn}", "model", "m", "max_tokens", 9, "lr", 1, "packing", 0, "betas",
                          0.1, 0.2, "adapter", "a", "text");
    assert_int_equal(param_set_object(s, o, &e), 0);
    json_decref(o);
    assert_int_equal(param_int(s, "max_tokens"), 9);
    assert_true(param_float(s, "lr") == 1.0 && param_float_at(s, "betas", 0) == 0.1);
    assert_int_equal(param_count(s, "adapter"), 1);
    assert_null(param_str(s, "text"));
    json_t *wrong = json_string("9");
    assert_int_equal(param_set_json(s, "max_tokens", wrong, &e), -ERR_USAGE);
    assert_string_equal(e.msg,
                        "cannot set \"max_tokens\": it is a string, an integer from 1 to 100 (tokens) is needed");
    assert_int_equal(param_set_object(s, wrong, &e), -ERR_USAGE);
    json_decref(wrong);
    param_set_free(s);
}

/* What was written as YAML reads back as the same values, whatever the text. */
static void yaml_round_trips(void **state)
{
    (void)state;
    static const char *const text[] = {"",
                                       "null",
                                       "~",
                                       "12",
                                       "true",
                                       "a: b # c",
                                       "\"q\" \\ '",
                                       "line\nline\ttab\x01\x7f",
                                       "\xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80",
                                       "\xC2\x85\xE2\x80\xA8\xEF\xBB\xBF",
                                       "  x  "};
    for (size_t i = 0; i < N_ELEM(text); i++) {
        struct err e = {0};
        struct param_set *a = new_set(), *b = new_set();
        struct buf yaml;
        buf_init(&yaml, 1 << 16);
        assert_int_equal(param_set_text(a, "text", text[i], &e), 0);
        assert_int_equal(param_set_text(a, "adapter", text[i], &e), 0);
        assert_int_equal(param_set_text(a, "lr", "2e-4", &e), 0);
        assert_int_equal(param_to_yaml(a, &yaml), 0);
        if (param_set_yaml_text(b, "t", yaml.data, yaml.len, &e)) fail_msg("%s\n%s", e.msg, yaml.data);
        json_t *ja = param_to_json(a), *jb = param_to_json(b);
        if (!json_equal(ja, jb)) fail_msg("not the same:\n%s", yaml.data);
        json_decref(ja), json_decref(jb);
        buf_deinit(&yaml);
        param_set_free(a), param_set_free(b);
    }
}

static void help_speaks_two_languages(void **state)
{
    (void)state;
    struct buf en, zh;
    buf_init(&en, 1 << 16);
    buf_init(&zh, 1 << 16);
    assert_int_equal(param_help(table, N_ELEM(table), LANG_EN, &en), 0);
    assert_int_equal(param_help(table, N_ELEM(table), LANG_ZH, &zh), 0);
    assert_non_null(strstr(en.data, "--max-tokens N"));
    assert_non_null(strstr(en.data, "how many tokens at most (tokens; 1 to 100;\n"));
    assert_non_null(strstr(en.data, "--method sft "));
    assert_null(strstr(en.data, "dpo")); /* nor what this version refuses */
    assert_null(strstr(en.data, "--later"));
    assert_non_null(strstr(en.data, "  MODEL "));
    assert_non_null(strstr(en.data, "MORE..."));
    assert_non_null(strstr(en.data, "may be repeated"));
    assert_non_null(strstr(zh.data, "最多生成的词元数（词元；1 到 100；默认 16）"));
    assert_int_equal(param_help(table, 0, LANG_EN, &en), 0);
    buf_deinit(&en);
    buf_deinit(&zh);
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 40; n++) {
        struct err e = {0};
        struct param_set *s = new_set();
        struct buf yaml;
        buf_init(&yaml, 1 << 16);
        mem_fault_after(n);
        int rc = set_yaml(s, "target: [a, b, c]\nlr: 1\nadapter: x\n", &e);
        if (rc == 0) rc = param_to_yaml(s, &yaml);
        mem_fault_after(0);
        assert_true(rc == 0 || rc == -ERR_NOMEM);
        buf_deinit(&yaml);
        param_set_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_there),
        cmocka_unit_test(command_lines_are_read),
        cmocka_unit_test(values_are_taken_back),
        cmocka_unit_test(wrong_command_lines_say_why),
        cmocka_unit_test(objects_are_kept),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(yaml_is_read),
        cmocka_unit_test(wrong_yaml_names_its_line),
        cmocka_unit_test(json_is_read),
        cmocka_unit_test(yaml_round_trips),
        cmocka_unit_test(what_is_refused_says_so),
        cmocka_unit_test(one_of_two_is_needed),
        cmocka_unit_test(another_table_is_suggested_from),
        cmocka_unit_test(help_speaks_two_languages),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
