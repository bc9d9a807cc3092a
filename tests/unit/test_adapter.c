/* Adapters: PEFT directories written and read back, one file on both orders of Q and K rows, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/formats/safetensors.h"
#include "compute/model/adapter.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/attr.h"
#include "ground/json/json.h"

#define HF   "tests/data/golden/models/llama"
#define GGUF "tests/data/golden/gguf/llama.gguf"
enum { N_TOK = 40 };

struct bench {
    struct dev *d;
    struct model *m;
    char dir[64], place[96];
};

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

static void open_model(struct bench *b, const char *path)
{
    struct err e = {0};
    struct model_file *f;
    must(dev_cpu_new(&b->d, &(struct dev_options){2, PRECISION_REFERENCE, kern_isa_detect()}, &e), &e);
    must(model_file_open(&f, path, &e), &e);
    must(model_load(&b->m, b->d, f, &e), &e);
    model_file_close(f);
}

static void setup(struct bench *b, const char *path)
{
    struct err e = {0};
    open_model(b, path);
    snprintf(b->dir, sizeof(b->dir), "%s", "/tmp/tailor-test-adapter-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->place, sizeof(b->place), "%s/adapter", b->dir);
    (void)e;
}

static void teardown(struct bench *b)
{
    struct err e = {0};
    model_free(b->m);
    dev_free(b->d);
    must(file_remove_tree(b->dir, &e), &e);
}

/* B is not zero, so that the adapter changes something. */
static struct adapter *random_of(const struct model *m, const struct adapter_options *opt)
{
    struct err e = {0};
    struct adapter *a;
    must(adapter_new(&a, m, opt, &e), &e);
    size_t n = adapter_n_param(a);
    float *x = mem_alloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) x[i] = (float)(0.1 * rng_normal(5, 0, i));
    dev_write(model_dev(m), adapter_params(a), x, n);
    adapter_update(a);
    mem_free(x);
    return a;
}

static struct adapter *random_adapter(const struct model *m, unsigned sites, bool rslora)
{
    const struct adapter_options opt = {.rank = 4, .alpha = 8, .use_rslora = rslora, .sites = sites, .seed = 11};
    return random_of(m, &opt);
}

static float *params_of(struct adapter *a, const struct model *m)
{
    float *x = mem_alloc(adapter_n_param(a) * sizeof(float));
    dev_read(model_dev(m), x, adapter_params(a), adapter_n_param(a));
    return x;
}

static float *logits_with(struct model *m, const struct adapter *a)
{
    struct err e = {0};
    struct dev_kv *kv;
    int32_t ids[N_TOK], rows[N_TOK];
    must(model_kv_new(m, &kv, 2, &e), &e);
    for (int i = 0; i < N_TOK; i++) ids[i] = (i * 37 + 5) % 288, rows[i] = i;
    struct dev_block block[] = {{0, 32}, {1, N_TOK - 32}};
    struct dev_segment s = {0, N_TOK, 0, block, 2, a ? 0 : -1};
    struct model_batch b = {.dev = {DEV_SERVE, N_TOK, &s, 1},
                            .ids = ids,
                            .out_row = rows,
                            .n_out = N_TOK,
                            .adapter = &a,
                            .n_adapter = a ? 1 : 0};
    float *x = mem_alloc(N_TOK * 288 * sizeof(float));
    must(model_forward(m, &b, kv, x, &e), &e);
    dev_kv_free(kv);
    return x;
}

