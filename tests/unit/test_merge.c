/* Adapters put into weights, and written for other programs: a merged model computes what the model with the adapter
 * does, in each container; a GGUF LoRA says by alpha and rank what use_rslora says, in GGUF's order of rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/convert/merge.h"
#include "compute/model/adapter_int.h"
#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"

enum { N_TOK = 24 };
static char dir[] = "/tmp/tailor-test-XXXXXX";

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

struct bench {
    struct dev *d;
    struct model_file *f;
    struct model *m;
};

static void open_model(struct bench *b, const char *path)
{
    struct err e = {0};
    must(dev_cpu_new(&b->d, &(struct dev_options){2, PRECISION_REFERENCE, kern_isa_detect()}, &e), &e);
    must(model_file_open(&b->f, path, &e), &e);
    must(model_load(&b->m, b->d, b->f, &e), &e);
}

static void close_model(struct bench *b)
{
    model_free(b->m);
    model_file_close(b->f);
    dev_free(b->d);
}

static struct adapter *random_adapter(const struct bench *b, bool dora, bool rslora)
{
    struct err e = {0};
    struct adapter *a;
    const struct adapter_options o = {
        .rank = 4, .alpha = 8, .use_rslora = rslora, .sites = (1U << SITE_COUNT) - 1, .seed = 3, .use_dora = dora};
    must(adapter_new(&a, b->m, &o, &e), &e);
    size_t n = adapter_n_param(a);
    float *x = mem_alloc(n * sizeof(*x));
    dev_read(b->d, x, adapter_params(a), n);
    for (size_t i = 0; i < n; i++) x[i] += (float)(0.05 * rng_normal(5, 0, i));
    dev_write(b->d, adapter_params(a), x, n);
    adapter_update(a);
    mem_free(x);
    return a;
}

static float *logits_of(struct bench *b, const struct adapter *a)
{
    struct err e = {0};
    struct dev_kv *kv;
    int32_t ids[N_TOK], rows[N_TOK];
    size_t n_vocab = (size_t)model_params(b->m)->n_vocab;
    must(model_kv_new(b->m, &kv, 1, &e), &e);
    for (int i = 0; i < N_TOK; i++) ids[i] = (i * 37 + 5) % (int)n_vocab, rows[i] = i;
    struct dev_block block[] = {{0, N_TOK}};
    struct dev_segment s = {0, N_TOK, 0, block, 1, a != NULL ? 0 : -1};
    struct model_batch batch = {.dev = {DEV_SERVE, N_TOK, &s, 1},
                                .ids = ids,
                                .out_row = rows,
                                .n_out = N_TOK,
                                .adapter = &a,
                                .n_adapter = a != NULL ? 1 : 0};
    float *x = mem_alloc(N_TOK * n_vocab * sizeof(*x));
    must(model_forward(b->m, &batch, kv, x, &e), &e);
    dev_kv_free(kv);
    return x;
}

static void check_same(const char *what, const char *path, const float *want, double tolerance)
{
    struct bench b;
    double worst = 0;
    open_model(&b, path);
    float *got = logits_of(&b, NULL);
    for (size_t i = 0; i < N_TOK * (size_t)model_params(b.m)->n_vocab; i++)
        worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
    if (!(worst < tolerance)) fail_msg("%s: merged logits are off by %g", what, worst);
    mem_free(got);
    close_model(&b);
}

/* state: the base. Merged into a GGUF, and where the base is a directory into a directory. */
static void test_merged(void **state)
{
    const char *base = *state;
    for (int k = 0; k < 4; k++) {
        struct err e = {0};
        struct bench b;
        struct quantize_result r;
        char gguf[96], hf[96];
        snprintf(gguf, sizeof(gguf), "%s/%d.gguf", dir, k);
        snprintf(hf, sizeof(hf), "%s/%d", dir, k);
        open_model(&b, base);
        struct adapter *a = random_adapter(&b, k % 2 == 1, k / 2 == 1);
        const struct merge_input in = {b.f, b.m, a};
        const struct quantize_options o = {
            .mix = model_file_is_gguf(b.f) ? NULL : mix_find("F32"), .n_thread = 2, .isa = kern_isa_detect()};
        float *want = logits_of(&b, a);
        must(merge_gguf(&in, gguf, &o, &r, &e), &e);
        check_same(base, gguf, want, 2e-4);
        if (!model_file_is_gguf(b.f)) {
            must(merge_hf(&in, hf, &e), &e);
            check_same(base, hf, want, 2e-4);
            assert_int_equal(merge_hf(&in, hf, &e), -ERR_CONFLICT);
            must(file_remove_tree(hf, &e), &e);
        } else {
            assert_int_equal(merge_hf(&in, hf, &e), -ERR_UNSUPPORTED);
            assert_false(file_exists(hf));
        }
        mem_free(want);
        adapter_free(a);
        close_model(&b);
        must(file_remove_tree(gguf, &e), &e);
    }
}

