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
#include "ground/base/mem.h"
#include "ground/base/rng.h"

#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define G2     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"
#define CT     "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WHITE  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL   "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WHITE
#define TAIL_O "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" WHITE
#define LEAD   "[^\\r\\n\\p{L}\\p{N}]?"
#define UPPER  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define WORDS  LEAD UPPER "*" LOWER "+" CT "?|" LEAD UPPER "+" LOWER "*" CT "?|"
#define O200K  WORDS "\\p{N}{1,3}" TAIL_O
#define NO_HAN "(?!\\p{Han})"
#define K_UP   "(?:" NO_HAN UPPER ")"
#define K_LOW  "(?:" NO_HAN LOWER ")"
#define DS3                                                                                               \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| " \
    "?[\\p{P}\\p{S}]+[\\r\\n]*" WHITE
#define CJK "[一-龥぀-ゟ゠-ヿ]+"
/* where a word ends for the tokenizers' engine */
#define NO_WORD "(?![\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}])"

enum { MAX_CHARS = 48, MAX_BYTES = 4 * MAX_CHARS, N_STRINGS = 2000, MAX_PATTERNS = 6 };

/* The published patterns of every rule, in the order in which they are applied. */
static const struct {
    const char *name, *pattern[MAX_PATTERNS];
} published[] = {
    {"gpt-2", {GPT2}},
    {"llama-bpe", {CT "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL}},
    {"qwen2", {CT "|" LEAD "\\p{L}+|\\p{N}" TAIL}},
    {"deepseek-r1-qwen", {CT "|" LEAD "\\p{L}+|\\p{N}" TAIL}},
    {"qwen35", {CT "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" WHITE}},
    {"smollm", {"\\p{N}", GPT2}},
    {"deepseek-v3", {"\\p{N}{1,3}", CJK, DS3}},
    {"tekken", {LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER "*|\\p{N}" TAIL_O}},
    {"gpt-4o", {O200K}},
    {"tiny_aya", {"\\d{1,3}(?=(?:\\d{3})*" NO_WORD ")", O200K}},
    {"youtu",
     {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" CJK, WORDS "\\p{N}" TAIL_O}},
    {"laguna", {"[^\\n]+|[\\n]+", CT "|" LEAD "\\p{L}+|\\p{N}" TAIL}},
    {"afmoe",
     {"\\d{1,3}(?=(?:\\d{3})*(?!\\d))",
      "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}"
      "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}\\x{1780}-\\x{17FF}"
      "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+",
      DS3}},
    {"deepseek-llm",
     {"[\\r\\n]",
      "\\s?["
      "\\x{41}-\\x{5A}\\x{61}-\\x{7A}\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-"
      "\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-\\x{293}\\x{295}-"
      "\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}"
      "\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}"
      "\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"
      "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"
      "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}"
      "\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}"
      "\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-"
      "\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"
      "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}"
      "\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}"
      "\\x{2126}\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-"
      "\\x{213F}\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}"
      "\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}"
      "\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}"
      "\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}"
      "\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}"
      "\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"
      "]+",
      "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+\\z", "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"}},
    {"deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}},
    {"falcon", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", G2, "[0-9][0-9][0-9]"}},
    {"bailingmoe",
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
      "+"}},
    {"seed-coder", {CT "|" LEAD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" WHITE}},
    {"minicpm5", {"\\p{N}{1,3}", CT "|" LEAD "\\p{L}+|\\p{N}+" TAIL}},
    {"jais-2",
     {CT "|" LEAD
         "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!"
         "\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"}},
    {"exaone-moe",
     {CT "|" LEAD
         "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"superbpe", {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"whitespace", {"\\S+"}},
    {"poro-chat", {" ?[^(\\s|.,!?…。，、।۔،)]+"}},
    {"viking", {" ?[^(\\s|.,!?…。，、।۔،)]+", "\\p{N}"}},
    {"kimi-k2", {"\\p{Han}+|" LEAD K_UP "*" K_LOW "+" CT "?|" LEAD K_UP "+" K_LOW "*" CT "?|\\p{N}{1,3}" TAIL}},
    {"default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", G2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gemma4", {"[^\\n]+|[\\n]+"}},
};

struct pieces {
    size_t end[MAX_BYTES], n;
};

static pcre2_code *compile(const char *pattern)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    if (!re) {
        fail_msg("error %d at %zu of %s", code, (size_t)at, pattern);
    }
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* faster where there is one */
    return re;
}

/* Cut s[0..n) at every match of re, left-over text being pieces of its own; positions are given from base. A match of
 * nothing is a cut alone. */
static void split(const pcre2_code *re, const char *s, size_t n, size_t base, struct pieces *out)
{
    pcre2_match_data *md = pcre2_match_data_create(4, NULL);
    size_t begin = 0, pos = 0;
    while (pos < n && pcre2_match(re, (PCRE2_SPTR)s, n, pos, 0, md, NULL) > 0) {
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(md);
        if (v[0] > begin) {
            out->end[out->n++] = base + v[0];
        }
        begin = v[0];
        pos = v[1];
        if (v[1] > v[0]) {
            out->end[out->n++] = base + v[1];
            begin = v[1];
        } else {
            uint32_t cp;
            pos += pos < n ? utf8_decode(s + pos, n - pos, &cp) : 1;
        }
    }
    if (begin < n) {
        out->end[out->n++] = base + n;
    }
    pcre2_match_data_free(md);
}

/* Every piece of `pieces` cut further. */
static void split_further(const pcre2_code *re, const char *s, struct pieces *pieces)
{
    struct pieces parts = *pieces;
    pieces->n = 0;
    for (size_t k = 0, from = 0; k < parts.n; from = parts.end[k++]) {
        split(re, s + from, parts.end[k] - from, from, pieces);
    }
}

static void split_by_hand(const struct pretoken_rule *rule, const char *s, size_t n, struct pieces *out)
{
    struct pretokens p;
    const char *piece;
    size_t len;
    out->n = 0;
    pretokens_init(&p, rule, s, n);
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

static void check_equal(const char *s, size_t n, const struct pieces *want, const char *name)
{
    const struct pretoken_rule *rule;
    struct pieces got;
    struct err e = {0};
    assert_int_equal(pretoken_find(name, &rule, &e), 0);
    split_by_hand(rule, s, n, &got);
    if (got.n != want->n || memcmp(got.end, want->end, got.n * sizeof *got.end) != 0) {
        for (size_t i = 0; i < n; i++) {
            print_message("%02x ", (unsigned char)s[i]);
        }
        show("\nby hand", &got);
        show("pcre2", want);
        fail_msg("\"%s\" differs", name);
    }
}

/* Random strings; every fourth has long runs of one character. */
static size_t random_string(uint64_t i, const pcre2_code *unassigned, char s[MAX_BYTES])
{
    size_t n = 0, n_char = rng_below(MAX_CHARS, 3, i, 0), run = 0;
    uint32_t cp = 0;
    for (uint64_t k = 0; k < n_char; k++) {
        if (run == 0) {
            cp = random_char(i, k, unassigned);
            run = i % 4 == 0 ? 1 + rng_below(7, 6, i, k) : 1;
        }
        run--;
        n += utf8_encode(cp, s + n);
    }
    return n;
}

static void equal_to_pcre2(void **state)
{
    (void)state;
    const char *name;
    pcre2_code *unassigned = compile("\\p{Cn}");
    for (size_t r = 0; r < sizeof published / sizeof *published; r++) {
        pcre2_code *re[MAX_PATTERNS] = {NULL};
        size_t n_re = 0;
        for (; n_re < MAX_PATTERNS && published[r].pattern[n_re]; n_re++) {
            re[n_re] = compile(published[r].pattern[n_re]);
        }
        for (uint64_t i = 0; i < N_STRINGS; i++) {
            char s[MAX_BYTES];
            size_t n = random_string(i, unassigned, s);
            struct pieces want = {.end = {n}, .n = n > 0};
            for (size_t k = 0; k < n_re; k++) {
                split_further(re[k], s, &want);
            }
            check_equal(s, n, &want, published[r].name);
        }
        for (size_t k = 0; k < n_re; k++) {
            pcre2_code_free(re[k]);
        }
        assert_non_null(pretoken_rule_at(r, &name)); /* and none is left out */
        assert_string_equal(name, published[r].name);
    }
    assert_null(pretoken_rule_at(sizeof published / sizeof *published, &name));
    pcre2_code_free(unassigned);
}

static void any_bytes(void **state)
{
    (void)state;
    const char *name;
    const struct pretoken_rule *rule;
    for (size_t r = 0; (rule = pretoken_rule_at(r, &name)) != NULL; r++) {
        for (uint64_t i = 0; i < 2000; i++) {
            char s[MAX_BYTES];
            size_t n = rng_below(MAX_BYTES, 4, i, 0);
            for (size_t k = 0; k < n; k++) {
                uint64_t b = rng_u64(5, i, k);
                s[k] = i % 2 ? (char)b : (char)(b % 3 ? '0' + b % 10 : b >> 8);
            }
            struct pieces p;
            split_by_hand(rule, s, n, &p);
        }
    }
}

/* A quarter of a megabyte of one kind of character costs a rule no more steps than it has bytes: a splitter that looks
 * ahead over a run again for every piece of it would need minutes. */
static void long_runs(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    static const char *const unit[] = {"a", " ",  "1",  "\xD9\xA3", "\n", "\xE4\xB8\xAD", "A", "\xCC\x81",
                                       "-", "a ", " 1", "1_",       "'s"};
    const char *name, *piece;
    const struct pretoken_rule *rule;
    char *s = mem_alloc(N + 8);
    for (size_t u = 0; u < sizeof unit / sizeof *unit; u++) {
        size_t n = 0, len = strlen(unit[u]);
        for (; n + len <= N; n += len) {
            memcpy(s + n, unit[u], len);
        }
        for (size_t r = 0; (rule = pretoken_rule_at(r, &name)) != NULL; r++) {
            struct pretokens p;
            size_t sum = 0, m;
            pretokens_init(&p, rule, s, n);
            while (pretokens_next(&p, &piece, &m)) {
                sum += m;
            }
            assert_int_equal(sum, n);
        }
    }
    mem_free(s);
}

static void names(void **state)
{
    (void)state;
    const struct pretoken_rule *a, *b;
    struct err e = {0};
    assert_int_equal(pretoken_find("gpt-2", &a, &e), 0);
    assert_int_equal(pretoken_find("olmo", &b, &e), 0);
    assert_ptr_equal(a, b);
    assert_int_equal(pretoken_find("starcoder", &b, &e), 0);
    assert_ptr_not_equal(a, b);
    assert_int_equal(pretoken_find("no-such", &b, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "\"no-such\""));
    assert_non_null(strstr(e.msg, "smollm"));
    assert_int_equal(pretoken_find(NULL, &b, &e), -ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_to_pcre2), cmocka_unit_test(any_bytes),
                                       cmocka_unit_test(long_runs), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
