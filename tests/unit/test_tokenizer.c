/* The tokenizer on a small vocabulary made here: merges, special tokens, trust of spans, streaming, torture of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "compute/text/bpe.h"
#include "compute/text/byte_map.h"
#include "compute/text/tokenizer.h"
#include "compute/text/utf8.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

/* 0 <s>, 1 </s>, 2 <|im_start|>, 3 <|im_end|>, 4 user-defined "<tab>", 5 user-defined "<tab>>", then 256 bytes, then
 * merges */
enum { BYTE0 = 6, N_MERGE = 9, N_TOKEN = BYTE0 + 256 + N_MERGE - 1 };

static const char *const merges[N_MERGE] = {"h e", "l l",   "he ll", "hell o", "\xC4\xA0 hello",
                                            "a a", "aa aa", "x y",   "xy z"};
static char texts[N_TOKEN][16];
static const char *text_ptr[N_TOKEN];
static uint32_t text_len[N_TOKEN];
static int32_t types[N_TOKEN];

static struct vocab_source vocabulary(void)
{
    static const char *const first[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<tab>", "<tab>>"};
    int n = 0;
    for (; n < BYTE0; n++) {
        snprintf(texts[n], sizeof texts[n], "%s", first[n]);
        types[n] = n < 4 ? 3 : 4;
    }
    for (int b = 0; b < 256; b++, n++) {
        char byte = (char)b;
        texts[n][byte_map_spell(&byte, 1, texts[n])] = '\0';
        types[n] = 1;
    }
    for (int m = 0; m < N_MERGE; m++) {
        const char *space = strchr(merges[m] + 1, ' ');
        if (strcmp(merges[m], "x y") == 0) {
            continue; /* "xy" is no token, yet "xyz" is one, reached through it */
        }
        snprintf(texts[n], sizeof texts[n], "%.*s%s", (int)(space - merges[m]), merges[m], space + 1);
        types[n++] = 1;
    }
    assert_int_equal(n, N_TOKEN);
    for (int i = 0; i < n; i++) {
        text_ptr[i] = texts[i];
        text_len[i] = (uint32_t)strlen(texts[i]);
    }
    return (struct vocab_source){.model = "gpt2",
                                 .pre = "gpt-2",
                                 .n_token = N_TOKEN,
                                 .token = text_ptr,
                                 .token_len = text_len,
                                 .type = types,
                                 .n_merge = N_MERGE,
                                 .merge = merges,
                                 .bos_id = 0,
                                 .eos_id = 1,
                                 .eot_id = -1,
                                 .eom_id = -1,
                                 .unk_id = -1,
                                 .pad_id = -1};
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

static int byte_id(char c)
{
    return BYTE0 + (unsigned char)c;
}

static void expect_ids(const struct tokenizer *t, const char *text, unsigned flags, const int *want, size_t n)
{
    struct token_list l = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode(t, text, strlen(text), flags, &l, &e), 0);
    bool same = l.n == n;
    for (size_t i = 0; same && i < n; i++) {
        same = l.ids[i] == want[i];
    }
    if (!same) {
        for (size_t i = 0; i < l.n; i++) {
            print_message("%d ", (int)l.ids[i]);
        }
        fail_msg("<- \"%s\"", text);
    }
    token_list_deinit(&l);
}
#define EXPECT(t, text, flags, ...) \
    expect_ids(t, text, flags, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void merging(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    struct tokenizer *t = make(&v);
    int hello = tokenizer_find(t, "hello"), ghello = tokenizer_find(t, "\xC4\xA0hello"), he = tokenizer_find(t, "he"),
        ll = tokenizer_find(t, "ll"), aa = tokenizer_find(t, "aa"), aaaa = tokenizer_find(t, "aaaa"),
        xyz = tokenizer_find(t, "xyz");
    EXPECT(t, "hello hello", 0, hello, ghello);
    EXPECT(t, "hell", 0, tokenizer_find(t, "hell"));
    EXPECT(t, "hehell", 0, he, tokenizer_find(t, "hell"));
    EXPECT(t, "lll", 0, ll, byte_id('l'));
    EXPECT(t, "aaaaaaa", 0, aaaa, aa, byte_id('a'));
    EXPECT(t, "xyz", 0, xyz);
    EXPECT(t, "xyy", 0, byte_id('x'), byte_id('y'), byte_id('y'));
    EXPECT(t, "\xFF", 0, byte_id('\xFF'));
    tokenizer_free(t);
}

static void special_tokens(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    struct tokenizer *t = make(&v);
    EXPECT(t, "<|im_end|>", TOKENIZE_SPECIAL, 3);
    EXPECT(t, "z<|im_start|><tab>", TOKENIZE_SPECIAL, byte_id('z'), 2, 4);
    EXPECT(t, "<tab>><tab>", 0, 5, 4); /* the longest first; user-defined in any text */
    EXPECT(t, "<s>", 0, byte_id('<'), byte_id('s'), byte_id('>'));
    assert_true(tokenizer_is_control(t, 3) && !tokenizer_is_control(t, 4));
    assert_true(tokenizer_is_end(t, 1) && tokenizer_is_end(t, 3) && !tokenizer_is_end(t, 2));
    v.add_bos = v.add_eos = true;
    tokenizer_free(t);
    t = make(&v);
    EXPECT(t, "z", TOKENIZE_ENDS, 0, byte_id('z'), 1);
    EXPECT(t, "z", 0, byte_id('z'));
    EXPECT(t, "<s>z</s>", TOKENIZE_ENDS | TOKENIZE_SPECIAL, 0, byte_id('z'), 1);
    EXPECT(t, "", TOKENIZE_ENDS, 0, 1);
    tokenizer_free(t);
}

/* A control token that is typed user-defined, or that merges spell, still is none when a user writes it. */
static void users_never_control(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    types[3] = 4;
    types[N_TOKEN - 1] = 3; /* "xyz" */
    v.ignore_merges = true;
    struct tokenizer *t = make(&v);
    struct token_list l = {0};
    struct err e;
    const char *text = "<|im_end|> xyz xyz<|im_start|>";
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &l, &e), 0);
    for (size_t i = 0; i < l.n; i++) {
        assert_false(tokenizer_is_control(t, l.ids[i]));
    }
    token_list_deinit(&l);
    EXPECT(t, "xyz", 0, byte_id('x'), byte_id('y'), byte_id('z'));
    tokenizer_free(t);
}

