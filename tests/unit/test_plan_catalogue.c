/* The catalogue of one's own, models read from files, dates, and the planner against published measurements. */
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
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/plan/age.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/shelf.h"
#include "lifecycle/plan/validate.h"

#define HOME "build/test_plan_home"

static void write_file(const char *path, const char *text)
{
    struct err e = {0};
    assert_int_equal(file_mkdirs(HOME, NULL), 0);
    if (file_write_atomic(path, text, strlen(text), &e)) fail_msg("%s", e.msg);
}

/* --- measurements --- */

static void predictions_meet_the_gates(void **state)
{
    (void)state;
    struct catalogue c;
    struct plan_validation v;
    struct err e = {0};
    if (catalogue_open(&c, NULL, NULL, &e) || plan_validate(&c, NULL, &v, &e)) fail_msg("%s", e.msg);
    assert_int_equal(v.n, 219);
    assert_int_equal(v.n_skipped, 0);
    assert_int_equal(v.n_unused, 41);
    assert_int_equal(v.n_class, 6);
    for (size_t i = 0; i < v.n_class; i++) {
        const struct plan_class *k = &v.class_of[i];
        assert_true(k->gate > 0);
        if (k->median_error > k->gate) fail_msg("%s: median error %.3f, gate %.3f", k->name, k->median_error, k->gate);
        if (k->rows >= 30 && (k->coverage < 0.7 || k->coverage > 0.9))
            fail_msg("%s: 80 %% intervals hold %.2f", k->name, k->coverage);
        assert_true(k->median_error <= k->p80_error);
    }
    assert_true(v.coverage >= 0.7 && v.coverage <= 0.9);
    for (size_t i = 1; i < v.n; i++) assert_true(fabs(v.check[i].error) <= fabs(v.check[i - 1].error));
    plan_validation_free(&v);
    catalogue_free(&c);
}

