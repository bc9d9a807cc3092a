/* The door for training data: every form of row becomes the conversation it means, every row that is no use gets the
 * verdict that says why, and files of each kind are read row by row, whatever stands in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/base/attr.h"
#include "ground/base/buf.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/data/example.h"
#include "lifecycle/data/row_file.h"

static json_t *parse(const char *text)
{
    json_t *j;
    struct err e;
    if (json_parse(text, strlen(text), "test", &j, &e) != 0) fail_msg("%s: %s", text, e.msg);
    return j;
}

/* Messages as "user:text assistant:text!name(arguments)", trained ones behind a bar. */
static char *shown(const json_t *messages, size_t n_prompt)
{
    struct buf b;
    int rc = 0;
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *call = json_array_get(json_object_get(m, "tool_calls"), 0);
        const char *thoughts = json_string_value(json_object_get(m, "reasoning_content"));
        if (i == n_prompt && i > 0) rc |= buf_add_str(&b, "|");
        rc |= buf_printf(&b, "%s:", json_string_value(json_object_get(m, "role")));
        if (thoughts != NULL) rc |= buf_printf(&b, "(%s)", thoughts);
        rc |= buf_printf(&b, "%s ", json_string_value(json_object_get(m, "content")));
        if (call == NULL) continue;
        rc |= buf_printf(&b, "!%s", json_string_value(json_object_get(json_object_get(call, "function"), "name")));
        rc |= json_format(json_object_get(json_object_get(call, "function"), "arguments"), JSON_LINE, &b);
    }
    assert_int_equal(rc, 0);
    return buf_take(&b, NULL);
}

#define TURNS "\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]"

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        enum example_kind kind;
        const char *row, *want, *rejected;
    } cases[] = {
        {EXAMPLE_ANSWER, "{" TURNS "}", "user:a assistant:b ", NULL},
        {EXAMPLE_ANSWER,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
         "\"text\":"
         "\"c\"}]},{\"role\":\"assistant\",\"thinking\":\"t\",\"content\":\"b\"}]}",
         "user:ac assistant:(t)b ", NULL},
        {EXAMPLE_ANSWER,
         "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"function_call\",\"value\":\"{"
         "\\\"name\\\":"
         "\\\"f\\\",\\\"arguments\\\":{\\\"x\\\":1}}\"},{\"from\":\"observation\",\"value\":\"r\"},{\"from\":\"gpt\","
         "\"value\":\"b\"}],\"system\":\"s\"}",
         "system:s user:a assistant: !f{\"x\":1}tool:r assistant:b ", NULL},
        {EXAMPLE_ANSWER, "{\"instruction\":\"i\",\"input\":\"\",\"output\":\"o\"}", "user:i assistant:o ", NULL},
        {EXAMPLE_ANSWER,
         "{\"instruction\":\"i\",\"input\":\"n\",\"output\":\"o\",\"system\":\"s\",\"history\":[[\"h\",\"g\"]]}",
         "system:s user:h assistant:g user:i\nn assistant:o ", NULL},
        {EXAMPLE_ANSWER, "{\"prompt\":\"p\",\"completion\":\"c\"}", "user:p |assistant:c ", NULL},
        {EXAMPLE_ANSWER,
         "{\"prompt\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"p\"}],\"completion\":[{"
         "\"role\":\"assistant\",\"content\":\"c\"}]}",
         "system:s user:p |assistant:c ", NULL},
        /* a preference: its prompt said, in another form, or as what both conversations begin with */
        {EXAMPLE_PAIR, "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", "user:p |assistant:c ",
         "user:p |assistant:r "},
        {EXAMPLE_PAIR, "{\"instruction\":\"i\",\"chosen\":\"c\",\"rejected\":\"r\"}", "user:i |assistant:c ",
         "user:i |assistant:r "},
        {EXAMPLE_PAIR,
         "{\"conversations\":[{\"from\":\"human\",\"value\":\"p\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"c\"},"
         "\"rejected\":{\"from\":\"gpt\",\"value\":\"r\"}}",
         "user:p |assistant:c ", "user:p |assistant:r "},
        {EXAMPLE_PAIR,
         "{\"prompt\":\"p\",\"chosen\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":"
         "\"c\"}],"
         "\"rejected\":[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"r\"}]}",
         "user:p |assistant:c ", "user:p |assistant:r "},
        {EXAMPLE_JUDGED, "{\"prompt\":\"p\",\"completion\":\"c\",\"label\":true}", "user:p |assistant:c ", NULL},
        {EXAMPLE_JUDGED,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":"
         "\"user\","
         "\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}],\"kto_tag\":1}",
         "user:a assistant:b user:c |assistant:d ", NULL},
    };
    struct example x = {0};
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        enum row_verdict v;
        struct err e;
        json_t *row = parse(cases[i].row);
        if (example_read(&x, row, FORM_ANY, cases[i].kind, "row", &v, &e) != 0) fail_msg("%s: %s", cases[i].row, e.msg);
        char *got = shown(x.messages, x.n_prompt);
        if (!str_eq(got, cases[i].want)) fail_msg("%s:\ngot  %s\nwant %s", cases[i].row, got, cases[i].want);
        mem_free(got);
        assert_true((x.rejected != NULL) == (cases[i].rejected != NULL));
        got = x.rejected == NULL ? NULL : shown(x.rejected, x.n_prompt);
        if (!str_eq(got, cases[i].rejected)) fail_msg("%s:\nrejected %s", cases[i].row, got);
        mem_free(got);
        if (cases[i].kind == EXAMPLE_JUDGED) assert_true(x.desirable);
        json_decref(row);
    }
    example_deinit(&x);
}

