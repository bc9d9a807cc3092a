/* Quantizing whole models and collecting importance matrices: types by the rules of the mixes, fallbacks, metadata, the
 * same file for every number of threads; a Hugging Face directory becomes the GGUF that llama.cpp's converter makes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/convert/imatrix.h"
#include "compute/convert/quantize_model.h"
#include "compute/formats/gguf.h"
#include "compute/formats/imatrix_file.h"
#include "compute/model/model.h"
#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "written_models.h"

#define GOLDEN "tests/data/golden/"

/* A file in the test's directory; the text is valid until the next call. */
static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static struct quantize_result quantize(const char *from, const char *name, const char *type, int n_thread,
                                       const struct imatrix *imatrix)
{
    struct err e = {0};
    struct quantize_result r;
    struct model_file *f = open_model(from);
    struct quantize_options opt = {
        .mix = mix_find(type), .imatrix = imatrix, .n_thread = n_thread, .isa = kern_isa_detect()};
    assert_non_null(opt.mix);
    must(quantize_model(f, in_dir(name), &opt, &r, &e), &e);
    model_file_close(f);
    return r;
}

static float *values_of(const struct model_file *f, const struct tensor_info *t, size_t *n)
{
    struct err e = {0};
    const struct quant *q = quants[quant_find(tensor_type_info(t->type)->name)];
    uint8_t *raw = mem_alloc((size_t)t->n_bytes);
    *n = (size_t)t->n_bytes / q->block_bytes * (size_t)q->block_len;
    float *x = mem_alloc(*n * sizeof *x);
    must(model_file_read(f, t, raw, 0, (size_t)t->n_bytes, &e), &e);
    q->dequantize(x, raw, *n);
    mem_free(raw);
    return x;
}

static void assert_same_values(const struct model_file *a, const struct model_file *b, const struct tensor_info *t)
{
    const struct tensor_info *u = model_file_find(b, t->name);
    size_t n, m;
    assert_non_null(u);
    float *x = values_of(a, t, &n), *y = values_of(b, u, &m);
    assert_int_equal(n, m);
    if (memcmp(x, y, n * sizeof *x)) {
        fail_msg("%s differs", t->name);
    }
    mem_free(x);
    mem_free(y);
}

/* What llama.cpp's converter says of the hyper-parameters, we say too. */
static void assert_same_keys(const struct model_file *want, const struct model_file *made, const char *arch)
{
    const char *key;
    json_t *value;
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%s.", arch);
    json_object_foreach((json_t *)(uintptr_t)model_file_metadata(want), key, value)
    {
        const json_t *own = json_object_get(model_file_metadata(made), key);
        bool idle = str_ends(key, "sliding_window") && json_integer_value(value) == 0; /* no window, said or not */
        idle = idle || str_ends(key, "rope.scaling.original_context_length");          /* without a scaling */
        if (str_starts(key, prefix) && !idle &&
            !(own && fabs(json_number_value(own) - json_number_value(value)) <= 1e-6 * json_number_value(value))) {
            fail_msg("%s: %s is %g, not %g", arch, key, json_number_value(own), json_number_value(value));
        }
    }
}

