/* UTF-8 and the Unicode tables: every code point against PCRE2's own tables, and UTF-8 against its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "compute/text/unicode.h"
#include "compute/text/utf8.h"

static void utf8_round_trip(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) {
            continue;
        }
        char s[UTF8_MAX_BYTES];
        size_t n = utf8_encode(cp, s);
        uint32_t back;
        if (utf8_decode(s, n, &back) != n || back != cp || !utf8_valid(s, n)) {
            fail_msg("U+%04X", (unsigned)cp);
        }
        for (size_t cut = 1; cut < n; cut++) {
            bool open;
            assert_false(utf8_valid(s, cut));
            assert_int_equal(utf8_broken(s, cut, &open), cut);
            assert_true(open);
        }
    }
}

static void utf8_refuses(void **state)
{
    (void)state;
    static const char bad_tail[] = {'\xE4', '\xBD', 'a', '\0'};
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "a\xC3",
                                      bad_tail};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (utf8_valid(bad[i], strlen(bad[i]))) {
            fail_msg("accepted case %zu", i);
        }
    }
    bool open;
    assert_int_equal(utf8_broken("\xED\xA0\x80", 3, &open), 1);
    assert_false(open);
    assert_int_equal(utf8_broken("\xF0\x9F\x8C"
                                 "a",
                                 4, &open),
                     3);
    assert_false(open);
    assert_int_equal(utf8_count("a\xC3\xA9\xFF", 3 + 1), 3);
}

static pcre2_code *compile(const char *pattern)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    assert_non_null(re);
    return re;
}

static bool matches(const pcre2_code *re, pcre2_match_data *md, uint32_t cp)
{
    char s[UTF8_MAX_BYTES];
    size_t n = utf8_encode(cp, s);
    return pcre2_match(re, (PCRE2_SPTR)s, n, 0, PCRE2_ANCHORED, md, NULL) > 0;
}

/* PCRE2 10.42 knows Unicode 14; the tables here know 15. What 14 has not assigned may differ. */
static void classes_equal_pcre2(void **state)
{
    (void)state;
    pcre2_code *letter = compile("\\p{L}"), *number = compile("\\p{N}"), *space = compile("\\s"),
               *none = compile("\\p{Cn}"), *decimal = compile("\\p{Nd}");
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if ((cp >= 0xD800 && cp <= 0xDFFF) || matches(none, md, cp)) {
            continue;
        }
        if (unicode_is_letter(cp) != matches(letter, md, cp) || unicode_is_number(cp) != matches(number, md, cp) ||
            unicode_is_decimal(cp) != matches(decimal, md, cp)) {
            fail_msg("letter, number or decimal of U+%04X", (unsigned)cp);
        }
        /* U+180E left White_Space with Unicode 6.3; PCRE2 keeps it in \s as Perl's \h does. */
        if (cp != 0x180E && unicode_is_space(cp) != matches(space, md, cp)) {
            fail_msg("space of U+%04X", (unsigned)cp);
        }
    }
    pcre2_match_data_free(md);
    pcre2_code_free(letter);
    pcre2_code_free(number);
    pcre2_code_free(space);
    pcre2_code_free(none);
    pcre2_code_free(decimal);
}

static void case_mapping(void **state)
{
    (void)state;
    const struct {
        uint32_t cp;
        enum unicode_case to;
        uint32_t want[3];
    } cases[] = {
        {'a', UNICODE_UPPER, {'A'}},
        {'Z', UNICODE_LOWER, {'z'}},
        {0xDF, UNICODE_UPPER, {'S', 'S'}},
        {0xDF, UNICODE_TITLE, {'S', 's'}},
        {0x1C6, UNICODE_TITLE, {0x1C5}},
        {0x1C6, UNICODE_UPPER, {0x1C4}},
        {0x130, UNICODE_LOWER, {'i', 0x307}},
        {0x10D0, UNICODE_UPPER, {0x1C90}},
        {0x10D0, UNICODE_TITLE, {0x10D0}},
        {0x100, UNICODE_LOWER, {0x101}},
        {0x101, UNICODE_UPPER, {0x100}},
        {0x17F, UNICODE_UPPER, {'S'}},
        {0xFB03, UNICODE_UPPER, {'F', 'F', 'I'}},
        {0x4E2D, UNICODE_UPPER, {0x4E2D}},
        {0x10400, UNICODE_LOWER, {0x10428}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t got[3] = {0};
        (void)unicode_map_case(cases[i].cp, cases[i].to, got);
        if (memcmp(got, cases[i].want, sizeof got) != 0) {
            fail_msg("case %zu: U+%04X -> U+%04X U+%04X", i, (unsigned)cases[i].cp, (unsigned)got[0], (unsigned)got[1]);
        }
    }
    assert_string_equal(unicode_version(), "15.0.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(utf8_round_trip), cmocka_unit_test(utf8_refuses),
                                       cmocka_unit_test(classes_equal_pcre2), cmocka_unit_test(case_mapping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
