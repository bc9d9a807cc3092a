/* JSON: places of errors, limits, JSON Lines, getters, the writer's three forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/json/json.h"

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), "test", &v, &e)) fail_msg("%s: %s", text, e.msg);
    return v;
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        int code;
    } c[] = {
        {"{\"a\":1,\n \"a\":2}", "line 2 column 4: the same key twice", ERR_INPUT},
        {"[1,\n2,,3]", "line 2 column 3", ERR_INPUT},
        {"{} x", "more text after the end", ERR_INPUT},
        {"", "it is empty", ERR_INPUT},
        {"\"\\u0000\"", "\\u0000 is not allowed", ERR_INPUT},
        {"\"\xff\"", "not valid UTF-8", ERR_INPUT},
        {"[1e999]", "line 1", ERR_INPUT},
        {"NaN", "line 1", ERR_INPUT},
    };
    for (size_t i = 0; i < N_ELEM(c); i++) {
        json_t *v = NULL;
        struct err e = {0};
        int rc = json_parse(c[i].text, strlen(c[i].text), "a.json", &v, &e);
        if (rc != -c[i].code || !strstr(e.msg, c[i].want) || !strstr(e.msg, "\"a.json\""))
            fail_msg("%s: %d %s", c[i].text, rc, e.msg);
    }
}

static char *nested(int depth)
{
    char *text = mem_alloc((size_t)depth * 2 + 4);
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    return text;
}

static void nesting_is_limited(void **state)
{
    (void)state;
    struct err e = {0};
    json_t *v;
    char *fits = nested(JSON_DEPTH), *deep = nested(JSON_DEPTH + 1), *huge = nested(1000000);
    json_decref(parse(fits));
    assert_int_equal(json_parse(deep, strlen(deep), "t", &v, &e), -ERR_LIMIT);
    assert_non_null(strstr(e.msg, "line 1 column 129"));
    assert_int_equal(json_parse(huge, strlen(huge), "t", &v, &e), -ERR_LIMIT);
    json_t *in_string = parse("[\"[[[[\\\"[[\", 1]");
    assert_int_equal(json_array_size(in_string), 2);
    json_decref(in_string);
    mem_free(fits), mem_free(deep), mem_free(huge);
}

/* --- JSON Lines --- */

static const char lines[] =
    "\xEF\xBB\xBF{\"a\":1}\r\n\n  \n{\"a\":2,}\n[3]\n{\"a\":\"a line that is far too long for it\"}\n{\"a\":4}";

static void check_lines(struct json_lines *r)
{
    static const struct {
        int rc;
        uint64_t line_no;
        const char *want;
    } step[] = {{1, 1, NULL},
                {-ERR_INPUT, 4, "line 4 column"},
                {-ERR_INPUT, 5, "line 5 is an array, an object is needed"},
                {-ERR_LIMIT, 6, "line 6 is longer than the limit of 20 bytes"},
                {1, 7, NULL},
                {0, 7, NULL}};
    for (size_t i = 0; i < N_ELEM(step); i++) {
        struct err e = {0};
        json_t *row;
        int rc = json_lines_next(r, &row, &e);
        if (rc != step[i].rc || r->line_no != step[i].line_no || (step[i].want && !strstr(e.msg, step[i].want)))
            fail_msg("step %zu: %d line %d %s", i, rc, (int)r->line_no, e.msg);
        if (rc == 1) assert_memory_equal(r->text, "{\"a\":", 5);
        json_decref(row);
    }
}

static void lines_go_on_after_errors(void **state)
{
    (void)state;
    struct json_lines r;
    struct err e = {0};
    char path[] = "/tmp/tailor-lines-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(file_write_atomic(path, lines, sizeof lines - 1, &e), 0);
    assert_int_equal(json_lines_open_memory(&r, "m", lines, sizeof lines - 1, 20, &e), 0);
    check_lines(&r);
    json_lines_close(&r);
    assert_int_equal(json_lines_open(&r, path, 20, &e), 0);
    check_lines(&r);
    json_lines_close(&r);
    unlink(path);
    assert_int_equal(json_lines_open(&r, path, 20, &e), -ERR_NOT_FOUND);
}

