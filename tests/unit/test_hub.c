/* Getting models, the parts that need no server: sources, names from outside, what is chosen of a repository, heads of
 * answers, addresses, waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ground/archive/archive_name.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/http/http_get.h"
#include "ground/http/http_url.h"
#include "lifecycle/hub/choose.h"
#include "lifecycle/hub/package_int.h"
#include "lifecycle/hub/source.h"

static void names_stay_inside(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b.c", "模型/权重.gguf", "..a/b..", "a b"};
    static const char *const bad[] = {"",     "/a",   "a/",   "a//b", ".",     "..",     "a/../b", "../a",
                                      "a/..", "a\\b", "a\nb", "\xff", "a/./b", "a/\x7f", "C:\\x"};
    char long_name[1100];
    for (size_t i = 0; i < N_ELEM(good); i++)
        if (!archive_name_is_safe(good[i])) fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < N_ELEM(bad); i++)
        if (archive_name_is_safe(bad[i])) fail_msg("%s was taken", bad[i]);
    memset(long_name, 'a', sizeof long_name);
    long_name[256] = '\0';
    assert_false(archive_name_is_safe(long_name));
    long_name[255] = '\0';
    assert_true(archive_name_is_safe(long_name));
    long_name[255] = long_name[256] = 'a';
    for (size_t i = 99; i < sizeof long_name; i += 100) long_name[i] = '/';
    long_name[1098] = '\0';
    assert_false(archive_name_is_safe(long_name));
}

static void sources_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hub_kind kind;
        const char *repo, *revision, *selector, *name;
    } c[] = {
        {"hf:Org/Re-po.1", HUB_HF, "Org/Re-po.1", NULL, NULL, "Re-po.1"},
        {"hf:o/r@refs/pr/1:a/b.gguf", HUB_HF, "o/r", "refs/pr/1", "a/b.gguf", "r"},
        {"ms:o/r:Q4_K_M", HUB_MS, "o/r", NULL, "Q4_K_M", "r"},
        {"https://h/p/m%20x.gguf?sig=1", HUB_ADDRESS, NULL, NULL, NULL, "m-x"},
        {"https://h/m-00001-of-00003.gguf", HUB_ADDRESS, NULL, NULL, NULL, "m"},
        {"http://h:81/", HUB_ADDRESS, NULL, NULL, NULL, "h"},
    };
    static const char *const bad[] = {"hf:",     "hf:o",        "hf:o/r/s",  "hf:../r",  "hf:o/..",
                                      "hf:o/r@", "hf:o/r@../x", "hf:o/r:",   "ms:/r",    "hf:o/r:/x",
                                      "o/r",     "https://",    "ftp://h/x", "hf:o r/x", ""};
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct hub_source s;
        struct err e = {0};
        if (hub_source_parse(&s, c[i].text, &e)) fail_msg("%s: %s", c[i].text, e.msg);
        bool same = s.kind == c[i].kind && str_eq(s.repo, c[i].repo) && str_eq(s.revision, c[i].revision) &&
                    str_eq(s.selector, c[i].selector) && str_eq(s.name, c[i].name);
        if (!same) fail_msg("%s became %s %s %s %s", c[i].text, s.repo, s.revision, s.selector, s.name);
        hub_source_deinit(&s);
    }
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        struct hub_source s;
        struct err e = {0};
        if (hub_source_parse(&s, bad[i], &e) != -ERR_USAGE) fail_msg("%s was taken", bad[i]);
        hub_source_deinit(&s);
    }
}

static void list(struct hub_listing *l, const char *const *name, size_t n)
{
    char text[4096];
    size_t len = (size_t)snprintf(text, sizeof text, "{\"siblings\":[");
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s{\"rfilename\":\"%s\",\"size\":1000}", i ? "," : "",
                                name[i]);
    len += (size_t)snprintf(text + len, sizeof text - len, "]}");
    if (hub_listing_parse_hf(l, text, len, "test", &e)) fail_msg("%s", e.msg);
}

static void quantizations_are_told_apart(void **state)
{
    (void)state;
    static const char *const name[] = {"m-Q4_K_M.gguf",
                                       "m-Q4_K_S.gguf",
                                       "m.IQ4_XS.gguf",
                                       "UD/m-UD-Q4_K_XL.gguf",
                                       "q4_0/m.gguf",
                                       "mmproj-Q8_0.gguf",
                                       "m-Q8_0-00001-of-00002.gguf",
                                       "m-Q8_0-00002-of-00002.gguf"};
    static const struct {
        const char *want, *file;
        size_t n;
    } c[] = {{"Q4_K_M", "m-Q4_K_M.gguf", 1},
             {"q4_k_s", "m-Q4_K_S.gguf", 1},
             {"IQ4_XS", "m.IQ4_XS.gguf", 1},
             {"Q4_K_XL", "UD/m-UD-Q4_K_XL.gguf", 1},
             {"Q4_0", "q4_0/m.gguf", 1},
             {"Q8_0", "m-Q8_0-00001-of-00002.gguf", 2},
             {"Q4_K", NULL, 0},
             {"Q4", NULL, 0},
             {"Q4_XS", NULL, 0},
             {"m", NULL, 0}};
    struct hub_listing l;
    list(&l, name, N_ELEM(name));
    for (size_t i = 0; i < N_ELEM(c); i++) {
        struct hub_choice choice;
        struct err e = {0};
        int rc = hub_choose(&choice, &l, "hf:o/r", c[i].want, &e);
        if ((rc == 0) != (c[i].n > 0) || choice.n != c[i].n || (c[i].n && !str_eq(choice.file[0]->path, c[i].file)))
            fail_msg("%s: %d, %zu files, %s", c[i].want, rc, choice.n, e.msg);
        hub_choice_deinit(&choice);
    }
    hub_listing_deinit(&l);
}

static void long_lists_fit_a_message(void **state)
{
    (void)state;
    char text[30][64];
    const char *name[30];
    struct hub_listing l;
    struct hub_choice c;
    struct err e = {0};
    for (size_t i = 0; i < N_ELEM(text); i++) {
        snprintf(text[i], sizeof text[i], "a-model-with-a-rather-long-name-%02zu.gguf", i);
        name[i] = text[i];
    }
    list(&l, name, N_ELEM(name));
    assert_int_equal(hub_choose(&c, &l, "hf:o/r", NULL, &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "30 GGUF files"));
    assert_non_null(strstr(e.msg, " more"));
    assert_true(strlen(e.msg) + 1 < sizeof e.msg);
    hub_choice_deinit(&c);
    hub_listing_deinit(&l);
}

static void add_lines(struct http_head *h, const char *text)
{
    for (size_t n; *text; text += n) {
        n = strcspn(text, "\n") + 1;
        assert_true(http_head_add(h, text, n));
    }
}

static void heads_are_read(void **state)
{
    (void)state;
    struct http_head h;
    uint64_t begin, end, total;
    http_head_init(&h);
    add_lines(
        &h, "HTTP/1.1 302 Found\r\nX-Linked-Etag: \"one\"\r\nEtag: a\r\n\r\nHTTP/1.1 103 Early Hints\r\nETag: b\r\n\r\n"
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/20\r\nRETRY-AFTER:  7 \r\nnonsense\r\n\r\n");
    assert_int_equal(h.status, 206);
    assert_string_equal(http_head_first(&h, "x-linked-etag"), "\"one\"");
    assert_null(http_head_get(&h, "x-linked-etag"));
    assert_string_equal(http_head_first(&h, "etag"), "a");
    assert_true(http_head_range(&h, &begin, &end, &total));
    assert_true(begin == 5 && end == 9 && total == 20);
    assert_int_equal(http_head_retry_after_s(&h), 7);
    assert_true(http_head_length(&h) == UINT64_MAX);
    http_head_deinit(&h);
    static const char *const bad[] = {"bytes 9-5/20",
                                      "bytes 0-20/20",
                                      "bytes -5/20",
                                      "bytes */20",
                                      "items 0-1/2",
                                      "bytes 0-1/2x",
                                      "bytes 0-18446744073709551616/*",
                                      ""};
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        char line[100];
        snprintf(line, sizeof line, "Content-Range: %s\r\n", bad[i]);
        http_head_init(&h);
        add_lines(&h, line);
        if (http_head_range(&h, &begin, &end, &total)) fail_msg("%s was taken", bad[i]);
        http_head_deinit(&h);
    }
}