static double worst(const float *x, const float *y)
{
    double w = 0;
    for (int i = 0; i < N_TOK * 288; i++) w = fmax(w, fabs((double)x[i] - (double)y[i]));
    return w;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const paths[] = {HF, GGUF};
    for (int k = 0; k < 2; k++) {
        struct err e = {0};
        struct bench b;
        struct adapter *back;
        setup(&b, paths[k]);
        struct adapter *a = random_adapter(b.m, 1U << SITE_Q | 1U << SITE_K | 1U << SITE_O | 1U << SITE_DOWN, true);
        must(adapter_save(a, b.place, "base/model", (const char *const[]){"step", "7", NULL}, &e), &e);
        must(adapter_save(a, b.place, "base/model", NULL, &e), &e); /* replaces */
        must(adapter_load(&back, b.m, b.place, &e), &e);
        assert_int_equal(adapter_n_param(back), adapter_n_param(a));
        float *x = params_of(a, b.m), *y = params_of(back, b.m);
        assert_memory_equal(x, y, adapter_n_param(a) * sizeof(float));
        assert_true(adapter_get_options(back)->use_rslora);
        assert_int_equal(adapter_get_options(back)->sites, adapter_get_options(a)->sites);
        char **names;
        size_t n;
        must(file_list_dir(b.dir, &names, &n, &e), &e);
        assert_int_equal(n, 1); /* nothing temporary is left */
        mem_free(names[0]);
        mem_free(names);
        mem_free(x);
        mem_free(y);
        adapter_free(a);
        adapter_free(back);
        teardown(&b);
    }
}

/* Written on the Hugging Face base, read on the GGUF base: the same model, other rows of Q and K. */
static void test_row_order(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b, g;
    struct adapter *on_gguf;
    setup(&b, HF);
    setup(&g, GGUF);
    struct adapter *a = random_adapter(b.m, (1U << SITE_COUNT) - 1, false);
    must(adapter_save(a, b.place, "x", NULL, &e), &e);
    must(adapter_load(&on_gguf, g.m, b.place, &e), &e);
    float *x = logits_with(b.m, a), *y = logits_with(g.m, on_gguf), *base = logits_with(b.m, NULL);
    assert_true(worst(x, base) > 0.05);
    if (!(worst(x, y) < 1e-3)) fail_msg("the same adapter on both bases: %g apart", worst(x, y));
    adapter_set_scale(on_gguf, 0);
    mem_free(y);
    y = logits_with(g.m, on_gguf);
    assert_true(worst(base, y) < 1e-3);
    mem_free(x);
    mem_free(y);
    mem_free(base);
    adapter_free(a);
    adapter_free(on_gguf);
    teardown(&b);
    teardown(&g);
}

/* A base that keeps q, k, v in one matrix, gate and up in another: the file has PEFT's modules, and is the same
 * adapter. */
static void test_fused(void **state)
{
    (void)state;
    static const unsigned targets[] = {(1U << SITE_COUNT) - 1, 1U << SITE_K | 1U << SITE_DOWN, 1U << SITE_O};
    static const int times[] = {3, 1, 1};
    for (size_t k = 0; k < N_ELEM(targets); k++) {
        struct err e = {0};
        struct bench b;
        struct adapter *back;
        json_t *config;
        setup(&b, "tests/data/golden/models/phi3");
        struct adapter *a = random_adapter(b.m, targets[k], k == 0);
        must(adapter_save(a, b.place, "x", NULL, &e), &e);
        must(adapter_load(&back, b.m, b.place, &e), &e);
        float *x = logits_with(b.m, a), *y = logits_with(b.m, back), *base = logits_with(b.m, NULL);
        assert_true(worst(x, base) > 0.01);
        if (!(worst(x, y) < 2e-5)) fail_msg("targets %x: read back it is %g away", targets[k], worst(x, y));
        char *path = path_join(b.place, "adapter_config.json");
        must(json_read_file(path, 1 << 20, &config, &e), &e);
        assert_int_equal(json_integer_value(json_object_get(config, "r")), 4 * times[k]);
        const char *first = json_string_value(json_array_get(json_object_get(config, "target_modules"), 0));
        assert_string_equal(first, k == 2 ? "o_proj" : "qkv_proj");
        json_decref(config);
        mem_free(path);
        mem_free(x);
        mem_free(y);
        mem_free(base);
        adapter_free(a);
        adapter_free(back);
        teardown(&b);
    }
}

static void expect_refused(struct bench *b, int code, const char *part)
{
    struct err e = {0};
    struct adapter *a = NULL;
    int rc = adapter_load(&a, b->m, b->place, &e);
    if (rc != -code || !strstr(e.msg, part)) fail_msg("expected %d with \"%s\", got %d: %s", -code, part, rc, e.msg);
    assert_null(a);
}

