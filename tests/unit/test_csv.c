/* The CSV reader and writer: RFC 4180's forms, errors with their lines, round trip, the guard against formulas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/rng.h"
#include "ground/table/csv.h"

static void reads_all_forms(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xBB\xBFtext,category\r\n\"a, \"\"b\"\"\nc\",x\r\n\r\n,\n\xE4\xBD\xA0,\"\"";
    struct csv_reader r;
    struct err e = {0};
    assert_int_equal(csv_open_memory(&r, "t", text, sizeof text - 1, &e), 0);
    assert_int_equal(r.n_column, 2);
    assert_string_equal(r.column[1].text, "category");
    assert_int_equal(csv_next(&r, &e), 1);
    assert_int_equal(r.line_no, 2);
    assert_string_equal(r.field[0].text, "a, \"b\"\nc");
    assert_string_equal(r.field[1].text, "x");
    assert_int_equal(csv_next(&r, &e), 1);
    assert_int_equal(r.line_no, 5);
    assert_int_equal(r.field[0].n, 0);
    assert_int_equal(csv_next(&r, &e), 1);
    assert_string_equal(r.field[0].text, "\xE4\xBD\xA0");
    assert_int_equal(csv_next(&r, &e), 0);
    assert_int_equal(csv_column(&r, "category", &e), 1);
    assert_int_equal(csv_column(&r, "label", &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "text, category"));
    csv_close(&r);
}

/* Reads to the end; the error of the first refused row, or "" */
static void first_error(const char *text, size_t n, struct err *e)
{
    struct csv_reader r;
    *e = (struct err){0};
    int rc = csv_open_memory(&r, "t.csv", text, n, e);
    while (rc == 0 || rc == 1) {
        rc = csv_next(&r, e);
        if (rc == 0) break;
    }
    csv_close(&r);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } row[] = {{"", "empty"},
               {"a,a\n", "two columns"},
               {"a,b\n1\n", "line 2: 1 fields, the first row has 2"},
               {"a,b\n1,2,3\n", "line 2: 3 fields"},
               {"a,b\n1,2\n\"x\ny", "line 3: the quoted field has no closing quote"},
               {"a\nx\"y\n", "line 2: a quote inside"},
               {"a\n\"x\"y\n", "line 2: text after the closing quote"},
               {"a\nx\ry\n", "line 2: a carriage return"},
               {"a\n\xff\n", "line 2: byte 0xff is not UTF-8"}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct err e;
        first_error(row[i].text, strlen(row[i].text), &e);
        if (!strstr(e.msg, row[i].want)) fail_msg("%s: got \"%s\", want \"%s\"", row[i].text, e.msg, row[i].want);
    }
    struct err e;
    first_error("a\nx\0y\n", 6, &e);
    assert_non_null(strstr(e.msg, "NUL"));
}

static void round_trip(void **state)
{
    (void)state;
    static const char pick[] = "ab,\"\n\r =-9 ";
    for (uint64_t t = 0; t < 500; t++) {
        char cell[3][12];
        struct buf b;
        buf_init(&b, 4096);
        assert_int_equal(buf_add_str(&b, "x,y,z\r\n"), 0);
        for (size_t c = 0; c < 3; c++) {
            size_t n = rng_below(11, 3, t, c);
            for (size_t i = 0; i < n; i++) cell[c][i] = pick[rng_below(sizeof pick - 1, 4, t, c * 16 + i)];
            cell[c][n] = '\0';
            assert_int_equal(csv_write_field(&b, cell[c], n, c == 0, false), 0);
        }
        assert_int_equal(csv_write_end(&b), 0);
        struct csv_reader r;
        struct err e = {0};
        assert_int_equal(csv_open_memory(&r, "t", b.data, b.len, &e), 0);
        if (csv_next(&r, &e) != 1) fail_msg("%s in %s", e.msg, b.data);
        for (size_t c = 0; c < 3; c++) assert_string_equal(r.field[c].text, cell[c]);
        csv_close(&r);
        buf_deinit(&b);
    }
}

static void guard(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    static const char *const cell[] = {"=cmd|' /C calc'!A0", "-0.5", "-x", "@a,b", "plain", "+1e3"};
    for (size_t i = 0; i < N_ELEM(cell); i++)
        assert_int_equal(csv_write_field(&b, cell[i], strlen(cell[i]), i == 0, true), 0);
    assert_string_equal(b.data, "'=cmd|' /C calc'!A0,-0.5,'-x,\"'@a,b\",plain,+1e3");
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_all_forms), cmocka_unit_test(errors_name_the_line),
                                       cmocka_unit_test(round_trip), cmocka_unit_test(guard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
