/* Rewards and the sandboxes behind them: what each type is worth, and that rules which would never end, grow without
 * end, or reach for the system end in an error that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/sys/regex.h"
#include "lifecycle/rules/reward.h"

static const char row_text[] =
    "{\"answer\": \"42\", \"none\": null, \"words\": [\"a\", \"b\"], \"deep\": {\"x\": 1.5}}";

static json_t *parsed(const char *text)
{
    json_t *v = NULL;
    struct err e;
    if (json_parse(text, strlen(text), "test", &v, &e) != 0) fail_msg("%s: %s", text, e.msg);
    return v;
}

/* Judge one answer by one rule; NaN stands for not applicable. */
static int judge(const char *rule, const char *answer, double *value, struct err *e)
{
    json_t *spec = parsed(rule), *row = parsed(row_text);
    const struct sandbox_input in = {.answer = answer, .n = strlen(answer), .row = row, .n_token = 5};
    struct reward *r = NULL;
    bool applies = false;
    int rc = reward_new(&r, spec, "reward 1", e);
    if (rc == 0) rc = reward_apply(r, &in, &applies, value, e);
    if (rc == 0 && !applies) *value = -1e9;
    reward_free(r);
    json_decref(spec);
    json_decref(row);
    return rc;
}

static const double NOT_APPLICABLE = -1e9;

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *answer;
        double value;
    } cases[] = {
        {"{\"type\":\"json\",\"schema\":{\"type\":\"object\",\"required\":[\"a\"]}}", "{\"a\": 1}", 1},
        {"{\"type\":\"json\",\"schema\":{\"type\":\"object\",\"required\":[\"a\"]}}", "{\"b\": 1}", 0},
        {"{\"type\":\"json\",\"schema\":{\"type\":\"object\",\"required\":[\"a\"]}}", "{\"a\": 1", 0},
        {"{\"type\":\"json\",\"kind\":\"array\",\"schema\":{\"minItems\":2}}", "[1]", 0},
        {"{\"type\":\"json\",\"kind\":\"array\",\"schema\":{\"minItems\":2}}", "[1, 2]", 1},
        {"{\"type\":\"exact\"}", " 42\n", 1},
        {"{\"type\":\"exact\"}", "43", 0},
        {"{\"type\":\"exact\",\"column\":\"none\"}", "42", -1e9},
        {"{\"type\":\"exact\",\"column\":\"absent\"}", "42", -1e9},
        {"{\"type\":\"number\",\"tolerance\":0.1}", "it is 42.5", 1},
        {"{\"type\":\"number\",\"tolerance\":0.001}", "it is 42.5", 0},
        {"{\"type\":\"contains\",\"value\":[\"yes\",\"no\"]}", "Well, NO.", 1},
        {"{\"type\":\"regex\",\"pattern\":\"^[a-z]+$\"}", "abc", 1},
        {"{\"type\":\"regex\",\"pattern\":\"b\",\"whole\":true}", "abc", 0},
        {"{\"type\":\"regex\",\"pattern\":\"\\\\p{Han}{2}\"}", "\xE4\xBD\xA0\xE5\xA5\xBD", 1},
        {"{\"type\":\"tags\",\"tags\":[\"think\",\"answer\"]}", "<think>a</think>\n<answer>b</answer>", 1},
        {"{\"type\":\"tags\",\"tags\":[\"think\",\"answer\"]}", "<answer>b</answer><think>a</think>", 0},
        {"{\"type\":\"tags\",\"tags\":[\"answer\"]}", "<answer>b</answer> and more", 0},
        {"{\"type\":\"tags\",\"tags\":[\"answer\"]}", "<answer>b</answer><answer>c</answer>", 0},
        {"{\"type\":\"tags\",\"tags\":[\"a\",\"b\"]}", "<a><b>x</b></a>", 0},
        {"{\"type\":\"length\",\"min\":3,\"max\":3}", " one two  three ", 1},
        {"{\"type\":\"length\",\"min\":3,\"max\":3}", "one two", 0},
        {"{\"type\":\"length\",\"max\":2,\"slack\":4}", "one two three", 0.75},
        {"{\"type\":\"length\",\"max\":2,\"slack\":4}", "a b c d e f g h", 0},
        {"{\"type\":\"length\",\"unit\":\"chars\",\"min\":2,\"max\":2}", " \xE4\xBD\xA0\xE5\xA5\xBD ", 1},
        {"{\"type\":\"length\",\"unit\":\"tokens\",\"max\":5}", "whatever", 1},
        {"{\"type\":\"repetition\",\"n\":1}", "a a a b", 0.5},
        {"{\"type\":\"repetition\",\"n\":2}", "a b a b", 2.0 / 3},
        {"{\"type\":\"repetition\"}", "a b", 1},
        {"{\"type\":\"json\"}", "{\"a\": [1, 2]}", 1},
        {"{\"type\":\"json\",\"kind\":\"array\"}", "{\"a\": 1}", 0},
        {"{\"type\":\"json\"}", "{\"a\": 1} and", 0},
        {"{\"type\":\"lua\",\"code\":\"return #answer / 4\"}", "ab", 0.5},
        {"{\"type\":\"lua\",\"code\":\"return answer == row.answer\"}", "42", 1},
        {"{\"type\":\"lua\",\"code\":\"return nil\"}", "42", -1e9},
        {"{\"type\":\"lua\",\"code\":\"return row.deep.x + #row.words + n_tokens\"}", "", 8.5},
        {"{\"type\":\"lua\",\"code\":\"return re.match(answer, '(\\\\\\\\d+)-(\\\\\\\\d+)') == '4-2'\"}", "4-2", 1},
        {"{\"type\":\"lua\",\"code\":\"local _, a, b = re.match(answer, '(.)-(.)') return a + b\"}", "4-2", 6},
        {"{\"type\":\"lua\",\"code\":\"return re.match(answer, 'x') == nil\"}", "4-2", 1},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        double value = NOT_APPLICABLE;
        struct err e = {0};
        if (judge(cases[i].rule, cases[i].answer, &value, &e) != 0) fail_msg("%s: %s", cases[i].rule, e.msg);
        if (value < cases[i].value - 1e-12 || value > cases[i].value + 1e-12)
            fail_msg("%s of \"%s\": %g, not %g", cases[i].rule, cases[i].answer, value, cases[i].value);
    }
}

