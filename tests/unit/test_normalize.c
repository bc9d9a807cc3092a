/* Normalization: canonical forms against Unicode's own conformance rows, the other steps, and where text came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/text/normalize.h"
#include "compute/text/utf8.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

static void expect(unsigned what, bool prefix, const char *text, const char *want)
{
    struct normalized t;
    assert_int_equal(normalize(what, prefix, text, strlen(text), &t), 0);
    if (t.n != strlen(want) || memcmp(t.text, want, t.n) != 0) {
        fail_msg("\"%s\" is \"%.*s\", expected \"%s\"", text, (int)t.n, t.text, want);
    }
    assert_int_equal(normalized_origin(&t, 0), 0);
    assert_int_equal(normalized_origin(&t, t.n), strlen(text));
    for (size_t i = 0; i < t.n; i++) {
        assert_true(normalized_origin(&t, i) <= normalized_origin(&t, i + 1));
    }
    normalized_deinit(&t);
}

/* "0041 0308" as UTF-8. */
static char *read_column(char **line, char *out)
{
    char *p = *line, *end = strchr(p, ';');
    size_t n = 0;
    while (p < end) {
        n += utf8_encode((uint32_t)strtoul(p, &p, 16), out + n);
        while (*p == ' ') p++;
    }
    out[n] = '\0';
    *line = end + 1;
    return out;
}

/* Rows "source; NFC; NFD;": NormalizationTest.txt of the Unicode Character Database says NFC of the first three columns
 * is the second, and NFD the third. */
static void canonical_forms(void **state)
{
    (void)state;
    char *data;
    size_t size, n_row = 0;
    struct err e;
    if (file_read_all("tests/data/unicode/normalization.txt", 1 << 22, &data, &size, &e)) {
        fail_msg("%s", e.msg);
    }
    for (char *line = data; *line; line = strchr(line, '\n') + 1) {
        char column[3][256], *at = line;
        if (*line == '#') {
            continue;
        }
        for (int i = 0; i < 3; i++) {
            read_column(&at, column[i]);
        }
        for (int i = 0; i < 3; i++) {
            expect(NORMALIZE_NFC, false, column[i], column[1]);
            expect(NORMALIZE_NFD, false, column[i], column[2]);
        }
        n_row++;
    }
    assert_true(n_row > 1000);
    mem_free(data);
}

static void steps(void **state)
{
    (void)state;
    const unsigned bert = NORMALIZE_CLEAN | NORMALIZE_CJK | NORMALIZE_ACCENTS | NORMALIZE_LOWER;
    expect(bert, false, "H\xC3\x89llo\tW\xC3\xB6rld\x01", "hello world");
    expect(bert, false, "a\xE4\xB8\xAD\xE6\x96\x87z", "a \xE4\xB8\xAD  \xE6\x96\x87 z");
    expect(NORMALIZE_CLEAN, false, "a\xE2\x80\x8D\xC2\xA0\xEF\xBF\xBD", "a ");
    expect(NORMALIZE_LOWER, false, "\xC4\xB0\xC3\x89", "i\xCC\x87\xC3\xA9");
    expect(NORMALIZE_SPACES, true, "a  b",
           "\xE2\x96\x81"
           "a\xE2\x96\x81\xE2\x96\x81"
           "b");
    expect(NORMALIZE_SPACES, true, "", "");
    expect(0, true, "a b", " a b");
    expect(NORMALIZE_NFC | NORMALIZE_SPACES, false, "e\xCC\x81 b",
           "\xC3\xA9\xE2\x96\x81"
           "b");
    /* bytes that are no UTF-8 stay as they are */
    expect(NORMALIZE_NFC, false,
           "\xFF"
           "e\xCC\x81\xC3",
           "\xFF\xC3\xA9\xC3");
    expect(bert, false, "A\x80", "a\x80");
}

/* A character that became one, or several, is covered by the last of its bytes. */
static void origins(void **state)
{
    (void)state;
    struct normalized t;
    assert_int_equal(normalize(NORMALIZE_NFC, false, "xe\xCC\x81y", 5, &t), 0);
    const size_t want[] = {0, 1, 1, 4, 5};
    assert_int_equal(t.n, 4);
    for (size_t i = 0; i <= t.n; i++) {
        assert_int_equal(normalized_origin(&t, i), want[i]);
    }
    normalized_deinit(&t);
    assert_int_equal(normalize(NORMALIZE_NFC, false, "plain", 5, &t), 0);
    assert_null(t.own); /* nothing to do: borrowed */
    normalized_deinit(&t);
}

/* A text of nothing but marks costs no more than any other. */
static void many_marks(void **state)
{
    (void)state;
    enum { N = 1 << 19 };
    char *s = mem_alloc(2 * N + 1);
    struct normalized t;
    s[0] = 'a';
    for (size_t i = 0; i < N; i++) {
        s[1 + 2 * i] = '\xCC';
        s[2 + 2 * i] = rng_u64(1, i, 0) % 2 ? '\x81' : '\xA3'; /* above, below */
    }
    assert_int_equal(normalize(NORMALIZE_NFC, false, s, 2 * N + 1, &t), 0);
    assert_int_equal(t.n, 2 * N + 1); /* the first mark below joins the letter, the others come before those above */
    assert_memory_equal(t.text, "\xE1\xBA\xA1", 3);
    for (size_t i = 5; i + 1 < t.n; i += 2) {
        assert_true(t.text[i + 1] != '\xA3' || t.text[i - 1] == '\xA3');
    }
    normalized_deinit(&t);
    mem_free(s);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct normalized t;
    for (int k = 1;; k++) {
        mem_fault_after(k);
        int rc = normalize(NORMALIZE_NFC | NORMALIZE_LOWER | NORMALIZE_CJK | NORMALIZE_SPACES, true,
                           "E\xCC\xA3\xCC\x81 b", 7, &t);
        mem_fault_after(0);
        if (!rc) {
            normalized_deinit(&t);
            assert_true(k > 5);
            return;
        }
        assert_null(t.own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(canonical_forms), cmocka_unit_test(steps),
                                       cmocka_unit_test(origins), cmocka_unit_test(many_marks),
                                       cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
