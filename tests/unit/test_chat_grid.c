/* The chat templates of real models over a grid of conversations, against what jinja2 made of them
 * (tests/conformance/make_chat_grid.py). Templates that the project does not carry are looked for in the folder beside
 * it and skipped where it is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compute/text/chat_template.h"
#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/sys/digest.h"

#define OPEN  "\xE2\x9F\xA6"
#define CLOSE "\xE2\x9F\xA7"

static json_t *grid;

static int load_grid(void **state)
{
    (void)state;
    grid = json_load_file("tests/conformance/chat_grid.json", 0, NULL);
    return grid ? 0 : -1;
}

static int free_grid(void **state)
{
    (void)state;
    json_decref(grid);
    return 0;
}

/* The day in a format of strftime, as a template of its own gets it. */
static int add_day(struct buf *out, const char *format, size_t n)
{
    char source[128];
    struct chat_template *t;
    struct rendered r;
    struct err e;
    json_t *vars = json_object();
    int len = snprintf(source, sizeof source, "{{ strftime_now('%.*s') }}", (int)n, format);
    if (chat_template_new(&t, source, (size_t)len, &e) || chat_template_render(t, vars, true, &r, &e)) {
        fail_msg("%s", e.msg);
    }
    int rc = buf_add(out, r.text, r.n);
    rendered_deinit(&r);
    chat_template_free(t);
    json_decref(vars);
    return rc;
}

/* The expected text with the day in the places that the script left for it. */
static void expand(const char *text, struct buf *out)
{
    for (;;) {
        const char *open = strstr(text, OPEN);
        const char *close = open ? strstr(open, CLOSE) : NULL;
        if (!close) {
            assert_int_equal(buf_add_str(out, text), 0);
            return;
        }
        assert_int_equal(buf_add(out, text, (size_t)(open - text)), 0);
        assert_int_equal(add_day(out, open + strlen(OPEN), (size_t)(close - open) - strlen(OPEN)), 0);
        text = close + strlen(CLOSE);
    }
}

static bool same_text(const char *want, const struct rendered *r)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    expand(want, &b);
    bool same = b.len == r->n && (r->n == 0 || memcmp(b.data, r->text, r->n) == 0);
    if (!same) {
        size_t at = 0;
        while (at < b.len && at < r->n && b.data[at] == r->text[at]) {
            at++;
        }
        print_message("differs at byte %zu\n got:  %.100s\n want: %.100s\n", at, r->text + at,
                      b.data ? b.data + at : "");
    }
    buf_deinit(&b);
    return same;
}

static bool same_digest(const char *want, const struct rendered *r)
{
    char hex[DIGEST_HEX_SIZE];
    struct err e;
    assert_int_equal(digest_memory(r->text, r->n, hex, &e), 0);
    return strcmp(hex, want) == 0;
}

/* Whether the template makes of the conversation what is written; want: JSON null for a refusal. */
static bool as_expected(const struct chat_template *t, const json_t *conversation, const json_t *want, bool digest)
{
    struct rendered r = {0};
    struct err e = {0};
    json_t *vars = json_copy((json_t *)(uintptr_t)conversation);
    bool prompt = !json_is_false(json_object_get(conversation, "add_generation_prompt"));
    json_object_set_new(vars, "bos_token", json_string("<s>"));
    json_object_set_new(vars, "eos_token", json_string("</s>"));
    json_object_set_new(vars, "date_string", json_string("26 Jul 2024"));
    int rc = chat_template_render(t, vars, prompt, &r, &e);
    bool same;
    if (rc || json_is_null(want)) {
        same = rc == -ERR_INPUT && e.msg[0] && json_is_null(want);
        if (!same) {
            print_message("%s\n", rc ? e.msg : "should be refused");
        }
    } else {
        same = digest ? same_digest(json_string_value(want), &r) : same_text(json_string_value(want), &r);
    }
    rendered_deinit(&r);
    json_decref(vars);
    return same;
}

static size_t check_template(const char *path, const char *name, const json_t *expected, bool digest)
{
    char *source;
    size_t n, n_bad = 0;
    struct chat_template *t;
    struct err e;
    const char *key;
    json_t *conversation;
    if (file_read_all(path, 1 << 20, &source, &n, &e) || chat_template_new(&t, source, n, &e)) {
        fail_msg("%s: %s", name, e.msg);
    }
    json_object_foreach(json_object_get(grid, "conversations"), key, conversation)
    {
        if (!as_expected(t, conversation, json_object_get(expected, key), digest)) {
            print_message("%s: \"%s\"\n", name, key);
            n_bad++;
        }
    }
    assert_true(json_object_size(expected) > 40);
    chat_template_free(t);
    mem_free(source);
    return n_bad;
}

/* field "texts": the templates that are carried; "sha256": the others. */
static void check_all(const char *folder, const char *field)
{
    const char *name;
    json_t *entry;
    size_t n_template = 0, n_bad = 0;
    json_object_foreach(json_object_get(grid, "templates"), name, entry)
    {
        char path[256];
        const json_t *expected = json_object_get(entry, field);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (expected) {
            n_bad += check_template(path, name, expected, strcmp(field, "sha256") == 0);
            n_template++;
        }
    }
    assert_true(n_template >= 8);
    assert_int_equal(n_bad, 0);
}

static void carried(void **state)
{
    (void)state;
    check_all("tests/data/chat-templates", "texts");
}

static void elsewhere(void **state)
{
    (void)state;
    if (access("../shared/data/chat-templates", R_OK)) {
        print_message("# skip: the templates under terms of their own are not there\n");
        skip();
    }
    check_all("../shared/data/chat-templates", "sha256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(carried), cmocka_unit_test(elsewhere)};
    return cmocka_run_group_tests(tests, load_grid, free_grid);
}