/* Lines longer than the window, and many of them: what is read is what was written. */
static void windows_do_not_cut_lines(void **state)
{
    (void)state;
    enum { ROWS = 300 };
    char path[] = "/tmp/tailor-lines-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    for (uint64_t i = 0; i < ROWS; i++) {
        fprintf(f, "{\"n\":%d,\"s\":\"", (int)i);
        for (uint64_t k = rng_below(i % 50 == 49 ? 200000 : 3000, 1, 1, i); k > 0; k--) fputc('x', f);
        fputs("\"}\n", f);
    }
    assert_int_equal(fclose(f), 0);
    struct json_lines r;
    struct err e = {0};
    json_t *row;
    int n = 0, rc;
    assert_int_equal(json_lines_open(&r, path, 1 << 20, &e), 0);
    while ((rc = json_lines_next(&r, &row, &e)) == 1) {
        assert_int_equal(json_integer_value(json_object_get(row, "n")), n);
        n++;
        json_decref(row);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, ROWS);
    json_lines_close(&r);
    unlink(path);
}

/* --- getters --- */

static void getters_say_what_is_wrong(void **state)
{
    (void)state;
    json_t *o = parse("{\"s\":\"text\",\"i\":5,\"f\":0.5,\"b\":true,\"a\":[1],\"o\":{},\"n\":null}");
    struct err e = {0};
    const char *s = "unchanged";
    int64_t i = 0;
    double f = 0;
    bool b = false;
    const json_t *v = NULL;
    assert_int_equal(json_get_str(o, "s", &s, "w", &e), 0);
    assert_string_equal(s, "text");
    assert_int_equal(json_get_int(o, "i", 0, 5, &i, "w", &e), 0);
    assert_int_equal(i, 5);
    assert_int_equal(json_get_float(o, "i", 0, 5, &f, "w", &e), 0);
    assert_true(f == 5.0);
    assert_int_equal(json_get_bool(o, "b", &b, "w", &e), 0);
    assert_true(b);
    assert_int_equal(json_get_array(o, "a", &v, "w", &e), 0);
    assert_int_equal(json_get_object(o, "o", &v, "w", &e), 0);
    assert_int_equal(json_get_str(o, "x", &s, "line 3", &e), -ERR_INPUT);
    assert_string_equal(e.msg, "cannot read line 3: field \"x\" is missing, a string is needed");
    assert_string_equal(e.object, "x");
    assert_int_equal(json_get_int(o, "f", 0, 5, &i, "w", &e), -ERR_INPUT);
    assert_string_equal(e.msg, "cannot read w: field \"f\" is a number, an integer is needed");
    assert_int_equal(json_get_int(o, "i", 6, 9, &i, "w", &e), -ERR_INPUT);
    assert_string_equal(e.msg, "cannot read w: field \"i\" is 5, 6 to 9 is needed");
    assert_int_equal(json_get_float(o, "f", 1, 2, &f, "w", &e), -ERR_INPUT);
    assert_int_equal(json_opt_str(o, "n", &s, "w", &e), 0);
    assert_int_equal(json_opt_str(o, "x", &s, "w", &e), 0);
    assert_string_equal(s, "text");
    assert_int_equal(json_opt_bool(o, "i", &b, "w", &e), -ERR_INPUT);
    assert_int_equal(json_opt_array(o, "o", &v, "w", &e), -ERR_INPUT);
    assert_int_equal(json_opt_object(o, "a", &v, "w", &e), -ERR_INPUT);
    assert_int_equal(json_opt_int(o, "s", 0, 1, &i, "w", &e), -ERR_INPUT);
    assert_int_equal(json_opt_float(o, "s", 0, 1, &f, "w", &e), -ERR_INPUT);
    json_decref(o);
}

/* --- writing --- */

static void assert_form(const char *text, enum json_form form, const char *want)
{
    struct buf out;
    json_t *v = parse(text);
    buf_init(&out, 1 << 20);
    assert_int_equal(json_format(v, form, &out), 0);
    assert_string_equal(out.data, want);
    buf_deinit(&out);
    json_decref(v);
}

