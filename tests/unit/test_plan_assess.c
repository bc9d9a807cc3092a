/* Assessments as a whole: what is filled in and what is not, the API that is picked, JSON and reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "ground/report/document.h"
#include "lifecycle/plan/assess.h"
#include "lifecycle/plan/plan_report.h"

static struct catalogue cat;
static struct decision_rules rules;

static int set_up(void **state)
{
    (void)state;
    return catalogue_open(&cat, NULL, NULL, NULL) || decision_rules_open(&rules, NULL, NULL, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    decision_rules_free(&rules);
    catalogue_free(&cat);
    return 0;
}

static struct plan_system system_of(const char *model, const char *quant, const char *hardware, int tp)
{
    struct plan_system s;
    struct plan_layout layout = {tp, 1, 16};
    const struct plan_hardware *h = catalogue_hardware(&cat, hardware);
    const struct plan_quant *q = plan_quant_find(quant);
    struct err e;
    if (plan_system_init(&s, catalogue_model(&cat, model), q, h, &layout, plan_stack_usual(h, q->gguf), &e))
        fail_msg("%s", e.msg);
    return s;
}

static struct plan_case case_of(const struct plan_system *s)
{
    struct plan_case k;
    plan_case_init(&k);
    k.catalogue = &cat;
    k.rules = &rules;
    k.system = s;
    k.goal.prompt_tokens = 1000;
    k.goal.output_tokens = 500;
    return k;
}

static void assess(const struct plan_case *k, struct plan_verdict *v)
{
    struct err e;
    if (plan_assess(k, v, &e)) fail_msg("%s", e.msg);
}

static void what_is_set_stays(void **state)
{
    (void)state;
    struct plan_system s = system_of("Qwen3-8B", "AWQ", "RTX4090", 1);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    k.demand.calls_month = 1e5;
    assess(&k, &v);
    assert_true(v.priced && v.fits && v.in[COST_CARD_PRICE].mid == 14500 && v.in[COST_CALLS].mid == 1e5);
    assert_true(v.in[COST_MLPS].mid > 0); /* not known: as internal */
    double capacity = v.in[COST_CAPACITY].mid;
    for (int i = 0; i < N_COST; i++) {
        k.in[i] = (struct cost_band){1.25, 1.25, 1.25};
        k.set[i] = true;
    }
    assess(&k, &v);
    for (int i = 0; i < N_COST; i++)
        if (v.in[i].low != 1.25 || v.in[i].high != 1.25) fail_msg("%s was overwritten", cost_input_info[i].key);
    assert_true(capacity != 1.25);
}

static void compliance_follows_the_data(void **state)
{
    (void)state;
    struct plan_system s = system_of("Qwen3-8B", "AWQ", "RTX4090", 1);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    double cost[3];
    for (int class = DATA_PUBLIC; class <= DATA_SECRET; class ++) {
        k.facts[FACT_DATA_CLASS] = class;
        assess(&k, &v);
        cost[class] = v.cost.part[COST_PART_COMPLIANCE];
    }
    assert_true(cost[0] == 0 && cost[1] > 4000 && cost[2] > cost[1]);
    assert_true(v.decision.choice == CHOICE_PRIVATE && v.confidence == 1);
    k.compliance = COMPLIANCE_NONE;
    assess(&k, &v);
    assert_true(v.cost.part[COST_PART_COMPLIANCE] == 0);
}

static void the_api_compared_with_is_no_smaller(void **state)
{
    (void)state;
    struct plan_system s = system_of("Llama-3.3-70B", "FP8", "H100", 2);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    struct err e;
    assess(&k, &v);
    assert_string_equal(v.api->catalogue_model, "Llama-3.3-70B"); /* the same model */
    assert_true(v.same_class && v.in[COST_GAP_DAYS].mid == 0);
    k.api = "gpt-5.1";
    assess(&k, &v);
    assert_true(!v.same_class && v.in[COST_GAP_DAYS].mid > 0 && v.setup.api_rate > 0);
    k.api = "ByteDance Volcano/doubao-1.5-pro";
    assess(&k, &v);
    assert_true(v.setup.api_rate == 0 && v.in[COST_API_OUTPUT].mid == 2);
    k.api = "nobody/nothing";
    assert_int_equal(plan_assess(&k, &v, &e), -ERR_NOT_FOUND);
    k.api = NULL;
    struct plan_system small = system_of("Qwen2.5-1.5B", "BF16", "RTX3060", 1);
    k.system = &small;
    assess(&k, &v);
    const struct plan_model *other = catalogue_model(&cat, v.api->catalogue_model);
    assert_non_null(other);
    assert_true(plan_quality_size(other) >= 0.9 * plan_quality_size(small.model));
}

