/* Cost against the worked examples of the planner's reference figures, and what must hold of any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "lifecycle/plan/cost.h"

#define OFFICE_S (22 * 8 * 3600.0)

static void assert_within(double got, double low, double high)
{
    if (!(got >= low && got <= high)) fail_msg("%.6g is not in [%.6g, %.6g]", got, low, high);
}

static void assert_near(double got, double want, double tolerance)
{
    assert_within(got, want - tolerance * fabs(want), want + tolerance * fabs(want));
}

static void api_price(double v[N_COST], double input, double output)
{
    v[COST_API_INPUT] = input;
    v[COST_API_OUTPUT] = output;
}

/* Ten million calls of 1000 + 500 tokens in office hours, peak twice the mean: a 70B model in FP8 on pairs of H100,
 * 4.0 calls a second each. */
static const struct cost_setup ten_million = {.prompt_tokens = 1000,
                                              .output_tokens = 500,
                                              .use_s_month = OFFICE_S,
                                              .peak = 2,
                                              .cards_per_replica = 2,
                                              .cards_per_host = 8,
                                              .host_by_part = true};

static void ten_million_inputs(double v[N_COST])
{
    struct cost_band in[N_COST];
    cost_inputs_init(in);
    cost_expected(in, v);
    v[COST_CALLS] = 1e7;
    v[COST_CAPACITY] = 4;
    v[COST_CARD_PRICE] = 221000;
    v[COST_HOST_PRICE] = 700000;
    v[COST_NETWORK] = 60000;
    v[COST_CARD_POWER] = 700;
    v[COST_HOST_POWER] = 2500;
    v[COST_STAFF] = 1;
    v[COST_MLPS] = 50000;
    v[COST_GAP_DAYS] = v[COST_GAP_UPKEEP] = 0;
}

struct rival {
    const char *name;
    double input, output;      /* CNY a million tokens */
    double monthly, low, high; /* the month; break-even as a multiple of the ten million */
};

static void ten_million_calls(void **state)
{
    (void)state;
    static const struct rival rival[] = {
        {"doubao-1.5-pro", 0.8, 2, 18e3, 3, 11.1},       {"qwen3.5-plus", 0.8, 4.8, 32e3, 3, 11.1},
        {"Llama-70B host", 2.621, 2.621, 39e3, 3, 11.1}, {"deepseek-v4-flash", 2, 8, 60e3, 3, 11.1},
        {"gpt-5.1", 8.399, 67.195, 420e3, 0.28, 0.48},   {"claude-sonnet-4.5", 20.159, 100.793, 706e3, 0.26, 0.48}};
    double v[N_COST];
    struct cost_private p;
    ten_million_inputs(v);
    cost_private(&ten_million, v, &p);
    assert_true(p.cards == 16 && p.replicas == 8 && p.hosts == 2);
    assert_near(p.hardware_capex, 5e6, 0.02);
    assert_near(p.monthly, 195e3, 0.03);
    assert_near(p.capacity_calls_month, 1e7, 0.05);
    for (size_t i = 0; i < N_ELEM(rival); i++) {
        struct cost_break_even b;
        struct cost_setup s = ten_million;
        s.fixed_replicas = 8;
        api_price(v, rival[i].input, rival[i].output);
        assert_near(cost_api_monthly(&s, v, 1e7), rival[i].monthly, 0.02);
        cost_break_even(&s, v, &b);
        assert_within(b.calls_month / 1e7, rival[i].low, rival[i].high);
        assert_int_equal(b.within_capacity, rival[i].high < 1); /* the rest: never */
    }
}

