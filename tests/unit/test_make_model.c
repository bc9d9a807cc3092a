/* make-model and inspect: the file that is written is a model of the family with a tokenizer that works; the weights
 * depend on the seed and not on the threads; inspect --check names a tensor that is not finite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/kernels/kern.h"
#include "compute/formats/gguf.h"
#include "compute/formats/model_file.h"
#include "compute/text/tokenizer.h"
#include "doors/cli/cli.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

extern const struct command cmd_inspect, cmd_make_model;

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

/* Run a command with its arguments, stdout put aside into a file; its JSON result, NULL on failure. */
static json_t *run_command(const struct command *cmd, int threads, int *rc, struct err *e, int argc,
                           const char *const *arg)
{
    char *argv[8];
    char *path = path_join(dir, "out.json");
    struct cli c = {.home = dir, .threads = threads, .json = true};
    struct param_set *args = param_set_new(cmd->params, cmd->n_param);
    for (int i = 0; i < argc; i++) {
        argv[i] = mem_strdup(arg[i]);
    }
    *rc = param_set_args(args, argc, argv, e);
    fflush(stdout);
    FILE *saved = stdout;
    stdout = fopen(path, "w");
    assert_non_null(stdout);
    *rc = *rc ? *rc : cmd->run(&c, args, e);
    fclose(stdout);
    stdout = saved;
    json_t *j = json_load_file(path, 0, NULL);
    param_set_free(args);
    for (int i = 0; i < argc; i++) {
        mem_free(argv[i]);
    }
    mem_free(path);
    return j;
}

static char *make(const char *name, const char *arch, const char *type, const char *seed, int threads)
{
    struct err e = {0};
    int rc;
    char *path = path_join(dir, name);
    char arch_arg[32];
    char type_arg[32];
    char seed_arg[32];
    snprintf(arch_arg, sizeof arch_arg, "--arch=%s", arch);
    snprintf(type_arg, sizeof type_arg, "--type=%s", type);
    snprintf(seed_arg, sizeof seed_arg, "--seed=%s", seed);
    const char *const arg[] = {path, "--preset=tiny", arch_arg, type_arg, seed_arg};
    json_t *j = run_command(&cmd_make_model, threads, &rc, &e, 5, arg);
    if (rc || json_integer_value(json_object_get(j, "bytes")) <= 0) {
        fail_msg("%s", e.msg);
    }
    json_decref(j);
    return path;
}

static void assert_tokenizer_works(const struct model_file *f)
{
    static const char text[] = "The answer to this question is 42 \xe5\xa5\xbd\xf0\x9f\x98\x80\n\x01 zzqx";
    struct vocab_source v;
    struct tokenizer *t;
    struct token_list ids = {0};
    struct buf out;
    struct detokenizer d;
    struct err e = {0};
    assert_int_equal(model_file_vocab(f, &v, &e), 0);
    if (tokenizer_new(&t, &v, &e)) {
        fail_msg("%s", e.msg);
    }
    assert_int_equal(tokenizer_encode(t, text, strlen(text), 0, &ids, &e), 0);
    assert_true(ids.n < strlen(text)); /* merges apply */
    buf_init(&out, 4096);
    detokenizer_init(&d, t, true);
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_equal(detokenizer_push(&d, ids.ids[i], &out), 0);
    }
    assert_int_equal(detokenizer_finish(&d, &out), 0);
    assert_string_equal(out.data, text);
    assert_int_equal(tokenizer_find(t, "<|im_end|>"), 2);
    assert_true(tokenizer_is_end(t, 2));
    assert_non_null(v.chat_template);
    buf_deinit(&out);
    token_list_deinit(&ids);
    tokenizer_free(t);
}

