/* Quantized Hugging Face directories: GPTQ, AWQ and FP8 against values made by tests/data/packed/make.py from the
 * published packing, bit for bit, in whole and in pieces; and the refusal of what is not understood. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/formats/formats_int.h"
#include "compute/kernels/kern.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

#define PACKED "tests/data/packed/"

static struct model_file *open_model(const char *path)
{
    struct model_file *f;
    struct err e = {0};
    if (model_file_open(&f, path, &e)) {
        fail_msg("%s", e.msg);
    }
    return f;
}

/* The tensor in float32, read `piece` bytes at a time. */
static void read_values(const struct model_file *f, const struct tensor_info *t, size_t piece, float *out)
{
    struct err e = {0};
    uint8_t *raw = mem_alloc((size_t)t->n_bytes);
    for (size_t at = 0; at < t->n_bytes; at += piece) {
        size_t n = t->n_bytes - at < piece ? (size_t)t->n_bytes - at : piece;
        if (model_file_read(f, t, raw + at, at, n, &e)) {
            fail_msg("%s", e.msg);
        }
    }
    quants[quant_find(tensor_type_info(t->type)->name)]->dequantize(out, raw, (size_t)(t->shape[0] * t->shape[1]));
    mem_free(raw);
}

static void check_folder(const char *folder, enum tensor_type type)
{
    char path[128];
    struct safetensors *want;
    struct err e = {0};
    snprintf(path, sizeof path, PACKED "%s", folder);
    struct model_file *f = open_model(path);
    snprintf(path, sizeof path, PACKED "%s/expected.safetensors", folder);
    assert_int_equal(safetensors_open(&want, path, &e), 0);
    assert_int_equal(safetensors_n_tensor(want), 7);
    for (size_t i = 0; i < safetensors_n_tensor(want); i++) {
        const struct tensor_info *w = safetensors_tensor(want, i), *t = model_file_find(f, w->name);
        size_t n = (size_t)(w->shape[0] * w->shape[1]);
        float *a = mem_alloc(n * sizeof *a), *b = mem_alloc(n * sizeof *b);
        assert_non_null(t);
        assert_int_equal(t->type, type);
        assert_true(t->n_dim == 2 && t->shape[0] == w->shape[0] && t->shape[1] == w->shape[1]);
        assert_int_equal(safetensors_read_f32(want, w, a, n, &e), 0);
        for (size_t piece = 37; piece < t->n_bytes * 5; piece *= 5) {
            read_values(f, t, piece, b);
            if (memcmp(a, b, n * sizeof *a)) {
                fail_msg("%s: %s read by %zu bytes differs from expected.safetensors", folder, w->name, piece);
            }
        }
        mem_free(a);
        mem_free(b);
    }
    assert_int_equal(model_file_n_tensor(f), 7 + 4); /* nothing is left of the parts */
    struct model_params p;
    assert_int_equal(model_file_params(f, &p, &e), 0);
    safetensors_close(want);
    model_file_close(f);
}

static void test_values(void **state)
{
    (void)state;
    check_folder("gptq-sym", TENSOR_Q4_0);
    check_folder("gptq-asym", TENSOR_Q5_0);
    check_folder("gptq-order", TENSOR_F16);
    check_folder("awq", TENSOR_Q5_0);
    check_folder("fp8", TENSOR_BF16);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"quant_method\":\"bitsandbytes\"}", "\"quant_method\" is \"bitsandbytes\""},
        {"{\"bits\":4}", "\"quant_method\" is missing"},
        {"{\"quant_method\":\"gptq\",\"bits\":3,\"group_size\":128}", "\"bits\" is 3, 4 would be right"},
        {"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":0}", "\"group_size\" is 0"},
        {"{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":128,\"checkpoint_format\":\"marlin\"}", "\"marlin\""},
        {"{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128,\"version\":\"gemv\"}", "\"version\" is \"gemv\""},
        {"{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128,\"zero_point\":false}", "\"zero_point\" is false"},
        {"{\"quant_method\":\"fp8\",\"fmt\":\"e5m2\",\"weight_block_size\":[128,128]}", "\"fmt\" is \"e5m2\""},
        {"{\"quant_method\":\"fp8\"}", "\"weight_block_size\" is missing"},
    };
    for (size_t i = 0; i < N_ELEM(cases); i++) {
        struct hf_quant q;
        struct err e = {0};
        json_t *config = json_object();
        json_object_set_new(config, "quantization_config", json_loads(cases[i][0], 0, NULL));
        int rc = hf_quant_parse(config, "DIR", &q, &e);
        if (rc != -ERR_UNSUPPORTED || !strstr(e.msg, cases[i][1])) {
            fail_msg("%s: %d, \"%s\", should say %s", cases[i][0], rc, e.msg, cases[i][1]);
        }
        json_decref(config);
    }
}

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

/* Opening the directory with these tensors must fail with a message that holds `say`. */
static void assert_refused(const struct safetensors_item *items, size_t n, const char *say)
{
    static const char config[] =
        "{\"model_type\":\"qwen2\",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,"
        "\"group_size\":32}}";
    struct model_file *f;
    struct err e = {0};
    char *path = path_join(dir, "config.json"), *data = path_join(dir, "model.safetensors");
    assert_int_equal(file_write_atomic(path, config, strlen(config), &e), 0);
    assert_int_equal(safetensors_save(data, items, n, NULL, &e), 0);
    int rc = model_file_open(&f, dir, &e);
    if (rc != -ERR_INPUT || !strstr(e.msg, say)) {
        fail_msg("%d, \"%s\", should say %s", rc, e.msg, say);
    }
    mem_free(path);
    mem_free(data);
}

static void test_broken_parts(void **state)
{
    (void)state;
    static const int32_t zeros[64 * 8];
    int32_t order[32];
    struct safetensors_item items[] = {{"a.qweight", TENSOR_I32, {4, 8}, 2, zeros},
                                       {"a.qzeros", TENSOR_I32, {1, 1}, 2, zeros},
                                       {"a.scales", TENSOR_F16, {1, 8}, 2, zeros},
                                       {"a.g_idx", TENSOR_I32, {32}, 1, order}};
    for (int i = 0; i < 32; i++) {
        order[i] = i == 7 ? 1 : 0;
    }
    assert_refused(items, 4, "\"a.g_idx\" names group 1");
    assert_refused(items, 2, "\"a.scales\" is missing");
    items[1].shape[1] = 2;
    assert_refused(items, 3, "\"a.qzeros\" is missing, or not 1 x 1");
    items[0].shape[1] = 7;
    assert_refused(items, 1, "multiples of 8");
    items[0].type = TENSOR_F32;
    assert_refused(items, 1, "no matrix of type I32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_broken_parts),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
