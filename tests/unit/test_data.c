/* Dataset import: what is left out and counted, what comes out, refusals with their lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/json/json.h"
#include "lifecycle/data/dataset.h"

#define DIR "build/test_data"

static const struct import_options plain = {.train_path = DIR "/train.csv",
                                            .test_path = DIR "/test.csv",
                                            .text_column = "text",
                                            .label_column = "label",
                                            .suite = "s",
                                            .out_dir = DIR "/out"};

static void put(const char *path, const char *text)
{
    assert_int_equal(file_mkdirs(DIR, NULL), 0);
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), 0);
}

static int64_t count(const json_t *manifest, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(manifest, "counts"), key));
}

static char *read(const char *path)
{
    char *data;
    assert_int_equal(file_read_all(path, 1 << 20, &data, NULL, NULL), 0);
    return data;
}

static void duplicates_and_overlaps_are_counted(void **state)
{
    (void)state;
    json_t *m;
    struct err e = {0};
    put(DIR "/train.csv", "text,label\nHello  there,a\nhello there,a\n\"\nHELLO THERE \",b\nIn the test,a\nOther,b\n"
                          "in THE test,a\n");
    put(DIR "/test.csv", "text,label\nin the test,a\nx,b\ny,b\nz,b\n");
    struct import_options o = plain;
    o.test_per_label = 2;
    if (dataset_import(&o, &m, &e)) fail_msg("%s", e.msg);
    assert_int_equal(count(m, "train_rows"), 6);
    assert_int_equal(count(m, "train_kept"), 2);
    assert_int_equal(count(m, "train_duplicates"), 2);
    assert_int_equal(count(m, "train_test_overlaps"), 2);
    assert_int_equal(count(m, "label_conflicts"), 1);
    assert_int_equal(count(m, "test_kept"), 3);
    assert_int_equal(count(m, "test_beyond_per_label"), 1);
    char *train = read(DIR "/out/train.jsonl"), *cases = read(DIR "/out/cases.jsonl");
    assert_string_equal(
        train, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello  there\"},{\"role\":\"assistant\",\"content\":"
               "\"a\"}]}\n{\"messages\":[{\"role\":\"user\",\"content\":\"Other\"},{\"role\":\"assistant\","
               "\"content\":\"b\"}]}\n");
    assert_non_null(strstr(cases,
                           "{\"id\":\"s-0002\",\"suite\":\"s\",\"task\":\"classification\",\"cluster\":\"s-0002\","
                           "\"stratum\":\"b\",\"input\":\"y\",\"expected\":\"b\"}\n"));
    mem_free(train);
    mem_free(cases);
    json_decref(m);
}

static void the_digest_is_of_the_contents(void **state)
{
    (void)state;
    json_t *a, *b, *c;
    put(DIR "/train.csv", "text,label\nq,a\nr,b\n");
    put(DIR "/test.csv", "text,label\ns,a\n");
    assert_int_equal(dataset_import(&plain, &a, NULL), 0);
    struct import_options other = plain;
    other.out_dir = DIR "/out2";
    assert_int_equal(dataset_import(&other, &b, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(a, "digest")),
                        json_string_value(json_object_get(b, "digest")));
    other.system = "You sort mail.";
    assert_int_equal(dataset_import(&other, &c, NULL), 0);
    assert_string_not_equal(json_string_value(json_object_get(a, "digest")),
                            json_string_value(json_object_get(c, "digest")));
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void jsonl_is_the_same_table(void **state)
{
    (void)state;
    json_t *a, *b;
    struct import_options o = plain;
    put(DIR "/train.csv", "text,label\nq,a\nr,b\n");
    put(DIR "/train.jsonl", "{\"text\":\"q\",\"label\":\"a\",\"more\":1}\n{\"label\":\"b\",\"text\":\"r\"}\n");
    o.test_path = NULL;
    assert_int_equal(dataset_import(&o, &a, NULL), 0);
    o.train_path = DIR "/train.jsonl";
    assert_int_equal(dataset_import(&o, &b, NULL), 0);
    assert_true(json_equal(json_object_get(a, "outputs"), json_object_get(b, "outputs")));
    json_decref(a);
    json_decref(b);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *train, *test, *want;
    } row[] = {{"text,label\nq,a\n ,b\n", "text,label\ns,a\n", "line 3: the text is empty"},
               {"text,label\nq,a\nr,\n", "text,label\ns,a\n", "line 3: the label is empty"},
               {"text,labels\nq,a\n", "text,label\ns,a\n", "cannot find column \"label\""},
               {"text,label\nq,a\n", "text,label\ns,c\n", "line 2: label \"c\" stands in no training row"},
               {"text,label\n", "text,label\ns,c\n", "holds no rows"},
               {"text,label\nq,a\nq ,a\nS,a\n", "text,label\nQ,a\ns,a\n", "none of its 3 rows is left, 3 stand in"}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        json_t *m;
        struct err e = {0};
        put(DIR "/train.csv", row[i].train);
        put(DIR "/test.csv", row[i].test);
        if (dataset_import(&plain, &m, &e) == 0 || !strstr(e.msg, row[i].want))
            fail_msg("got \"%s\", want \"%s\"", e.msg, row[i].want);
    }
}

/* --- ready-made rows --- */

