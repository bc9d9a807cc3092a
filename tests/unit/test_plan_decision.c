/* The decision: the rules that come with the program on known cases, their language, and what moves the choice. */
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
#include "lifecycle/plan/decision.h"

static void load(struct decision_rules *r)
{
    char *text;
    size_t n;
    struct err e;
    if (file_read_all("catalog/rules.csv", 1 << 20, &text, &n, &e) || decision_rules_read(r, "rules.csv", text, n, &e))
        fail_msg("%s", e.msg);
    mem_free(text);
}

static size_t find(const struct decision_rules *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->item[i].id, id) == 0) return i;
    fail_msg("no rule %s", id);
    return 0;
}

static void forget(double facts[N_FACT])
{
    for (int i = 0; i < N_FACT; i++) facts[i] = NAN;
}

static int read_rules(struct decision_rules *r, const char *row, struct err *e)
{
    char text[512];
    snprintf(text, sizeof text, "rule,decides,favours,weight,when,text_en,text_zh,source\n%s\n", row);
    return decision_rules_read(r, "mine.csv", text, strlen(text), e);
}

static void data_that_may_not_leave_decides(void **state)
{
    (void)state;
    struct decision_rules r;
    struct decision d;
    double facts[N_FACT];
    load(&r);
    forget(facts);
    facts[FACT_DATA_CLASS] = DATA_SECRET;
    facts[FACT_TEAM] = 5;
    facts[FACT_ENGINEERS] = 0;
    facts[FACT_PRIVATE_OVER_API] = 100;
    decide(&r, facts, &d);
    assert_int_equal(d.choice, CHOICE_PRIVATE);
    assert_string_equal(r.item[d.decided_by].id, "data-stays");
    assert_true(d.score[CHOICE_API] > 4 && !d.contradicts); /* money says the contrary, and is shown */
    facts[FACT_FITS] = 0;
    decide(&r, facts, &d);
    assert_true(d.contradicts && d.choice == CHOICE_PRIVATE);
    facts[FACT_DATA_CLASS] = DATA_PUBLIC;
    decide(&r, facts, &d);
    assert_true(d.choice == CHOICE_API && d.decided_by < 0);
    decision_rules_free(&r);
}

static void each_rule_of_the_seed_fires_on_its_case(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        enum decision_fact fact[2];
        double fires[2], not_[2];
        int n;
    } row[] = {
        {"data-stays", {FACT_DATA_CLASS}, {DATA_SECRET}, {DATA_INTERNAL}, 1},
        {"many-calls", {FACT_CALLS}, {1e7}, {9.9e6}, 1},
        {"customization", {FACT_CUSTOMIZE}, {1}, {0}, 1},
        {"small-team", {FACT_TEAM, FACT_ENGINEERS}, {19, 0}, {20, 0}, 2},
        {"small-team", {FACT_TEAM, FACT_ENGINEERS}, {19, 0.5}, {19, 1}, 2},
        {"generic-qa", {FACT_GENERIC}, {1}, {0}, 1},
        {"budget", {FACT_CAPEX, FACT_BUDGET}, {2e5, 1e5}, {1e5, 2e5}, 2},
        {"private-cheaper", {FACT_PRIVATE_OVER_API}, {0.5}, {1}, 1},
        {"api-much-cheaper", {FACT_PRIVATE_OVER_API}, {3.5}, {2}, 1},
    };
    struct decision_rules r;
    load(&r);
    for (size_t i = 0; i < N_ELEM(row); i++) {
        const struct decision_rule *rule = &r.item[find(&r, row[i].rule)];
        double facts[N_FACT];
        forget(facts);
        assert_int_equal(decision_rule_state(rule, facts), RULE_UNKNOWN);
        for (int k = 0; k < row[i].n; k++) facts[row[i].fact[k]] = row[i].fires[k];
        if (decision_rule_state(rule, facts) != RULE_FIRED) fail_msg("%s does not fire", row[i].rule);
        for (int k = 0; k < row[i].n; k++) facts[row[i].fact[k]] = row[i].not_[k];
        if (decision_rule_state(rule, facts) != RULE_NOT_FIRED) fail_msg("%s fires", row[i].rule);
        assert_true(decision_rule_uses(rule, row[i].fact[0]) && !decision_rule_uses(rule, FACT_HYBRID));
        assert_true(rule->en[0] && rule->zh[0] && rule->source[0]);
    }
    decision_rules_free(&r);
}

