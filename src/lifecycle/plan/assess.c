/* The assessment: what is asked and what is known put together. Owns nothing. What always holds: the verdict's costs
 * are those of its own inputs. */
#include "lifecycle/plan/assess.h"

#include <math.h>

#include "lifecycle/plan/assess_defaults.h"

void plan_case_init(struct plan_case *c)
{
    *c = (struct plan_case){
        .goal = {.prompt_tokens = 512,
                 .output_tokens = 128,
                 .ttft_s = 2,
                 .tpot_s = 0.1,
                 .max_load = 0.9,
                 .spare = 1,
                 .cv = 1},
        .demand =
            {.active_share = 0.05, .calls_person_day = 30, .think_s = 30, .days_month = 22, .hours_day = 8, .peak = 2},
        .seed = 1};
    cost_inputs_init(c->in);
    for (int i = 0; i < N_FACT; i++) c->facts[i] = (double)NAN;
}

/* --- what it carries --- */

/* Calls a second of a replica; where the targets are not met, those of one conversation after the other, so that its
 * cost can still be said. */
static double capacity_of(const struct plan_case *c, const struct offer *o)
{
    if (o->capacity_s > 0) return o->capacity_s;
    return 1 / offer_answer_s(c->system, &c->goal, fmax(o->room, 1), 1);
}

static int carry(const struct plan_case *c, struct plan_verdict *v, struct err *e)
{
    struct demand d = c->demand;
    d.prompt_tokens = c->goal.prompt_tokens;
    d.output_tokens = c->goal.output_tokens;
    offer_of(c->system, &c->goal, &v->offer);
    double n = fmax(1, v->offer.running);
    return demand_resolve(&d, offer_answer_s(c->system, &c->goal, fmax(v->offer.room, 1), n), &v->demand, e);
}

/* --- inputs --- */

static void fill_calls(const struct plan_case *c, struct plan_verdict *v)
{
    double calls = v->demand.calls_month;
    bool given = v->demand.calls_basis == DEMAND_GIVEN;
    if (c->set[COST_CALLS]) return;
    v->in[COST_CALLS] = (struct cost_band){(given ? 0.7 : 0.5) * calls, calls, (given ? 1.5 : 2) * calls};
}

static void fill_capacity(const struct plan_case *c, struct plan_verdict *v)
{
    struct plan_band b = plan_band_of(c->system, PLAN_THROUGHPUT_BAND);
    double calls_s = capacity_of(c, &v->offer);
    if (!c->set[COST_CAPACITY]) v->in[COST_CAPACITY] = (struct cost_band){calls_s * b.low, calls_s, calls_s * b.high};
}

static int fill_inputs(const struct plan_case *c, struct plan_verdict *v, struct err *e)
{
    const struct plan_hardware *h = c->system->hardware;
    int cards = c->system->layout.tp * c->system->layout.pp;
    v->setup = (struct cost_setup){.prompt_tokens = c->goal.prompt_tokens,
                                   .output_tokens = c->goal.output_tokens,
                                   .use_s_month = demand_seconds_month(&c->demand),
                                   .peak = c->demand.peak,
                                   .cards_per_replica = cards < 1 ? 1 : cards,
                                   .fixed_replicas = c->replicas,
                                   .rented = c->rented};
    for (int i = 0; i < N_COST; i++) v->in[i] = c->in[i];
    fill_calls(c, v);
    fill_capacity(c, v);
    assess_host(h, v->setup.cards_per_replica, &v->setup, v->in, c->set);
    v->priced = assess_cards(h, c->rented, v->in, c->set);
    assess_compliance(c->compliance, c->facts[FACT_DATA_CLASS], v->in, c->set);
    int rc = assess_pick_api(c, &v->setup, &v->api, &v->same_class, e);
    if (rc) return rc;
    if (v->api) assess_api(v->api, &v->setup, v->in, c->set);
    if (v->same_class && !c->set[COST_GAP_DAYS]) v->in[COST_GAP_DAYS] = (struct cost_band){0, 0, 0};
    if (v->same_class && !c->set[COST_GAP_UPKEEP]) v->in[COST_GAP_UPKEEP] = (struct cost_band){0, 0, 0};
    return 0;
}

/* --- costs and decision --- */

static void compute_costs(struct plan_verdict *v)
{
    double x[N_COST];
    cost_expected(v->in, x);
    cost_private(&v->setup, x, &v->cost);
    if (!v->api) return;
    v->api_call = cost_api_call(&v->setup, x);
    v->api_monthly = cost_api_monthly(&v->setup, x, x[COST_CALLS]);
    v->hybrid_monthly = cost_hybrid_monthly(&v->setup, x, &v->front);
    cost_break_even(&v->setup, x, &v->break_even);
}

static void know(double facts[N_FACT], enum decision_fact f, double value)
{
    if (isnan(facts[f])) facts[f] = value;
}

static void make_decision(const struct plan_case *c, struct plan_verdict *v)
{
    struct decision_case d = {
        .rules = c->rules, .setup = &v->setup, .in = v->in, .has_api = v->api && v->priced, .seed = c->seed};
    double x[N_COST];
    for (int i = 0; i < N_FACT; i++) d.facts[i] = c->facts[i];
    know(d.facts, FACT_USERS, v->demand.users);
    know(d.facts, FACT_FITS, v->fits);
    know(d.facts, FACT_GAP, v->api && !v->same_class);
    if (c->demand.team > 0) know(d.facts, FACT_TEAM, c->demand.team);
    decision_expected(&d, &v->decision);
    v->confidence = decision_confidence(&d, v->decision.choice);
    for (int i = 0; i < N_FACT; i++) v->facts[i] = d.facts[i];
    cost_expected(v->in, x);
    decision_money(&d, x, v->facts);
}

int plan_assess(const struct plan_case *c, struct plan_verdict *out, struct err *e)
{
    *out = (struct plan_verdict){.confidence = 0};
    int rc = carry(c, out, e);
    if (rc == 0) rc = fill_inputs(c, out, e);
    if (rc) return rc;
    compute_costs(out);
    double per_replica = out->demand.peak_s / out->cost.replicas;
    out->fits = out->offer.running >= 1 && per_replica <= out->in[COST_CAPACITY].mid * (1 + 1e-6);
    if (out->offer.room >= 1) rc = offer_wait(c->system, &c->goal, &out->offer, per_replica, &out->wait, e);
    if (rc == 0) make_decision(c, out);
    return rc;
}

void plan_price_cost(const struct plan_verdict *v, const struct plan_price *p, double *monthly, double *per_call,
                     struct cost_break_even *b)
{
    static const bool nothing_set[N_COST];
    struct cost_setup s = v->setup;
    struct cost_band in[N_COST];
    double x[N_COST];
    for (int i = 0; i < N_COST; i++) in[i] = v->in[i];
    assess_api(p, &s, in, nothing_set);
    cost_expected(in, x);
    *per_call = cost_api_call(&s, x);
    *monthly = cost_api_monthly(&s, x, x[COST_CALLS]);
    cost_break_even(&s, x, b);
}