#define CHAT_A "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}"
#define CHAT_A_SPACED \
    "{ \"messages\": [{\"content\":\"q\",\"role\":\"user\"},{\"role\":\"assistant\",\"content\":\"a\"}] }"
#define CHAT_B "{\"prompt\":\"q\",\"completion\":\"b\"}"

static void rows_are_taken_as_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        enum dataset_format format;
        int n, duplicates;
    } row[] = {
        {"\xEF\xBB\xBF" CHAT_A "\r\n\n" CHAT_B "\n" CHAT_A_SPACED, CHAT_A "\n" CHAT_B "\n" CHAT_A_SPACED "\n",
         DATASET_CHAT, 3, 1},
        {"{\"ids\":[1,2],\"labels\":[-100,2]}\n", "{\"ids\":[1,2],\"labels\":[-100,2]}\n", DATASET_TOKENS, 1, 0}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        json_t *m;
        struct err e = {0};
        enum dataset_format format;
        struct import_options o = {.train_path = DIR "/rows.jsonl", .suite = "s", .out_dir = DIR "/rows"};
        put(DIR "/rows.jsonl", row[i].in);
        assert_int_equal(dataset_format_find(o.train_path, &format, &e), 0);
        assert_int_equal(format, row[i].format);
        if (dataset_import_rows(&o, format, &m, &e)) fail_msg("%s", e.msg);
        assert_int_equal(count(m, "train_kept"), row[i].n);
        assert_int_equal(count(m, "train_duplicates_kept"), row[i].duplicates);
        assert_string_equal(json_string_value(json_object_get(m, "format")), dataset_format_name(format));
        char *out = read(DIR "/rows/train.jsonl");
        assert_string_equal(out, row[i].out);
        mem_free(out);
        json_decref(m);
    }
}

static void rows_that_cannot_be_trained_on_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        enum dataset_format format;
    } row[] = {{CHAT_A "\n{\"messages\":[]}\n", "line 2: 0 messages", DATASET_CHAT},
               {CHAT_A "\n\n{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}\n",
                "line 3: it has no message of the assistant", DATASET_CHAT},
               {CHAT_A "\n{\"text\":\"q\"}\n", "line 2: it has neither messages nor prompt", DATASET_CHAT},
               {"{\"ids\":[1,2],\"labels\":[1]}\n", "line 1: 2 ids and 1 labels", DATASET_TOKENS},
               {"{\"ids\":[1,2],\"labels\":[1,-100]}\n", "line 1: no token of it is trained", DATASET_TOKENS},
               {"{\"ids\":[1,-2],\"labels\":[1,2]}\n", "line 1: ids[1] is -2", DATASET_TOKENS},
               {"\n", "holds no rows", DATASET_CHAT}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        json_t *m;
        struct err e = {0};
        struct import_options o = {.train_path = DIR "/rows.jsonl", .suite = "s", .out_dir = DIR "/refused"};
        put(DIR "/rows.jsonl", row[i].text);
        if (dataset_import_rows(&o, row[i].format, &m, &e) != -ERR_INPUT || !strstr(e.msg, row[i].want))
            fail_msg("got \"%s\", want \"%s\"", e.msg, row[i].want);
        assert_false(file_exists(DIR "/refused"));
    }
}

static void other_directories_are_left_alone(void **state)
{
    (void)state;
    json_t *m;
    struct err e = {0};
    struct import_options o = {.train_path = DIR "/rows.jsonl", .suite = "s", .out_dir = DIR "/run"};
    assert_int_equal(file_mkdirs(DIR "/run", NULL), 0);
    put(DIR "/run/manifest.json", "{\"kind\":\"tune\"}");
    put(DIR "/rows.jsonl", CHAT_A "\n");
    assert_int_equal(dataset_import_rows(&o, DATASET_CHAT, &m, &e), -ERR_CONFLICT);
    o = plain;
    o.out_dir = DIR "/run";
    assert_int_equal(dataset_import(&o, &m, &e), -ERR_CONFLICT);
}

static void banking77(void **state)
{
    (void)state;
    json_t *m;
    struct err e = {0};
    struct import_options o = {.train_path = "examples/banking77/train.csv",
                               .test_path = "examples/banking77/test.csv",
                               .text_column = "text",
                               .label_column = "category",
                               .test_per_label = 20,
                               .suite = "banking77",
                               .lang = "en",
                               .out_dir = DIR "/banking77"};
    if (dataset_import(&o, &m, &e)) fail_msg("%s", e.msg);
    assert_int_equal(count(m, "train_rows"), 1436);
    assert_int_equal(count(m, "train_kept"), 1434);
    assert_int_equal(count(m, "train_duplicates"), 1);
    assert_int_equal(count(m, "train_test_overlaps"), 1);
    assert_int_equal(count(m, "test_kept"), 200);
    assert_int_equal(json_array_size(json_object_get(m, "labels")), 10);
    json_decref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(duplicates_and_overlaps_are_counted),
                                       cmocka_unit_test(the_digest_is_of_the_contents),
                                       cmocka_unit_test(jsonl_is_the_same_table),
                                       cmocka_unit_test(rows_are_taken_as_they_are),
                                       cmocka_unit_test(rows_that_cannot_be_trained_on_are_refused),
                                       cmocka_unit_test(other_directories_are_left_alone),
                                       cmocka_unit_test(refusals),
                                       cmocka_unit_test(banking77)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
