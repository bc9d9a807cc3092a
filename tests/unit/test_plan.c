/* The planner's arithmetic against published sizes and logs, and what must hold of its predictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/forecast.h"
#include "lifecycle/plan/training.h"

#define GIB 0x1p30

static void load(struct catalogue *c)
{
    struct err e = {0};
    if (catalogue_open(c, NULL, NULL, &e)) fail_msg("%s", e.msg);
}

static const struct plan_model *model(const struct catalogue *c, const char *name)
{
    const struct plan_model *m = catalogue_model(c, name);
    if (!m) fail_msg("no model %s", name);
    return m;
}

static void near(const char *what, double v, double want, double share)
{
    if (fabs(v / want - 1) > share) fail_msg("%s: %.6g, should be %.6g within %.3g", what, v, want, share);
}

static void system_of(struct plan_system *s, const struct catalogue *c, const char *name, const char *quant,
                      const char *hardware, int tp, int pp, enum plan_stack_id stack)
{
    struct err e = {0};
    const struct plan_hardware *h = catalogue_hardware(c, hardware);
    assert_non_null(h);
    struct plan_layout layout = {tp, pp, 16};
    if (plan_system_init(s, model(c, name), plan_quant_find(quant), h, &layout, stack, &e)) fail_msg("%s", e.msg);
}

/* Totals by dimensions: within 0.2 % of what was published but for the models that say why not. */
static void published_totals(void **state)
{
    (void)state;
    struct catalogue c;
    size_t published = 0, close = 0;
    load(&c);
    for (size_t i = 0; i < c.n_model; i++) {
        const struct plan_model *m = &c.model[i];
        if (strcmp(m->params_basis, "published") != 0) continue;
        bool near_total = fabs(plan_params_total(m) / (1e9 * m->params_total_b) - 1) <= 0.002;
        published++;
        close += near_total;
        if (!near_total && !m->params_gap[0]) fail_msg("%s: is off and does not say why", m->name);
        if (near_total && m->params_gap[0]) fail_msg("%s: gives a reason for nothing", m->name);
    }
    assert_int_equal(published, 65);
    assert_int_equal(close, 51);
    near("DeepSeek-V3", plan_params_total(model(&c, "DeepSeek-V3")), 671.0e9, 0.0005);
    near("Kimi-K2", plan_params_total(model(&c, "Kimi-K2")), 1026e9, 0.001);
    near("gpt-oss-120b", plan_params_total(model(&c, "gpt-oss-120b")), 116.8e9, 0.001);
    catalogue_free(&c);
}

/* Every row's cache a token as its source states it, all five kinds of cache among them. */
static void cache_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double bytes; /* of n_tok tokens, 16 bit */
        double n_tok;
    } row[] = {{"SmolLM2-135M", 23040, 1},
               {"Qwen2.5-7B", 57344, 1},
               {"Llama-3.1-8B", 131072, 1},
               {"DeepSeek-V3", 70272, 1},                                 /* MLA: 61 x 576 x 2 */
               {"DeepSeek-V3.2", 70272 + 61 * 128, 1},                    /* and an index */
               {"Qwen3.5-27B", 65536, 1},                                 /* 16 of 64 layers keep keys and values */
               {"Gemma-3-27b", 81920 * 131072. + 425984 * 1024., 131072}, /* a window on 52 of 62 layers */
               {"Gemma-4-26B-A4B", 225280, 1}};
    struct catalogue c;
    load(&c);
    for (size_t i = 0; i < N_ELEM(row); i++)
        near(row[i].name, plan_kv_sequence_bytes(model(&c, row[i].name), row[i].n_tok, 16), row[i].bytes, 1e-9);
    for (size_t i = 0; i < c.n_model; i++) {
        struct plan_model m = c.model[i];
        if (!(m.kv_bytes_token_f16 > 0) || strcmp(m.name, "Gemma-4-26B-A4B") == 0) continue;
        double stated = m.kv_bytes_token_f16 + m.n_layer * m.indexer_bytes;
        m.kv_bytes_token_f16 = m.kv_bytes_token_f16_full = 0;
        near(m.name, plan_kv_sequence_bytes(&m, 1, 16), stated, 1e-9);
    }
    assert_false(plan_kv_known(model(&c, "DeepSeek-V4-Pro")));
    /* estimators that ignore windows say 81 GB here, the true size is 10.4 */
    near("Gemma-3-27b at 128K", plan_kv_sequence_bytes(model(&c, "Gemma-3-27b"), 131072, 16), 10.4 * GIB, 0.05);
    catalogue_free(&c);
}

