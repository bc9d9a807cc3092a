/* Files of models with experts and compressed caches: a GGUF and the directory that it was made from agree in
 * hyper-parameters and tensors; so does the GGUF that we make of a directory; routers and layouts that are not
 * understood are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/convert/quantize_model.h"
#include "compute/formats/formats_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"
#include "written_models.h"

#define GOLDEN "tests/data/golden/models/"
#define SHARED "../shared/data/golden/gguf/"

static const char *const names[] = {"mixtral", "qwen2moe", "qwen3moe", "deepseek2-lite", "deepseek3", "llama4"};
static void assert_same_params(const struct model_params *a, const struct model_params *b)
{
    assert_string_equal(a->architecture, b->architecture);
    assert_true(a->n_layer == b->n_layer && a->n_embd == b->n_embd && a->n_head == b->n_head && a->n_ff == b->n_ff &&
                a->n_kv_head == b->n_kv_head && a->d_head == b->d_head && a->n_rot == b->n_rot &&
                a->n_vocab == b->n_vocab && a->tied_head == b->tied_head && a->qk_norm == b->qk_norm);
    const struct model_experts *x = &a->experts, *y = &b->experts;
    assert_true(x->n_expert == y->n_expert && x->n_used == y->n_used && x->n_ff == y->n_ff &&
                x->n_shared == y->n_shared && x->shared_gate == y->shared_gate && x->n_group == y->n_group &&
                x->n_group_used == y->n_group_used && x->sigmoid == y->sigmoid && x->has_bias == y->has_bias &&
                x->renormalize == y->renormalize && x->weighs_input == y->weighs_input && x->scale == y->scale);
    const struct model_latent *l = &a->latent, *m = &b->latent;
    assert_true(l->n_latent == m->n_latent && l->q_rank == m->q_rank && l->d_nope == m->d_nope &&
                l->d_value == m->d_value);
    assert_true(a->temperature_floor == b->temperature_floor && a->temperature_scale == b->temperature_scale);
    float scale = a->attn_scale / b->attn_scale;
    assert_true(scale > 0.999999f && scale < 1.000001f && a->rope[0].magnitude == b->rope[0].magnitude);
    for (int i = 0; i < a->n_rot / 2; i++) {
        float ratio = a->rope[0].factor[i] / b->rope[0].factor[i];
        assert_true(ratio > 0.99999f && ratio < 1.00001f);
    }
    for (int i = 0; i < a->n_layer; i++) {
        const struct model_layer_params *s = &a->layer[i], *t = &b->layer[i];
        assert_true(s->experts == t->experts && s->chunk == t->chunk && s->window == t->window && s->rope == t->rope);
    }
}

/* Hugging Face row (halves) that GGUF row `row` (adjacent pairs) of a q or k projection holds. */
static uint64_t hf_row(uint64_t row, uint64_t d_head)
{
    uint64_t in_head = row % d_head;
    return row - in_head + (in_head % 2) * d_head / 2 + in_head / 2;
}

static char *read_tensor(const struct model_file *f, const struct tensor_info *t)
{
    struct err e = {0};
    char *p = mem_alloc(t->n_bytes);
    must(model_file_read(f, t, p, 0, t->n_bytes, &e), &e);
    return p;
}

static void assert_same_tensor(const struct model_file *gguf, const struct model_file *hf, const struct tensor_info *t,
                               uint64_t d_head)
{
    const struct tensor_info *u = model_file_find(hf, t->name);
    bool permuted = d_head && (strstr(t->name, "attn_q.") || strstr(t->name, "attn_k."));
    if (!u) fail_msg("%s is not in the Hugging Face directory", t->name);
    assert_int_equal(t->n_dim, u->n_dim);
    assert_memory_equal(t->shape, u->shape, (size_t)t->n_dim * sizeof t->shape[0]);
    char *a = read_tensor(gguf, t), *b = read_tensor(hf, u);
    size_t row_bytes = t->n_bytes / t->shape[0];
    for (uint64_t r = 0; r < t->shape[0]; r++) {
        uint64_t from = permuted ? hf_row(r, d_head) : r;
        if (memcmp(a + r * row_bytes, b + from * row_bytes, row_bytes) != 0)
            fail_msg("%s differs in row %llu", t->name, (unsigned long long)r);
    }
    mem_free(a);
    mem_free(b);
}

