/* The planner's arithmetic against published sizes, and what must hold of its predictions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "lifecycle/plan/predict.h"

static void load(struct shapes *c)
{
    struct err e = {0};
    if (shapes_load(c, "catalog/models.csv", &e)) fail_msg("%s", e.msg);
}

static void published_sizes(void **state)
{
    (void)state;
    /* parameters as published, in billions; keys and values a token, float16, as their configurations say */
    static const struct {
        const char *name;
        double params_b;
        uint64_t kv_token_bytes;
    } row[] = {{"SmolLM2-135M", 0.1345, 23040}, {"SmolLM2-360M", 0.3618, 40960}, {"Qwen2.5-0.5B", 0.494, 12288},
               {"Qwen2.5-1.5B", 1.544, 28672},  {"SmolLM2-1.7B", 1.711, 196608}, {"Qwen2.5-3B", 3.086, 36864},
               {"Qwen2.5-7B", 7.616, 57344},    {"Llama-3.2-1B", 1.236, 32768},  {"Llama-3.2-3B", 3.213, 114688},
               {"Llama-3.1-8B", 8.03, 131072}};
    struct shapes c;
    load(&c);
    for (size_t i = 0; i < N_ELEM(row); i++) {
        const struct model_shape *s = shapes_find(&c, row[i].name);
        assert_non_null(s);
        struct plan_memory m;
        struct plan_load l = {1, 512, 128};
        plan_memory(s, plan_quant_find("F32"), 0, &l, &m);
        double params = (double)m.weights_bytes / 4e9;
        if (fabs(params / row[i].params_b - 1) > 0.003)
            fail_msg("%s: %.4f B parameters, published %.4f", row[i].name, params, row[i].params_b);
        assert_int_equal(plan_kv_token_bytes(s), row[i].kv_token_bytes);
        assert_int_equal(m.kv_bytes, 640 * row[i].kv_token_bytes);
        assert_int_equal(m.total_bytes, m.weights_bytes + m.kv_bytes + m.overhead_bytes);
    }
    shapes_free(&c);
}

static void predictions_stay_below_floors(void **state)
{
    (void)state;
    struct shapes c;
    struct plan_floors f = {.read_gb_s = 20, .fp32_gflops = 200, .int8_gops = 600, .int4_int8_gops = 900};
    struct plan_shares share = {PLAN_SHARE_DECODE, PLAN_SHARE_PREFILL, false};
    struct plan_load l = {1, 512, 128};
    load(&c);
    for (size_t i = 0; i < c.n; i++)
        for (const char *const *q = (const char *const[]){"BF16", "Q8_0", "Q4_1", "Q4_0", NULL}; *q; q++) {
            struct plan_work w;
            struct plan_speed v;
            const struct plan_quant *quant = plan_quant_find(*q);
            plan_work(&c.item[i], quant, &w);
            plan_speed(&c.item[i], quant, &w, &f, &share, &l, &v);
            assert_true(v.decode_tok_s > 0 && v.decode_tok_s * w.step_bytes <= f.read_gb_s * 1e9);
            assert_true(v.prefill_tok_s > 0 && v.prefill_tok_s * 2 * w.layer_params <= 900e9);
            struct plan_load many = {16, 512, 128};
            struct plan_speed busy;
            plan_speed(&c.item[i], quant, &w, &f, &share, &many, &busy);
            assert_true(busy.tpot_ms >= v.tpot_ms && busy.tpot_ms <= 16 * v.tpot_ms);
        }
    shapes_free(&c);
}

static void calibration_gives_the_measurement_back(void **state)
{
    (void)state;
    struct shapes c;
    struct plan_floors f = {
        .read_gb_s = 22, .fp32_gflops = 300, .int8_gops = 700, .int4_int8_gops = 700, .bf16_gflops = 4000};
    struct plan_shares share;
    struct plan_work w;
    struct plan_speed v;
    struct plan_load l = {1, 256, 0};
    const struct plan_quant *q = plan_quant_find("Q4_1");
    load(&c);
    const struct model_shape *s = shapes_find(&c, "smollm2-135m");
    assert_non_null(s);
    plan_work(s, q, &w);
    plan_calibrate(s, q, &w, &f, 256, 2500, 256, 150, &share);
    plan_speed(s, q, &w, &f, &share, &l, &v);
    assert_true(share.measured);
    assert_true(fabs(v.prefill_tok_s / 2500 - 1) < 1e-9);
    assert_true(fabs(v.decode_tok_s / 150 - 1) < 1e-9);
    shapes_free(&c);
}

static void users_fill_the_memory(void **state)
{
    (void)state;
    struct shapes c;
    struct plan_memory m;
    struct plan_load l = {1, 1000, 500};
    load(&c);
    const struct model_shape *s = shapes_find(&c, "Llama-3.1-8B");
    plan_memory(s, plan_quant_find("Q4_0"), 0, &l, &m);
    uint64_t n = plan_max_users(s, &m, &l, m.total_bytes - m.kv_bytes + 7 * m.kv_bytes + 5);
    assert_int_equal(n, 7);
    assert_int_equal(plan_max_users(s, &m, &l, 1000), 0);
    shapes_free(&c);
}

static void broken_catalogues_name_the_line(void **state)
{
    (void)state;
    static const char text[] = "model,n_layer,n_embd,n_head,n_kv_head,d_head,n_ff,n_vocab,n_ctx_train,tied_head\n"
                               "a,1,2,3,4,5,6,7,8,1\nb,0,2,3,4,5,6,7,8,1\n";
    struct shapes c;
    struct err e = {0};
    assert_int_equal(file_mkdirs("build", NULL), 0);
    assert_int_equal(file_write_atomic("build/test_plan.csv", text, sizeof text - 1, NULL), 0);
    assert_int_equal(shapes_load(&c, "build/test_plan.csv", &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 3: n_layer is \"0\""));
    assert_null(plan_quant_find("Q9_9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes), cmocka_unit_test(predictions_stay_below_floors),
        cmocka_unit_test(calibration_gives_the_measurement_back), cmocka_unit_test(users_fill_the_memory),
        cmocka_unit_test(broken_catalogues_name_the_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