#define USER      "{\"role\":\"user\",\"content\":\"a\"}"
#define ASSISTANT "{\"role\":\"assistant\",\"content\":\"b\"}"
#define SYSTEM    "{\"role\":\"system\",\"content\":\"s\"}"
#define TOOL      "{\"role\":\"tool\",\"content\":\"t\"}"
#define CALL      "{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]}"
#define ROW(list) "{\"messages\":[" list "]}"

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        enum example_kind kind;
        const char *row;
        enum row_verdict verdict;
        const char *says;
    } cases[] = {
        {EXAMPLE_ANSWER, "{\"text\":\"x\"}", ROW_BAD_FIELDS, "neither messages nor"},
        {EXAMPLE_ANSWER, "{\"instruction\":\"x\"}", ROW_BAD_FIELDS, "output is missing"},
        {EXAMPLE_ANSWER, "{\"prompt\":\"x\"}", ROW_BAD_FIELDS, "completion is missing"},
        {EXAMPLE_ANSWER, "{\"prompt\":7,\"completion\":\"x\"}", ROW_BAD_FIELDS, "prompt"},
        {EXAMPLE_ANSWER, "{\"messages\":{}}", ROW_BAD_FIELDS, "messages"},
        {EXAMPLE_ANSWER, ROW(USER "," ASSISTANT "," ASSISTANT), ROW_BAD_ROLES, "message 3"},
        {EXAMPLE_ANSWER, ROW(USER "," USER "," ASSISTANT), ROW_BAD_ROLES, "message 2"},
        {EXAMPLE_ANSWER, ROW(ASSISTANT "," USER), ROW_BAD_ROLES, "begins with the user"},
        {EXAMPLE_ANSWER, ROW(USER "," SYSTEM "," ASSISTANT), ROW_BAD_ROLES, "at the start only"},
        {EXAMPLE_ANSWER, ROW(USER "," TOOL "," ASSISTANT), ROW_BAD_ROLES, "no answer of the assistant"},
        {EXAMPLE_ANSWER, ROW(USER "," CALL "," USER "," ASSISTANT), ROW_BAD_ROLES, "have no result"},
        {EXAMPLE_ANSWER, ROW(USER ",{\"role\":\"assistant\",\"content\":\"\"}"), ROW_EMPTY_TARGET, "text is empty"},
        {EXAMPLE_ANSWER, ROW(USER ",{\"role\":\"assistant\",\"content\":null}"), ROW_BAD_FIELDS, "content"},
        {EXAMPLE_ANSWER, ROW(USER), ROW_EMPTY_TARGET, "no message of the assistant"},
        {EXAMPLE_ANSWER, ROW(USER ",{\"role\":\"robot\",\"content\":\"x\"}"), ROW_BAD_FIELDS, "robot"},
        {EXAMPLE_ANSWER, ROW("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}," ASSISTANT), ROW_BAD_FIELDS,
         "image_url"},
        {EXAMPLE_ANSWER,
         ROW(USER ",{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}"),
         ROW_BAD_FIELDS, "message 2"},
        {EXAMPLE_ANSWER, "{\"tools\":7," TURNS "}", ROW_BAD_FIELDS, "tools is"},
        {EXAMPLE_ANSWER, "{\"instruction\":\"i\",\"output\":\"o\",\"history\":[[\"a\"]]}", ROW_BAD_FIELDS,
         "history[0]"},
        {EXAMPLE_PAIR, "{\"prompt\":\"p\",\"chosen\":\"c\"}", ROW_BAD_FIELDS, "no rejected"},
        {EXAMPLE_PAIR, "{\"chosen\":\"c\",\"rejected\":\"r\"}", ROW_BAD_FIELDS, "neither messages nor"},
        {EXAMPLE_PAIR, "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"c\"}", ROW_NO_CONTRAST, "the same"},
        {EXAMPLE_PAIR, "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\" \"}", ROW_EMPTY_TARGET, "empty"},
        {EXAMPLE_JUDGED, "{\"prompt\":\"p\",\"completion\":\"c\"}", ROW_BAD_FIELDS, "label is missing"},
        {EXAMPLE_JUDGED, "{\"prompt\":\"p\",\"completion\":\"c\",\"label\":\"good\"}", ROW_BAD_FIELDS,
         "label is a string"},
        {EXAMPLE_JUDGED, "{\"messages\":[" USER "," ASSISTANT "," USER "],\"label\":true}", ROW_EMPTY_TARGET,
         "nothing to train"},
    };
    struct example x = {0};
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        enum row_verdict v = ROW_KEPT;
        struct err e = {0};
        json_t *row = parse(cases[i].row);
        int rc = example_read(&x, row, FORM_ANY, cases[i].kind, "\"f\" line 3", &v, &e);
        if (rc != -ERR_INPUT || v != cases[i].verdict || strstr(e.msg, cases[i].says) == NULL ||
            strstr(e.msg, "line 3") == NULL)
            fail_msg("%s: %d, %s, \"%s\"", cases[i].row, rc, row_verdict_name(v), e.msg);
        json_decref(row);
    }
    example_deinit(&x);
}

