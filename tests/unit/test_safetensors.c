/* safetensors: round trips, values as float32, and headers that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LLVMFuzzerTestOneInput fuzz_safetensors
#include "../fuzz/fuzz_safetensors.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_hf_config
#include "../fuzz/fuzz_hf_config.c"
#include "ground/base/file.h"

static char dir[] = "/tmp/tailor-test-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

static void test_round_trip(void **state)
{
    (void)state;
    const float a[] = {1, -2, 3.5f, 0};
    const uint16_t h[] = {0x3c00, 0x0001, 0xc000}; /* 1, 2^-24, -2 */
    const uint16_t b[] = {0x3f80, 0xc000};         /* 1, -2 */
    const double d[] = {0.1};
    const int32_t ids[] = {7, -100};
    const struct safetensors_item item[] = {
        {.name = "z", .type = TENSOR_F32, .shape = {2, 2}, .n_dim = 2, .data = a},
        {.name = "half", .type = TENSOR_F16, .shape = {3}, .n_dim = 1, .data = h},
        {.name = "brain \"quoted\" \xc3\xa4", .type = TENSOR_BF16, .shape = {2}, .n_dim = 1, .data = b},
        {.name = "double", .type = TENSOR_F64, .n_dim = 0, .data = d},
        {.name = "ids", .type = TENSOR_I32, .shape = {2}, .n_dim = 1, .data = ids},
        {.name = "empty", .type = TENSOR_F32, .shape = {0, 5}, .n_dim = 2},
    };
    const char *const metadata[] = {"format", "pt", "note", "x", NULL};
    struct safetensors *s;
    struct err e = {0};
    float f[4];
    char *path = path_join(dir, "round.safetensors");
    assert_int_equal(safetensors_save(path, item, N_ELEM(item), metadata, &e), 0);
    assert_int_equal(safetensors_open(&s, path, &e), 0);
    assert_int_equal(safetensors_n_tensor(s), N_ELEM(item));
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, "z"), f, 4, &e), 0);
    assert_memory_equal(f, a, sizeof a);
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, "half"), f, 3, &e), 0);
    assert_true(f[0] == 1.0f && f[1] == 0x1p-24f && f[2] == -2.0f);
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, item[2].name), f, 2, &e), 0);
    assert_true(f[0] == 1.0f && f[1] == -2.0f);
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, "double"), f, 1, &e), 0);
    assert_true(f[0] == (float)0.1);
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, "ids"), f, 2, &e), -ERR_UNSUPPORTED);
    assert_int_equal(safetensors_read_f32(s, safetensors_find(s, "z"), f, 3, &e), -ERR_INPUT);
    assert_null(safetensors_find(s, "none"));
    assert_int_equal(safetensors_find(s, "empty")->n_bytes, 0);
    safetensors_close(s);
    mem_free(path);
}

static void test_save_refuses(void **state)
{
    (void)state;
    const float a[] = {1};
    struct safetensors_item item[] = {{.name = "a", .type = TENSOR_F32, .shape = {1}, .n_dim = 1, .data = a},
                                      {.name = "a", .type = TENSOR_F32, .shape = {1}, .n_dim = 1, .data = a}};
    struct err e = {0};
    char *path = path_join(dir, "refused.safetensors");
    assert_int_equal(safetensors_save(path, item, 2, NULL, &e), -ERR_INPUT);
    item[1].name = "\xff";
    assert_int_equal(safetensors_save(path, item, 2, NULL, &e), -ERR_INPUT);
    item[1].name = "q";
    item[1].type = TENSOR_Q4_0;
    assert_int_equal(safetensors_save(path, item, 2, NULL, &e), -ERR_UNSUPPORTED);
    assert_false(file_exists(path));
    mem_free(path);
}

static void test_golden(void **state)
{
    (void)state;
    struct safetensors *s;
    struct err e = {0};
    float logits[48 * 288];
    assert_int_equal(safetensors_open(&s, "tests/data/golden/models/llama/golden.safetensors", &e), 0);
    const struct tensor_info *t = safetensors_find(s, "logits");
    assert_int_equal(t->n_dim, 2);
    assert_int_equal(t->shape[1], 288);
    assert_int_equal(safetensors_read_f32(s, t, logits, N_ELEM(logits), &e), 0);
    assert_int_equal(safetensors_find(s, "input_ids")->type, TENSOR_I32);
    safetensors_close(s);
    assert_int_equal(safetensors_open(&s, "tests/data/golden/quant_blocks_a.safetensors", &e), 0);
    assert_int_equal(safetensors_find(s, "Q4_1.blocks")->type, TENSOR_U8);
    safetensors_close(s);
}