static void spans(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    struct tokenizer *t = make(&v);
    int hello = tokenizer_find(t, "hello");
    const struct text_span s[] = {
        {"<|im_start|>he", 14, false, false},
        {"llo", 3, true, false},
        {"", 0, true, false},
        {"<|im_end|>", 10, true, false},
        {"<|im_end|>", 10, false, false},
        {"<|im_", 5, false, false},
        {"end|>", 5, true, false},
    };
    struct token_list l = {0};
    size_t end[7];
    struct err e = {0};
    assert_int_equal(token_list_add(&l, 77), 0);
    assert_int_equal(tokenizer_encode_spans(t, s, 7, &l, end, &e), 0);
    const int want[] = {77,           2,
                        hello,        byte_id('<'),
                        byte_id('|'), byte_id('i'),
                        byte_id('m'), byte_id('_'),
                        byte_id('e'), byte_id('n'),
                        byte_id('d'), byte_id('|'),
                        byte_id('>'), 3,
                        byte_id('<'), byte_id('|')};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(l.ids[i], want[i]);
    }
    assert_int_equal(l.n, 24);
    const size_t want_end[] = {2, 3, 3, 13, 14, 19, 24};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(end[i], want_end[i]);
    }
    token_list_deinit(&l);
    tokenizer_free(t);
}

static void decode_bytes(const struct tokenizer *t, const struct token_list *l, struct buf *out)
{
    for (size_t i = 0; i < l->n; i++) {
        const char *bytes;
        size_t n;
        assert_int_equal(tokenizer_token(t, l->ids[i], false, &bytes, &n), 0);
        assert_int_equal(buf_add(out, bytes, n), 0);
    }
}

static void round_trip(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    struct tokenizer *t = make(&v);
    struct buf out;
    buf_init(&out, 1 << 20);
    for (uint64_t i = 0; i < 5000; i++) {
        char s[200];
        size_t n = rng_below(sizeof s, 1, i, 0);
        for (size_t k = 0; k < n; k++) {
            s[k] = (char)(i % 2 ? rng_u64(2, i, k) : (uint64_t) "helo a<tab>xyz|\xC4\xA0"[rng_below(17, 3, i, k)]);
        }
        struct token_list l = {0};
        struct err e = {0};
        buf_clear(&out);
        assert_int_equal(tokenizer_encode(t, s, n, 0, &l, &e), 0);
        decode_bytes(t, &l, &out);
        assert_int_equal(out.len, n);
        assert_true(n == 0 || memcmp(out.data, s, n) == 0);
        token_list_deinit(&l);
    }
    buf_deinit(&out);
    tokenizer_free(t);
}

/* What the stream has put out is valid UTF-8 after every token; valid text comes back as it was. */
static void streaming(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    struct tokenizer *t = make(&v);
    struct buf out;
    buf_init(&out, 1 << 20);
    for (uint64_t i = 0; i < 4000; i++) {
        char s[64];
        size_t n = 0;
        bool valid = i % 2;
        while (n < 48) {
            uint32_t cp = (uint32_t)rng_below(0x20000, 5, i, n);
            if (valid && !(cp >= 0xD800 && cp <= 0xDFFF)) {
                n += utf8_encode(cp, s + n);
            } else if (!valid) {
                s[n] = (char)rng_u64(6, i, n);
                n++;
            } else {
                s[n++] = 'a';
            }
        }
        struct detokenizer d;
        detokenizer_init(&d, t, true);
        buf_clear(&out);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(detokenizer_push(&d, byte_id(s[k]), &out), 0);
            assert_true(utf8_valid(out.data ? out.data : "", out.len));
        }
        assert_int_equal(detokenizer_finish(&d, &out), 0);
        assert_true(utf8_valid(out.data, out.len));
        if (valid) {
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, s, n);
        }
    }
    buf_clear(&out);
    struct detokenizer d;
    detokenizer_init(&d, t, false);
    assert_int_equal(detokenizer_push(&d, byte_id('\xE4'), &out), 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(detokenizer_push(&d, 3, &out), 0); /* a control token shows nothing */
    assert_int_equal(detokenizer_push(&d, byte_id('a'), &out), 0);
    assert_string_equal(out.data, "\xEF\xBF\xBD"
                                  "a");
    assert_int_equal(detokenizer_push(&d, -1, &out), -ERR_INPUT);
    assert_int_equal(detokenizer_push(&d, N_TOKEN, &out), -ERR_INPUT);
    buf_deinit(&out);
    tokenizer_free(t);
}