/* The values of a matrix have a mean near 0 and about the deviation wanted (MXFP4: at least half of it). */
static void assert_deviation(const struct model_file *f, const struct tensor_info *t, double wanted)
{
    struct err e = {0};
    size_t n = (size_t)(t->shape[0] * t->shape[1]);
    void *raw = mem_alloc((size_t)t->n_bytes);
    float *x = mem_alloc(n * sizeof *x);
    double sum = 0;
    double squares = 0;
    assert_int_equal(model_file_read(f, t, raw, 0, (size_t)t->n_bytes, &e), 0);
    quants[quant_find(tensor_type_info(t->type)->name)]->dequantize(x, raw, n);
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    double is = sqrt(squares / (double)n);
    if (!(fabs(sum / (double)n) < 0.15 * wanted) || !(is < 1.1 * wanted && is > 0.45 * wanted)) {
        fail_msg("%s: mean %g, deviation %g instead of %g", tensor_type_info(t->type)->name, sum / (double)n, is,
                 wanted);
    }
    mem_free(raw);
    mem_free(x);
}

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *written; /* rows of 64 and 160 values are no whole blocks of 256 */
    } type[] = {{"F32", "F32"},     {"F16", "F16"},       {"BF16", "BF16"},  {"Q8_0", "Q8_0"},
                {"Q4_0", "Q4_0"},   {"Q4_1", "Q4_1"},     {"Q5_1", "Q5_1"},  {"Q4_K", "Q5_0"},
                {"Q2_K", "IQ4_NL"}, {"IQ4_XS", "IQ4_NL"}, {"MXFP4", "MXFP4"}};
    for (size_t i = 0; i < 2 * N_ELEM(type); i++) {
        struct model_file *f;
        struct model_params p;
        struct err e = {0};
        const char *arch = i % 2 ? "llama" : "qwen2";
        char *path = make("model.gguf", arch, type[i / 2].asked, "1", 1);
        assert_int_equal(model_file_open(&f, path, &e), 0);
        if (model_file_params(f, &p, &e)) {
            fail_msg("%s", e.msg);
        }
        assert_string_equal(p.architecture, arch);
        assert_int_equal(p.n_vocab, 512);
        assert_true(p.tied_head);
        const struct tensor_info *t = model_file_find(f, "blk.1.ffn_down.weight");
        assert_string_equal(tensor_type_info(t->type)->name, type[i / 2].written);
        assert_deviation(f, t, 0.01);
        assert_int_equal(model_file_find(f, "blk.0.attn_q.bias") != NULL, i % 2 == 0);
        assert_tokenizer_works(f);
        model_file_close(f);
        mem_free(path);
    }
}

/* A tiny model of every architecture: its tensors are the family's, and nothing of it needs a key of our own. */
static void test_architectures(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *tensor;
    } all[] = {{"qwen3", "blk.1.attn_k_norm.weight"},
               {"gemma2", "blk.0.post_ffw_norm.weight"},
               {"gemma3", "blk.0.attn_q_norm.weight"},
               {"phi3", "blk.1.attn_qkv.weight"},
               {"olmo2", "blk.1.post_attention_norm.weight"},
               {"granite", "blk.1.ffn_gate.weight"},
               {"smollm3", "blk.3.attn_q.weight"},
               {"qwen3moe", "blk.1.ffn_down_exps.weight"},
               {"deepseek2", "blk.1.attn_v_b.weight"}};
    for (size_t i = 0; i < N_ELEM(all); i++) {
        struct model_file *f;
        struct model_params p;
        struct err e = {0};
        const char *key;
        json_t *value;
        char *path = make("model.gguf", all[i].arch, "Q8_0", "1", 1);
        assert_int_equal(model_file_open(&f, path, &e), 0);
        if (model_file_params(f, &p, &e)) {
            fail_msg("%s", e.msg);
        }
        assert_string_equal(p.architecture, all[i].arch);
        assert_non_null(model_file_find(f, all[i].tensor));
        json_object_foreach((json_t *)(uintptr_t)model_file_metadata(f), key, value)
        {
            if (!strncmp(key, "tailor.", 7)) {
                fail_msg("%s has the key %s", all[i].arch, key);
            }
        }
        model_file_close(f);
        mem_free(path);
    }
}

static void test_unknown_type(void **state)
{
    (void)state;
    int rc;
    struct err e = {0};
    char *path = path_join(dir, "none.gguf");
    const char *const arg[] = {path, "--preset=tiny", "--type=Q9_9"};
    json_decref(run_command(&cmd_make_model, 1, &rc, &e, 3, arg));
    assert_int_equal(rc, -ERR_USAGE);
    assert_string_equal(e.msg,
                        "cannot make a model: no type \"Q9_9\", expected F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, "
                        "Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4, Q5_K_M, Q5_K_S, Q4_K_M, Q4_K_S, "
                        "Q3_K_L, Q3_K_M, Q3_K_S");
    mem_free(path);
}