static void what_does_not_carry_says_so(void **state)
{
    (void)state;
    struct plan_system s = system_of("Llama-3.3-70B", "BF16", "RTX4090", 1);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    k.demand.calls_month = 1000;
    assess(&k, &v);
    assert_true(!v.fits && v.offer.room == 0 && isfinite(v.cost.monthly));
    s = system_of("Qwen3-8B", "AWQ", "RTX4090", 1);
    k.demand.calls_month = 1e8;
    k.replicas = 1;
    assess(&k, &v);
    assert_true(!v.fits && !v.wait.stable);
    k.replicas = 0;
    assess(&k, &v);
    assert_true(v.fits && v.wait.stable && v.cost.replicas > 50);
    s = system_of("Qwen3-8B", "AWQ", "RTX3070", 1); /* no source has its price */
    assess(&k, &v);
    assert_false(v.priced);
    json_t *o = plan_verdict_json(&k, &v);
    assert_true(json_is_null(json_object_get(o, "cost")));
    json_decref(o);
}

static void json_has_the_members_of_the_contract(void **state)
{
    (void)state;
    struct plan_system s = system_of("Qwen3-8B", "AWQ", "RTX4090", 1);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    k.demand.team = 30;
    assess(&k, &v);
    json_t *o = plan_verdict_json(&k, &v);
    const json_t *cost = json_object_get(o, "cost"), *decision = json_object_get(o, "decision");
    assert_true(json_is_real(json_object_get(cost, "capex_cny")) && json_is_real(json_object_get(cost, "monthly_cny")));
    assert_int_equal(json_object_size(json_object_get(cost, "parts")), N_COST_PART);
    assert_int_equal(json_object_size(json_object_get(cost, "inputs")), N_COST);
    assert_true(json_array_size(json_object_get(o, "api")) > 50);
    assert_true(json_array_size(json_object_get(decision, "reasons")) > 0);
    assert_int_equal(json_array_size(json_object_get(decision, "rules")), rules.n);
    json_decref(o);
}

static void reports_come_out_in_both_languages(void **state)
{
    (void)state;
    struct plan_system s = system_of("Qwen3-8B", "AWQ", "RTX4090", 1);
    struct plan_case k = case_of(&s);
    struct plan_verdict v;
    struct plan_forecast f;
    struct plan_load l = {4, 1000, 500};
    struct err e;
    assess(&k, &v);
    plan_forecast_of(&s, &l, 1, &f);
    for (int lang = LANG_EN; lang <= LANG_ZH; lang++) {
        struct plan_report r = {&k, &v, &f, (enum lang)lang};
        json_t *doc;
        struct buf html, text;
        buf_init(&html, 1 << 24);
        buf_init(&text, 1 << 24);
        if (plan_report_compose(&r, &doc, &e) || report_html(doc, &html, &e) || report_markdown(doc, &text, &e))
            fail_msg("%s", e.msg);
        assert_non_null(strstr(html.data, "<svg"));
        assert_non_null(strstr(text.data, lang == LANG_ZH ? "盈亏平衡点" : "break-even"));
        assert_non_null(strstr(text.data, lang == LANG_ZH ? "永不" : "never"));
        json_decref(doc);
        buf_deinit(&html);
        buf_deinit(&text);
    }
    struct plan_report r = {&k, &v, &f, LANG_EN};
    struct buf csv;
    buf_init(&csv, 1 << 20);
    assert_int_equal(plan_report_csv(&r, &csv, &e), 0);
    assert_non_null(strstr(csv.data, "cost,monthly,"));
    buf_deinit(&csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_set_stays),
                                       cmocka_unit_test(compliance_follows_the_data),
                                       cmocka_unit_test(the_api_compared_with_is_no_smaller),
                                       cmocka_unit_test(what_does_not_carry_says_so),
                                       cmocka_unit_test(json_has_the_members_of_the_contract),
                                       cmocka_unit_test(reports_come_out_in_both_languages)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