/* The saved adapter with one member of its config changed. */
static void with_member(struct bench *b, const char *key, json_t *value, int code, const char *part)
{
    struct err e = {0};
    char *path = path_join(b->place, "adapter_config.json");
    json_t *was, *now;
    must(json_read_file(path, 1 << 20, &was, &e), &e);
    now = json_deep_copy(was);
    json_object_set_new(now, key, value);
    must(json_write_file(path, now, &e), &e);
    expect_refused(b, code, part);
    must(json_write_file(path, was, &e), &e);
    json_decref(was);
    json_decref(now);
    mem_free(path);
}

static void test_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b;
    setup(&b, HF);
    struct adapter *a = random_adapter(b.m, 1U << SITE_V, false);
    must(adapter_save(a, b.place, "x", NULL, &e), &e);
    with_member(&b, "use_dora", json_true(), ERR_INPUT, "lora_magnitude_vector");
    with_member(&b, "rank_pattern", json_pack("{s:i}", "v_proj", 8), ERR_INPUT, "v_proj.lora_A");
    with_member(&b, "rank_pattern", json_pack("{s:i}", "v_proj", 0), ERR_INPUT, "rank_pattern");
    with_member(&b, "rank_pattern", json_pack("{s:i}", "v_(proj", 8), ERR_INPUT, "v_(proj");
    with_member(&b, "rank_pattern", json_pack("{s:i}", "(([a-z._0-9]+)+)+[!?]", 8), ERR_INPUT,
                "more than 2000000 steps");
    with_member(&b, "alpha_pattern", json_pack("{s:s}", "v_proj", "much"), ERR_INPUT, "alpha_pattern");
    with_member(&b, "target_modules", json_string(".*\\.lm_head"), ERR_UNSUPPORTED, "target_modules");
    with_member(&b, "target_modules", json_string(".*layers\\.0\\..*v_proj"), ERR_UNSUPPORTED, "layers.1.");
    with_member(&b, "layers_to_transform", json_pack("[i]", 0), ERR_UNSUPPORTED, "layers.1.");
    with_member(&b, "layers_to_transform", json_string("all"), ERR_INPUT, "layers_to_transform");
    with_member(&b, "modules_to_save", json_pack("[s]", "lm_head"), ERR_UNSUPPORTED, "modules_to_save");
    with_member(&b, "bias", json_string("all"), ERR_UNSUPPORTED, "bias");
    with_member(&b, "peft_type", json_string("IA3"), ERR_UNSUPPORTED, "IA3");
    with_member(&b, "r", json_integer(5), ERR_INPUT, "lora_A");
    with_member(&b, "r", json_integer(0), ERR_INPUT, "\"r\"");
    with_member(&b, "target_modules", json_pack("[s]", "embed_tokens"), ERR_UNSUPPORTED, "embed_tokens");
    with_member(&b, "target_modules", json_pack("[s, s]", "v_proj", "o_proj"), ERR_INPUT, "o_proj.lora_A");
    with_member(&b, "target_modules", json_pack("[s]", "o_proj"), ERR_INPUT, "o_proj.lora_A");
    with_member(&b, "init_lora_weights", json_string("pissa"), ERR_UNSUPPORTED, "pissa");
    adapter_free(a);
    teardown(&b);
}