static void conditions_join_by_and_and_or(void **state)
{
    (void)state;
    static const struct {
        const char *when;
        double team, users; /* NAN: not known */
        enum rule_state state;
    } row[] = {{"team < 5 and users < 5", 1, 9, RULE_NOT_FIRED},
               {"team < 5 or users < 5", 9, 1, RULE_FIRED},
               {"team < 5 or users < 5", NAN, 1, RULE_FIRED},
               {"team < 5 and users < 5", NAN, 9, RULE_NOT_FIRED},
               {"team < 5 and users < 5", NAN, 1, RULE_UNKNOWN},
               {"team < 5 or users < 5", NAN, 9, RULE_UNKNOWN},
               {"team >= users", 3, 3, RULE_FIRED},
               {"team != users", 3, 3, RULE_NOT_FIRED},
               {"team = 3", 3, 0, RULE_FIRED},
               {"team > 2.5e0", 3, 0, RULE_FIRED},
               {"users = 1 or users = 2 and team = 3", 4, 1, RULE_FIRED}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        struct decision_rules r;
        struct err e;
        char text[256];
        double facts[N_FACT];
        snprintf(text, sizeof text, "x,no,api,1,%s,text,,me", row[i].when);
        if (read_rules(&r, text, &e)) fail_msg("%s", e.msg);
        forget(facts);
        facts[FACT_TEAM] = row[i].team;
        facts[FACT_USERS] = row[i].users;
        if (decision_rule_state(&r.item[0], facts) != row[i].state) fail_msg("%s", row[i].when);
        assert_string_equal(r.item[0].zh, "text");
        decision_rules_free(&r);
    }
}

static void broken_rules_name_the_line(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x,maybe,api,1,team < 5,t,t,s",        "x,no,both,1,team < 5,t,t,s", "x,no,api,-1,team < 5,t,t,s",
        "x,no,api,1,teams < 5,t,t,s",          "x,no,api,1,team ~ 5,t,t,s",  "x,no,api,1,team < many,t,t,s",
        "x,no,api,1,team < 5 xor users,t,t,s", "x,no,api,1,,t,t,s",          ",no,api,1,team < 5,t,t,s",
        "x,no,api,1,team < 5 and,t,t,s",       "x,no,api,1,5 < team,t,t,s"};
    for (size_t i = 0; i < N_ELEM(bad); i++) {
        struct decision_rules r;
        struct err e = {0};
        if (read_rules(&r, bad[i], &e) != -ERR_INPUT) fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(strstr(e.msg, "\"mine.csv\" line 2"));
        decision_rules_free(&r);
    }
}

static const struct cost_setup setup = {.prompt_tokens = 1000,
                                        .output_tokens = 500,
                                        .use_s_month = 22 * 8 * 3600.0,
                                        .peak = 2,
                                        .cards_per_replica = 2,
                                        .cards_per_host = 8};

static void bands(struct cost_band in[N_COST], double api_input, double api_output)
{
    cost_inputs_init(in);
    in[COST_CALLS] = (struct cost_band){5e6, 1e7, 2e7};
    in[COST_CAPACITY] = (struct cost_band){3, 4, 5};
    in[COST_CARD_PRICE] = (struct cost_band){200000, 221000, 242000};
    in[COST_HOST_PRICE] = (struct cost_band){500000, 700000, 900000};
    in[COST_CARD_POWER] = (struct cost_band){700, 700, 700};
    in[COST_HOST_POWER] = (struct cost_band){1500, 2000, 2500};
    in[COST_API_INPUT] = (struct cost_band){0.8 * api_input, api_input, 1.2 * api_input};
    in[COST_API_OUTPUT] = (struct cost_band){0.8 * api_output, api_output, 1.2 * api_output};
    in[COST_ROUTED] = (struct cost_band){0.2, 0.2, 0.2};
}