/* Logs of engines: cache that was free, and the tokens they put there. */
static void engine_logs(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_layout two = {2, 1, 16}, two_8bit = {2, 1, 8};
    load(&c);
    /* Qwen2.5-32B on two cards: 7.71 GiB each hold 63,152 tokens */
    near("Qwen2.5-32B", 2 * 7.71 * GIB / (plan_kv_bytes(model(&c, "Qwen2.5-32B"), 16000, 16, &two) / 16000), 63160,
         0.0005);
    /* Llama-70B, 8-bit cache, two cards: 36.07 GiB each hold 472,752 tokens */
    near("Llama-3.3-70B", 2 * 36.07 * GIB / (plan_kv_bytes(model(&c, "Llama-3.3-70B"), 16000, 8, &two_8bit) / 16000),
         472752, 0.0005);
    /* compressed caches are kept on every card, key-value heads at most once a card */
    struct plan_layout eight = {8, 1, 16}, one = {1, 1, 16};
    const struct plan_model *mla = model(&c, "DeepSeek-V3"), *few = model(&c, "Qwen2.5-7B");
    near("MLA", plan_kv_bytes(mla, 1024, 16, &eight), 8 * plan_kv_bytes(mla, 1024, 16, &one), 1e-9);
    near("4 heads on 8 cards", plan_kv_bytes(few, 1024, 16, &eight), 2 * plan_kv_bytes(few, 1024, 16, &one), 1e-9);
    near("pages", plan_kv_bytes(few, 17, 16, &one), 32 * 57344, 1e-9);
    catalogue_free(&c);
}

/* Files and figures of others. */
static void weight_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *model, *quant;
        double gib, share;
    } row[] = {{"Qwen2.5-72B", "GPTQ8", 72.08, 0.001},  {"Qwen2.5-72B", "AWQ", 39.38, 0.001},
               {"Llama-3.1-70B", "Q4_K_M", 39.6, 0.01}, {"Llama-3.1-70B", "Q5_K_M", 46.5, 0.01},
               {"Llama-3.1-70B", "Q3_K_M", 31.9, 0.02}, {"Llama-3.1-70B", "Q2_K", 24.6, 0.02},
               {"Qwen3-8B", "FP8", 9.1, 0.04},          {"gpt-oss-120b", "MXFP4", 60.8, 0.02},
               {"gpt-oss-20b", "MXFP4", 12.8, 0.02},    {"DeepSeek-V3", "AWQ", 334.5, 0.001},
               {"Llama-4-Scout", "BF16", 203, 0.001},   {"Llama-3.3-70B", "AWQ", 37.78, 0.001}};
    struct catalogue c;
    load(&c);
    for (size_t i = 0; i < N_ELEM(row); i++)
        near(row[i].model, plan_weight_bytes(model(&c, row[i].model), plan_quant_find(row[i].quant)) / GIB, row[i].gib,
             row[i].share);
    catalogue_free(&c);
}

/* Sequences that servers ran: 2 x 4090 with 70B AWQ about 20, and cards that hold what tables of sizes claim. */
static void sequences_that_fit(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_system s;
    struct plan_memory m;
    struct plan_load l = {1, 1000, 1000};
    load(&c);
    system_of(&s, &c, "Llama-3.3-70B", "AWQ", "RTX4090", 1, 2, PLAN_STACK_VLLM);
    s.layout.kv_bits = 8;
    plan_memory_of(&s, &l, &m);
    assert_true(m.running_sequences >= 19 && m.running_sequences <= 23);
    assert_true(m.fits);
    near("sum", m.weights_bytes + m.kv_bytes + m.workspace_bytes + m.framework_bytes, m.total_bytes, 1e-12);
    /* 7B on 8 GB: no room for 8K contexts of many; 70B in 16 bits does not fit two cards of 80 GB with anything */
    system_of(&s, &c, "Llama-3.1-70B", "BF16", "A100-80", 1, 1, PLAN_STACK_VLLM);
    plan_memory_of(&s, &l, &m);
    assert_false(m.fits);
    assert_true(m.max_sequences == 0);
    catalogue_free(&c);
}

