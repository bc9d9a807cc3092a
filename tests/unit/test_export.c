/* A model written as a GGUF and read back is the same model: hyper-parameters and logits, for every family, and for
 * what GGUF has no keys for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/convert/quantize_model.h"
#include "compute/model/model.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "written_models.h"

#define MODELS "tests/data/golden/models/"

enum { N_TOK = 40 };

static void write_gguf(const char *from, const char *to, const char *type)
{
    struct err e = {0};
    struct quantize_result r;
    struct quantize_options opt = {.mix = mix_find(type), .n_thread = 2, .isa = kern_isa_detect()};
    struct model_file *f = open_model(from);
    must(quantize_model(f, to, &opt, &r, &e), &e);
    model_file_close(f);
}

/* Logits of N_TOK fixed tokens; free with mem_free. n_ctx: the longest context that is meant. */
static float *logits_of(const char *path, int n_ctx, size_t *n)
{
    struct err e = {0};
    struct dev *d;
    struct model *m;
    struct dev_kv *kv;
    struct model_file *f = open_model(path);
    must(dev_cpu_new(&d, &(struct dev_options){2, PRECISION_REFERENCE, kern_isa_detect()}, &e), &e);
    must(model_load(&m, d, f, &e), &e);
    model_file_close(f);
    model_set_context(m, n_ctx);
    must(model_kv_new(m, &kv, 2, &e), &e);
    *n = (size_t)model_params(m)->n_vocab * N_TOK;
    float *x = mem_alloc(*n * sizeof *x);
    int32_t ids[N_TOK], row[N_TOK];
    for (int i = 0; i < N_TOK; i++) {
        ids[i] = 3 + i * 7 % 280;
        row[i] = i;
    }
    const struct dev_block block[] = {{0, 32}, {1, N_TOK - 32}};
    const struct dev_segment s = {.n_tok = N_TOK, .block = block, .n_block = 2, .adapter = -1};
    struct model_batch b = {.dev = {DEV_SERVE, N_TOK, &s, 1}, .ids = ids, .out_row = row, .n_out = N_TOK};
    must(model_forward(m, &b, kv, x, &e), &e);
    dev_kv_free(kv);
    model_free(m);
    dev_free(d);
    return x;
}

static double farthest(const float *x, const float *y, size_t n)
{
    double far = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        far = d > far || isnan(d) ? d : far;
    }
    return far;
}

/* A directory's model and the GGUF that is written of it; and the GGUF written of that. */
static void check_export(const char *hf, int n_ctx)
{
    char a[96], b[96];
    size_t n, m;
    snprintf(a, sizeof a, "%s/a.gguf", dir);
    snprintf(b, sizeof b, "%s/b.gguf", dir);
    write_gguf(hf, a, "F32");
    write_gguf(a, b, "F32");
    float *want = logits_of(hf, n_ctx, &n), *once = logits_of(a, n_ctx, &m), *twice = logits_of(b, n_ctx, &m);
    assert_int_equal(n, m);
    double far = farthest(want, once, n), largest = 1;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)want[i]));
    }
    if (!(far < 5e-5 * largest)) {
        fail_msg("%s: logits of the GGUF are %g away", hf, far);
    }
    assert_memory_equal(once, twice, n * sizeof *once);
    mem_free(want);
    mem_free(once);
    mem_free(twice);
}

static void test_every_family(void **state)
{
    (void)state;
    static const char *const all[] = {
        MODELS "llama",          MODELS "llama-mqa", MODELS "mistral", MODELS "mistral-swa", MODELS "qwen2",
        MODELS "qwen3",          MODELS "gemma2",    MODELS "gemma3",  MODELS "phi3",        MODELS "olmo2",
        MODELS "granite",        MODELS "smollm3",   MODELS "mixtral", MODELS "qwen2moe",    MODELS "qwen3moe",
        MODELS "deepseek2-lite", MODELS "deepseek3", MODELS "llama4"};
    for (size_t i = 0; i < N_ELEM(all); i++) {
        check_export(all[i], N_TOK);
    }
}

/* The directory of a model, with members of its config.json replaced (NULL: as they are). */
static char *variant(const char *name, const char *changes)
{
    struct err e = {0};
    char from[128], *path = path_join(dir, name), *weights = path_join(path, "model.safetensors"),
                    *config_path = path_join(path, "config.json"), *data;
    size_t n;
    must(file_mkdirs(path, &e), &e);
    snprintf(from, sizeof from, MODELS "%s/model.safetensors", name);
    must(file_read_all(from, 1 << 26, &data, &n, &e), &e);
    must(file_write_atomic(weights, data, n, &e), &e);
    mem_free(data);
    snprintf(from, sizeof from, MODELS "%s/config.json", name);
    json_t *config = json_load_file(from, 0, NULL), *change = json_loads(changes, 0, NULL);
    assert_non_null(config);
    assert_non_null(change);
    assert_int_equal(json_object_update(config, change), 0);
    assert_int_equal(json_dump_file(config, config_path, 0), 0);
    json_decref(config);
    json_decref(change);
    mem_free(weights);
    mem_free(config_path);
    return path;
}

