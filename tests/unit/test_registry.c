/* The registry: importing twice is once, references resolve, damage is refused, a torn or changed log is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

#define HOME "build/test_registry"

static void put(const char *path, const char *text)
{
    assert_int_equal(file_write_atomic(path, text, strlen(text), NULL), 0);
}

static struct registry *fresh(void)
{
    struct registry *r;
    assert_int_equal(file_remove_tree(HOME, NULL), 0);
    assert_int_equal(file_mkdirs(HOME "/src/hf", NULL), 0);
    put(HOME "/src/a.gguf", "GGUF one");
    put(HOME "/src/hf/config.json", "{}");
    put(HOME "/src/hf/model.safetensors", "weights");
    assert_int_equal(registry_open(&r, HOME, NULL), 0);
    return r;
}

static void contents(const char *path, const char *want)
{
    char *text;
    struct err e = {0};
    if (file_read_all(path, 1000, &text, NULL, &e)) fail_msg("%s", e.msg);
    assert_string_equal(text, want);
    mem_free(text);
}

static void import_once(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x, y, z;
    char *path;
    struct err e = {0};
    if (registry_import(r, HOME "/src/a.gguf", NULL, &x, &e)) fail_msg("%s", e.msg);
    assert_string_equal(x.name, "a");
    assert_int_equal(x.version, 1);
    assert_int_equal(x.bytes, 8);
    assert_true(x.added);
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", "a", &y, &e), 0);
    assert_false(y.added);
    assert_string_equal(x.digest, y.digest);
    put(HOME "/src/a.gguf", "GGUF two two");
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &z, &e), 0);
    assert_int_equal(z.version, 2);
    assert_int_equal(registry_resolve(r, "a", &path, &e), 0);
    contents(path, "GGUF two two");
    mem_free(path);
    assert_int_equal(registry_resolve(r, "a:1", &path, &e), 0);
    contents(path, "GGUF one");
    mem_free(path);
    registry_close(r);
}

static void content_makes_the_version(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered one, two, again;
    struct err e = {0};
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", "a", &one, &e), 0);
    put(HOME "/src/called-otherwise.gguf", "GGUF one");
    assert_int_equal(registry_import(r, HOME "/src/called-otherwise.gguf", "a", &again, &e), 0);
    assert_true(!again.added && again.version == 1 && again.newest == 1);
    put(HOME "/src/a.gguf", "GGUF two two");
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", "a", &two, &e), 0);
    assert_true(two.added && two.version == 2 && two.newest == 2);
    assert_int_equal(registry_import(r, HOME "/src/called-otherwise.gguf", "a", &again, &e), 0); /* an older one */
    assert_true(!again.added && again.version == 1 && again.newest == 2);
    assert_string_equal(again.digest, one.digest);
    put(HOME "/src/x-00001-of-00002.gguf", "GGUF p1");
    put(HOME "/src/x-00002-of-00002.gguf", "GGUF p2");
    put(HOME "/src/y-00001-of-00002.gguf", "GGUF p1");
    put(HOME "/src/y-00002-of-00002.gguf", "GGUF p2");
    assert_int_equal(registry_import(r, HOME "/src/x-00001-of-00002.gguf", NULL, &one, &e), 0);
    assert_string_equal(one.name, "x");
    assert_int_equal(registry_import(r, HOME "/src/y-00001-of-00002.gguf", "x", &again, &e), 0);
    assert_true(!again.added && again.version == 1);
    registry_close(r);
}

static void blobs_are_found_by_digest(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    json_t *shown;
    struct err e = {0};
    char digest[65];
    assert_int_equal(registry_import_from(r, HOME "/src/a.gguf", "a", "hf:o/r@c", &x, &e), 0);
    assert_int_equal(registry_show(r, "a", &shown, &e), 0);
    const json_t *file = json_array_get(json_object_get(shown, "files"), 0);
    snprintf(digest, sizeof digest, "%s", json_string_value(json_object_get(file, "digest")));
    const json_t *row = json_array_get(json_object_get(shown, "history"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "source")), "hf:o/r@c");
    json_decref(shown);
    char *blob = registry_blob(r, digest);
    assert_non_null(blob);
    contents(blob, "GGUF one");
    int fd = open(blob, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 3), 1); /* same size, other contents */
    close(fd);
    assert_null(registry_blob(r, digest));
    mem_free(blob);
    memset(digest, '0', 64);
    assert_null(registry_blob(r, digest));
    registry_close(r);
}