static bool opens(const void *data, size_t n)
{
    struct input_file f;
    struct safetensors *s;
    struct err e = {0};
    input_file_init(&f, data, n);
    int rc = safetensors_open(&s, f.path, &e);
    if (rc == 0) {
        use_safetensors(s);
        safetensors_close(s);
    } else if (e.msg[0] == '\0') {
        fail_msg("no message");
    }
    input_file_deinit(&f);
    return rc == 0;
}

static bool header_opens(const char *header, size_t n_data)
{
    unsigned char file[4096] = {0};
    uint64_t n = strlen(header);
    assert_true(8 + n + n_data <= sizeof file);
    memcpy(file, &n, 8);
    memcpy(file + 8, header, n);
    return opens(file, 8 + n + n_data);
}

#define ONE(body) "{\"a\":{" body "}}"

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n_data;
        bool ok;
    } row[] = {
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 2, true},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]") "   ", 2, true},
        {"{}", 0, true},
        {"{}", 1, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 1, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]"), 3, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,0]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[-2],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2.0],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,92233720368547758070]"), 2, false},
        {ONE("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0, false},
        {ONE("\"dtype\":\"X9\",\"shape\":[2],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"shape\":[2],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,2]"), 2, false},
        {ONE("\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"dtype\":\"U8\""), 2, false},
        {"{\"a\":7}", 0, false},
        {"{\"a\":[[[[]]]]}", 0, false},
        {"{\"__metadata__\":{\"k\":7}}", 0, false},
        {"{\"__metadata__\":[]}", 0, false},
        {"{\"__metadata__\":{\"k\":\"v\"}}", 0, true},
        {"{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, false},
        {"[]", 0, false},
        {" {}", 0, false},
        {"{", 0, false},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
         "offsets\":[0,1]}}",
         1, false},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
         "offsets\":[0,1]}}",
         2, true},
    };
    for (size_t i = 0; i < N_ELEM(row); i++) {
        if (header_opens(row[i].text, row[i].n_data) != row[i].ok) {
            fail_msg("row %zu: %s", i, row[i].text);
        }
    }
}

static char *read_file(const char *folder, const char *name, size_t *n)
{
    char path[256];
    char *data;
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", folder, name);
    if (file_read_all(path, 1 << 20, &data, n, &e)) {
        fail_msg("%s", e.msg);
    }
    return data;
}

static void test_truncation_and_fields(void **state)
{
    (void)state;
    size_t n;
    char *data = read_file("safetensors", "two", &n);
    char *copy = mem_alloc(n);
    assert_true(opens(data, n));
    for (size_t cut = 0; cut < n; cut++) {
        if (opens(data, cut)) {
            fail_msg("cut to %zu of %zu bytes was accepted", cut, n);
        }
    }
    for (size_t at = 0; at < n; at++) {
        for (int value = 0; value < 3; value++) {
            size_t width = at == 0 ? 8 : 1; /* the length, then single characters of the header */
            memcpy(copy, data, n);
            memset(copy + at, value == 2 ? 0xff : 0, width);
            copy[at] = (char)(value == 1 ? (at == 0 ? 1 : '1') : copy[at]);
            opens(copy, n);
        }
    }
    mem_free(copy);
    mem_free(data);
}

static void replay(const char *folder, int (*target)(const uint8_t *, size_t))
{
    char path[128];
    char **names;
    size_t n;
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s", folder);
    assert_int_equal(file_list_dir(path, &names, &n, &e), 0);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        char *data = read_file(folder, names[i], &size);
        assert_int_equal(target((const uint8_t *)data, size), 0);
        mem_free(data);
        mem_free(names[i]);
    }
    mem_free(names);
}

static void test_corpus(void **state)
{
    (void)state;
    replay("safetensors", fuzz_safetensors);
    replay("hf_config", fuzz_hf_config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_save_refuses),          cmocka_unit_test(test_golden),
        cmocka_unit_test(test_headers),    cmocka_unit_test(test_truncation_and_fields), cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