/* Of a quantized base what changes becomes F16, and the rest stays byte for byte. */
static void test_quantized_base(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b, made;
    struct quantize_result r;
    struct quantize_options o = {.mix = mix_find("Q8_0"), .n_thread = 2, .isa = kern_isa_detect()};
    char q8[96], out[96];
    snprintf(q8, sizeof(q8), "%s/q8.gguf", dir);
    snprintf(out, sizeof(out), "%s/q8-merged.gguf", dir);
    open_model(&b, "tests/data/golden/models/llama");
    must(quantize_model(b.f, q8, &o, &r, &e), &e);
    close_model(&b);
    open_model(&b, q8);
    struct adapter *a = random_adapter(&b, false, false);
    float *want = logits_of(&b, a);
    o.mix = NULL;
    must(merge_gguf(&(struct merge_input){b.f, b.m, a}, out, &o, &r, &e), &e);
    check_same("Q8_0", out, want, 2e-2);
    open_model(&made, out);
    assert_int_equal(model_file_find(made.f, "blk.0.attn_q.weight")->type, TENSOR_F16);
    const struct tensor_info *t = model_file_find(made.f, "token_embd.weight"), *u = model_file_find(b.f, t->name);
    assert_int_equal(t->type, TENSOR_Q8_0);
    uint8_t *x = mem_alloc((size_t)t->n_bytes), *y = mem_alloc((size_t)t->n_bytes);
    must(model_file_read(made.f, t, x, 0, (size_t)t->n_bytes, &e), &e);
    must(model_file_read(b.f, u, y, 0, (size_t)t->n_bytes, &e), &e);
    assert_memory_equal(x, y, (size_t)t->n_bytes);
    mem_free(x), mem_free(y), mem_free(want);
    adapter_free(a);
    close_model(&b);
    close_model(&made);
}

static float *read_floats(const struct model_file *f, const char *name, size_t n)
{
    struct err e = {0};
    const struct tensor_info *t = model_file_find(f, name);
    float *x = mem_alloc(n * sizeof(*x));
    assert_non_null(t);
    assert_true(t->type == TENSOR_F32 && t->n_bytes == n * sizeof(*x));
    must(model_file_read(f, t, x, 0, n * sizeof(*x), &e), &e);
    return x;
}