static void writer_has_three_forms(void **state)
{
    (void)state;
    static const char text[] =
        "{\"b\":[1,2.50,\"x\\n\\\"\\u0001\xE4\xBD\xA0\"],\"a\":{\"z\":null,\"y\":true},\"c\":{},\"d\":[]}";
    assert_form(text, JSON_LINE,
                "{\"b\":[1,2.5,\"x\\n\\\"\\u0001\xE4\xBD\xA0\"],\"a\":{\"z\":null,\"y\":true},\"c\":{},\"d\":[]}");
    assert_form(text, JSON_CANONICAL,
                "{\"a\":{\"y\":true,\"z\":null},\"b\":[1,2.5,\"x\\n\\\"\\u0001\xE4\xBD\xA0\"],\"c\":{},\"d\":[]}");
    assert_form("{\"a\":[1,{\"b\":2}],\"c\":{}}", JSON_PRETTY,
                "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n  \"c\": {}\n}\n");
}

static void numbers_are_short_and_exact(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);
    static const struct {
        double v;
        const char *want;
    } c[] = {{0.1, "0.1"}, {0.895, "0.895"}, {1.0, "1.0"}, {1e300, "1e+300"}, {-0.0, "-0.0"}, {2e-4, "0.0002"}};
    for (size_t i = 0; i < N_ELEM(c); i++) {
        json_t *v = json_real(c[i].v);
        buf_clear(&out);
        assert_int_equal(json_format(v, JSON_LINE, &out), 0);
        assert_string_equal(out.data, c[i].want);
        json_decref(v);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t bits = rng_u64(7, 7, i);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        json_t *v = json_real(x);
        buf_clear(&out);
        assert_int_equal(json_format(v, JSON_LINE, &out), 0);
        if (strtod(out.data, NULL) != x) fail_msg("%a became %s", x, out.data);
        json_decref(v);
    }
    buf_deinit(&out);
    json_t *nan = json_finite((double)NAN), *inf = json_finite((double)INFINITY), *one = json_finite(1);
    assert_true(json_is_null(nan) && json_is_null(inf) && json_is_real(one));
    json_decref(nan), json_decref(inf), json_decref(one);
}

static void writing_stops_at_limits(void **state)
{
    (void)state;
    struct buf out;
    json_t *v = parse("[\"0123456789\"]"), *deep = json_array();
    buf_init(&out, 5);
    assert_int_equal(json_format(v, JSON_LINE, &out), -ERR_LIMIT);
    buf_deinit(&out);
    for (int i = 0; i < JSON_DEPTH + 5; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    buf_init(&out, 10000);
    assert_int_equal(json_format(deep, JSON_LINE, &out), -ERR_LIMIT);
    buf_deinit(&out);
    json_decref(v), json_decref(deep);
}

static void files_and_digests(void **state)
{
    (void)state;
    struct err e = {0};
    char path[] = "/tmp/tailor-json-XXXXXX", a[65], b[65];
    close(mkstemp(path));
    json_t *v = parse("{\"b\":1,\"a\":[true]}"), *other = parse("{\"a\":[true],\"b\":1}"), *back;
    assert_int_equal(json_write_file(path, v, &e), 0);
    assert_int_equal(json_read_file(path, 1000, &back, &e), 0);
    assert_true(json_equal(v, back));
    json_t *none;
    assert_int_equal(json_read_file(path, 5, &none, &e), -ERR_LIMIT);
    assert_int_equal(json_digest(v, a, &e), 0);
    assert_int_equal(json_digest(other, b, &e), 0);
    assert_string_equal(a, b);
    json_decref(v), json_decref(other), json_decref(back);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_line_and_column), cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(lines_go_on_after_errors),    cmocka_unit_test(windows_do_not_cut_lines),
        cmocka_unit_test(getters_say_what_is_wrong),   cmocka_unit_test(writer_has_three_forms),
        cmocka_unit_test(numbers_are_short_and_exact), cmocka_unit_test(writing_stops_at_limits),
        cmocka_unit_test(files_and_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
