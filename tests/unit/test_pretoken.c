/* The hand-written splitters against PCRE2 with the published patterns, on random Unicode with fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "compute/text/pretoken.h"
#include "compute/text/utf8.h"
#include "ground/base/rng.h"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

enum { MAX_CHARS = 48, MAX_BYTES = 4 * MAX_CHARS, N_STRINGS = 60000 };

struct pieces {
    size_t end[MAX_BYTES], n;
};

static pcre2_code *compile(const char *pattern)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    assert_non_null(re);
    return re;
}

/* Cut s[0..n) at every match of re, left-over text being pieces of its own; positions are given from base. */
static void split(const pcre2_code *re, const char *s, size_t n, size_t base, struct pieces *out)
{
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    size_t pos = 0;
    while (pos < n && pcre2_match(re, (PCRE2_SPTR)s, n, pos, 0, md, NULL) > 0) {
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(md);
        if (v[0] > pos) {
            out->end[out->n++] = base + v[0];
        }
        out->end[out->n++] = base + v[1];
        pos = v[1];
    }
    if (pos < n) {
        out->end[out->n++] = base + n;
    }
    pcre2_match_data_free(md);
}

static void split_by_hand(enum pretoken_kind kind, const char *s, size_t n, struct pieces *out)
{
    struct pretokens p;
    const char *piece;
    size_t len;
    out->n = 0;
    pretokens_init(&p, kind, s, n);
    while (pretokens_next(&p, &piece, &len)) {
        assert_true(len > 0 && out->n < MAX_BYTES);
        assert_ptr_equal(piece, s + (out->n ? out->end[out->n - 1] : 0));
        out->end[out->n++] = (size_t)(piece - s) + len;
    }
    assert_int_equal(out->n ? out->end[out->n - 1] : 0, n);
}

/* A random character: mostly from small sets that the pattern tells apart. */
static uint32_t random_char(uint64_t i, uint64_t k, const pcre2_code *unassigned)
{
    static const uint32_t often[] = {' ', ' ', ' ', '\'', '\'', 's',  't',  'r', 'e', 'v', 'm', 'l', 'd',
                                     'S', 'L', '1', '2',  '\n', '\r', '\t', '.', ',', '!', '_', '<', '|'};
    static const uint32_t other[] = {0xA0,   0x3000, 0x2028, 0x85,   0x2003, 0xE9,  0x301, 0x4E2D,
                                     0x6587, 0x0E01, 0x0E34, 0x661,  0x2160, 0xBD,  0xB2,  0x1F30F,
                                     0xFE0F, 0x200D, 0x3042, 0xAC00, 0x5D0,  0x17F, 0x2019};
    for (uint64_t draw = 0;; draw++) {
        uint64_t at = k * 64 + draw;
        uint64_t kind = rng_below(8, 1, i, 2 * at);
        uint64_t r = rng_u64(2, i, 2 * at + 1);
        if (kind < 5) {
            return often[r % (sizeof often / sizeof *often)];
        }
        if (kind < 7) {
            return other[r % (sizeof other / sizeof *other)];
        }
        uint32_t cp = (uint32_t)(r % (r >> 60 < 8 ? 0x3000 : 0x110000));
        char s[UTF8_MAX_BYTES];
        pcre2_match_data *md = pcre2_match_data_create(1, NULL);
        bool skip = cp == 0x180E || (cp >= 0xD800 && cp <= 0xDFFF);
        skip = skip || pcre2_match(unassigned, (PCRE2_SPTR)s, utf8_encode(cp, s), 0, 0, md, NULL) > 0;
        pcre2_match_data_free(md);
        if (!skip) {
            return cp;
        }
    }
}

static void show(const char *what, const struct pieces *p)
{
    print_message("%s:", what);
    for (size_t i = 0; i < p->n; i++) {
        print_message(" %zu", p->end[i]);
    }
    print_message("\n");
}

static void check_equal(const char *s, size_t n, const struct pieces *want, enum pretoken_kind kind)
{
    struct pieces got;
    split_by_hand(kind, s, n, &got);
    if (got.n != want->n || memcmp(got.end, want->end, got.n * sizeof *got.end) != 0) {
        for (size_t i = 0; i < n; i++) {
            print_message("%02x ", (unsigned char)s[i]);
        }
        show("\nby hand", &got);
        show("pcre2", want);
        fail_msg("kind %d differs", (int)kind);
    }
}

static void equal_to_pcre2(void **state)
{
    (void)state;
    pcre2_code *gpt2 = compile(GPT2), *number = compile("\\p{N}"), *unassigned = compile("\\p{Cn}");
    for (uint64_t i = 0; i < N_STRINGS; i++) {
        char s[MAX_BYTES];
        size_t n = 0, n_char = rng_below(MAX_CHARS, 3, i, 0);
        for (uint64_t k = 0; k < n_char; k++) {
            n += utf8_encode(random_char(i, k, unassigned), s + n);
        }
        struct pieces want = {.n = 0}, parts = {.n = 0};
        split(gpt2, s, n, 0, &want);
        check_equal(s, n, &want, PRETOKEN_GPT2);
        split(number, s, n, 0, &parts);
        want.n = 0;
        for (size_t k = 0, from = 0; k < parts.n; from = parts.end[k++]) {
            split(gpt2, s + from, parts.end[k] - from, from, &want);
        }
        check_equal(s, n, &want, PRETOKEN_SMOLLM);
    }
    pcre2_code_free(gpt2);
    pcre2_code_free(number);
    pcre2_code_free(unassigned);
}

static void any_bytes(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        char s[MAX_BYTES];
        size_t n = rng_below(MAX_BYTES, 4, i, 0);
        for (size_t k = 0; k < n; k++) {
            s[k] = (char)rng_u64(5, i, k);
        }
        struct pieces p;
        split_by_hand(PRETOKEN_GPT2, s, n, &p);
        split_by_hand(PRETOKEN_SMOLLM, s, n, &p);
    }
}

static void names(void **state)
{
    (void)state;
    enum pretoken_kind kind;
    struct err e = {0};
    assert_int_equal(pretoken_kind_find("gpt-2", &kind, &e), 0);
    assert_int_equal(kind, PRETOKEN_GPT2);
    assert_int_equal(pretoken_kind_find("starcoder", &kind, &e), 0);
    assert_int_equal(kind, PRETOKEN_SMOLLM);
    assert_int_equal(pretoken_kind_find("qwen2", &kind, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "\"qwen2\""));
    assert_non_null(strstr(e.msg, "smollm"));
    assert_int_equal(pretoken_kind_find(NULL, &kind, &e), -ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_to_pcre2), cmocka_unit_test(any_bytes),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
