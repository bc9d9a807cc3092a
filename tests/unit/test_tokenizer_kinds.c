/* SentencePiece's BPE and WordPiece on small vocabularies made here, and how added tokens take the text around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "compute/text/tokenizer.h"
#include "ground/base/mem.h"

#define M "\xE2\x96\x81" /* U+2581 */

enum { UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6, MAX_TOKENS = 300, MAX_IDS = 16 };

static const char *text[MAX_TOKENS];
static uint32_t len[MAX_TOKENS];
static int32_t type[MAX_TOKENS];
static float score[MAX_TOKENS];
static uint8_t match[MAX_TOKENS];
static size_t n_token;

static int add(const char *s, int t, float x)
{
    text[n_token] = s;
    len[n_token] = (uint32_t)strlen(s);
    type[n_token] = t;
    score[n_token] = x;
    match[n_token] = 0;
    return (int)n_token++;
}

static struct vocab_source source(const char *model)
{
    return (struct vocab_source){.model = model,
                                 .n_token = n_token,
                                 .token = text,
                                 .token_len = len,
                                 .type = type,
                                 .score = score,
                                 .match = match,
                                 .bos_id = 1,
                                 .eos_id = 2,
                                 .eot_id = -1,
                                 .eom_id = -1,
                                 .unk_id = 0,
                                 .pad_id = -1};
}

/* 0 <unk>, 1 <s>, 2 </s>, then pieces with scores; "ab" is better than "bc", so "abc" is "ab" "c". */
static struct vocab_source pieces(void)
{
    n_token = 0;
    add("<unk>", UNKNOWN, 0);
    add("<s>", CONTROL, 0);
    add("</s>", CONTROL, 0);
    add(M, 1, -10);
    add("a", 1, -11);
    add("b", 1, -12);
    add("c", 1, -13);
    add("ab", 1, -1);
    add("bc", 1, -2);
    add(M "ab", 1, -3);
    add(M M, 1, -4);
    add("aa", 1, -5);
    struct vocab_source v = source("llama");
    v.normalize = NORMALIZE_SPACES;
    v.space_prefix = SPACE_PREFIX_EVERY;
    return v;
}

static struct tokenizer *make(const struct vocab_source *v)
{
    struct tokenizer *t = NULL;
    struct err e = {0};
    if (tokenizer_new(&t, v, &e)) {
        fail_msg("%s", e.msg);
    }
    return t;
}

/* The texts of the tokens of s with a bar between. */
static void expect(const struct tokenizer *t, const char *s, unsigned flags, const char *want)
{
    struct token_list l = {0};
    struct err e = {0};
    char got[512] = "";
    if (tokenizer_encode(t, s, strlen(s), flags, &l, &e)) {
        fail_msg("%s", e.msg);
    }
    for (size_t i = 0; i < l.n; i++) {
        size_t at = strlen(got);
        snprintf(got + at, sizeof got - at, "%s%s", i ? "|" : "", text[l.ids[i]]);
    }
    token_list_deinit(&l);
    if (strcmp(got, want) != 0) {
        fail_msg("\"%s\" is %s, expected %s", s, got, want);
    }
}

static void decode(const struct tokenizer *t, const char *s, unsigned flags, const char *want)
{
    struct token_list l = {0};
    struct detokenizer d;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 16);
    assert_int_equal(tokenizer_encode(t, s, strlen(s), flags, &l, &e), 0);
    detokenizer_init(&d, t, true);
    detokenizer_follow(&d, -1);
    for (size_t i = 0; i < l.n; i++) {
        assert_int_equal(detokenizer_push(&d, l.ids[i], &out), 0);
    }
    assert_int_equal(detokenizer_finish(&d, &out), 0);
    assert_string_equal(out.data ? out.data : "", want);
    buf_deinit(&out);
    token_list_deinit(&l);
}