/* A form that is asked for is not guessed. */
static void test_said_form(void **state)
{
    (void)state;
    static const char both[] = "{" TURNS ",\"instruction\":\"i\",\"output\":\"o\"}";
    static const struct {
        enum example_form form;
        const char *want;
    } cases[] = {{FORM_OPENAI, "user:a assistant:b "}, {FORM_ALPACA, "user:i assistant:o "}, {FORM_SHAREGPT, NULL}};
    struct example x = {0};
    json_t *row = parse(both);
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        enum row_verdict v;
        struct err e;
        int rc = example_read(&x, row, cases[i].form, EXAMPLE_ANSWER, "row", &v, &e);
        char *got = rc == 0 ? shown(x.messages, x.n_prompt) : NULL;
        assert_true(str_eq(got, cases[i].want));
        mem_free(got);
    }
    json_decref(row);
    example_deinit(&x);
}

/* --- files --- */

/* What a file gives, as "LINE:object " or "LINE! ". */
static char *read_file(const char *name, const char *text, size_t n, struct err *e)
{
    char dir[] = "/tmp/tailor-rows-XXXXXX", path[64];
    struct row_file f;
    struct buf b;
    json_t *row;
    int rc;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *out = fopen(path, "w");
    assert_true(fwrite(text, 1, n, out) == n);
    fclose(out);
    buf_init(&b, 1 << 16);
    rc = row_file_open(&f, path, e);
    bool opened = rc == 0;
    while (opened && (rc = row_file_next(&f, &row, e)) != 0) {
        int w = buf_printf(&b, rc == 1 ? "%d:" : "%d! ", (int)f.line_no);
        if (rc == 1) w |= json_format(row, JSON_CANONICAL, &b) | buf_add_char(&b, ' ');
        assert_int_equal(w, 0);
        json_decref(row);
        if (rc < 0 && f.is_broken) break;
    }
    row_file_close(&f);
    unlink(path);
    rmdir(dir);
    char *got = opened ? buf_take(&b, NULL) : NULL;
    buf_deinit(&b);
    return got;
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *want;
    } cases[] = {
        {"a.jsonl", "{\"a\":1}\n\nrubbish\n[1]\n{\"b\":2}", "1:{\"a\":1} 3! 4! 5:{\"b\":2} "},
        {"a.json", " [\n{\"a\":\"],\\\"\"},\n\n {\"b\":[1,{}]}]", "2:{\"a\":\"],\\\"\"} 4:{\"b\":[1,{}]} "},
        {"a.json", "[{\"a\":1}, {bad}, 7,\n{\"b\":2}]", "1:{\"a\":1} 1! 1! 2:{\"b\":2} "},
        {"a.json", "[]", ""},
        {"a.json", "[{\"a\":1},\n{\"b\":", "1:{\"a\":1} 2! "},
        {"a.csv", "prompt,completion,tools\np,\"a,\n\"\"b\"\"\",\"[{\"\"x\"\":1}]\"\nonly,two\n[not json,c,\n",
         "2:{\"completion\":\"a,\\n\\\"b\\\"\",\"prompt\":\"p\",\"tools\":[{\"x\":1}]} 4! "
         "5:{\"completion\":\"c\",\"prompt\":\"[not json\",\"tools\":\"\"} "},
        {"a.csv", "a,b\n1,2\n\"open,3\n4,5\n", "2:{\"a\":\"1\",\"b\":\"2\"} 3! "},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct err e = {0};
        char *got = read_file(cases[i].name, cases[i].text, strlen(cases[i].text), &e);
        if (got == NULL && cases[i].want[0] == '\0' && e.msg[0] == '\0') continue;
        if (!str_eq(got, cases[i].want))
            fail_msg("%s:\ngot  %s\nwant %s\n%s", cases[i].text, got, cases[i].want, e.msg);
        mem_free(got);
    }
    struct err e;
    assert_null(read_file("rows.parquet", "PAR1xxxx", 8, &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "read_parquet"));
    assert_null(read_file("rows.jsonl", "\x1F\x8B\x08", 3, &e));
    assert_non_null(strstr(e.msg, "gunzip"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_said_form),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
