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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_bad_rules), cmocka_unit_test(test_sandbox),
        cmocka_unit_test(test_fresh),  cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