/* Figures that were measured, each within what its class is known to be off by. */
static void published_speeds(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_system s;
    struct plan_point p;
    load(&c);
    system_of(&s, &c, "Llama-3.1-70B", "Q4_K_M", "RTX4090", 1, 2, PLAN_STACK_LLAMACPP);
    plan_point_at(&s, 1024, 1024, 1, 0, &p);
    near("70B on 2 x 4090, layers split", 1 / p.step_s, 19.06, 0.12);
    double two = p.step_s;
    system_of(&s, &c, "Llama-3.1-70B", "Q4_K_M", "RTX4090", 1, 4, PLAN_STACK_LLAMACPP);
    plan_point_at(&s, 1024, 1024, 1, 0, &p);
    near("no faster on four", p.step_s, two, 1e-9);
    system_of(&s, &c, "Qwen2.5-7B", "BF16", "A100-80", 1, 1, PLAN_STACK_VLLM_06);
    plan_point_at(&s, 1, 2048, 1, 0, &p);
    near("Qwen2.5-7B on A100", 1 / p.step_s, 84.28, 0.15);
    system_of(&s, &c, "Llama-3.3-70B", "FP8", "H100", 2, 1, PLAN_STACK_TUNED);
    plan_point_at(&s, 5000, 500, 25, 0, &p);
    near("70B on 2 x H100, 25 users", 1e3 * p.tpot_s, 38.75, 0.2);
    catalogue_free(&c);
}

static void steps_behave(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_system s;
    load(&c);
    for (size_t i = 0; i < c.n_model; i++) {
        struct plan_layout one = {1, 1, 16};
        struct err e = {0};
        if (plan_system_init(&s, &c.model[i], plan_quant_find("FP8"), catalogue_hardware(&c, "H100"), &one,
                             PLAN_STACK_TUNED, &e))
            fail_msg("%s", e.msg);
        double before = 0;
        for (double n = 1; n <= 512; n *= 2) {
            struct plan_step step = {.n_seq = n, .mean_context = 1000}, more = step;
            double t = plan_step_s(&s, &step);
            more.prefill_tokens = 512;
            assert_true(isfinite(t) && t > before);
            assert_true(plan_step_s(&s, &more) > t);
            assert_true(t * s.read_bytes_s >= s.dense_bytes + s.head_bytes);
            before = t;
        }
        /* no pass is shorter than its launches, however small the model */
        struct plan_step prompt = {.prefill_tokens = 1};
        double launches = s.stack.step_s + s.model->n_layer * s.stack.layer_s;
        assert_true(plan_prefill_s(&s, 1) >= launches && plan_step_s(&s, &prompt) >= launches);
        /* chunks of a prompt take at least what the whole takes in arithmetic */
        double whole = plan_prefill_arithmetic_s(&s, 4096, 0), parts = 0;
        for (int k = 0; k < 8; k++) parts += plan_prefill_arithmetic_s(&s, 512, 512.0 * k);
        near(c.model[i].name, parts, whole, c.model[i].n_layer_window ? 0.2 : 1e-9);
    }
    catalogue_free(&c);
}

static void check_calibration(const struct plan_timing *t)
{
    struct catalogue c;
    struct plan_floors f = {
        .read_gb_s = 22, .fp32_gflops = 300, .int8_gops = 700, .int4_int8_gops = 700, .bf16_gflops = 4000};
    struct plan_shares share;
    struct plan_system s;
    struct plan_work w = {.weight_bytes = 1.1e8, .step_bytes = 1e8, .layer_params = 1.06e8, .head_params = 2.8e7};
    load(&c);
    plan_system_local(&s, model(&c, "smollm2-135m"), plan_quant_find("Q4_1"), &f, NULL, 8e9);
    plan_system_use(&s, &w);
    near("bytes of a step", s.dense_bytes + s.head_bytes, 1e8, 1e-9);
    plan_calibrate(&s, t, &share);
    plan_system_local(&s, model(&c, "smollm2-135m"), plan_quant_find("Q4_1"), &f, &share, 8e9);
    plan_system_use(&s, &w);
    struct plan_step step = {.n_seq = 1, .mean_context = 256};
    assert_true(share.measured && share.decode > 0 && share.batch > 0);
    near("decode", 1 / plan_step_s(&s, &step), 150, 1e-9);
    near("prefill", 256 / plan_prefill_s(&s, 256), 2500, 1e-9);
    step.n_seq = t->batch;
    if (t->batch_tok_s > 0 && t->batch_tok_s < 800)
        near("batch", t->batch / plan_step_s(&s, &step), t->batch_tok_s, 1e-9);
    catalogue_free(&c);
}