/* Names, order of rotary pairs and hyper-parameters change; values do not. */
static void test_directory_becomes_the_same_gguf(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "llama-mqa", "mistral", "gemma2", "phi3",   "granite",
                                        "qwen2", "qwen3",     "gemma3",  "olmo2",  "smollm3"};
    for (size_t i = 0; i < N_ELEM(names); i++) {
        char hf[96], gguf[96];
        static struct model_params p, q;
        struct err e = {0};
        snprintf(hf, sizeof hf, GOLDEN "models/%s", names[i]);
        snprintf(gguf, sizeof gguf, GOLDEN "gguf/%s.gguf", names[i]);
        if (!file_exists(gguf)) { /* the larger ones are kept outside the project */
            snprintf(gguf, sizeof gguf, "../shared/data/golden/gguf/%s.gguf", names[i]);
        }
        if (!file_exists(gguf)) {
            print_message("skipped: there is no %s\n", gguf);
            continue;
        }
        quantize(hf, "a.gguf", "F32", 2, NULL);
        struct model_file *made = open_model(in_dir("a.gguf")), *want = open_model(gguf), *source = open_model(hf);
        for (size_t t = 0; t < model_file_n_tensor(want); t++) {
            assert_same_values(want, made, model_file_tensor(want, t));
        }
        assert_int_equal(model_file_n_tensor(made), model_file_n_tensor(want));
        must(model_file_params(made, &p, &e), &e);
        must(model_file_params(source, &q, &e), &e);
        assert_string_equal(p.architecture, q.architecture);
        assert_true(p.n_layer == q.n_layer && p.n_head == q.n_head && p.n_kv_head == q.n_kv_head &&
                    p.d_head == q.d_head && p.n_ff == q.n_ff && p.n_vocab == q.n_vocab && p.n_rot == q.n_rot);
        assert_true(p.rms_eps == q.rms_eps && (float)p.rope[0].theta == (float)q.rope[0].theta &&
                    p.rope_halves == !model_architecture_permutes(p.architecture));
        assert_memory_equal(p.layer, q.layer, sizeof p.layer);
        assert_memory_equal(p.rope[0].factor, q.rope[0].factor, sizeof p.rope[0].factor);
        assert_same_keys(want, made, p.architecture);
        model_file_close(made);
        model_file_close(want);
        model_file_close(source);
    }
}

static void test_metadata_stays_but_for_the_type(void **state)
{
    (void)state;
    quantize(GOLDEN "gguf/llama.gguf", "a.gguf", "Q8_0", 1, NULL);
    struct model_file *made = open_model(in_dir("a.gguf")), *source = open_model(GOLDEN "gguf/llama.gguf");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)model_file_metadata(source), key, value)
    {
        if (!str_eq(key, "general.file_type") && !str_eq(key, "general.quantization_version") &&
            !json_equal(value, json_object_get(model_file_metadata(made), key))) {
            fail_msg("metadata key %s is not what it was", key);
        }
    }
    const json_t *meta = model_file_metadata(made);
    assert_int_equal(json_integer_value(json_object_get(meta, "general.file_type")), 7);
    assert_int_equal(json_integer_value(json_object_get(meta, "general.quantization_version")), 2);
    assert_int_equal(model_file_find(made, "output_norm.weight")->type, TENSOR_F32);
    model_file_close(made);
    model_file_close(source);
}

static void test_threads_and_levels_change_nothing(void **state)
{
    (void)state;
    char *data[3];
    size_t size[3];
    struct err e = {0};
    for (int i = 0; i < 3; i++) {
        quantize(GOLDEN "gguf/llama.gguf", "a.gguf", "Q4_K_M", i + 1, NULL);
        must(file_read_all(in_dir("a.gguf"), 1 << 26, &data[i], &size[i], &e), &e);
        assert_int_equal(size[i], size[0]);
        assert_memory_equal(data[i], data[0], size[0]);
    }
    for (int i = 0; i < 3; i++) {
        mem_free(data[i]);
    }
}

/* What was quantized is near what it was, nearer with more bits; the same type again is a copy. */
static void test_errors_and_copies(void **state)
{
    (void)state;
    static const char *const types[] = {"F32", "F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"};
    double last = -1;
    for (size_t i = 0; i < N_ELEM(types); i++) {
        struct quantize_result r = quantize(GOLDEN "gguf/llama.gguf", "a.gguf", types[i], 2, NULL);
        if (!(r.rmse > last)) {
            fail_msg("%s: rmse %g, that of the type before %g", types[i], r.rmse, last);
        }
        last = r.rmse;
        char first[128];
        snprintf(first, sizeof first, "%s", in_dir("a.gguf"));
        r = quantize(first, "b.gguf", types[i], 2, NULL);
        assert_true(r.rmse == 0 && r.n_again == 0);
    }
}

