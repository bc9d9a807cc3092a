/* Tensors of a Hugging Face directory that are made of parts: stacked experts, turned ones, and kv_b cut in two, read
 * whole and in odd pieces; experts that are missing or differ are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"

enum { N_EMBD = 10, N_FF = 6, N_EXPERT = 3, N_HEAD = 2, NOPE = 4, VALUE = 3, LATENT = 5 };

struct dir {
    char path[64];
    struct safetensors_item item[32];
    size_t n;
};

static void dir_init(struct dir *d, const char *config)
{
    *d = (struct dir){.path = "/tmp/hf-made-XXXXXX"};
    assert_non_null(mkdtemp(d->path));
    char *file = path_join(d->path, "config.json");
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(config, f);
    fclose(f);
    mem_free(file);
}

/* A tensor whose value number i is 1000 * its number in the file + i. */
static void add(struct dir *d, const char *name, uint64_t a, uint64_t b, uint64_t c)
{
    struct safetensors_item *t = &d->item[d->n];
    size_t n = (size_t)(a * b * (c ? c : 1));
    float *p = mem_alloc(n * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = (float)(1000 * d->n + i);
    *t = (struct safetensors_item){mem_strdup(name), TENSOR_F32, {a, b, c}, c ? 3 : 2, p};
    d->n++;
}

static int dir_open(struct dir *d, struct model_file **f, struct err *e)
{
    char *file = path_join(d->path, "model.safetensors");
    assert_int_equal(safetensors_save(file, d->item, d->n, NULL, e), 0);
    mem_free(file);
    return model_file_open(f, d->path, e);
}

static void dir_deinit(struct dir *d)
{
    static const char *const files[] = {"model.safetensors", "config.json"};
    for (size_t i = 0; i < d->n; i++) {
        union {
            const void *given;
            void *ours;
        } p = {d->item[i].data}, name = {d->item[i].name};
        mem_free(p.ours);
        mem_free(name.ours);
    }
    for (size_t i = 0; i < N_ELEM(files); i++) {
        char *file = path_join(d->path, files[i]);
        unlink(file);
        mem_free(file);
    }
    rmdir(d->path);
}

/* A tensor of this shape holds these values, also when it is read in pieces of any size at any place. */
static void expect(const struct model_file *f, const char *name, uint64_t a, uint64_t b, uint64_t c, const float *want)
{
    struct err e = {0};
    const struct tensor_info *t = model_file_find(f, name);
    if (!t) fail_msg("there is no %s", name);
    assert_int_equal(t->n_dim, 3);
    assert_true(t->shape[0] == a && t->shape[1] == b && t->shape[2] == c);
    size_t n = (size_t)(a * b * c) * sizeof(float);
    assert_int_equal(t->n_bytes, n);
    char *got = mem_alloc(n);
    assert_int_equal(model_file_read(f, t, got, 0, n, &e), 0);
    assert_memory_equal(got, want, n);
    for (uint64_t i = 0; i < 200; i++) {
        size_t at = (size_t)rng_below(n, 3, 1, i), len = (size_t)rng_below(n - at + 1, 3, 2, i);
        memset(got, 0xee, n);
        assert_int_equal(model_file_read(f, t, got, at, len, &e), 0);
        assert_memory_equal(got, (const char *)want + at, len);
    }
    assert_int_equal(model_file_read(f, t, got, n - 4, 8, &e), -ERR_INTERNAL);
    mem_free(got);
}

static void test_stacked(void **state)
{
    (void)state;
    struct dir d;
    struct err e = {0};
    struct model_file *f;
    char name[96];
    dir_init(&d, "{\"model_type\": \"qwen3_moe\"}");
    for (int i = N_EXPERT - 1; i >= 0; i--) { /* the order of a file is not that of experts */
        snprintf(name, sizeof name, "model.layers.7.mlp.experts.%d.gate_proj.weight", i);
        add(&d, name, N_FF, N_EMBD, 0);
        snprintf(name, sizeof name, "model.layers.7.block_sparse_moe.experts.%d.w2.weight", i);
        add(&d, name, N_EMBD, N_FF, 0);
    }
    assert_int_equal(dir_open(&d, &f, &e), 0);
    float want[2][N_EXPERT * N_FF * N_EMBD];
    for (int i = 0; i < N_EXPERT; i++)
        for (int k = 0; k < N_FF * N_EMBD; k++)
            for (int kind = 0; kind < 2; kind++)
                want[kind][i * N_FF * N_EMBD + k] = (float)(1000 * (2 * (N_EXPERT - 1 - i) + kind) + k);
    assert_int_equal(model_file_n_tensor(f), 2);
    expect(f, "blk.7.ffn_gate_exps.weight", N_EXPERT, N_FF, N_EMBD, want[0]);
    expect(f, "blk.7.ffn_down_exps.weight", N_EXPERT, N_EMBD, N_FF, want[1]);
    model_file_close(f);
    dir_deinit(&d);
}

static void test_turned(void **state)
{
    (void)state;
    struct dir d;
    struct err e = {0};
    struct model_file *f;
    dir_init(&d, "{\"model_type\": \"llama4_text\"}");
    add(&d, "model.layers.1.feed_forward.experts.gate_up_proj", N_EXPERT, N_EMBD, 2 * N_FF);
    add(&d, "model.layers.1.feed_forward.experts.down_proj", N_EXPERT, N_FF, N_EMBD);
    assert_int_equal(dir_open(&d, &f, &e), 0);
    float gate[N_EXPERT][N_FF][N_EMBD], up[N_EXPERT][N_FF][N_EMBD], down[N_EXPERT][N_EMBD][N_FF];
    for (int x = 0; x < N_EXPERT; x++)
        for (int o = 0; o < N_FF; o++)
            for (int i = 0; i < N_EMBD; i++) {
                gate[x][o][i] = (float)((x * N_EMBD + i) * 2 * N_FF + o);
                up[x][o][i] = gate[x][o][i] + N_FF;
                down[x][i][o] = (float)(1000 + (x * N_FF + o) * N_EMBD + i);
            }
    expect(f, "blk.1.ffn_gate_exps.weight", N_EXPERT, N_FF, N_EMBD, gate[0][0]);
    expect(f, "blk.1.ffn_up_exps.weight", N_EXPERT, N_FF, N_EMBD, up[0][0]);
    expect(f, "blk.1.ffn_down_exps.weight", N_EXPERT, N_EMBD, N_FF, down[0][0]);
    model_file_close(f);
    dir_deinit(&d);
}

static void test_kv_b(void **state)
{
    (void)state;
    struct dir d;
    struct err e = {0};
    struct model_file *f;
    dir_init(&d, "{\"model_type\": \"deepseek_v3\", \"num_attention_heads\": 2, \"qk_nope_head_dim\": 4, "
                 "\"v_head_dim\": 3}");
    add(&d, "model.layers.0.self_attn.kv_b_proj.weight", N_HEAD * (NOPE + VALUE), LATENT, 0);
    assert_int_equal(dir_open(&d, &f, &e), 0);
    float k_b[N_HEAD][LATENT][NOPE], v_b[N_HEAD][VALUE][LATENT];
    for (int h = 0; h < N_HEAD; h++)
        for (int c = 0; c < LATENT; c++) {
            for (int i = 0; i < NOPE; i++) k_b[h][c][i] = (float)((h * (NOPE + VALUE) + i) * LATENT + c);
            for (int i = 0; i < VALUE; i++) v_b[h][i][c] = (float)((h * (NOPE + VALUE) + NOPE + i) * LATENT + c);
        }
    expect(f, "blk.0.attn_k_b.weight", N_HEAD, LATENT, NOPE, k_b[0][0]);
    expect(f, "blk.0.attn_v_b.weight", N_HEAD, VALUE, LATENT, v_b[0][0]);
    model_file_close(f);
    dir_deinit(&d);
}

/* DeepSeek V3 has a layer behind the last one that predicts a second token. */
static void test_prediction_layers(void **state)
{
    (void)state;
    struct dir d;
    struct err e = {0};
    struct model_file *f;
    dir_init(&d, "{\"model_type\": \"deepseek_v3\", \"num_hidden_layers\": 2, \"num_nextn_predict_layers\": 1}");
    add(&d, "model.layers.1.self_attn.o_proj.weight", N_EMBD, N_EMBD, 0);
    add(&d, "model.layers.2.self_attn.o_proj.weight", N_EMBD, N_EMBD, 0);
    add(&d, "model.layers.2.eh_proj.weight", N_EMBD, 2 * N_EMBD, 0);
    add(&d, "model.layers.2.mlp.experts.0.up_proj.weight", N_FF, N_EMBD, 0);
    add(&d, "model.layers.3.eh_proj.weight", N_EMBD, N_EMBD, 0);
    assert_int_equal(dir_open(&d, &f, &e), 0);
    assert_int_equal(model_file_n_tensor(f), 2);
    assert_non_null(model_file_find(f, "blk.1.attn_output.weight"));
    assert_non_null(model_file_find(f, "model.layers.3.eh_proj.weight")); /* of no such layer: not passed over */
    model_file_close(f);
    dir_deinit(&d);
}

static void expect_refusal(struct dir *d, const char *word)
{
    struct err e = {0};
    struct model_file *f;
    assert_int_not_equal(dir_open(d, &f, &e), 0);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" does not say \"%s\"", e.msg, word);
    dir_deinit(d);
}