static void assert_same_model(const char *gguf_path, const char *hf_path)
{
    struct err e = {0};
    struct model_params p, q;
    struct model_file *gguf = open_model(gguf_path), *hf = open_model(hf_path);
    must(model_file_params(gguf, &p, &e), &e);
    must(model_file_params(hf, &q, &e), &e);
    assert_same_params(&p, &q);
    bool permutes = str_eq(p.architecture, "llama");
    for (size_t i = 0; i < model_file_n_tensor(gguf); i++)
        assert_same_tensor(gguf, hf, model_file_tensor(gguf, i), permutes ? (uint64_t)p.d_head : 0);
    assert_int_equal(model_file_n_tensor(gguf), model_file_n_tensor(hf));
    model_file_close(gguf);
    model_file_close(hf);
}

static void test_views_agree(void **state)
{
    (void)state;
    if (!file_is_dir(SHARED)) {
        print_message("skipped: " SHARED " is not there\n");
        skip();
    }
    for (size_t i = 0; i < N_ELEM(names); i++) {
        char gguf[128], hf[128];
        snprintf(gguf, sizeof gguf, SHARED "%s.gguf", names[i]);
        snprintf(hf, sizeof hf, GOLDEN "%s", names[i]);
        if (file_exists(gguf)) assert_same_model(gguf, hf); /* GGUF cannot say what the tiny llama4 is */
    }
}

static void quantize(const char *from, const char *to, const char *type)
{
    struct err e = {0};
    struct quantize_result r;
    struct model_file *f = open_model(from);
    struct quantize_options opt = {.mix = mix_find(type), .n_thread = 2, .isa = kern_isa_detect()};
    must(quantize_model(f, to, &opt, &r, &e), &e);
    model_file_close(f);
}

/* What GGUF has no key for stands under tailor., so nothing is lost. */
static void test_made_gguf_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEM(names); i++) {
        char gguf[128], hf[128];
        snprintf(gguf, sizeof gguf, "%s/%s.gguf", dir, names[i]);
        snprintf(hf, sizeof hf, GOLDEN "%s", names[i]);
        quantize(hf, gguf, "F32");
        assert_same_model(gguf, hf);
    }
}

/* Experts are quantized matrix by matrix, a router stays in float32. */
static void test_types(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/q8.gguf", dir);
    quantize(GOLDEN "mixtral", path, "Q8_0");
    struct model_file *f = open_model(path);
    assert_int_equal(model_file_find(f, "blk.0.ffn_gate_exps.weight")->type, TENSOR_Q8_0);
    assert_int_equal(model_file_find(f, "blk.0.ffn_gate_inp.weight")->type, TENSOR_F32);
    model_file_close(f);
}

/* --- refusals --- */

#define SIZES \
    "\"num_hidden_layers\":2,\"hidden_size\":64,\"intermediate_size\":96,\"vocab_size\":100,\"num_attention_heads\":4"
#define EXPERTS "\"moe_intermediate_size\":32,\"num_experts\":4,\"num_experts_per_tok\":2,"
#define DEEPSEEK                                                                                                 \
    "\"kv_lora_rank\":16,\"qk_nope_head_dim\":8,\"qk_rope_head_dim\":8,\"v_head_dim\":8,\"n_routed_experts\":4," \
    "\"num_experts_per_tok\":2,\"moe_intermediate_size\":32," SIZES

