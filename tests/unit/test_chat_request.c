/* Bodies of chat completion requests: what is taken from good ones, which status, parameter and words bad ones get, and
 * that nothing is kept or read past the end of any. Also keys and the escaping of text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doors/api/api_int.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/json/json.h"

/* A model that is never asked: requests are only parsed. */
struct fake {
    struct api api;
    struct lane lane;
    struct served model;
    char name[8];
};

static void fake_init(struct fake *f)
{
    memset(f, 0, sizeof(*f));
    memcpy(f->name, "tiny", 5);
    f->lane.tok = (const struct tokenizer *)f; /* looked at for NULL only */
    f->lane.chat = (const struct chat_template *)f;
    f->model = (struct served){.name = f->name, .lane = &f->lane, .adapter = -1};
    f->api.served[f->api.n_served++] = &f->model;
}

static const char full[] =
    "{\"model\":\"tiny\",\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":["
    "{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\xc3\xa9\"}],\"name\":\"x\"}],\"temperature\":0."
    "5,"
    "\"top_p\":0.25,\"top_k\":7,\"min_p\":0.125,\"presence_penalty\":1,\"frequency_penalty\":-1,\"repetition_penalty\":"
    "1.5,"
    "\"seed\":-3,\"stop\":[\"END\",\"\\n\"],\"max_tokens\":9,\"stream\":true,\"stream_options\":{\"include_usage\":"
    "true},"
    "\"n\":1,\"user\":\"u\",\"store\":true,\"metadata\":{\"k\":1},\"logprobs\":false,\"tools\":[]}";

static void test_everything_is_taken(void **state)
{
    (void)state;
    struct fake f;
    struct chat_request q;
    struct api_error x = {0};
    fake_init(&f);
    int rc = chat_request_parse(&q, &f.api, full, strlen(full), &x);
    if (rc) fail_msg("%s", x.message);
    assert_ptr_equal(q.model, &f.model);
    const json_t *m = json_object_get(q.vars, "messages");
    assert_int_equal(json_array_size(m), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 1), "content")), "a\xc3\xa9");
    assert_true(q.sampling.temperature == 0.5f && q.sampling.top_p == 0.25f && q.sampling.min_p == 0.125f);
    assert_true(q.sampling.top_k == 7 && q.sampling.seed == (uint64_t)-3 && !q.sampling.greedy);
    assert_true(q.sampling.presence_penalty == 1 && q.sampling.frequency_penalty == -1);
    assert_true(q.sampling.repetition_penalty == 1.5f && q.max_tokens == 9);
    assert_true(q.stream && q.include_usage && q.n_stop == 2);
    assert_string_equal(q.stop[0], "END");
    chat_request_deinit(&q);
}

static void test_cut_and_damaged_bodies(void **state)
{
    (void)state;
    struct fake f;
    fake_init(&f);
    for (size_t n = 0; n < strlen(full); n++) { /* exact copies, so that a sanitizer sees one byte too far */
        struct chat_request q;
        struct api_error x = {0};
        char *body = malloc(n + 1);
        memcpy(body, full, n);
        body[n] = '\0';
        assert_int_not_equal(chat_request_parse(&q, &f.api, body, n, &x), 0);
        assert_int_equal(x.status, 400);
        chat_request_deinit(&q);
        free(body);
    }
    for (uint64_t i = 0; i < 5000; i++) { /* one byte replaced: any answer, but no harm */
        struct chat_request q;
        struct api_error x = {0};
        char body[sizeof(full)];
        memcpy(body, full, sizeof(full));
        body[rng_below(strlen(full), 1, 0, i)] = (char)rng_below(256, 2, 0, i);
        int rc = chat_request_parse(&q, &f.api, body, strlen(full), &x);
        assert_true(rc == 0 || (x.status >= 400 && x.status < 500 && x.message[0]));
        chat_request_deinit(&q);
    }
}