/* 300,000 calls on two 4090 in a box of 50,000 CNY. */
static void three_hundred_thousand_calls(void **state)
{
    (void)state;
    struct cost_setup s = ten_million;
    double v[N_COST];
    struct cost_private p;
    s.cards_per_host = 2;
    s.fixed_replicas = 1;
    ten_million_inputs(v);
    v[COST_CALLS] = 3e5;
    v[COST_CAPACITY] = 2.5;
    v[COST_CARD_PRICE] = 15000;
    v[COST_HOST_PRICE] = 20000;
    v[COST_NETWORK] = 0;
    v[COST_CARD_POWER] = 450;
    v[COST_HOST_POWER] = 100;
    v[COST_MLPS] = v[COST_MAINTENANCE] = 0;
    v[COST_STAFF] = 1e-9;
    cost_private(&s, v, &p);
    assert_near(p.monthly, 1.7e3, 0.05);
    v[COST_STAFF] = 0.3;
    v[COST_SALARY] = 400000;
    cost_private(&s, v, &p);
    assert_near(p.monthly, 11.7e3, 0.03);
    static const struct {
        double input, output, monthly;
        bool cheaper;
    } api[] = {{0.8, 2, 540, true}, {2, 8, 1.8e3, true}, {8.399, 67.195, 12.6e3, false}};
    for (size_t i = 0; i < N_ELEM(api); i++) {
        api_price(v, api[i].input, api[i].output);
        assert_near(cost_api_monthly(&s, v, 3e5), api[i].monthly, 0.02);
        assert_int_equal(cost_api_monthly(&s, v, 3e5) < p.monthly, api[i].cheaper);
    }
}

static void parts_add_up(void **state)
{
    (void)state;
    double v[N_COST], sum = 0;
    struct cost_private p;
    ten_million_inputs(v);
    v[COST_GAP_DAYS] = 30;
    cost_private(&ten_million, v, &p);
    for (int i = 0; i < N_COST_PART; i++) sum += p.part[i];
    assert_near(p.monthly, sum, 1e-12);
    assert_near(p.tco, 36 * p.monthly, 1e-9); /* written off in 36 months */
    assert_near(p.fixed_monthly + 1e7 * p.marginal_call, p.monthly, 1e-12);
    assert_near(p.per_call * 1e7, p.monthly, 1e-12);
    assert_near(p.per_mtok * 15e3, p.monthly, 1e-12);
    v[COST_LIFE] = 5;
    cost_private(&ten_million, v, &p);
    assert_true(p.tco > 36 * p.monthly); /* bought in full all the same */
}

static void every_input_matters(void **state)
{
    (void)state;
    struct cost_setup rented = ten_million;
    rented.rented = true;
    for (int i = 0; i < N_COST; i++) {
        double v[N_COST], before[3], after[3];
        struct cost_private p, front;
        ten_million_inputs(v);
        api_price(v, 8, 60);
        v[COST_API_CACHED] = 1;
        v[COST_CACHE_HIT] = 0.3;
        v[COST_API_STAFF] = 0.1;
        v[COST_RENT] = 2.5;
        v[COST_GAP_DAYS] = 30;
        v[COST_GAP_UPKEEP] = 1;
        for (int k = 0; k < 2; k++) {
            double *at = k ? after : before;
            if (k) v[i] = v[i] > 0 ? v[i] * 0.5 : 5000;
            cost_private(&ten_million, v, &p);
            at[0] = p.monthly + cost_api_monthly(&ten_million, v, v[COST_CALLS]);
            cost_private(&rented, v, &p);
            at[1] = p.monthly;
            at[2] = cost_hybrid_monthly(&ten_million, v, &front);
        }
        if (before[0] == after[0] && before[1] == after[1] && before[2] == after[2])
            fail_msg("%s changes nothing", cost_input_info[i].key);
    }
}

static void cached_tokens_are_cheaper(void **state)
{
    (void)state;
    double v[N_COST];
    ten_million_inputs(v);
    api_price(v, 8, 60);
    double full = cost_api_call(&ten_million, v);
    v[COST_CACHE_HIT] = 0.5;
    assert_near(cost_api_call(&ten_million, v), full, 1e-12); /* no price of its own: as input */
    v[COST_API_CACHED] = 1;
    assert_near(full - cost_api_call(&ten_million, v), 500 * 7 / 1e6, 1e-9);
}

static void hybrid_lies_between(void **state)
{
    (void)state;
    double v[N_COST];
    struct cost_private all, front;
    ten_million_inputs(v);
    api_price(v, 8.399, 67.195);
    cost_private(&ten_million, v, &all);
    v[COST_ROUTED] = 0.2;
    double hybrid = cost_hybrid_monthly(&ten_million, v, &front);
    assert_near(hybrid, front.monthly + 0.2 * 420e3, 0.01);
    assert_true(front.replicas < all.replicas && front.monthly < all.monthly);
    v[COST_ROUTED] = 0;
    assert_near(cost_hybrid_monthly(&ten_million, v, &front), all.monthly, 1e-12);
}