/* The last batch is faster than reading alone allows: the arithmetic of prefill stands in. */
static void calibration_gives_the_measurement_back(void **state)
{
    (void)state;
    check_calibration(&(struct plan_timing){256, 2500, 256, 150, 0, 0});
    check_calibration(&(struct plan_timing){256, 2500, 256, 150, 6, 400});
    check_calibration(&(struct plan_timing){256, 2500, 256, 150, 6, 900.5});
}

static void refused(const struct catalogue *c, const char *name, const char *quant, const char *hardware, int tp,
                    int pp, enum plan_stack_id stack, const char *why)
{
    struct plan_system s;
    struct err e = {0};
    struct plan_layout layout = {tp, pp, 16};
    int rc = plan_system_init(&s, model(c, name), plan_quant_find(quant), catalogue_hardware(c, hardware), &layout,
                              stack, &e);
    assert_int_equal(rc, -ERR_USAGE);
    if (!strstr(e.msg, why)) fail_msg("\"%s\" does not say \"%s\"", e.msg, why);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct catalogue c;
    load(&c);
    refused(&c, "Qwen2.5-7B", "BF16", "H100", 8, 1, PLAN_STACK_VLLM, "does not divide the 28 heads");
    refused(&c, "Llama-3.1-8B", "BF16", "M3Ultra-512", 2, 1, PLAN_STACK_LLAMACPP, "no link");
    refused(&c, "Llama-3.1-8B", "BF16", "H100", 0, 1, PLAN_STACK_VLLM, "at least 1");
    refused(&c, "Llama-3.1-8B", "BF16", "H100", 16, 1, PLAN_STACK_VLLM, "joins 8 cards");
    refused(&c, "Llama-3.1-8B", "BF16", "H100", 1, 33, PLAN_STACK_VLLM, "32 layers");
    refused(&c, "Llama-3.1-8B", "Q4_K_M", "H100", 1, 1, PLAN_STACK_VLLM, "BF16, FP8, AWQ");
    refused(&c, "Llama-3.1-8B", "AWQ", "RTX4090", 1, 1, PLAN_STACK_LLAMACPP, "GGUF");
    refused(&c, "Llama-3.1-8B", "BF16", "EPYC9004", 1, 1, PLAN_STACK_VLLM, "needs GPUs");
    refused(&c, "Llama-3.1-8B", "BF16", "Atlas350", 1, 1, PLAN_STACK_VLLM, "no arithmetic figure");
    assert_null(plan_quant_find("Q9_9"));
    catalogue_free(&c);
}

static double tuning_gb(const struct plan_model *m, enum plan_method method, int length,
                        struct plan_training_memory *out)
{
    struct err e = {0};
    struct plan_training t = {
        .method = method, .rank = 16, .batch = 1, .max_length = length, .shards = 1, .checkpointing = true};
    if (plan_training_of(m, &t, out, &e)) fail_msg("%s", e.msg);
    return out->total_bytes / 1e9;
}

/* Rules that others publish for weights, gradients and optimizer, and 4-bit tuning that was measured. */
static void tuning_memory(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_training_memory m;
    struct err e = {0};
    load(&c);
    const struct plan_model *m7 = model(&c, "Qwen2.5-7B"), *m14 = model(&c, "Qwen2.5-14B"),
                            *m72 = model(&c, "Qwen2.5-72B");
    tuning_gb(m7, PLAN_FULL, 512, &m);
    near("full 7B", (m.weights_bytes + m.gradient_bytes + m.optimizer_bytes) / 1e9, 120, 0.05);
    tuning_gb(m14, PLAN_FULL, 512, &m);
    near("full 14B", (m.weights_bytes + m.gradient_bytes + m.optimizer_bytes) / 1e9, 240, 0.05);
    tuning_gb(m7, PLAN_FULL_BF16, 512, &m);
    near("bf16 7B", (m.weights_bytes + m.gradient_bytes + m.optimizer_bytes) / 1e9, 60, 0.05);
    tuning_gb(m7, PLAN_LORA, 512, &m);
    near("LoRA 7B", (m.weights_bytes + m.adapter_bytes) / 1e9, 16, 0.02);
    near("QLoRA 7B", tuning_gb(m7, PLAN_QLORA, 2048, &m), 11.5, 0.2);
    near("QLoRA 14B", tuning_gb(m14, PLAN_QLORA, 2048, &m), 18.7, 0.2);
    near("QLoRA 72B", tuning_gb(m72, PLAN_QLORA, 2048, &m), 61.4, 0.2);
    assert_true(tuning_gb(m7, PLAN_QLORA, 2048, &m) < 23); /* a card of 24 GB */
    near("logits of 2048 tokens", m.logits_bytes, 3.1e9, 0.01);
    near("adapters of rank 16", m.adapter_params, 40370176, 1e-9);
    struct plan_training t = {.method = PLAN_FULL_BF16,
                              .rank = 16,
                              .batch = 1,
                              .max_length = 256,
                              .shards = 1,
                              .trainer = PLAN_TRAINER_TAILOR};
    assert_int_equal(plan_training_of(m7, &t, &m, &e), -ERR_UNSUPPORTED);
    /* this program, all weights of SmolLM2 in bfloat16, measured with 1 and 8 rows of 256 tokens */
    const struct plan_model *small = model(&c, "SmolLM2-135M");
    const struct plan_hardware here = {.fp32_tflops = 0.335, .read_gb_s = 24.5};
    t.method = PLAN_FULL;
    assert_int_equal(plan_training_of(small, &t, &m, &e), 0);
    near("full, this program", m.total_bytes, 2651e6, 0.05);
    near("its speed", 256 / plan_training_s(small, &t, &here, 256), 125, 0.05);
    t.batch = 8;
    assert_int_equal(plan_training_of(small, &t, &m, &e), 0);
    near("full, 8 rows", m.total_bytes, 3943e6, 0.05);
    t.base = plan_quant_find("Q4_0");
    assert_int_equal(plan_training_of(small, &t, &m, &e), -ERR_UNSUPPORTED);
    t.batch = 0;
    assert_int_equal(plan_training_of(m7, &t, &m, &e), -ERR_USAGE);
    catalogue_free(&c);
}