/* Magnitudes: written on one order of rows and read on the other, on one matrix or fused ones; lost in a fused part. */
static void test_dora(void **state)
{
    (void)state;
    static const char *const paths[] = {HF, "tests/data/golden/models/phi3"};
    struct err e = {0};
    for (int k = 0; k < 2; k++) {
        struct bench b;
        struct adapter *back;
        const struct adapter_options opt = {
            .rank = 4, .alpha = 8, .sites = (1U << SITE_COUNT) - 1, .seed = 11, .use_dora = true};
        setup(&b, paths[k]);
        struct adapter *a = random_of(b.m, &opt);
        float *want = logits_with(b.m, a);
        must(adapter_save(a, b.place, "base", NULL, &e), &e);
        adapter_free(a);
        if (k == 0) {
            model_free(b.m);
            dev_free(b.d);
            open_model(&b, GGUF);
        }
        must(adapter_load(&back, b.m, b.place, &e), &e);
        assert_true(adapter_get_options(back)->use_dora);
        float *got = logits_with(b.m, back);
        if (!(worst(want, got) < 1e-4)) fail_msg("%s: off by %g", paths[k], worst(want, got));
        with_member(&b, "use_dora", json_false(), ERR_UNSUPPORTED, "lora_magnitude_vector");
        mem_free(want), mem_free(got);
        adapter_free(back);
        const struct adapter_options part = {.rank = 4, .alpha = 8, .sites = 1U << SITE_K, .use_dora = true};
        assert_int_equal(adapter_new(&back, b.m, &part, &e), k == 0 ? 0 : -ERR_UNSUPPORTED);
        if (k == 1) assert_non_null(strstr(e.msg, "qkv_proj"));
        adapter_free(back);
        teardown(&b);
    }
}

/* Matrices with ranks and alphas of their own, none at all on some layers: written as PEFT says such things, and read
 * back the same; and as a GGUF LoRA, whose one alpha takes the others' scales into B. */
static void test_patterns(void **state)
{
    (void)state;
    static const char *const paths[] = {HF, GGUF};
#define EVEN                                                                            \
    {                                                                                   \
        [SITE_Q] = {4, 8}, [SITE_K] = {2, 3}, [SITE_O] = {3, 5}, [SITE_DOWN] = { 4, 1 } \
    }
#define ODD                                                          \
    {                                                                \
        [SITE_Q] = {4, 8}, [SITE_K] = {2, 3}, [SITE_DOWN] = { 6, 8 } \
    }
    static struct adapter_target target[4][SITE_COUNT] = {EVEN, ODD, EVEN, ODD};
    for (int k = 0; k < 4; k++) {
        struct err e = {0};
        struct bench b;
        struct adapter *back;
        setup(&b, paths[k % 2]);
        assert_int_equal(model_params(b.m)->n_layer, 4);
        struct adapter *a =
            random_of(b.m, &(struct adapter_options){.rank = 4, .alpha = 8, .use_rslora = k > 1, .target = target[0]});
        assert_int_equal(adapter_max_rank(a), 6);
        assert_null(adapter_lora(a, 1, SITE_O));
        must(adapter_save(a, b.place, "x", NULL, &e), &e);
        must(adapter_load(&back, b.m, b.place, &e), &e);
        for (int i = 0; i < 4 * SITE_COUNT; i++) {
            struct adapter_target got = adapter_target_at(back, i / SITE_COUNT, (enum adapter_site)(i % SITE_COUNT));
            assert_memory_equal(&got, &target[i / SITE_COUNT][i % SITE_COUNT], sizeof(got));
        }
        float *x = params_of(a, b.m), *y = params_of(back, b.m), *want = logits_with(b.m, a);
        assert_memory_equal(x, y, adapter_n_param(a) * sizeof(float));
        adapter_free(back);
        char *lora = path_join(b.dir, "lora.gguf");
        must(adapter_save_gguf(a, lora, &e), &e);
        must(adapter_load(&back, b.m, lora, &e), &e);
        float *got = logits_with(b.m, back), *base = logits_with(b.m, NULL);
        assert_true(worst(want, base) > 0.01);
        if (!(worst(want, got) < 1e-4)) fail_msg("a GGUF LoRA on %s: %g apart", paths[k % 2], worst(want, got));
        mem_free(lora), mem_free(x), mem_free(y), mem_free(want), mem_free(got), mem_free(base);
        adapter_free(back);
        adapter_free(a);
        teardown(&b);
    }
}