/* Options that change the logits of a model, and survive the way through a GGUF. */
static void test_options(void **state)
{
    (void)state;
    static const struct {
        const char *name, *changes;
        int n_ctx;
    } option[] = {
        {"qwen2", "{\"use_sliding_window\":true,\"sliding_window\":6,\"max_window_layers\":1,\"layer_types\":null}",
         40},
        {"qwen3",
         "{\"use_sliding_window\":true,\"sliding_window\":6,\"layer_types\":[\"sliding_attention\","
         "\"full_attention\",\"full_attention\",\"sliding_attention\"]}",
         40},
        {"smollm3", "{\"no_rope_layers\":[0,1,1,1,1,0,1,1]}", 40},
        {"gemma2", "{\"query_pre_attn_scalar\":3,\"attn_logit_softcapping\":0.1,\"final_logit_softcapping\":0.5}", 40},
        {"gemma3", "{\"layer_types\":null,\"_sliding_window_pattern\":2}", 40},
        {"gemma3",
         "{\"rope_parameters\":null,\"rope_theta\":5000,\"rope_local_base_freq\":100,"
         "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}",
         40},
        {"granite",
         "{\"attention_multiplier\":2,\"embedding_multiplier\":3,\"residual_multiplier\":1,"
         "\"logits_scaling\":0.25}",
         40},
        {"phi3", "{\"sliding_window\":5}", 40},
        {"phi3",
         "{\"original_max_position_embeddings\":32,\"rope_parameters\":{\"rope_type\":\"longrope\",\"rope_theta\":"
         "10000,\"short_factor\":[1,1,1,1.5,2,2,2,2],\"long_factor\":[1,2,3,4,5,6,7,8]}}",
         32},
        {"phi3",
         "{\"original_max_position_embeddings\":32,\"rope_parameters\":{\"rope_type\":\"longrope\",\"rope_theta\":"
         "10000,\"short_factor\":[1,1,1,1.5,2,2,2,2],\"long_factor\":[1,2,3,4,5,6,7,8]}}",
         40},
        {"phi3", "{\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000,\"partial_rotary_factor\":0.5}}",
         40},
        {"qwen3",
         "{\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":10000,\"factor\":4,"
         "\"original_max_position_embeddings\":32}}",
         40},
        {"mixtral", "{\"sliding_window\":6}", 40},
        {"mixtral", "{\"num_experts_per_tok\":1}", 40},
        {"qwen2moe", "{\"norm_topk_prob\":true}", 40},
        {"qwen3moe", "{\"norm_topk_prob\":false}", 40},
        {"deepseek2-lite", "{\"topk_method\":\"group_limited_greedy\",\"n_group\":3,\"topk_group\":1}", 40},
        {"deepseek2-lite", "{\"routed_scaling_factor\":16.0}", 40},
        {"deepseek2-lite",
         "{\"rope_parameters\":null,\"rope_theta\":10000,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":40,"
         "\"beta_fast\":32,\"beta_slow\":1,\"mscale\":0.707,\"mscale_all_dim\":0.707,"
         "\"original_max_position_embeddings\":32}}",
         40},
        {"deepseek3", "{\"topk_group\":4}", 40},
        {"deepseek3", "{\"norm_topk_prob\":false}", 40},
        {"llama4", "{\"floor_scale\":4,\"attn_scale\":2.0}", 40},
        {"llama4", "{\"attn_temperature_tuning\":false}", 40},
        {"llama4", "{\"use_qk_norm\":false}", 40},
        {"llama4", "{\"attention_chunk_size\":8}", 40},
    };
    for (size_t i = 0; i < N_ELEM(option); i++) {
        size_t n, m;
        char plain[128];
        char *path = variant(option[i].name, option[i].changes);
        snprintf(plain, sizeof plain, MODELS "%s", option[i].name);
        float *with = logits_of(path, option[i].n_ctx, &n), *without = logits_of(plain, option[i].n_ctx, &m);
        if (farthest(with, without, n) < 1e-3) {
            fail_msg("%s: the option changes nothing", option[i].changes);
        }
        check_export(path, option[i].n_ctx);
        mem_free(with);
        mem_free(without);
        mem_free(path);
    }
}

/* The same model said in the words of older configs. */
static void test_older_words(void **state)
{
    (void)state;
    static const struct {
        const char *name, *changes;
    } word[] = {
        {"gemma3",
         "{\"rope_parameters\":null,\"rope_theta\":1000000,\"rope_local_base_freq\":10000,\"layer_types\":null,"
         "\"_sliding_window_pattern\":null,\"sliding_window_pattern\":6}"},
        {"gemma2", "{\"layer_types\":null,\"tie_word_embeddings\":null,\"hidden_act\":\"gelu_pytorch_tanh\"}"},
        {"smollm3", "{\"no_rope_layers\":null,\"layer_types\":null}"},
        {"phi3", "{\"rope_parameters\":null,\"rope_theta\":10000,\"rope_scaling\":null}"},
    };
    for (size_t i = 0; i < N_ELEM(word); i++) {
        size_t n, m;
        char plain[128], *path = variant(word[i].name, word[i].changes);
        snprintf(plain, sizeof plain, MODELS "%s", word[i].name);
        float *old = logits_of(path, N_TOK, &n), *new = logits_of(plain, N_TOK, &m);
        if (memcmp(old, new, n * sizeof *old)) {
            fail_msg("%s: another model, %g away", word[i].changes, farthest(old, new, n));
        }
        mem_free(old);
        mem_free(new);
        mem_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_older_words),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