static void directories(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    char *path, one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];
    struct err e = {0};
    if (registry_import(r, HOME "/src/hf/", NULL, &x, &e) || registry_resolve(r, "hf", &path, &e))
        fail_msg("%s", e.msg);
    assert_string_equal(x.name, "hf");
    char *file = path_join(path, "model.safetensors");
    contents(file, "weights");
    mem_free(file);
    assert_int_equal(registry_digest_path(r, path, one, &e), 0);
    assert_int_equal(registry_digest_path(r, HOME "/src/hf", two, &e), 0);
    assert_string_equal(one, two);
    mem_free(path);
    assert_int_equal(registry_import(r, HOME "/src", NULL, &x, &e), -ERR_INPUT);
    assert_int_equal(registry_import(r, HOME "/none", NULL, &x, &e), -ERR_NOT_FOUND);
    assert_int_equal(registry_import(r, HOME "/src/hf", "a/b", &x, &e), -ERR_USAGE);
    registry_close(r);
}

static void digests_follow_changes(void **state)
{
    (void)state;
    struct registry *r = fresh();
    char one[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE];
    assert_int_equal(registry_digest_path(r, HOME "/src/a.gguf", one, NULL), 0);
    assert_int_equal(registry_digest_path(r, HOME "/src/a.gguf", again, NULL), 0);
    assert_string_equal(one, again);
    put(HOME "/src/a.gguf", "GGUF 1ne"); /* same size */
    assert_int_equal(registry_digest_path(r, HOME "/src/a.gguf", two, NULL), 0);
    assert_string_not_equal(one, two);
    registry_close(r);
}

static void aliases_are_compare_and_set(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    char *path;
    json_t *list;
    struct err e = {0};
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    put(HOME "/src/a.gguf", "GGUF two two");
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    assert_int_equal(registry_resolve(r, "a@production", &path, &e), -ERR_NOT_FOUND);
    struct alias_move m = {"a", "production", 1, 0, "ann", "first"};
    int from;
    assert_int_equal(registry_move_alias(r, &m, &from, &e), 0);
    assert_int_equal(from, 0);
    m = (struct alias_move){"a", "production", 2, 0, "bob", "stale"};
    assert_int_equal(registry_move_alias(r, &m, &from, &e), -ERR_CONFLICT);
    m = (struct alias_move){"a", "production", 3, 1, "bob", "no such"};
    assert_int_equal(registry_move_alias(r, &m, &from, &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "the newest is 2"));
    m = (struct alias_move){"b", "production", 1, 0, "bob", "no such"};
    assert_int_equal(registry_move_alias(r, &m, &from, &e), -ERR_NOT_FOUND);
    m = (struct alias_move){"a", "production", 2, 1, "bob", "better"};
    assert_int_equal(registry_move_alias(r, &m, &from, &e), 0);
    assert_int_equal(from, 1);
    m = (struct alias_move){"a", "production", 2, -1, "eve", "there already"};
    assert_int_equal(registry_move_alias(r, &m, &from, &e), 0);
    json_t *shown;
    assert_int_equal(registry_show(r, "a", &shown, &e), 0);
    const json_t *history = json_object_get(shown, "history");
    assert_int_equal(json_array_size(history), 4); /* two versions, two moves */
    const json_t *last = json_array_get(history, 3);
    assert_string_equal(json_string_value(json_object_get(last, "actor")), "bob");
    assert_string_equal(json_string_value(json_object_get(last, "reason")), "better");
    assert_int_equal(json_integer_value(json_object_get(last, "from")), 1);
    json_decref(shown);
    assert_int_equal(registry_resolve(r, "a@production", &path, &e), 0);
    contents(path, "GGUF two two");
    mem_free(path);
    assert_int_equal(registry_list(r, "model", &list, &e), 0);
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json_array_get(list, 0), "aliases"), "production")), 2);
    json_decref(list);
    registry_close(r);
}

static void unknown_names_offer_near_ones(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    char *path;
    struct err e = {0};
    assert_int_equal(registry_resolve(r, "smol", &path, &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "registry is empty"));
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", "smollm", &x, &e), 0);
    assert_int_equal(registry_resolve(r, "smol", &path, &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "did you mean smollm?"));
    assert_int_equal(registry_resolve(r, "quite-another", &path, &e), -ERR_NOT_FOUND);
    assert_null(strstr(e.msg, "smollm")); /* what is far from the name is no suggestion */
    assert_int_equal(registry_resolve(r, "smollm:9", &path, &e), -ERR_NOT_FOUND);
    assert_int_equal(registry_resolve(r, "smollm:x", &path, &e), -ERR_NOT_FOUND);
    registry_close(r);
}

static void damage_is_refused_and_mended(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    char *path;
    struct err e = {0};
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    assert_int_equal(registry_resolve(r, "a", &path, &e), 0);
    assert_int_equal(truncate(path, 3), 0); /* through the link, as a careless program would */
    mem_free(path);
    assert_int_equal(registry_resolve(r, "a", &path, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "import it again"));
    put(HOME "/src/a.gguf", "GGUF one");
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    assert_int_equal(registry_resolve(r, "a", &path, &e), 0);
    contents(path, "GGUF one");
    mem_free(path);
    registry_close(r);
}