static void scores(void **state)
{
    (void)state;
    struct vocab_source v = pieces();
    struct tokenizer *t = make(&v);
    expect(t, "abc", 0, M "ab|c");
    expect(t, "bc", 0, M "|bc");
    expect(t, "aaa", 0, M "|aa|a"); /* of two that are as good the left one */
    expect(t, "  ab", 0, M M "|" M "ab");
    expect(t, "", 0, "");
    expect(t, "<s>ab</s>ab", TOKENIZE_SPECIAL, "<s>|" M "ab|</s>|" M "ab");
    decode(t, "  ab c", 0, "  ab c");
    decode(t, "<s>ab</s> ab", TOKENIZE_SPECIAL, "<s>ab</s> ab");
    tokenizer_free(t);
    v.space_prefix = SPACE_PREFIX_FIRST;
    t = make(&v);
    expect(t, "ab</s>ab", TOKENIZE_SPECIAL, M "ab|</s>|ab");
    tokenizer_free(t);
    v.space_prefix = SPACE_PREFIX_NONE;
    t = make(&v);
    expect(t, "ab ab", 0, "ab|" M "ab");
    tokenizer_free(t);
}

/* What has no piece: bytes where the vocabulary has all of them, else the unknown token, once for all in a row. */
static void falling_back(void **state)
{
    (void)state;
    struct vocab_source v = pieces();
    struct tokenizer *t = make(&v);
    expect(t,
           "a\xC3\xA9\xC3\xA9"
           "b\xFF",
           0, M "|a|<unk>|b|<unk>");
    tokenizer_free(t);
    static char hex[256][8];
    v = pieces();
    for (int b = 0; b < 256; b++) {
        snprintf(hex[b], sizeof hex[b], "<0x%02X>", (unsigned)b);
        add(hex[b], BYTE, 0);
    }
    v.n_token = n_token;
    t = make(&v);
    expect(t,
           "a\xC3\xA9"
           "b",
           0, M "|a|<0xC3>|<0xA9>|b");
    expect(t, "<0x41>", 0, M "|<0x3C>|<0x30>|<0x78>|<0x34>|<0x31>|<0x3E>"); /* text is never a byte token */
    decode(t, "a\xC3\xA9 \xF0\x9F\x8C\x8F\xFF", 0, "a\xC3\xA9 \xF0\x9F\x8C\x8F\xEF\xBF\xBD");
    tokenizer_free(t);
}

/* The same pieces with merges instead: ranks decide, and pairs that no merge names stay apart. */
static void merges(void **state)
{
    (void)state;
    static const char *const merge[] = {"b c", "a b", M " ab"};
    struct vocab_source v = pieces();
    v.merge = merge;
    v.n_merge = 3;
    struct tokenizer *t = make(&v);
    expect(t, "abc", 0, M "|a|bc");
    expect(t, "ab", 0, M "ab");
    expect(t, "aa", 0, M "|a|a");
    tokenizer_free(t);
}

static void bad_scores(void **state)
{
    (void)state;
    struct err e = {0};
    struct tokenizer *t;
    struct vocab_source v = pieces();
    score[5] = NAN;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    v = pieces();
    char *longer = mem_alloc(2000);
    memset(longer, 'a', 1999);
    add(longer, 1, -1);
    v.n_token = n_token;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "1999 bytes"));
    mem_free(longer);
}

/* A megabyte without a space is one piece to merge in. */
static void long_word(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct vocab_source v = pieces();
    struct tokenizer *t = make(&v);
    struct token_list l = {0};
    struct err e = {0};
    char *s = mem_alloc(N);
    memset(s, 'a', N);
    assert_int_equal(tokenizer_encode(t, s, N, 0, &l, &e), 0);
    assert_int_equal(l.n, 1 + N / 2);
    token_list_deinit(&l);
    mem_free(s);
    tokenizer_free(t);
}

static struct vocab_source words(void)
{
    n_token = 0;
    add("[UNK]", CONTROL, 0);
    add("[CLS]", CONTROL, 0);
    add("[SEP]", CONTROL, 0);
    add(M "un", 1, 0);
    add("aff", 1, 0);
    add("able", 1, 0);
    add(M "a", 1, 0);
    add("f", 1, 0);
    add(M ",", 1, 0);
    add(M "\xE4\xB8\xAD", 1, 0);
    add(M "[", 1, 0);
    add("b", CONTROL, 0);
    struct vocab_source v = source("bert");
    v.normalize = NORMALIZE_CLEAN | NORMALIZE_CJK | NORMALIZE_ACCENTS | NORMALIZE_LOWER;
    v.add_bos = v.add_eos = true;
    return v;
}