static void test_bad_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *says;
    } cases[] = {
        {"{\"type\":\"exakt\"}", "no type of reward \"exakt\""},
        {"{}", "type"},
        {"{\"type\":\"length\",\"maximum\":3}", "has no member \"maximum\""},
        {"{\"type\":\"length\",\"min\":5,\"max\":3}", "min 5 is above max 3"},
        {"{\"type\":\"length\",\"unit\":\"lines\"}", "no unit \"lines\""},
        {"{\"type\":\"length\",\"weight\":\"much\"}", "weight"},
        {"{\"type\":\"regex\"}", "pattern"},
        {"{\"type\":\"regex\",\"pattern\":\"a(b\"}", "byte 4"},
        {"{\"type\":\"regex\",\"pattern\":\"((a{1000}){1000}){1000}\"}", "too large"},
        {"{\"type\":\"tags\",\"tags\":[]}", "1 to 16"},
        {"{\"type\":\"tags\",\"tags\":[\"<a>\"]}", "tag 1"},
        {"{\"type\":\"json\",\"kind\":\"text\"}", "no kind \"text\""},
        {"{\"type\":\"lua\",\"code\":\"return (\"}", "reward 1:1:"},
        {"{\"type\":\"lua\",\"code\":\"\\u001bLua\"}", "binary"},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        double value;
        struct err e = {0};
        assert_true(judge(cases[i].rule, "", &value, &e) < 0);
        if (strstr(e.msg, cases[i].says) == NULL) fail_msg("%s: %s", cases[i].rule, e.msg);
    }
}

static const char *const steps = "steps (an endless loop?)", *const memory = "bytes of memory";