static void logs_survive_tears_and_show_changes(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    json_t *list;
    struct err e = {0};
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    int fd = open(HOME "/registry/names.log", O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"op\":\"ver", 10), 10);
    close(fd);
    assert_int_equal(registry_list(r, "model", &list, &e), 0); /* the torn row is not one */
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    assert_int_equal(registry_import(r, HOME "/src/hf", NULL, &x, &e), 0);
    assert_int_equal(registry_list(r, "model", &list, &e), 0);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    char *text;
    size_t n;
    assert_int_equal(file_read_all(HOME "/registry/names.log", 100000, &text, &n, &e), 0);
    char *at = strstr(text, "\"version\":1");
    assert_non_null(at);
    at[strlen("\"version\":")] = '7';
    assert_int_equal(file_write_atomic(HOME "/registry/names.log", text, n, &e), 0);
    mem_free(text);
    assert_int_equal(registry_list(r, "model", &list, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "hash chain"));
    registry_close(r);
}

static void datasets_give_their_files(void **state)
{
    (void)state;
    struct registry *r = fresh();
    struct registered x;
    char *path, digest[DIGEST_HEX_SIZE];
    json_t *m;
    struct err e = {0};
    put(HOME "/src/train.jsonl", "{}\n");
    assert_int_equal(digest_file(HOME "/src/train.jsonl", digest, NULL, &e), 0);
    json_t *manifest = json_pack("{s:s,s:s,s:[{s:s,s:s,s:i}]}", "kind", "dataset", "format", "chat", "outputs", "path",
                                 "train.jsonl", "digest", digest, "bytes", 3);
    assert_int_equal(registry_put_dataset(r, "d", manifest, HOME "/src", &x, &e), 0);
    put(HOME "/src/train.jsonl", "edited\n"); /* what was imported stays */
    if (registry_dataset_file(r, "d:1", "train.jsonl", &path, &m, &e)) fail_msg("%s", e.msg);
    contents(path, "{}\n");
    mem_free(path);
    assert_string_equal(json_string_value(json_object_get(m, "format")), "chat");
    json_decref(m);
    assert_int_equal(registry_dataset_file(r, "d", "cases.jsonl", &path, &m, &e), -ERR_NOT_FOUND);
    assert_int_equal(registry_import(r, HOME "/src/a.gguf", NULL, &x, &e), 0);
    assert_int_equal(registry_dataset_file(r, "a", "train.jsonl", &path, &m, &e), -ERR_INPUT);
    assert_int_equal(registry_put_dataset(r, "d", manifest, HOME "/src", &x, &e), -ERR_CONFLICT); /* other contents */
    if (registry_dataset_file(r, "d", "train.jsonl", &path, &m, &e)) fail_msg("%s", e.msg);
    json_decref(m);
    assert_int_equal(chmod(path, 0644), 0);
    int fd = open(path, O_WRONLY); /* the same size: only the digest tells */
    assert_int_equal(write(fd, "[]", 2), 2);
    close(fd);
    mem_free(path);
    assert_int_equal(registry_dataset_file(r, "d", "train.jsonl", &path, &m, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "import it again"));
    put(HOME "/src/train.jsonl", "{}\n");
    assert_int_equal(registry_put_dataset(r, "d", manifest, HOME "/src", &x, &e), 0);
    assert_true(!x.added && x.version == 1);
    if (registry_dataset_file(r, "d", "train.jsonl", &path, &m, &e)) fail_msg("%s", e.msg);
    contents(path, "{}\n");
    mem_free(path);
    json_decref(m);
    json_decref(manifest);
    registry_close(r);
}

static void runs(void **state)
{
    (void)state;
    struct registry *r = fresh();
    json_t *list;
    assert_int_equal(file_mkdirs(HOME "/runs/one", NULL), 0);
    assert_int_equal(file_mkdirs(HOME "/runs/two", NULL), 0);
    assert_int_equal(registry_note_run(r, "tune", HOME "/runs/one", NULL), 0);
    assert_int_equal(registry_note_run(r, "eval", HOME "/runs/two", NULL), 0);
    assert_int_equal(registry_note_run(r, "tune", HOME "/runs/one", NULL), 0);
    assert_int_equal(registry_runs(r, &list, NULL), 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "kind")), "tune");
    json_decref(list);
    registry_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(import_once),
                                       cmocka_unit_test(content_makes_the_version),
                                       cmocka_unit_test(blobs_are_found_by_digest),
                                       cmocka_unit_test(directories),
                                       cmocka_unit_test(digests_follow_changes),
                                       cmocka_unit_test(aliases_are_compare_and_set),
                                       cmocka_unit_test(unknown_names_offer_near_ones),
                                       cmocka_unit_test(damage_is_refused_and_mended),
                                       cmocka_unit_test(logs_survive_tears_and_show_changes),
                                       cmocka_unit_test(datasets_give_their_files),
                                       cmocka_unit_test(runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