/* One megabyte of one letter is one pre-token: the number of heap operations stays linear. */
static void long_run(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct vocab_source v = vocabulary();
    bool usable[N_TOKEN];
    memset(usable, 1, sizeof usable);
    struct bpe b;
    struct bpe_work w = {0};
    struct err e = {0};
    assert_int_equal(bpe_init(&b, BPE_BYTES, &v, text_ptr, usable, &e), 0);
    char *s = mem_alloc(N);
    memset(s, 'a', N);
    assert_int_equal(bpe_run(&b, &w, s, N), 0);
    size_t n = 0;
    for (uint32_t i = 0; i != UINT32_MAX; i = w.sym[i].next) {
        assert_int_equal(w.sym[i].n_bytes, 4);
        n++;
    }
    assert_int_equal(n, N / 4);
    assert_true(w.n_heap_op <= 6 * (uint64_t)N);
    bpe_work_deinit(&w);
    bpe_deinit(&b);
    struct tokenizer *t = make(&v);
    struct token_list l = {0};
    assert_int_equal(tokenizer_encode(t, s, N, 0, &l, &e), 0);
    assert_int_equal(l.n, N / 4);
    token_list_deinit(&l);
    tokenizer_free(t);
    mem_free(s);
}

static void refuses(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct err e = {0};
    struct vocab_source v = vocabulary();
    v.model = "t5";
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "\"t5\""));
    v = vocabulary();
    v.unsupported = "a step";
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "a step"));
    v = vocabulary();
    v.model = "llama"; /* neither scores nor merges */
    v.n_merge = 0;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    v = vocabulary();
    v.model = "bert"; /* no unknown token */
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    v = vocabulary();
    v.model = NULL;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_UNSUPPORTED);
    v = vocabulary();
    v.eos_id = N_TOKEN;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    static const char *const broken[] = {"nospace"};
    v = vocabulary();
    v.merge = broken;
    v.n_merge = 1;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
    v = vocabulary();
    v.token_len = NULL;
    v.n_token = 0;
    assert_int_equal(tokenizer_new(&t, &v, &e), -ERR_INPUT);
}

/* A byte that the vocabulary lacks is the unknown token or U+FFFD, an error where there is neither; never dropped. */
static void missing_byte(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    texts[byte_id('q')][0] = '\x01';
    v.unk_id = 3; /* a control token: no text may become it */
    struct tokenizer *t = make(&v);
    EXPECT(t, "aq", 0, byte_id('a'), byte_id('\xEF'), byte_id('\xBF'), byte_id('\xBD'));
    tokenizer_free(t);
    types[0] = 2;
    v.unk_id = 0;
    t = make(&v);
    EXPECT(t, "aq", 0, byte_id('a'), 0);
    tokenizer_free(t);
    v = vocabulary();
    texts[byte_id('q')][0] = texts[byte_id('\xBD')][0] = '\x01';
    t = make(&v);
    struct token_list l = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode(t, "aq", 2, 0, &l, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "0x71"));
    assert_int_equal(l.n, 0);
    token_list_deinit(&l);
    tokenizer_free(t);
}

/* Every allocation fails once: an error, nothing leaks (the sanitizers look), and afterwards all works. */
static void memory_faults(void **state)
{
    (void)state;
    struct vocab_source v = vocabulary();
    const struct text_span s[] = {{"<|im_start|>", 12, false, false}, {"hello 123 hello", 15, true, false}};
    bool done = false;
    for (int64_t k = 1; !done; k++) {
        assert_true(k < 4000);
        struct tokenizer *t = NULL;
        struct token_list l = {0};
        struct err e = {0};
        mem_fault_after(k);
        int rc = tokenizer_new(&t, &v, &e);
        if (!rc) {
            rc = tokenizer_encode_spans(t, s, 2, &l, NULL, &e);
        }
        mem_fault_after(0);
        done = rc == 0;
        assert_true(rc == 0 || (rc == -ERR_NOMEM && e.code == ERR_NOMEM && l.n == 0));
        token_list_deinit(&l);
        tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging),       cmocka_unit_test(special_tokens), cmocka_unit_test(users_never_control),
        cmocka_unit_test(spans),         cmocka_unit_test(round_trip),     cmocka_unit_test(streaming),
        cmocka_unit_test(long_run),      cmocka_unit_test(refuses),        cmocka_unit_test(missing_byte),
        cmocka_unit_test(memory_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