/* --- catalogues that go over the embedded one --- */

static void write_file(const char *path, const char *text)
{
    struct err e = {0};
    assert_int_equal(file_mkdirs("build", NULL), 0);
    if (file_write_atomic(path, text, strlen(text), &e)) fail_msg("%s", e.msg);
}

static void rows_go_over_others(void **state)
{
    (void)state;
    struct catalogue c;
    struct err e = {0};
    write_file("build/test_plan.csv", "id,vram_gb\nh100,81\n");
    if (catalogue_open(&c, NULL, "build/test_plan.csv", &e)) fail_msg("%s", e.msg);
    const struct plan_hardware *h = catalogue_hardware(&c, "H100");
    assert_true(h->memory_gb == 81 && h->read_gb_s == 3350);
    assert_int_equal(h->kind, PLAN_DATACENTER);
    assert_true(catalogue_price(&c, NULL, "gpt-5.1")->output_usd == 10);
    catalogue_free(&c);
}

static void broken(const char *text, const char *why)
{
    struct catalogue c;
    struct err e = {0};
    write_file("build/test_plan.csv", text);
    assert_true(catalogue_open(&c, NULL, "build/test_plan.csv", &e) < 0);
    if (!strstr(e.msg, why)) fail_msg("\"%s\" does not say \"%s\"", e.msg, why);
    catalogue_free(&c);
}

static void broken_catalogues_name_the_place(void **state)
{
    (void)state;
    broken("model,n_layers\nQwen3-8B,36\nQwen3-4B,0\n",
           "line 3: n_layers is \"0\", a whole number from 1 to 10000 is needed");
    broken("model,n_layer\nx,1\n", "has no column \"n_layer\"");
    broken("id,vram_gb\nnew,80\n", "kind is empty");
    broken("id,kind,vram_gb,mem_bw_gbs\nnew,GPU,80,1\n", "kind is \"GPU\"");
    broken("model,top_k\nQwen3-30B-A3B,129\n", "top_k from 1 to n_experts");
    broken("a,b\n1,2\n", "models (column model)");
    struct catalogue c;
    struct err e = {0};
    const struct plan_model *m;
    load(&c);
    assert_int_equal(catalogue_need_model(&c, "Qwen3-8", &m, &e), -ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "did you mean Qwen3-"));
    catalogue_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_totals),    cmocka_unit_test(cache_bytes),
        cmocka_unit_test(engine_logs),         cmocka_unit_test(weight_sizes),
        cmocka_unit_test(sequences_that_fit),  cmocka_unit_test(published_speeds),
        cmocka_unit_test(steps_behave),        cmocka_unit_test(calibration_gives_the_measurement_back),
        cmocka_unit_test(nonsense_is_refused), cmocka_unit_test(tuning_memory),
        cmocka_unit_test(rows_go_over_others), cmocka_unit_test(broken_catalogues_name_the_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