/* Rows of the tiny model are no multiples of 256. */
static void test_fallbacks_are_told(void **state)
{
    (void)state;
    struct quantize_result r = quantize(GOLDEN "gguf/llama.gguf", "a.gguf", "Q4_K", 2, NULL);
    assert_int_equal(r.n_fallback, 1);
    assert_true(r.fallback[0].from == QUANT_Q4_K && r.fallback[0].to == QUANT_Q5_0);
    assert_true(r.fallback[0].n_tensor == r.n_tensor[QUANT_Q5_0] && r.n_tensor[QUANT_Q5_0] > 7);
    assert_int_equal(mix_fallback(QUANT_Q5_K, 64), QUANT_Q5_1);
    assert_int_equal(mix_fallback(QUANT_Q6_K, 64), QUANT_Q8_0);
    assert_int_equal(mix_fallback(QUANT_Q2_K, 64), QUANT_Q4_0);
    assert_int_equal(mix_fallback(QUANT_Q3_K, 64), QUANT_Q4_0);
    assert_int_equal(mix_fallback(QUANT_Q4_0, 40), QUANT_F16);
    assert_int_equal(mix_fallback(QUANT_Q4_K, 512), QUANT_Q4_K);
}

/* How many of the layers' matrices of a kind a mix gives a type. */
static int count(const char *mix, const struct mix_model *m, const char *kind, enum quant_type type)
{
    int n = 0;
    for (int layer = 0; layer < m->n_layer; layer++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, kind);
        struct tensor_info t = {.name = name, .n_dim = 2, .shape = {512, 512}};
        n += mix_type(mix_find(mix), m, &t) == type;
    }
    return n;
}

static enum quant_type type_in(const char *mix, const struct mix_model *m, const char *name)
{
    struct tensor_info t = {.name = name, .n_dim = 2, .shape = {512, 512}};
    return mix_type(mix_find(mix), m, &t);
}

/* Counts as llama.cpp's quantizer gives them for 32 layers with 4 query heads a key head. */
static void test_mixes(void **state)
{
    (void)state;
    struct mix_model m = {.n_layer = 32, .n_gqa = 4, .n_expert = 1};
    assert_int_equal(count("Q4_K_M", &m, "attn_v", QUANT_Q6_K), 16);
    assert_int_equal(count("Q4_K_M", &m, "ffn_down", QUANT_Q6_K), 16);
    assert_int_equal(count("Q4_K_M", &m, "ffn_up", QUANT_Q4_K), 32);
    assert_int_equal(count("Q5_K_M", &m, "ffn_down", QUANT_Q6_K), 16);
    assert_int_equal(count("Q4_K_S", &m, "attn_v", QUANT_Q5_K), 4);
    assert_int_equal(count("Q4_K_S", &m, "ffn_down", QUANT_Q5_K), 4);
    assert_int_equal(count("Q3_K_M", &m, "ffn_down", QUANT_Q5_K), 2);
    assert_int_equal(count("Q3_K_M", &m, "ffn_down", QUANT_Q4_K), 30);
    assert_int_equal(count("Q3_K_M", &m, "attn_output", QUANT_Q4_K), 32);
    assert_int_equal(count("Q3_K_L", &m, "attn_v", QUANT_Q5_K), 32);
    assert_int_equal(count("Q2_K", &m, "attn_v", QUANT_Q4_K), 32);
    assert_int_equal(count("Q2_K", &m, "ffn_down", QUANT_Q3_K), 32);
    assert_int_equal(count("Q4_K", &m, "ffn_down", QUANT_Q4_K), 32);
    assert_int_equal(type_in("Q4_K_M", &m, "output.weight"), QUANT_Q6_K);
    assert_int_equal(type_in("Q4_K_M", &m, "token_embd.weight"), QUANT_Q4_K);
    assert_int_equal(type_in("Q8_0", &m, "output.weight"), QUANT_Q8_0);
    m.tied = true;
    assert_int_equal(type_in("Q4_0", &m, "token_embd.weight"), QUANT_Q6_K);
    m.has_weights = true;
    assert_int_equal(count("Q4_0", &m, "ffn_down", QUANT_Q4_1), 4);
    m.n_gqa = 1;
    assert_int_equal(count("Q2_K", &m, "attn_v", QUANT_Q3_K), 32);
}