static void test_refused(void **state)
{
    (void)state;
    struct dir d;
    dir_init(&d, "{\"model_type\": \"qwen3_moe\"}");
    add(&d, "model.layers.0.mlp.experts.0.up_proj.weight", N_FF, N_EMBD, 0);
    add(&d, "model.layers.0.mlp.experts.2.up_proj.weight", N_FF, N_EMBD, 0);
    expect_refusal(&d, "number 1 is missing");
    dir_init(&d, "{\"model_type\": \"qwen3_moe\"}");
    add(&d, "model.layers.0.mlp.experts.0.up_proj.weight", N_FF, N_EMBD, 0);
    add(&d, "model.layers.0.mlp.experts.1.up_proj.weight", N_FF, N_EMBD + 1, 0);
    expect_refusal(&d, "differs in type or shape");
    dir_init(&d, "{\"model_type\": \"llama4_text\"}");
    add(&d, "model.layers.0.feed_forward.experts.gate_up_proj", N_EXPERT, N_EMBD, 7);
    expect_refusal(&d, "gate_up_proj");
    dir_init(&d, "{\"model_type\": \"deepseek_v3\", \"num_attention_heads\": 2, \"v_head_dim\": 3}");
    add(&d, "model.layers.0.self_attn.kv_b_proj.weight", 14, LATENT, 0);
    expect_refusal(&d, "kv_b_proj");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stacked),           cmocka_unit_test(test_turned),  cmocka_unit_test(test_kv_b),
        cmocka_unit_test(test_prediction_layers), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