/* A reader's view: W + alpha / rank * B A in the rows of the GGUF base is what the merged GGUF holds. */
static void test_gguf_lora(void **state)
{
    (void)state;
    static const char *const bases[] = {"tests/data/golden/models/llama", "tests/data/golden/gguf/llama.gguf"};
    static const char *const site[] = {"attn_q", "attn_k", "ffn_down"};
    for (int k = 0; k < 4; k++) {
        struct err e = {0};
        struct bench b, merged, plain;
        struct model_file *f;
        struct quantize_result r;
        char lora[96], out[96];
        snprintf(lora, sizeof(lora), "%s/lora%d.gguf", dir, k);
        snprintf(out, sizeof(out), "%s/merged%d.gguf", dir, k);
        open_model(&b, bases[k % 2]);
        struct adapter *a = random_adapter(&b, false, k / 2 == 1);
        const struct quantize_options o = {.mix = mix_find("F32"), .n_thread = 2, .isa = kern_isa_detect()};
        must(merge_gguf(&(struct merge_input){b.f, b.m, a}, out, &o, &r, &e), &e);
        must(adapter_save_gguf(a, lora, &e), &e);
        must(model_file_open(&f, lora, &e), &e);
        open_model(&merged, out);
        open_model(&plain, bases[1]);
        const json_t *meta = model_file_metadata(f);
        assert_string_equal(json_string_value(json_object_get(meta, "adapter.type")), "lora");
        assert_string_equal(json_string_value(json_object_get(meta, "general.architecture")), "llama");
        double scale = json_number_value(json_object_get(meta, "adapter.lora.alpha")) / 4;
        assert_true(fabs(scale - (k / 2 == 1 ? 4 : 2)) < 1e-6);
        for (size_t s = 0; s < N_ELEM(site); s++) {
            char name[64], name_a[96], name_b[96];
            snprintf(name, sizeof(name), "blk.1.%s.weight", site[s]);
            snprintf(name_a, sizeof(name_a), "%s.lora_a", name);
            snprintf(name_b, sizeof(name_b), "%s.lora_b", name);
            const struct tensor_info *t = model_file_find(plain.f, name);
            size_t n_out = (size_t)t->shape[0], n_in = (size_t)t->shape[1];
            float *w = read_floats(plain.f, name, n_out * n_in), *want = read_floats(merged.f, name, n_out * n_in);
            float *fa = read_floats(f, name_a, 4 * n_in), *fb = read_floats(f, name_b, 4 * n_out);
            for (size_t i = 0; i < n_out * n_in; i++) {
                double x = (double)w[i];
                for (size_t q = 0; q < 4; q++)
                    x += scale * (double)fb[i / n_in * 4 + q] * (double)fa[q * n_in + i % n_in];
                assert_true(fabs(x - (double)want[i]) < 1e-5);
            }
            mem_free(w), mem_free(want), mem_free(fa), mem_free(fb);
        }
        model_file_close(f);
        adapter_free(a);
        close_model(&b), close_model(&merged), close_model(&plain);
    }
}

static void test_gguf_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct bench b;
    char lora[96];
    snprintf(lora, sizeof(lora), "%s/refused.gguf", dir);
    open_model(&b, "tests/data/golden/models/llama");
    struct adapter *a = random_adapter(&b, true, false);
    assert_int_equal(adapter_save_gguf(a, lora, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "DoRA"));
    adapter_free(a);
    close_model(&b);
    open_model(&b, "tests/data/golden/models/phi3");
    a = random_adapter(&b, false, false);
    assert_int_equal(adapter_save_gguf(a, lora, &e), -ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "phi3"));
    assert_false(file_exists(lora));
    adapter_free(a);
    close_model(&b);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

int main(void)
{
    static char bases[][64] = {"tests/data/golden/models/llama", "tests/data/golden/models/gemma3",
                               "tests/data/golden/models/phi3", "tests/data/golden/models/qwen2",
                               "tests/data/golden/gguf/llama.gguf"};
    struct CMUnitTest tests[N_ELEM(bases) + 3] = {
        cmocka_unit_test(test_quantized_base), cmocka_unit_test(test_gguf_lora), cmocka_unit_test(test_gguf_refused)};
    for (size_t i = 0; i < N_ELEM(bases); i++)
        tests[3 + i] = (struct CMUnitTest)cmocka_unit_test_prestate(test_merged, bases[i]);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