static void test_values_that_are_not_finite(void **state)
{
    (void)state;
    struct gguf_writer *w;
    struct err e = {0};
    struct quantize_result r;
    const uint64_t shape[] = {2, 32};
    float x[64] = {1};
    x[40] = NAN;
    must(gguf_writer_new(&w, in_dir("bad.gguf"), &e), &e);
    assert_int_equal(gguf_put_tensor(w, "blk.0.ffn_up.weight", TENSOR_F32, shape, 2), 0);
    must(gguf_writer_begin(w, &e), &e);
    must(gguf_write_data(w, x, sizeof x, &e), &e);
    must(gguf_writer_commit(w, &e), &e);
    gguf_writer_free(w);
    struct model_file *f = open_model(in_dir("bad.gguf"));
    struct quantize_options opt = {.mix = mix_find("Q8_0"), .n_thread = 2};
    assert_int_equal(quantize_model(f, in_dir("bad.out"), &opt, &r, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "\"blk.0.ffn_up.weight\": 1 of its values in rows 0 to 1"));
    assert_false(file_exists(in_dir("bad.out")));
    model_file_close(f);
}

static bool stop_at_once(void *arg, double done, double total, const char *tensor)
{
    (void)arg, (void)tensor;
    assert_true(done > 0 && done <= total);
    return false;
}

static void test_interrupted_work_leaves_nothing(void **state)
{
    (void)state;
    struct err e = {0};
    struct quantize_result r;
    struct model_file *f = open_model(GOLDEN "gguf/llama.gguf");
    struct quantize_options opt = {.mix = mix_find("Q8_0"), .n_thread = 1, .progress = stop_at_once};
    assert_int_equal(quantize_model(f, in_dir("stopped"), &opt, &r, &e), -ERR_INTERRUPTED);
    assert_false(file_exists(in_dir("stopped")));
    model_file_close(f);
}

/* --- importance matrices --- */

static void collect(const char *model, const char *path)
{
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
    struct err e = {0};
    struct dev *d;
    struct model *m;
    struct imatrix_collector *c;
    struct model_file *f = open_model(model);
    must(dev_cpu_new(&d, &(struct dev_options){2, PRECISION_REFERENCE, kern_isa_detect()}, &e), &e);
    must(model_load(&m, d, f, &e), &e);
    must(imatrix_collector_new(&c, m, 64, &e), &e);
    assert_int_equal(imatrix_collector_save(c, path, "nothing", &e), -ERR_INPUT);
    must(imatrix_collector_add(c, ids, N_ELEM(ids), &e), &e);
    must(imatrix_collector_add(c, ids, 4, &e), &e);
    assert_int_equal(imatrix_collector_add(c, ids, 65, &e), -ERR_LIMIT);
    assert_int_equal(imatrix_collector_n_tok(c), N_ELEM(ids) + 4);
    must(imatrix_collector_save(c, path, "texts.jsonl", &e), &e);
    imatrix_collector_free(c);
    model_free(m);
    dev_free(d);
    model_file_close(f);
}

/* Every matrix of a model whose tensors are fused has its weights. */
static void test_collected_of_fused(void **state)
{
    (void)state;
    struct err e = {0};
    struct imatrix *im;
    collect(GOLDEN "gguf/phi3.gguf", in_dir("im.gguf"));
    must(imatrix_open(&im, in_dir("im.gguf"), &e), &e);
    struct quantize_result r = quantize(GOLDEN "gguf/phi3.gguf", "a.gguf", "Q4_0", 1, im);
    assert_int_equal(r.n_unweighted, 1); /* the embedding */
    imatrix_close(im);
}

/* The first norm divides rows by their root mean square, so the mean squares of the input of q, each over its squared
 * norm weight, average to 1 over the columns. */