static void addresses_hide_secrets(void **state)
{
    (void)state;
    static const struct {
        const char *url, *shown;
    } c[] = {{"https://u:p@h/x?sig=1#f", "https://h/x"},
             {"https://h?x=1", "https://h"},
             {"https://a@b@h/x@y", "https://h/x@y"},
             {"u:p@h/x", "h/x"},
             {"https://h/\x1b[2J", "https://h/?[2J"}};
    char shown[HTTP_URL_SHOWN_MAX];
    struct http_url u, v;
    for (size_t i = 0; i < N_ELEM(c); i++) {
        http_url_show(c[i].url, shown, sizeof shown);
        assert_string_equal(shown, c[i].shown);
    }
    assert_int_equal(http_url_parse("https://Host/a", &u, NULL), 0);
    assert_int_equal(http_url_parse("https://host:443/b?c", &v, NULL), 0);
    assert_true(http_url_same_origin(&u, &v));
    assert_int_equal(http_url_parse("https://host:444/", &v, NULL), 0);
    assert_false(http_url_same_origin(&u, &v));
    assert_int_equal(http_url_parse("http://127.0.0.1/", &v, NULL), 0);
    assert_true(v.is_loopback);
    assert_int_equal(http_url_parse("http://127.evil.org/", &v, NULL), 0);
    assert_false(v.is_loopback);
    assert_int_equal(http_url_parse("file:///etc/passwd", &v, NULL), -ERR_USAGE);
}