static void break_even_is_where_costs_meet(void **state)
{
    (void)state;
    double v[N_COST];
    struct cost_break_even b;
    struct cost_private p;
    struct cost_setup s = ten_million;
    s.fixed_replicas = 8;
    ten_million_inputs(v);
    api_price(v, 8.399, 67.195);
    cost_break_even(&s, v, &b);
    v[COST_CALLS] = b.calls_month;
    cost_private(&s, v, &p);
    assert_near(p.monthly, cost_api_monthly(&s, v, b.calls_month), 1e-9);
    v[COST_CALLS] = b.grown_calls;
    s.fixed_replicas = 0;
    cost_private(&s, v, &p);
    assert_near(p.monthly, cost_api_monthly(&s, v, b.grown_calls), 1e-6);
    assert_true(b.grown_calls <= b.calls_month);
    api_price(v, 1e-6, 1e-6);
    cost_break_even(&s, v, &b);
    assert_true(isinf(b.calls_month) && !b.within_capacity && b.grown_calls == 0);
}

static void tornado_is_sorted_and_finds_what_flips(void **state)
{
    (void)state;
    struct cost_band in[N_COST];
    struct cost_swing w[N_COST];
    double v[N_COST];
    cost_inputs_init(in);
    ten_million_inputs(v);
    api_price(v, 2, 8);
    for (int i = 0; i < N_COST; i++)
        if (in[i].mid != v[i]) in[i] = (struct cost_band){v[i], v[i], v[i]};
    in[COST_API_OUTPUT] = (struct cost_band){2, 8, 60};
    int n = cost_tornado(&ten_million, in, w), flips = 0;
    assert_true(n >= 6);
    for (int i = 1; i < n; i++)
        assert_true(fabs(w[i - 1].at_high - w[i - 1].at_low) >= fabs(w[i].at_high - w[i].at_low));
    assert_int_equal(w[0].input, COST_API_OUTPUT);
    for (int i = 0; i < n; i++) flips += w[i].flips;
    assert_true(w[0].flips && flips == 1);
}

static void inputs_are_checked(void **state)
{
    (void)state;
    struct cost_band in[N_COST];
    struct err e;
    cost_inputs_init(in);
    assert_int_equal(cost_input_set(in, COST_SALARY, (double[]){400000}, 1, &e), 0);
    assert_near(in[COST_SALARY].high / in[COST_SALARY].mid, 600.0 / 450, 1e-12); /* the band moves with it */
    assert_int_equal(cost_input_set(in, COST_PUE, (double[]){1.1, 1.2, 1.6}, 3, &e), 0);
    assert_true(in[COST_PUE].low == 1.1 && in[COST_PUE].high == 1.6);
    assert_int_equal(cost_input_set(in, COST_PUE, (double[]){0.5}, 1, &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "pue = 0.5"));
    assert_int_equal(cost_input_set(in, COST_PUE, (double[]){1.2, 1.5}, 2, &e), -ERR_USAGE);
    assert_int_equal(cost_input_set(in, COST_PUE, (double[]){1.5, 1.4, 1.6}, 3, &e), -ERR_USAGE);
    assert_int_equal(cost_input_set(in, COST_TARIFF, (double[]){NAN}, 1, &e), -ERR_USAGE);
    for (int i = 0; i < N_COST; i++) {
        const struct cost_input_info *f = &cost_input_info[i];
        assert_true(f->key && f->en[0] && f->zh[0] && f->source[0] && f->min < f->max);
        assert_true(f->band.low <= f->band.mid && f->band.mid <= f->band.high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_million_calls),
                                       cmocka_unit_test(three_hundred_thousand_calls),
                                       cmocka_unit_test(parts_add_up),
                                       cmocka_unit_test(every_input_matters),
                                       cmocka_unit_test(cached_tokens_are_cheaper),
                                       cmocka_unit_test(hybrid_lies_between),
                                       cmocka_unit_test(break_even_is_where_costs_meet),
                                       cmocka_unit_test(tornado_is_sorted_and_finds_what_flips),
                                       cmocka_unit_test(inputs_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