static void test_config_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word; /* NULL: it is taken */
    } config[] = {
        {"{\"model_type\":\"qwen3_moe\"," EXPERTS SIZES "}", NULL},
        {"{\"model_type\":\"qwen3_moe\",\"decoder_sparse_step\":0," EXPERTS SIZES "}", "decoder_sparse_step"},
        {"{\"model_type\":\"qwen3_moe\",\"num_experts\":4,\"num_experts_per_tok\":5,\"moe_intermediate_size\":8," SIZES
         "}",
         "5 used"},
        {"{\"model_type\":\"qwen3_moe\",\"num_experts\":4," SIZES "}", "num_experts_per_tok"},
        {"{\"model_type\":\"qwen2_moe\"," EXPERTS SIZES "}", "shared_expert_intermediate_size"},
        {"{\"model_type\":\"mixtral\"," SIZES "}", "n_routed_experts"},
        {"{\"model_type\":\"deepseek_v2\"," DEEPSEEK "}", NULL},
        {"{\"model_type\":\"deepseek_v2\",\"topk_method\":\"best\"," DEEPSEEK "}", "topk_method"},
        {"{\"model_type\":\"deepseek_v2\",\"scoring_func\":\"sigmoid\"," DEEPSEEK "}", "scoring_func"},
        {"{\"model_type\":\"deepseek_v2\",\"moe_layer_freq\":2," DEEPSEEK "}", "moe_layer_freq"},
        {"{\"model_type\":\"deepseek_v2\",\"norm_topk_prob\":true,\"routed_scaling_factor\":16.0," DEEPSEEK "}",
         "norm_topk_prob"},
        {"{\"model_type\":\"deepseek_v2\",\"n_shared_experts\":1000000," DEEPSEEK "}", "shared width"},
        {"{\"model_type\":\"deepseek_v3\"," DEEPSEEK "}", NULL},
        {"{\"model_type\":\"deepseek_v3\",\"topk_method\":\"greedy\"," DEEPSEEK "}", "topk_method"},
        {"{\"model_type\":\"deepseek_v3\",\"scoring_func\":\"softmax\"," DEEPSEEK "}", "scoring_func"},
        {"{\"model_type\":\"deepseek_v3\",\"n_group\":3,\"topk_group\":1," DEEPSEEK "}", "of 3 groups"},
        {"{\"model_type\":\"deepseek_v3\",\"n_group\":4,\"topk_group\":1," DEEPSEEK "}", "2 used"},
        {"{\"model_type\":\"deepseek_v3\",\"rope_interleave\":false," DEEPSEEK "}", "rope_interleave"},
        {"{\"model_type\":\"deepseek_v3\",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}," DEEPSEEK "}",
         "rope_type"},
        {"{\"model_type\":\"deepseek_v3\",\"kv_lora_rank\":1000000," SIZES "}", "qk_nope_head_dim"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1," SIZES "}", NULL},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,"
         "\"interleave_moe_layer_step\":0," SIZES "}",
         "interleave_moe_layer_step"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,\"moe_layers\":[7]," SIZES
         "}",
         "moe_layers"},
        {"{\"model_type\":\"llama4\"," SIZES "}", "llama4"},
        {"{\"model_type\":\"qwen3_moe\",\"scoring_func\":\"sigmoid\"," EXPERTS SIZES "}", "scoring_func"},
        {"{\"model_type\":\"qwen3_moe\",\"scoring_func\":2," EXPERTS SIZES "}", "scoring_func"},
        {"{\"model_type\":\"qwen3_moe\",\"n_group\":2," EXPERTS SIZES "}", "n_group"},
        {"{\"model_type\":\"qwen3_moe\",\"routed_scaling_factor\":2.5," EXPERTS SIZES "}", "routed_scaling_factor"},
        {"{\"model_type\":\"qwen3_moe\",\"norm_topk_prob\":1," EXPERTS SIZES "}", "norm_topk_prob"},
        {"{\"model_type\":\"qwen3_moe\",\"mlp_only_layers\":[2]," EXPERTS SIZES "}", "mlp_only_layers"},
        {"{\"model_type\":\"qwen3_moe\",\"mlp_only_layers\":1," EXPERTS SIZES "}", "mlp_only_layers"},
        {"{\"model_type\":\"deepseek_v2\",\"topk_method\":3," DEEPSEEK "}", "topk_method"},
        {"{\"model_type\":\"deepseek_v3\",\"rope_interleave\":\"no\"," DEEPSEEK "}", "rope_interleave"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,\"moe_layers\":"
         "\"all\"," SIZES "}",
         "moe_layers"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,\"use_qk_norm\":"
         "\"yes\"," SIZES "}",
         "use_qk_norm"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,"
         "\"attn_temperature_tuning\":\"on\"," SIZES "}",
         "attn_temperature_tuning"},
        {"{\"model_type\":\"llama4_text\",\"num_local_experts\":4,\"num_experts_per_tok\":1,"
         "\"attn_temperature_tuning\":4," SIZES "}",
         NULL},
    };
    for (size_t i = 0; i < N_ELEM(config); i++) {
        struct err e = {0};
        struct model_params p = {0};
        json_t *j = json_loads(config[i].text, 0, NULL);
        assert_non_null(j);
        int rc = hf_config_params(j, "config.json", &p, &e);
        if (!rc != !config[i].word || (rc && !strstr(e.msg, config[i].word)))
            fail_msg("%s: %d, %s", config[i].text, rc, e.msg);
        json_decref(j);
    }
}