static void waiting_grows_and_ends(void **state)
{
    (void)state;
    struct http_result r = {.retry_after_s = -1};
    double before = 0;
    for (int i = 1; i < 8; i++) {
        double s = http_retry_delay_s(&r, i);
        assert_true(s > before && s <= 30);
        before = s * 1.01; /* doubling is more than what is random */
    }
    assert_true(http_retry_delay_s(&r, 1000) <= 30);
    r.retry_after_s = 100;
    assert_true(http_retry_delay_s(&r, 1) >= 100);
    r.retry_after_s = 901;
    assert_true(http_retry_delay_s(&r, 1) < 0);
}

static void records_of_wheels_are_read(void **state)
{
    (void)state;
    /* the SHA-256 of nothing, as wheels write it */
    static const char record[] = "a/b.gguf,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n"
                                 "c,sha256=short,1\r\nd,,\r\n,sha256=\r\n";
    struct packed_file f[] = {{.name = mem_strdup("c")}, {.name = mem_strdup("a/b.gguf")}, {.name = mem_strdup("d")}};
    struct package p = {.file = f, .n = 3};
    package_take_record(&p, 0, record);
    assert_string_equal(f[1].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(f[0].sha256, "");
    assert_string_equal(f[2].sha256, "");
    size_t n;
    assert_int_equal(package_piece("x.gguf.part07", &n), 7);
    assert_int_equal(n, 6);
    assert_int_equal(package_piece("x.gguf.part", &n), -1);
    assert_int_equal(package_piece("x.gguf.part+1", &n), -1);
    assert_int_equal(package_piece(".gguf.part1", &n), -1);
    assert_int_equal(package_piece("x.gguf.part12345", &n), -1);
    for (size_t i = 0; i < N_ELEM(f); i++) mem_free(f[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_stay_inside),
        cmocka_unit_test(sources_are_taken_apart),
        cmocka_unit_test(quantizations_are_told_apart),
        cmocka_unit_test(long_lists_fit_a_message),
        cmocka_unit_test(heads_are_read),
        cmocka_unit_test(addresses_hide_secrets),
        cmocka_unit_test(waiting_grows_and_ends),
        cmocka_unit_test(records_of_wheels_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