/* Programs that would hang, grow, or get out. */
static void test_sandbox(void **state)
{
    (void)state;
    const struct {
        const char *code, *says;
    } cases[] = {
        {"while true do end", steps},
        {"local function f() return f() end return f()", steps},
        {"for i = 1, 1e18 do end", steps},
        {"while true do pcall(function() while true do end end) end", "nil value (global 'pcall')"},
        {"local s = 'x' while true do s = s .. s end", memory},
        {"local t = {} for i = 1, 1e9 do t[i] = {i} end", memory},
        {"local function f(n) return 1 + f(n + 1) end return f(1)", memory},
        {"return ('x'):rep(1e9)", "string.rep makes more than"},
        {"return #(''):rep(1e18)", NULL},
        {"return ('a'):rep(200):find('.-.-.-.-b')", "nil value (method 'find')"},
        {"return string.gsub('a', 'b', 'c')", "nil value (field 'gsub')"},
        {"return os.execute('true')", "nil value (global 'os')"},
        {"return io.open('/etc/passwd')", "nil value (global 'io')"},
        {"return require('os')", "nil value (global 'require')"},
        {"return load('return 1')()", "nil value (global 'load')"},
        {"return dofile('/etc/passwd')", "nil value (global 'dofile')"},
        {"return debug.getinfo(1)", "nil value (global 'debug')"},
        {"return setmetatable({}, {__gc = function() while true do end end})", "nil value (global 'setmetatable')"},
        {"return getmetatable('').__index", "nil value (global 'getmetatable')"},
        {"return coroutine.wrap(function() while true do end end)()", "nil value (global 'coroutine')"},
        {"return table.move({}, 1, 1e18, 2)", "nil value (field 'move')"},
        {"return table.unpack({}, 1, 1e8)", "too many results"},
        {"local t = {} for i = 1, 20000 do t[i] = -i end table.sort(t)", "more than 10000 elements"},
        {"return string.dump(function() end)", "nil value (field 'dump')"},
        {"return math.random()", "nil value (field 'random')"},
        {"return re.match(('a'):rep(40) .. '!', '^(a+)+$') == nil", "nested repetition?"},
        {"for i = 1, 100 do re.match('a', 'b') end", "more than 50 times"},
        {"return {}", "it returns a table"},
        {"return '1'", "it returns a string"},
        {"return 0 / 0", "finite number"},
        {"error({})", "an error that is no text"},
        {"return row.absent.x", "reward 1:1:"},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        json_t *rule = json_pack("{s:s,s:s}", "type", "lua", "code", cases[i].code);
        char *text = json_dumps(rule, 0);
        double value = 7;
        struct err e = {0};
        int rc = judge(text, "some answer", &value, &e);
        if (cases[i].says == NULL) {
            if (rc != 0) fail_msg("%s: %s", cases[i].code, e.msg);
        } else {
            if (rc == 0) fail_msg("%s: returned %g", cases[i].code, value);
            if (strstr(e.msg, cases[i].says) == NULL || strstr(e.msg, "reward 1") == NULL)
                fail_msg("%s: %s", cases[i].code, e.msg);
        }
        free(text);
        json_decref(rule);
    }
}

/* What a rule does to its libraries and globals is gone with it. */
static void test_fresh(void **state)
{
    (void)state;
    double value;
    struct err e = {0};
    assert_int_equal(
        judge("{\"type\":\"lua\",\"code\":\"math.floor = nil string.len = nil left = 1 return 1\"}", "a", &value, &e),
        0);
    assert_int_equal(
        judge("{\"type\":\"lua\",\"code\":\"return left == nil and math.floor(1.5) == 1 and ('ab'):len() == 2\"}", "a",
              &value, &e),
        0);
    assert_true(value > 0.5);
}

/* Patterns that backtrack without end, on texts as long as they are taken. */
static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        size_t n;
        bool endless;
    } cases[] = {{"^(a+)+$", 60, true},         {"(a|aa)+$", 60, true},       {"(a*)*[bc]", 5000, true},
                 {"(.*)*(.*)*[xy]", 400, true}, {"(a+)\\1+[bc]", 9000, true}, {"a*b", 32000, false},
                 {"^a+!$", 32000, false}};
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct regex *r = NULL;
        struct err e = {0};
        bool found = true;
        char *text = mem_alloc(cases[i].n + 2);
        memset(text, 'a', cases[i].n);
        text[cases[i].n] = '!';
        assert_int_equal(regex_new(&r, cases[i].pattern, strlen(cases[i].pattern), "the test", &e), 0);
        int rc = regex_match(r, text, cases[i].n + 1, false, &found, NULL, NULL, &e);
        if (rc != (cases[i].endless ? -ERR_LIMIT : 0)) fail_msg("%s: %d %s", cases[i].pattern, rc, e.msg);
        assert_true(!cases[i].endless || !found);
        regex_free(r);
        mem_free(text);
    }
    struct regex *r = NULL;
    struct err e = {0};
    bool found;
    char *text = mem_alloc(40000);
    memset(text, 'a', 40000);
    assert_int_equal(regex_new(&r, "b", 1, "the test", &e), 0);
    assert_int_equal(regex_match(r, text, 40000, false, &found, NULL, NULL, &e), -ERR_LIMIT);
    assert_int_equal(regex_match(r, "\xff\xfe", 2, false, &found, NULL, NULL, &e), -ERR_INPUT);
    regex_free(r);
    mem_free(text);
}

/* --- judges --- */

static const char judge_text[] =
    "{\"type\":\"judge\",\"url\":\"http://127.0.0.1:1/v1\",\"model\":\"m\",\"max\":10,\"question\":\"Is it like "
    "{answer}, {deep}? {not a name}\",\"timeout_s\":5,\"retries\":1,\"key_env\":\"K\"}";