static void odd_measurements(void **state)
{
    (void)state;
    static const char head[] = "class,model,quant,hardware,check_metric,tpot_ms,concurrency\n";
    struct catalogue c;
    struct plan_validation v;
    struct err e = {0};
    char text[512];
    assert_int_equal(catalogue_open(&c, NULL, NULL, &e), 0);
    snprintf(text, sizeof text, "%s%s", head,
             "serve,Qwen3-8B,BF16,H100,tpot_ms,7,2\nserve,nobody,BF16,H100,tpot_ms,7,2\n");
    write_file(HOME "/m.csv", text);
    if (plan_validate(&c, HOME "/m.csv", &v, &e)) fail_msg("%s", e.msg);
    assert_true(v.n == 2 && v.n_skipped == 1 && v.class_of[0].rows == 1);
    assert_non_null(strstr(v.check[1].skipped, "not in the catalogue"));
    plan_validation_free(&v);
    snprintf(text, sizeof text, "%s%s", head, "serve,Qwen3-8B,BF16,H100,tpot_ms,-7,2\n");
    write_file(HOME "/m.csv", text);
    assert_int_equal(plan_validate(&c, HOME "/m.csv", &v, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 2"));
    plan_validation_free(&v);
    write_file(HOME "/m.csv", "class,model\n");
    assert_true(plan_validate(&c, HOME "/m.csv", &v, &e) < 0);
    plan_validation_free(&v);
    catalogue_free(&c);
}

/* --- rows of one's own --- */

struct noted {
    size_t n;
    char last[200];
};

static void note(void *at, const struct shelf_change *change)
{
    struct noted *t = at;
    t->n++;
    snprintf(t->last, sizeof t->last, "%s %s %s %s", change->name, change->column ? change->column : "new", change->was,
             change->is);
}

/* What people write, and the row; a list: it is not clear which. */
static void hardware_has_common_names(void **state)
{
    (void)state;
    static const char *const name[][2] = {{"RTX4090", "RTX4090"},
                                          {"4090", "RTX4090"},
                                          {"rtx 4090", "RTX4090"},
                                          {"NVIDIA GeForce RTX 4090", "RTX4090"},
                                          {"4090 24GB", "RTX4090"},
                                          {"4070", "RTX4070"},
                                          {"4070 Ti", "RTX4070Ti"},
                                          {"4070Ti", "RTX4070Ti"},
                                          {"RTX 3080 Ti", "RTX3080Ti"},
                                          {"h100", "H100"},
                                          {"H100-SXM", "H100"},
                                          {"NVIDIA H100 80GB HBM3", "H100"},
                                          {"H100 PCIe", "H100-PCIe"},
                                          {"A100 80G", "A100-80"},
                                          {"A100-80G", "A100-80"},
                                          {"A100 40GB", "A100-40"},
                                          {"A100-PCIe", "A100-80-PCIe"},
                                          {"A100 80GB SXM", "A100-80"},
                                          {"910B", "910B"},
                                          {"Ascend 910B", "910B"},
                                          {"\xe6\x98\x87\xe8\x85\xbe"
                                           "910B",
                                           "910B"},
                                          {"M2 Ultra", "M2Ultra"},
                                          {"Mac M4 Max", "M4Max"},
                                          {"RTX PRO 6000", "PRO6000"},
                                          {"RTX 6000 Ada", "RTX6000Ada"},
                                          {"RTX A6000", "A6000"},
                                          {"13900K", "i9-13900K"},
                                          {"EPYC 9355", "2xEPYC9355"},
                                          {"MI300X", "MI300X"},
                                          {"L40S", "L40S"}};
    static const char *const unclear[][2] = {{"A100", "A100-40, A100-80, A100-80-PCIe"},
                                             {"M3 Ultra", "M3Ultra-96, M3Ultra-512"},
                                             {"RTX 4090 48GB", "RTX4090"}};
    static const char *const unknown[] = {"L40",  "A10", "910",    "6000", "A800",     "SXM",
                                          "80GB", "",    "NVIDIA", "--",   "Blackwell"};
    struct catalogue c;
    const struct plan_hardware *h;
    struct err e = {0};
    if (catalogue_open(&c, NULL, NULL, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < N_ELEM(name); i++) {
        if (catalogue_need_hardware(&c, name[i][0], &h, &e)) fail_msg("%s: %s", name[i][0], e.msg);
        if (!str_eq(h->id, name[i][1])) fail_msg("%s is %s", name[i][0], h->id);
    }
    for (size_t i = 0; i < N_ELEM(unclear); i++) {
        assert_int_equal(catalogue_need_hardware(&c, unclear[i][0], &h, &e), -ERR_NOT_FOUND);
        if (!strstr(e.msg, unclear[i][1])) fail_msg("%s", e.msg);
    }
    for (size_t i = 0; i < N_ELEM(unknown); i++)
        if (catalogue_need_hardware(&c, unknown[i], &h, &e) != -ERR_NOT_FOUND) fail_msg("%s", unknown[i]);
    for (size_t i = 0; i < c.n_hardware; i++)
        if (catalogue_need_hardware(&c, c.hardware[i].name, &h, &e) || h != &c.hardware[i])
            fail_msg("%s: %s", c.hardware[i].name, e.msg);
    catalogue_free(&c);
}

static void rows_are_kept_and_told(void **state)
{
    (void)state;
    struct shelf_result r;
    struct noted t = {0};
    struct err e = {0};
    const char *pair[] = {"id=h100", "price2026_rmb_low=190000"}, *wrong[] = {"id=h100", "vram_gb=-1"};
    assert_int_equal(file_remove_tree(HOME, NULL), 0);
    if (shelf_add(HOME, &row_hardware, pair, 2, "2026-11-28", true, note, &t, &r, &e)) fail_msg("%s", e.msg);
    assert_false(file_exists(HOME "/catalog/hardware.csv"));
    if (shelf_add(HOME, &row_hardware, pair, 2, "2026-11-28", false, note, &t, &r, &e)) fail_msg("%s", e.msg);
    assert_true(r.n_changed == 1 && r.n_added == 0);
    assert_non_null(strstr(t.last, "price2026_rmb_low 200000 190000"));
    struct catalogue c;
    if (catalogue_open(&c, HOME, NULL, &e)) fail_msg("%s", e.msg);
    const struct plan_hardware *h = catalogue_hardware(&c, "H100");
    assert_true(h->price_cny_low == 190000 && h->read_gb_s == 3350);
    assert_string_equal(h->noted, "2026-11-28");
    catalogue_free(&c);
    t.n = 0;
    if (shelf_add(HOME, &row_hardware, pair, 2, "2026-11-29", false, note, &t, &r, &e)) fail_msg("%s", e.msg);
    assert_true(r.n_same == 1 && t.n == 0);
    assert_int_equal(shelf_add(HOME, &row_hardware, wrong, 2, "2026-11-28", false, note, &t, &r, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "vram_gb is \"-1\""));
    /* the first wrong row of a file keeps all of it out */
    write_file(HOME "/u.csv", "provider,model,price_date,input_cny_per_mtok\nMe,a,2026-11-01,1\nMe,b,soon,1\n");
    assert_int_equal(shelf_update(HOME, HOME "/u.csv", "2026-11-28", false, note, &t, &r, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 3"));
    assert_false(file_exists(HOME "/catalog/api_prices.csv"));
    write_file(HOME "/u.csv", "provider,model,price_date,input_cny_per_mtok\nMe,a,2026-11-01,1\nMe,a,2026-10-01,9\n");
    if (shelf_update(HOME, HOME "/u.csv", "2026-11-28", false, note, &t, &r, &e)) fail_msg("%s", e.msg);
    assert_int_equal(r.n_added, 2);
    if (catalogue_open(&c, HOME, NULL, &e)) fail_msg("%s", e.msg);
    assert_true(catalogue_price(&c, "me", "A")->input_cny == 1); /* the newest */
    catalogue_free(&c);
}

/* --- models from files --- */

static void dimensions_from_configs(void **state)
{
    (void)state;
    struct plan_model m;
    struct arena arena;
    struct err e = {0};
    arena_init(&arena, 1 << 20);
    write_file(HOME "/config.json",
               "{\"model_type\":\"new\",\"num_hidden_layers\":61,\"hidden_size\":7168,\"num_attention_heads\":128,"
               "\"num_key_value_heads\":128,\"vocab_size\":129280,\"intermediate_size\":18432,"
               "\"max_position_embeddings\":163840,\"n_routed_experts\":256,\"num_experts_per_tok\":8,"
               "\"moe_intermediate_size\":2048,\"n_shared_experts\":1,\"first_k_dense_replace\":3,\"kv_lora_rank\":512,"
               "\"q_lora_rank\":1536,\"qk_rope_head_dim\":64,\"qk_nope_head_dim\":128,\"v_head_dim\":128}");
    if (plan_model_read(HOME "/config.json", "new", &arena, &m, &e)) fail_msg("%s", e.msg);
    assert_true(fabs(plan_params_total(&m) / 671.0e9 - 1) < 0.0005);
    assert_true(plan_kv_sequence_bytes(&m, 1, 16) == 70272);
    assert_string_equal(m.attention, "MLA");
    write_file(HOME "/config.json",
               "{\"text_config\":{\"model_type\":\"hybrid\",\"num_hidden_layers\":64,\"hidden_size\":5120,"
               "\"num_attention_heads\":24,\"num_key_value_heads\":4,\"head_dim\":256,\"vocab_size\":248320,"
               "\"intermediate_size\":17408,\"max_position_embeddings\":262144,\"full_attention_interval\":4}}");
    if (plan_model_read(HOME "/config.json", "hybrid", &arena, &m, &e)) fail_msg("%s", e.msg);
    assert_true(m.n_layer_full == 16 && m.n_layer_linear == 48);
    assert_true(plan_kv_sequence_bytes(&m, 1, 16) == 65536);
    write_file(HOME "/config.json", "{\"num_hidden_layers\":2,\"hidden_size\":-4}");
    assert_int_equal(plan_model_read(HOME "/config.json", "x", &arena, &m, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "hidden_size is out of range"));
    arena_deinit(&arena);
}

static void ages_of_dates(void **state)
{
    (void)state;
    int days;
    int64_t at = (int64_t)20785 * 86400000 + 5; /* 2026-11-28 */
    assert_true(plan_age_days("2026-11-28", at, &days) && days == 0);
    assert_true(plan_age_days("2026-08-05", at, &days) && days == 115);
    assert_true(plan_age_days("2024-02", at, &days) && days == 1003);
    assert_true(plan_age_days("2025", at, &days) && days == 332);
    assert_true(plan_age_days("2026-12-01", at, &days) && days == -3);
    for (const char *const *p =
             (const char *const[]){"", "soon", "2026-13-01", "2026-1-1", "2026-11-00", "20261128x0", NULL};
         *p; p++)
        assert_false(plan_age_days(*p, at, &days));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_meet_the_gates), cmocka_unit_test(odd_measurements),
        cmocka_unit_test(hardware_has_common_names),  cmocka_unit_test(rows_are_kept_and_told),
        cmocka_unit_test(dimensions_from_configs),    cmocka_unit_test(ages_of_dates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