static void test_collected_squares(void **state)
{
    (void)state;
    struct err e = {0};
    struct imatrix *im;
    const float *mean, *other;
    size_t n;
    double sum = 0;
    collect(GOLDEN "gguf/llama.gguf", in_dir("im.gguf"));
    must(imatrix_open(&im, in_dir("im.gguf"), &e), &e);
    struct model_file *f = open_model(GOLDEN "gguf/llama.gguf");
    float *norm = values_of(f, model_file_find(f, "blk.0.attn_norm.weight"), &n);
    must(imatrix_find(im, "blk.0.attn_q.weight", 1, n, &mean, &e), &e);
    must(imatrix_find(im, "blk.0.attn_v.weight", 1, n, &other, &e), &e);
    for (size_t i = 0; i < n; i++) {
        sum += (double)mean[i] / ((double)norm[i] * (double)norm[i]) / (double)n;
    }
    assert_true(fabs(sum - 1) < 1e-3);
    assert_memory_equal(mean, other, n * sizeof *mean);
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        if (t->n_dim == 2 && !str_eq(t->name, "token_embd.weight")) {
            must(imatrix_find(im, t->name, 1, (size_t)t->shape[1], &mean, &e), &e);
            assert_non_null(mean);
        }
    }
    must(imatrix_find(im, "no.such", 1, n, &mean, &e), &e);
    assert_null(mean);
    assert_int_equal(imatrix_find(im, "blk.0.attn_q.weight", 1, n + 1, &mean, &e), -ERR_INPUT);
    struct quantize_result r = quantize(GOLDEN "gguf/llama.gguf", "a.gguf", "Q4_0", 1, im);
    assert_true(r.n_unweighted <= 1); /* an embedding that is not the head */
    imatrix_close(im);
    model_file_close(f);
    mem_free(norm);
}

static void add_i32(struct buf *b, int32_t v)
{
    assert_int_equal(buf_add(b, &v, sizeof v), 0);
}

static void dat_entry(struct buf *b, const char *name, int32_t n_call, int32_t n, const float *sum)
{
    add_i32(b, (int32_t)strlen(name));
    assert_int_equal(buf_add_str(b, name), 0);
    add_i32(b, n_call);
    add_i32(b, n);
    assert_int_equal(buf_add(b, sum, (size_t)n * sizeof *sum), 0);
}

/* A .dat is read; cut off anywhere, or with values that cannot be, it is refused. */
static void test_dat(void **state)
{
    (void)state;
    const float sum[] = {2, 4, 6, 8}, bad[] = {1, -1, 0, 0};
    struct buf b;
    struct err e = {0};
    struct imatrix *im;
    const float *mean;
    buf_init(&b, 4096);
    add_i32(&b, 2);
    dat_entry(&b, "one", 2, 4, sum);
    dat_entry(&b, "two", 4, 4, sum);
    size_t whole = b.len;
    for (size_t n = 0; n < whole; n++) {
        must(file_write_atomic(in_dir("x.dat"), b.data, n, &e), &e);
        assert_int_equal(imatrix_open(&im, in_dir("x.dat"), &e), -ERR_INPUT);
    }
    must(file_write_atomic(in_dir("x.dat"), b.data, whole, &e), &e);
    must(imatrix_open(&im, in_dir("x.dat"), &e), &e);
    assert_int_equal(imatrix_n_entry(im), 2);
    must(imatrix_find(im, "two", 2, 2, &mean, &e), &e);
    assert_true(mean[0] == 0.5f && mean[3] == 2.0f);
    imatrix_close(im);
    buf_clear(&b);
    add_i32(&b, 1);
    dat_entry(&b, "one", 1, 4, bad);
    must(file_write_atomic(in_dir("x.dat"), b.data, b.len, &e), &e);
    assert_int_equal(imatrix_open(&im, in_dir("x.dat"), &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "the value -1 at 1"));
    assert_int_equal(imatrix_open(&im, GOLDEN "gguf/llama.gguf", &e), -ERR_INPUT);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directory_becomes_the_same_gguf),
        cmocka_unit_test(test_metadata_stays_but_for_the_type),
        cmocka_unit_test(test_threads_and_levels_change_nothing),
        cmocka_unit_test(test_errors_and_copies),
        cmocka_unit_test(test_fallbacks_are_told),
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_values_that_are_not_finite),
        cmocka_unit_test(test_interrupted_work_leaves_nothing),
        cmocka_unit_test(test_collected_squares),
        cmocka_unit_test(test_collected_of_fused),
        cmocka_unit_test(test_dat),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