static void test_judge_asks(void **state)
{
    (void)state;
    json_t *spec = parsed(judge_text), *row = parsed(row_text), *bare = parsed("{\"answer\":\"42\"}");
    struct reward *r;
    struct ask_call call;
    struct err e;
    bool applies;
    struct sandbox_input in = {.answer = "Give 10.", .n = 8, .row = row};
    assert_int_equal(reward_new(&r, spec, "reward 1", &e), 0);
    const struct judge_rule *j = reward_judge(r);
    assert_non_null(j);
    const struct ask_place *p = judge_rule_place(j);
    assert_string_equal(p->url, "http://127.0.0.1:1/v1");
    assert_true(p->timeout_s == 5 && p->n_retry == 1 && p->n_connection == 4);
    assert_int_equal(judge_rule_ask(j, &in, &call, &applies, &e), 0);
    assert_true(applies && call.temperature <= 0 && call.max_tokens == 256);
    const char *text = json_string_value(json_object_get(json_array_get(call.messages, 1), "content"));
    assert_non_null(strstr(text, "Is it like 42, {\"x\":1.5}? {not a name}\n\n===== answer "));
    assert_non_null(strstr(text, "begins =====\nGive 10.\n===== answer "));
    json_decref((json_t *)(uintptr_t)call.messages);
    in.row = bare; /* no column "deep" */
    assert_int_equal(judge_rule_ask(j, &in, &call, &applies, &e), 0);
    assert_true(!applies && call.messages == NULL);
    double value;
    assert_int_equal(reward_apply(r, &in, &applies, &value, &e), -ERR_UNSUPPORTED);
    reward_free(r);
    json_decref(spec);
    json_decref(row);
    json_decref(bare);
}

static void test_judge_replies(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        double value; /* NOT_APPLICABLE; -1: an error */
    } cases[] = {{"5", 0.5},
                 {" 10.\n", 1},
                 {"0", 0},
                 {"{\"score\": 2.5}", 0.25},
                 {"Yes.", 1},
                 {"no", 0},
                 {"n/a", -1e9},
                 {"<think>10 or 2?</think>\n2", 0.2},
                 {"<think>hm</think>{\"score\": 3}", 0.3},
                 {"{\"score\": 3}", 0.3},
                 {"是", 1},
                 {"不适用", -1e9},
                 {"11", -1},
                 {"-1", -1},
                 {"", -1},
                 {"I give it 7 of 10", -1},
                 {"NaN", -1},
                 {"{\"points\": 3}", -1},
                 {"1e400", -1}};
    json_t *spec = parsed(judge_text);
    struct reward *r;
    struct err e = {0};
    assert_int_equal(reward_new(&r, spec, "reward 1", &e), 0);
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        bool applies = true;
        double value = 0;
        int rc = judge_rule_value(reward_judge(r), cases[i].reply, strlen(cases[i].reply), &applies, &value, &e);
        if (cases[i].value == -1 ? rc != -ERR_INPUT || applies || value != 0 : rc != 0)
            fail_msg("\"%s\": %d %s", cases[i].reply, rc, e.msg);
        if (rc != 0) continue;
        if (applies != (cases[i].value > NOT_APPLICABLE)) fail_msg("\"%s\": applies %d", cases[i].reply, applies);
        if (applies && value != cases[i].value) fail_msg("\"%s\": %g", cases[i].reply, value);
    }
    reward_free(r);
    json_decref(spec);
}

static void test_judge_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{\"type\":\"judge\",\"model\":\"m\",\"question\":\"q\"}", "url"},
        {"{\"type\":\"judge\",\"url\":\"localhost\",\"model\":\"m\",\"question\":\"q\"}",
         "url is \"localhost\", an address like"},
        {"{\"type\":\"judge\",\"url\":\"http://x\",\"model\":\"m\"}", "question"},
        {"{\"type\":\"judge\",\"url\":\"http://x\",\"model\":\"m\",\"question\":\"\"}", "question is empty"},
        {"{\"type\":\"judge\",\"url\":\"http://x\",\"model\":\"m\",\"question\":\"q\",\"min\":1}",
         "min 1 is not below max 1"},
        {"{\"type\":\"judge\",\"url\":\"http://x\",\"model\":\"m\",\"question\":\"q\",\"timeout_s\":0}", "timeout_s"},
        {"{\"type\":\"judge\",\"url\":\"http://x\",\"model\":\"m\",\"question\":\"q\",\"key\":\"k\"}",
         "has no member \"key\""},
        {"{\"type\":\"json\",\"schema\":{\"format\":\"date\"}}", "keyword \"format\" at \"#/format\" is not checked"},
    };
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        json_t *spec = parsed(bad[i][0]);
        struct reward *r = NULL;
        struct err e = {0};
        assert_int_not_equal(reward_new(&r, spec, "reward 1", &e), 0);
        if (strstr(e.msg, bad[i][1]) == NULL) fail_msg("%s: %s", bad[i][0], e.msg);
        json_decref(spec);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_bad_rules),     cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_fresh),         cmocka_unit_test(test_patterns),      cmocka_unit_test(test_judge_asks),
        cmocka_unit_test(test_judge_replies), cmocka_unit_test(test_judge_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
