/* Matchers and the reader of test cases: what is judged how, and that nothing unknown or unjudgeable slips through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/json/json.h"
#include "lifecycle/eval/cases.h"
#include "lifecycle/rules/fold.h"

static enum match_outcome judge(const char *type, const char *expected_json, const char *answer)
{
    struct match_rule r = {.matcher = (enum matcher)matcher_find(type), .tolerance = 1e-6, .weight = 1};
    json_t *expected, *choices = json_pack("[s,s]", "card arrival", "age_limit");
    assert_int_equal(json_parse(expected_json, strlen(expected_json), "t", &expected, NULL), 0);
    if (r.matcher == MATCH_CHOICE) r.choices = choices;
    enum match_outcome out = MATCH_UNPARSED;
    assert_int_equal(match_rule_apply(&r, expected, answer, strlen(answer), &out, NULL), 0);
    json_decref(expected);
    json_decref(choices);
    return out;
}

static void matchers(void **state)
{
    (void)state;
    static const struct {
        const char *type, *expected, *answer;
        enum match_outcome want;
    } row[] = {
        {"exact", "\"age_limit\"", " age_limit\n", MATCH_PASS},
        {"exact", "\"age_limit\"", "Age_limit", MATCH_FAIL},
        {"exact", "\"age_limit\"", "age_limit.", MATCH_FAIL},
        {"exact", "[\"a\",\"b\"]", "b", MATCH_PASS},
        {"exact", "5", "5", MATCH_PASS},
        {"exact", "\"\xE4\xBD\xA0\xE5\xA5\xBD\"", "\xE3\x80\x80\xE4\xBD\xA0\xE5\xA5\xBD", MATCH_PASS},
        {"normalized", "\"Age  Limit\"", "\"age limit.\"", MATCH_PASS},
        {"normalized", "\"ABC1\"", "\xEF\xBC\xA1\xEF\xBD\x82\xEF\xBD\x83\xEF\xBC\x91\xE3\x80\x82", MATCH_PASS},
        {"normalized",
         "\"stra\xC3\x9F"
         "e\"",
         "STRASSE", MATCH_PASS},
        {"contains", "\"age limit\"", "It is about the Age   Limit, I think", MATCH_PASS},
        {"contains", "\"age limit\"", "cards", MATCH_FAIL},
        {"number", "\"18\"", "She makes $9 * 2 = $18.00 a day.", MATCH_PASS},
        {"number", "\"1234.5\"", "so 1,234.5", MATCH_PASS},
        {"number", "\"20000\"", "2\xE4\xB8\x87\xE5\x85\x83", MATCH_PASS},
        {"number", "\"0.25\"", "the share is 1/4", MATCH_PASS},
        {"number", "\"-3\"", "it falls to -3 degrees", MATCH_PASS},
        {"number", "\"3\"", "5-3", MATCH_PASS},
        {"number", "\"12\"", "\xEF\xBC\x91\xEF\xBC\x92", MATCH_PASS},
        {"number", "\"3\"", "no idea", MATCH_UNPARSED},
        {"number", "\"3\"", "3 or 4", MATCH_FAIL},
        {"choice", "\"card arrival\"", "Card arrival.", MATCH_PASS},
        {"choice", "\"card arrival\"", "age_limit", MATCH_FAIL},
        {"choice", "\"card arrival\"", "something else", MATCH_UNPARSED},
    };
    for (size_t i = 0; i < N_ELEM(row); i++)
        if (judge(row[i].type, row[i].expected, row[i].answer) != row[i].want)
            fail_msg("%s: expected %s, answer %s", row[i].type, row[i].expected, row[i].answer);
}

static void folding_is_idempotent(void **state)
{
    (void)state;
    static const char *const text[] = {" A\xC3\x9F  b ", "\xEF\xBC\x81x\xEF\xBC\x81", "\xff\xfe z", "",
                                       "\xCE\xA3\xCF\x82"};
    for (size_t i = 0; i < N_ELEM(text); i++) {
        struct buf a, b;
        buf_init(&a, 1000);
        buf_init(&b, 1000);
        assert_int_equal(fold_answer(text[i], strlen(text[i]), &a), 0);
        assert_int_equal(fold_answer(a.data, a.len, &b), 0);
        assert_string_equal(a.data, b.data);
        buf_deinit(&a);
        buf_deinit(&b);
    }
}

static int parse(const char *line, struct eval_case *c, struct err *e)
{
    json_t *row;
    assert_int_equal(json_parse(line, strlen(line), "t", &row, e), 0);
    int rc = case_parse(c, row, "\"f\" line 7", e);
    json_decref(row);
    return rc;
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *line, *want;
    } row[] = {
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\"}", "no assert and no task"},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\",\"expcted\":1}",
         "did you mean \"expected\""},
        {"{\"id\":\"a\",\"expected\":\"x\",\"task\":\"classification\"}", "neither input nor messages"},
        {"{\"id\":\"a\",\"input\":\"q\",\"messages\":[{\"role\":\"user\"}],\"task\":\"classification\"}",
         "both input and messages"},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"assert\":[]}", "0 assertions"},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"assert\":[{\"type\":\"equals\"}]}",
         "no matcher \"equals\""},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"assert\":[{\"type\":\"exact\",\"thresh\":1}]}",
         "unknown key \"thresh\""},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"assert\":[{\"type\":\"choice\"}]}", "needs choices"},
        {"{\"id\":\"\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\"}", "id is empty"},
        {"{\"id\":5,\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\"}", "id"},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\",\"weight\":2}", "weight 2"},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\",\"messages\":3}", "messages"},
    };
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct eval_case c;
        struct err e = {0};
        if (parse(row[i].line, &c, &e) == 0 || !strstr(e.msg, row[i].want) || !strstr(e.msg, "line 7"))
            fail_msg("%s: got \"%s\", want \"%s\"", row[i].line, e.msg, row[i].want);
    }
}

static void gold_is_judged_too(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool bad;
    } row[] = {
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\"}", false},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\" \",\"task\":\"classification\"}", true},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"seven\",\"task\":\"math\"}", true},
        {"{\"id\":\"a\",\"input\":\"q\",\"task\":\"math\"}", true},
        {"{\"id\":\"a\",\"input\":\"q\",\"assert\":[{\"type\":\"contains\",\"value\":\"x\"}]}", false},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":\"z\",\"assert\":[{\"type\":\"choice\",\"choices\":[\"x\",\"y\"]}]"
         "}",
         true},
        {"{\"id\":\"a\",\"input\":\"q\",\"expected\":{\"k\":1},\"task\":\"classification\"}", true},
    };
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct eval_case c;
        struct err e = {0};
        if (parse(row[i].line, &c, &e) || (c.gold_bad != NULL) != row[i].bad) fail_msg("%s: %s", row[i].line, e.msg);
        case_deinit(&c);
    }
}

static void hash_is_of_the_content(void **state)
{
    (void)state;
    struct eval_case a, b, c;
    assert_int_equal(parse("{\"id\":\"a\",\"input\":\"q\",\"expected\":\"x\",\"task\":\"classification\"}", &a, NULL),
                     0);
    assert_int_equal(
        parse("{\"task\":\"classification\",\"id\":\"b\",\"expected\":\"x\",\"input\":\"q\",\"tags\":[]}", &b, NULL),
        0);
    assert_int_equal(parse("{\"id\":\"a\",\"input\":\"q\",\"expected\":\"y\",\"task\":\"classification\"}", &c, NULL),
                     0);
    assert_string_equal(a.hash, b.hash);
    assert_string_not_equal(a.hash, c.hash);
    case_deinit(&a);
    case_deinit(&b);
    case_deinit(&c);
}

static int load_text(const char *text, struct case_set *s, struct err *e)
{
    static const char path[] = "build/test_cases.jsonl";
    assert_int_equal(file_mkdirs("build", NULL), 0);
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), 0);
    return case_set_load(s, path, 0, e);
}

static void sets(void **state)
{
    (void)state;
    struct case_set s;
    struct err e = {0};
    static const char good[] =
        "{\"id\":\"a\",\"input\":\"q\",\"expected\":\"y\",\"task\":\"classification\",\"cluster\":\"k\"}\n"
        "\n{\"id\":\"b\",\"input\":\"r\",\"expected\":\"x\",\"task\":\"classification\",\"cluster\":\"k\"}\n"
        "{\"id\":\"c\",\"input\":\"q\",\"expected\":\"y\",\"task\":\"classification\"}\n";
    assert_int_equal(load_text(good, &s, &e), 0);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.n_cluster, 2);
    assert_int_equal(s.n_duplicate_text, 1);
    assert_int_equal(s.item[2].line_no, 4);
    assert_int_equal(json_array_size(s.labels), 2);
    assert_string_equal(json_string_value(json_array_get(s.labels, 0)), "x");
    case_set_deinit(&s);
    assert_int_equal(
        load_text(
            "{\"id\":\"a\",\"input\":\"q\",\"task\":\"math\"}\n{\"id\":\"a\",\"input\":\"r\",\"task\":\"math\"}\n", &s,
            &e),
        -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 2: id \"a\" is taken by line 1"));
    case_set_deinit(&s);
    assert_int_equal(load_text("", &s, &e), -ERR_INPUT);
    case_set_deinit(&s);
    assert_int_equal(load_text("{\"id\":\"a\",\"input\":\"q\",\"expected\":{},\"task\":\"tool_call\"}\n", &s, &e), 0);
    assert_int_equal(case_set_runnable(&s, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "no matcher for task \"tool_call\""));
    case_set_deinit(&s);
}

static void shared_case_files_parse(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n, n_cluster;
        bool runnable;
    } file[] = {{"banking77.test", 3080, 3080, true}, {"cmath.dev", 600, 600, true},
                {"cmath.distractor", 360, 60, true},  {"gsm8k.test", 1319, 1319, true},
                {"snips.validate", 700, 700, false},  {"toolcall_zh", 216, 0, false}};
    if (!file_is_dir("../shared/data/cases")) {
        print_message("../shared/data/cases is not here\n");
        skip();
    }
    for (size_t i = 0; i < N_ELEM(file); i++) {
        char path[200];
        struct case_set s;
        struct err e = {0};
        (void)snprintf(path, sizeof path, "../shared/data/cases/%s.jsonl", file[i].name);
        if (case_set_load(&s, path, 0, &e)) fail_msg("%s", e.msg);
        assert_int_equal(s.n, file[i].n);
        if (file[i].n_cluster) assert_int_equal(s.n_cluster, file[i].n_cluster);
        size_t bad = 0;
        for (size_t k = 0; k < s.n; k++) bad += s.item[k].gold_bad != NULL;
        assert_int_equal(bad, 0);
        assert_int_equal(case_set_runnable(&s, &e) == 0, file[i].runnable);
        case_set_deinit(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matchers),
                                       cmocka_unit_test(folding_is_idempotent),
                                       cmocka_unit_test(refusals),
                                       cmocka_unit_test(gold_is_judged_too),
                                       cmocka_unit_test(hash_is_of_the_content),
                                       cmocka_unit_test(sets),
                                       cmocka_unit_test(shared_case_files_parse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