static void word_pieces(void **state)
{
    (void)state;
    struct vocab_source v = words();
    struct tokenizer *t = make(&v);
    expect(t,
           "Un\xC3\xA0"
           "ffable, a",
           TOKENIZE_ENDS, "[CLS]|" M "un|aff|able|" M ",|" M "a|[SEP]");
    expect(t, "unxable a", 0, "[UNK]|" M "a");
    expect(t,
           "a\xE4\xB8\xAD"
           "a",
           0, M "a|" M "\xE4\xB8\xAD|" M "a");
    expect(t, "[CLS] a", 0, M "[|[UNK]|[UNK]|" M "a"); /* a user's text is text */
    expect(t, "[CLS] a", TOKENIZE_SPECIAL, "[CLS]|" M "a");
    expect(t, " \t\n", 0, "");
    expect(t, "ab", 0, "[UNK]"); /* a control token is no piece of a word */
    decode(t, "unaffable, a", 0, "unaffable , a");
    char much[128];
    memset(much, 'f', sizeof much);
    much[0] = 'a';
    much[100] = '\0';
    struct token_list l = {0};
    struct err e;
    assert_int_equal(tokenizer_encode(t, much, 100, 0, &l, &e), 0);
    assert_int_equal(l.n, 100);
    much[100] = 'f';
    l.n = 0;
    assert_int_equal(tokenizer_encode(t, much, 101, 0, &l, &e), 0);
    assert_int_equal(l.n, 1); /* more than 100 characters: unknown */
    token_list_deinit(&l);
    tokenizer_free(t);
}

static void added_tokens(void **state)
{
    (void)state;
    struct vocab_source v = pieces();
    match[add("<l>", USER, 0)] = TOKEN_MATCH_LSTRIP;
    match[add("<r>", USER, 0)] = TOKEN_MATCH_RSTRIP;
    match[add("xyx", USER, 0)] = TOKEN_MATCH_WORD;
    v.n_token = n_token;
    v.space_prefix = SPACE_PREFIX_NONE;
    struct tokenizer *t = make(&v);
    expect(t, "a  <l> a", 0, "a|<l>|" M "|a");
    expect(t, "a <r> \n a", 0, "a|" M "|<r>|a");
    expect(t, " <l>", 0, "<l>");
    expect(t, "<r> ", 0, "<r>");
    expect(t, "xyx xyx.", 0, "xyx|" M "|xyx|<unk>");
    expect(t, "axyx xyxa", 0, "a|<unk>|" M "|<unk>|a");
    tokenizer_free(t);
}

/* Spans end where their last byte is covered, also where spaces grew and where they were taken by a token. */
static void spans(void **state)
{
    (void)state;
    struct vocab_source v = pieces();
    match[add("<r>", USER, 0)] = TOKEN_MATCH_RSTRIP;
    v.n_token = n_token;
    struct tokenizer *t = make(&v);
    const struct text_span span[] = {
        {"ab ", 3, false, false}, {"c<r>", 4, true, false}, {"  ", 2, false, false}, {"a", 1, true, false}};
    struct token_list l = {0};
    struct err e = {0};
    size_t end[4];
    assert_int_equal(tokenizer_encode_spans(t, span, 4, &l, end, &e), 0);
    /* ▁ab ▁ c <r> ▁ a */
    assert_int_equal(l.n, 6);
    assert_int_equal(end[0], 2);
    assert_int_equal(end[1], 3); /* the token that takes the spaces reaches into the next span */
    assert_int_equal(end[2], 5); /* the space put in front of "a" stands for nothing of it */
    assert_int_equal(end[3], 6);
    token_list_deinit(&l);
    tokenizer_free(t);
}

static void out_of_memory(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct vocab_source v = kind ? words() : pieces();
        for (int k = 1;; k++) {
            struct tokenizer *t = NULL;
            struct token_list l = {0};
            struct err e = {0};
            mem_fault_after(k);
            int rc = tokenizer_new(&t, &v, &e);
            rc = rc ? rc : tokenizer_encode(t, "ab c\xC3\xA9", 6, 0, &l, &e);
            mem_fault_after(0);
            assert_true(!rc || rc == -ERR_NOMEM);
            token_list_deinit(&l);
            tokenizer_free(t);
            if (!rc) {
                assert_true(k > 10);
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores),       cmocka_unit_test(falling_back), cmocka_unit_test(merges),
        cmocka_unit_test(bad_scores),   cmocka_unit_test(long_word),    cmocka_unit_test(word_pieces),
        cmocka_unit_test(added_tokens), cmocka_unit_test(spans),        cmocka_unit_test(out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