static void test_refusals(void **state)
{
    (void)state;
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
    static const struct {
        const char *body;
        int status;
        const char *param, *word;
    } set[] = {
        {"", 400, "", "request body"},
        {"null", 400, "", "object"},
        {"{}", 400, "model", "model"},
        {"{\"model\":5," MESSAGES "}", 400, "model", "string"},
        {"{\"model\":\"other\"," MESSAGES "}", 404, "model", "other"},
        {"{\"model\":\"tiny\"}", 400, "messages", "messages"},
        {"{\"model\":\"tiny\",\"messages\":[7]}", 400, "messages", "messages[0]"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\"}]}", 400, "messages[0].content", "missing"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", 400,
         "messages[0].content", "part 0"},
        {"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"tool_calls\":[1]}]}", 400,
         "messages", "tool_calls"},
        {"{\"model\":\"tiny\",\"model\":\"tiny\"," MESSAGES "}", 400, "", "twice"},
        {"{\"model\":\"tiny\",\"max_tokens\":1,\"max_completion_tokens\":2," MESSAGES "}", 400, "max_completion_tokens",
         "differ"},
        {"{\"model\":\"tiny\",\"stop\":[\"\"]," MESSAGES "}", 400, "stop", "stop"},
        {"{\"model\":\"tiny\",\"top_k\":99999999999," MESSAGES "}", 400, "top_k", "99999999999"},
        {"{\"model\":\"tiny\",\"never heard of\":1," MESSAGES "}", 400, "never heard of", "never heard of"},
        {"{\"model\":\"tiny\",\"stream_options\":{\"include_usage\":true}," MESSAGES "}", 400, "stream_options",
         "stream"},
    };
    struct fake f;
    fake_init(&f);
    for (size_t i = 0; i < N_ELEM(set); i++) {
        struct chat_request q;
        struct api_error x = {0};
        int rc = chat_request_parse(&q, &f.api, set[i].body, strlen(set[i].body), &x);
        if (!rc || x.status != set[i].status || strcmp(x.param, set[i].param) || !strstr(x.message, set[i].word))
            fail_msg("%s: rc %d, %d, param \"%s\", \"%s\"", set[i].body, rc, x.status, x.param, x.message);
        chat_request_deinit(&q);
    }
}

/* What was escaped reads back as it was, whatever the room; characters are never cut. */
static void test_escape(void **state)
{
    (void)state;
    static const char text[] = "a\"b\\c\n\r\t\x01\x1f\x7f/\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80 end";
    for (size_t cap = 6; cap < 120; cap++) {
        struct buf back;
        size_t at = 0;
        buf_init(&back, 4096);
        while (at < strlen(text)) {
            char out[128] = "\"";
            size_t n = 1;
            size_t taken = chat_escape(out, cap + 1, &n, text + at, strlen(text) - at);
            assert_true(taken > 0 && n <= cap + 1);
            out[n++] = '"';
            json_t *v = json_loadb(out, n, JSON_DECODE_ANY, NULL);
            assert_non_null(v);
            assert_int_equal(buf_add_str(&back, json_string_value(v)), 0);
            json_decref(v);
            at += taken;
        }
        assert_string_equal(back.data, text);
        buf_deinit(&back);
    }
}

static void test_keys(void **state)
{
    (void)state;
    static const char content[] = "# comment\r\n\n  one  \ntwo words\n#hidden\nlast";
    char path[] = "/tmp/tailor-keys-XXXXXX";
    struct api a = {0};
    struct err e = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write_atomic(path, content, strlen(content), &e), 0);
    assert_int_equal(api_keys_load(path, &a.key, &a.n_key, &e), 0);
    assert_int_equal(a.n_key, 3);
    static const struct {
        const char *header;
        bool good;
    } set[] = {{"Bearer one", true}, {"bearer last", true},  {"Bearer two words", true}, {"Bearer  one ", true},
               {"Bearer on", false}, {"Bearer onee", false}, {"Bearer", false},          {"Bearer ", false},
               {"Basic one", false}, {NULL, false},          {"Bearer #hidden", false},  {"Bearer oneone", false}};
    for (size_t i = 0; i < N_ELEM(set); i++)
        if (api_key_good(&a, set[i].header) != set[i].good)
            fail_msg("\"%s\" is taken for %s", set[i].header, set[i].good ? "wrong" : "right");
    for (size_t i = 0; i < a.n_key; i++) mem_free(a.key[i]);
    mem_free(a.key);
    assert_int_equal(file_write_atomic(path, "# none\n", 7, &e), 0);
    assert_int_equal(api_keys_load(path, &a.key, &a.n_key, &e), -ERR_INPUT);
    unlink(path);
    assert_int_equal(api_keys_load(path, &a.key, &a.n_key, &e), -ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_taken),
        cmocka_unit_test(test_cut_and_damaged_bodies),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