/* The golden GGUF of DeepSeek V3 with one key replaced. */
static int with_key(const char *key, uint32_t value, struct err *e)
{
    char path[128];
    const char *const skip[] = {key, NULL};
    struct model_file *f = open_model("tests/data/golden/gguf/deepseek3.gguf"), *g;
    struct gguf_writer *w;
    struct model_params p;
    float *zero = mem_alloc(1 << 20);
    snprintf(path, sizeof path, "%s/key.gguf", dir);
    must(gguf_writer_new(&w, path, e), e);
    must(gguf_put_metadata(w, f, skip, e), e);
    assert_int_equal(gguf_put_u32(w, key, value), 0);
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        assert_int_equal(gguf_put_tensor(w, t->name, t->type, t->shape, t->n_dim), 0);
    }
    must(gguf_writer_begin(w, e), e);
    for (size_t i = 0; i < model_file_n_tensor(f); i++)
        must(gguf_write_data(w, zero, (size_t)model_file_tensor(f, i)->n_bytes, e), e);
    must(gguf_writer_commit(w, e), e);
    gguf_writer_free(w);
    model_file_close(f);
    mem_free(zero);
    g = open_model(path);
    int rc = model_file_params(g, &p, e);
    model_file_close(g);
    return rc;
}

static void test_gguf_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *word; /* NULL: it is taken */
    } bad[] = {
        {"deepseek2.expert_gating_func", 2, NULL},
        {"deepseek2.expert_gating_func", 3, "expert_gating_func"},
        {"deepseek2.expert_used_count", 9, "9 used"},
        {"deepseek2.expert_used_count", 0, "0 used"},
        {"deepseek2.expert_group_count", 3, "3 groups"},
        {"deepseek2.expert_count", 4, "ffn_gate_inp"},
        {"deepseek2.expert_feed_forward_length", 47, "ffn_gate_exps"},
        {"deepseek2.leading_dense_block_count", 2, "blk.1.ffn"},
        {"deepseek2.attention.kv_lora_rank", 23, "attn_kv_a_mqa"},
        {"deepseek2.attention.kv_lora_rank", 1u << 31, "kv_lora_rank"},
        {"deepseek2.attention.key_length_mla", 8, "0 + 8"},
        {"deepseek2.attention.value_length_mla", 11, "attn_v_b"},
        {"deepseek2.rope.scaling.type", 1, "rope.scaling.type"},
        {"deepseek2.attention.causal", 1, "attention.causal"},
        {"deepseek2.expert_weights_norm", 1, "expert_weights_norm"},
        {"deepseek2.attn_logit_softcapping", 50, "attn_logit_softcapping"},
        {"deepseek2.attn_logit_softcapping", 0, NULL},
        {"deepseek2.attention.clamp_kqv", 8, "attention.clamp_kqv"},
        {"deepseek2.attention.temperature_scale", 1, "attention.temperature_scale"},
        {"deepseek2.rope.dimension_sections", 4, "rope.dimension_sections"},
        {"deepseek2.rope.freq_base_swa", 77, "rope.freq_base_swa"},
        {"deepseek2.attention.sliding_window_pattern", 2, "sliding_window_pattern"},
    };
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        struct err e = {0};
        int rc = with_key(bad[i].key, bad[i].value, &e);
        if (!rc != !bad[i].word || (rc && !strstr(e.msg, bad[i].word)))
            fail_msg("%s = %u: %d, %s", bad[i].key, bad[i].value, rc, e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_agree),    cmocka_unit_test(test_made_gguf_agrees), cmocka_unit_test(test_types),
        cmocka_unit_test(test_config_refused), cmocka_unit_test(test_gguf_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