/* Written beside one base, read on the other, whose rows of Q and K stand otherwise; on the wrong model; cut short. */
static void test_gguf_lora(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b, g, other;
    struct adapter *back, *none = NULL;
    setup(&b, HF), setup(&g, GGUF), setup(&other, "tests/data/golden/models/qwen3");
    struct adapter *a = random_adapter(b.m, (1U << SITE_COUNT) - 1, true);
    char *lora = path_join(b.dir, "lora.gguf"), *text;
    size_t n;
    must(adapter_save_gguf(a, lora, &e), &e);
    must(adapter_load(&back, g.m, lora, &e), &e);
    float *x = logits_with(b.m, a), *y = logits_with(g.m, back);
    if (!(worst(x, y) < 1e-3)) fail_msg("the same LoRA on both bases: %g apart", worst(x, y));
    assert_int_equal(adapter_load(&none, other.m, lora, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "general.architecture"));
    must(file_read_all(lora, 1 << 24, &text, &n, &e), &e);
    for (size_t cut = 0; cut < n; cut += n / 7) {
        must(file_write_atomic(lora, text, cut, &e), &e);
        assert_int_not_equal(adapter_load(&none, g.m, lora, &e), 0);
        assert_null(none);
    }
    mem_free(text), mem_free(lora), mem_free(x), mem_free(y);
    adapter_free(a);
    adapter_free(back);
    teardown(&b), teardown(&g), teardown(&other);
}

/* A directory with other contents is not replaced. */
static void test_place_taken(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b;
    setup(&b, HF);
    struct adapter *a = random_adapter(b.m, 1U << SITE_V, false);
    char *other = path_join(b.dir, "notes.txt");
    must(file_write_atomic(other, "x", 1, &e), &e);
    assert_int_equal(adapter_save(a, b.dir, "x", NULL, &e), -ERR_INPUT);
    assert_int_equal(adapter_save(a, other, "x", NULL, &e), -ERR_INPUT);
    assert_true(file_exists(other));
    mem_free(other);
    adapter_free(a);
    teardown(&b);
}

static void test_options(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b;
    struct adapter *a;
    setup(&b, HF);
    assert_int_equal(
        adapter_new(&a, b.m,
                    &(struct adapter_options){.rank = 0, .alpha = 8, .use_rslora = false, .sites = 1, .seed = 0}, &e),
        -ERR_INPUT);
    assert_int_equal(
        adapter_new(&a, b.m,
                    &(struct adapter_options){.rank = 4, .alpha = 0, .use_rslora = false, .sites = 1, .seed = 0}, &e),
        -ERR_INPUT);
    assert_int_equal(
        adapter_new(&a, b.m,
                    &(struct adapter_options){.rank = 4, .alpha = 8, .use_rslora = false, .sites = 0, .seed = 0}, &e),
        -ERR_INPUT);
    assert_int_equal(adapter_site_find("gate_proj"), SITE_GATE);
    assert_int_equal(adapter_site_find("lm_head"), -1);
    must(adapter_new(
             &a, b.m,
             &(struct adapter_options){.rank = 4, .alpha = 8, .use_rslora = false, .sites = 1U << SITE_UP, .seed = 3},
             &e),
         &e);
    float *x = logits_with(b.m, NULL), *y = logits_with(b.m, a); /* B is zero: nothing changes */
    assert_memory_equal(x, y, N_TOK * 288 * sizeof(float));
    float *p = params_of(a, b.m), *g;
    double most = 0;
    for (size_t i = 0; i < 4 * 64; i++) most = fmax(most, fabs((double)p[i]));
    assert_true(most <= 1.0 / 8 && most > 0.12); /* uniform within 1 / sqrt(64) */
    assert_null(adapter_grad(a, 0, SITE_UP).da);
    must(adapter_grads(a, &g, &e), &e);
    assert_ptr_equal(adapter_grad(a, 0, SITE_UP).da, g);
    assert_null(adapter_lora(a, 0, SITE_Q));
    mem_free(x);
    mem_free(y);
    mem_free(p);
    adapter_free(a);
    teardown(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fused),       cmocka_unit_test(test_row_order),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_place_taken), cmocka_unit_test(test_options),
        cmocka_unit_test(test_dora),       cmocka_unit_test(test_patterns),    cmocka_unit_test(test_gguf_lora),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