static void money_moves_the_choice(void **state)
{
    (void)state;
    struct decision_rules r;
    struct cost_band in[N_COST];
    struct decision d;
    load(&r);
    struct decision_case c = {.rules = &r, .setup = &setup, .in = in, .has_api = true, .seed = 1};
    forget(c.facts);
    bands(in, 0.8, 2); /* a cheap API of open weights: never */
    decision_expected(&c, &d);
    assert_int_equal(d.choice, CHOICE_API);
    assert_true(decision_confidence(&c, d.choice) > 0.99);
    bands(in, 20, 100); /* a frontier model */
    decision_expected(&c, &d);
    assert_int_equal(d.choice, CHOICE_PRIVATE);
    assert_true(decision_confidence(&c, d.choice) > 0.9);
    double close = decision_confidence(&c, CHOICE_API);
    assert_true(close < 0.1);
    bands(in, 3.4, 16); /* in between: not sure */
    decision_expected(&c, &d);
    double sure = decision_confidence(&c, d.choice);
    assert_true(sure > 0.2 && sure < 0.98);
    assert_true(sure == decision_confidence(&c, d.choice));
    c.has_api = false; /* nothing to compare with: rules alone */
    decision_expected(&c, &d);
    assert_int_equal(d.state[find(&r, "private-cheaper")], RULE_UNKNOWN);
    decision_rules_free(&r);
}

static void changers_are_the_rules_that_tip_it(void **state)
{
    (void)state;
    struct decision_rules r;
    struct cost_band in[N_COST];
    struct decision d;
    int changer[MAX_DECISION_RULES];
    load(&r);
    struct decision_case c = {.rules = &r, .setup = &setup, .in = in, .has_api = true, .seed = 1};
    forget(c.facts);
    bands(in, 0.8, 2);
    decision_expected(&c, &d);
    int n = decision_changers(&c, &d, changer);
    assert_true(n >= 1);
    bool found = false;
    for (int i = 0; i < n; i++) found = found || changer[i] == (int)find(&r, "data-stays");
    assert_true(found); /* it would decide by itself */
    c.facts[FACT_DATA_CLASS] = DATA_SECRET;
    decision_expected(&c, &d);
    assert_true(decision_confidence(&c, CHOICE_PRIVATE) == 1);
    assert_int_equal(decision_changers(&c, &d, changer), 1);
    assert_int_equal(changer[0], find(&r, "data-stays"));
    decision_rules_free(&r);
}

static void tiers_are_those_of_the_seed(void **state)
{
    (void)state;
    assert_int_equal(tier_of(5, 0), TIER_TEAM);
    assert_int_equal(tier_of(6, 0), TIER_COMPANY);
    assert_int_equal(tier_of(100, 400), TIER_COMPANY);
    assert_int_equal(tier_of(101, 1), TIER_PRODUCTION);
    assert_int_equal(tier_of(0, 1), TIER_TEAM);
    assert_int_equal(tier_of(0, 20), TIER_COMPANY);
    assert_int_equal(tier_of(0, 21), TIER_PRODUCTION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_that_may_not_leave_decides), cmocka_unit_test(each_rule_of_the_seed_fires_on_its_case),
        cmocka_unit_test(conditions_join_by_and_and_or),   cmocka_unit_test(broken_rules_name_the_line),
        cmocka_unit_test(money_moves_the_choice),          cmocka_unit_test(changers_are_the_rules_that_tip_it),
        cmocka_unit_test(tiers_are_those_of_the_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