/* A mix gives more bits to what matters more; rows of 64 are no whole blocks of its types, so others stand for them. */
static void test_mix(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tensor_type type;
    } want[] = {{"blk.1.attn_q.weight", TENSOR_Q5_0},
                {"blk.0.attn_v.weight", TENSOR_Q5_0},
                {"blk.1.attn_v.weight", TENSOR_Q8_0},
                {"blk.1.ffn_down.weight", TENSOR_Q8_0},
                {"token_embd.weight", TENSOR_Q8_0}};
    int rc;
    struct err e = {0};
    struct model_file *f;
    char *path = path_join(dir, "mix.gguf");
    const char *const arg[] = {path, "--preset=tiny", "--type=Q4_K_M"};
    json_decref(run_command(&cmd_make_model, 1, &rc, &e, 3, arg));
    assert_int_equal(rc, 0);
    assert_int_equal(model_file_open(&f, path, &e), 0);
    for (size_t i = 0; i < N_ELEM(want); i++) {
        assert_int_equal(model_file_find(f, want[i].name)->type, want[i].type);
    }
    model_file_close(f);
    mem_free(path);
}

static char *read_all(const char *path, size_t *n)
{
    char *data;
    struct err e = {0};
    assert_int_equal(file_read_all(path, 1 << 24, &data, n, &e), 0);
    return data;
}

static void test_seed(void **state)
{
    (void)state;
    const struct {
        const char *seed;
        int threads;
    } run[] = {{"5", 1}, {"5", 3}, {"6", 1}};
    char *data[3];
    size_t n[3];
    for (int i = 0; i < 3; i++) {
        char *path = make("seed.gguf", "llama", "Q4_0", run[i].seed, run[i].threads);
        data[i] = read_all(path, &n[i]);
        mem_free(path);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(data[0], data[1], n[0]);
    assert_int_equal(n[0], n[2]);
    assert_memory_not_equal(data[0], data[2], n[0]);
    for (int i = 0; i < 3; i++) {
        mem_free(data[i]);
    }
}

static void test_inspect(void **state)
{
    (void)state;
    struct err e = {0};
    int rc;
    const char *const arg[] = {"tests/data/golden/gguf/llama.gguf", "--check"};
    json_t *j = run_command(&cmd_inspect, 1, &rc, &e, 2, arg);
    assert_int_equal(rc, 0);
    assert_string_equal(json_string_value(json_object_get(j, "architecture")), "llama");
    assert_int_equal(json_integer_value(json_object_get(j, "n_params")), 209472);
    assert_int_equal(json_integer_value(json_object_get(j, "n_kv_head")), 2);
    assert_string_equal(json_string_value(json_object_get(j, "file_type")), "F32");
    assert_int_equal(json_array_size(json_object_get(j, "tensors")), 40);
    assert_true(json_is_object(json_object_get(j, "metadata")));
    json_decref(j);
    const char *const vocab[] = {"tests/data/tokenizers/ggml-vocab-gpt-2.gguf"};
    j = run_command(&cmd_inspect, 1, &rc, &e, 1, vocab);
    assert_int_equal(rc, 0);
    assert_int_equal(json_integer_value(json_object_get(j, "n_vocab")), 50257);
    assert_true(json_is_null(json_object_get(j, "file_type")));
    json_decref(j);
    const char *const missing[] = {"tests/data/no-such-model.gguf"};
    assert_null(run_command(&cmd_inspect, 1, &rc, &e, 1, missing));
    assert_true(rc < 0);
}

static void test_check_names_tensor(void **state)
{
    (void)state;
    struct gguf_writer *w;
    struct err e = {0};
    int rc;
    const uint64_t shape[] = {4};
    const float data[2][4] = {{1, 2, 3, 4}, {1, INFINITY, NAN, 4}};
    char *path = path_join(dir, "bad.gguf");
    assert_int_equal(gguf_writer_new(&w, path, &e), 0);
    assert_int_equal(gguf_put_tensor(w, "good", TENSOR_F32, shape, 1), 0);
    assert_int_equal(gguf_put_tensor(w, "bad", TENSOR_F32, shape, 1), 0);
    assert_int_equal(gguf_writer_begin(w, &e), 0);
    assert_int_equal(gguf_write_data(w, data, sizeof data, &e), 0);
    assert_int_equal(gguf_writer_commit(w, &e), 0);
    gguf_writer_free(w);
    const char *const arg[] = {path, "--check"};
    json_t *j = run_command(&cmd_inspect, 1, &rc, &e, 2, arg);
    assert_int_equal(rc, EXIT_FAILED);
    const json_t *bad = json_object_get(json_object_get(j, "check"), "bad");
    assert_int_equal(json_array_size(bad), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(bad, 0), "name")), "bad");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(bad, 0), "n_bad")), 2);
    assert_true(json_is_null(json_object_get(json_object_get(j, "check"), "problem")));
    json_decref(j);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_architectures),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_check_names_tensor),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
