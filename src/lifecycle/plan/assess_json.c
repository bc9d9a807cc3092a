/* An assessment as JSON: numbers unrounded, units in the names. Owns nothing. Texts are English; where Chinese ones
 * exist beside them they are given as well. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/assess.h"

/* NULL (out of memory) stays NULL. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (object && json_object_set_new(object, key, value) == 0) return object;
    json_decref(object);
    return NULL;
}

/* --- demand and capacity --- */

static const char *const basis_name[] = {"given", "team", "users", "calls", "assumed"};

static json_t *demand_json(const struct plan_case *c, const struct plan_verdict *v)
{
    const struct demand *d = &c->demand;
    return json_pack("{s:f,s:s,s:f,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "users", v->demand.users, "users_from",
                     basis_name[v->demand.users_basis], "calls_month", v->demand.calls_month, "calls_from",
                     basis_name[v->demand.calls_basis], "calls_s_mean", v->demand.mean_s, "calls_s_peak",
                     v->demand.peak_s, "days_month", d->days_month, "hours_day", d->hours_day, "peak", d->peak,
                     "active_share", d->active_share, "calls_person_day", d->calls_person_day, "think_s", d->think_s);
}

static json_t *waiting_json(const struct plan_verdict *v)
{
    const struct queue_result *w = &v->wait;
    if (v->offer.room < 1) return json_null();
    return json_pack("{s:b,s:f,s:o,s:o,s:o,s:o,s:f}", "stable", w->stable, "utilization", w->utilization, "p_wait",
                     json_finite(w->p_wait), "mean_wait_ms", json_finite(1e3 * w->mean_wait_s), "p95_wait_ms",
                     json_finite(1e3 * queue_wait_percentile(w, 0.95)), "running", json_finite(w->running), "little_n",
                     w->little_n);
}

static json_t *capacity_json(const struct plan_case *c, const struct plan_verdict *v)
{
    const struct offer *o = &v->offer;
    return json_pack("{s:f,s:f,s:f,s:s,s:f,s:f,s:f,s:f,s:o}", "replica_calls_s", o->capacity_s, "replica_users",
                     o->running, "replica_room", o->room, "limit", offer_limit_name[o->limit], "ttft_limit_ms",
                     1e3 * c->goal.ttft_s, "tpot_limit_ms", 1e3 * c->goal.tpot_s, "ttft_ms", 1e3 * o->at.ttft_s,
                     "tpot_ms", 1e3 * o->at.tpot_s, "waiting", waiting_json(v));
}

/* --- cost --- */

static json_t *parts_json(const struct cost_private *p)
{
    json_t *o = json_object();
    for (int i = 0; i < N_COST_PART; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s_cny", cost_part_key[i]);
        o = with(o, key, json_real(p->part[i]));
    }
    return o;
}

static json_t *inputs_json(const struct plan_case *c, const struct plan_verdict *v)
{
    json_t *o = json_object();
    for (int i = 0; i < N_COST; i++)
        o = with(o, cost_input_info[i].key,
                 json_pack("{s:f,s:f,s:f,s:s,s:s}", "low", v->in[i].low, "expected", v->in[i].mid, "high",
                           v->in[i].high, "unit", cost_input_info[i].unit, "source",
                           c->set[i] ? "given" : cost_input_info[i].source));
    return o;
}

static json_t *sensitivity_json(const struct plan_verdict *v)
{
    struct cost_swing swing[N_COST];
    json_t *list = json_array();
    int n = cost_tornado(&v->setup, v->in, swing);
    for (int i = 0; i < n; i++)
        (void)json_array_append_new(list, json_pack("{s:s,s:f,s:f,s:b}", "input", cost_input_info[swing[i].input].key,
                                                    "difference_at_low_cny", swing[i].at_low, "difference_at_high_cny",
                                                    swing[i].at_high, "flips", swing[i].flips));
    return list;
}

json_t *plan_cost_json(const struct plan_case *c, const struct plan_verdict *v)
{
    const struct cost_private *p = &v->cost;
    double rate = v->in[COST_CNY_USD].mid;
    if (!v->priced) return json_null();
    json_t *o =
        json_pack("{s:f,s:f,s:o,s:f,s:f,s:f,s:o,s:o}", "capex_cny", p->capex, "monthly_cny", p->monthly, "parts",
                  parts_json(p), "hardware_cny", p->hardware_capex, "tco_36_months_cny", p->tco, "marginal_call_cny",
                  p->marginal_call, "per_call_cny", json_finite(p->per_call), "per_mtok_cny", json_finite(p->per_mtok));
    json_t *more =
        json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:b,s:{s:f,s:s},s:o,s:o}", "monthly_usd", p->monthly / rate, "replicas",
                  p->replicas, "cards", p->cards, "servers", p->hosts, "calls_month", v->in[COST_CALLS].mid,
                  "capacity_calls_month", p->capacity_calls_month, "utilization", p->utilization, "rented", c->rented,
                  "rate", "cny_usd", rate, "date", c->set[COST_CNY_USD] ? "given" : COST_RATE_DATE, "inputs",
                  inputs_json(c, v), "sensitivity", v->api ? sensitivity_json(v) : json_array());
    if (o && more && json_object_update(o, more) == 0) {
        json_decref(more);
        return o;
    }
    json_decref(more);
    json_decref(o);
    return NULL;
}

/* --- API --- */

static json_t *price_json(const struct plan_verdict *v, const struct plan_price *p)
{
    double monthly, call;
    struct cost_break_even b;
    plan_price_cost(v, p, &monthly, &call, &b);
    if (!v->priced) b = (struct cost_break_even){.calls_month = HUGE_VAL};
    return json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:o,s:s,s:o,s:b}", "provider", p->provider, "model", p->model,
                     "open_weights", p->open_weights, "price_date", p->date, "monthly_cny", monthly, "per_call_cny",
                     call, "break_even_calls_month", json_finite(b.calls_month), "break_even",
                     b.within_capacity ? "within capacity" : "never", "grown_break_even_calls_month",
                     b.grown_calls > 0 ? json_real(b.grown_calls) : json_null(), "compared", p == v->api);
}

json_t *plan_api_json(const struct plan_case *c, const struct plan_verdict *v)
{
    json_t *list = json_array();
    if (v->api) (void)json_array_append_new(list, price_json(v, v->api));
    for (size_t i = 0; i < c->catalogue->n_price; i++) {
        const struct plan_price *p = &c->catalogue->price[i];
        if (p == v->api || catalogue_price(c->catalogue, p->provider, p->model) != p) continue;
        (void)json_array_append_new(list, price_json(v, p));
    }
    return list;
}

/* --- decision --- */

static const char *const state_name[] = {"not fired", "fired", "unknown"};

/* The facts that a rule looks at, by name. */
static json_t *rule_inputs(const struct plan_verdict *v, const struct decision_rule *r)
{
    json_t *o = json_object();
    for (int f = 0; f < N_FACT; f++)
        if (decision_rule_uses(r, (enum decision_fact)f)) o = with(o, decision_fact_name[f], json_finite(v->facts[f]));
    return o;
}

static json_t *rules_json(const struct plan_case *c, const struct plan_verdict *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->rules->n; i++) {
        const struct decision_rule *r = &c->rules->item[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s,s:s,s:s,s:f,s:b,s:s,s:o,s:s,s:s,s:s}", "rule", r->id, "state",
                                              state_name[v->decision.state[i]], "favours", choice_name[r->favours],
                                              "weight", r->weight, "decides", r->decides, "when", r->when, "inputs",
                                              rule_inputs(v, r), "text", r->en, "text_zh", r->zh, "source", r->source));
    }
    return list;
}

static json_t *reasons_json(const struct plan_case *c, const struct plan_verdict *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->rules->n; i++)
        if (v->decision.state[i] == RULE_FIRED) (void)json_array_append_new(list, json_string(c->rules->item[i].en));
    if (json_array_size(list) == 0)
        (void)json_array_append_new(list, json_string("No rule speaks for an installation of your own"));
    return list;
}

static json_t *changes_json(const struct plan_case *c, const struct plan_verdict *v)
{
    struct decision_case d = {.rules = c->rules, .setup = &v->setup, .in = v->in, .has_api = v->api && v->priced};
    struct cost_swing swing[N_COST];
    int changer[MAX_DECISION_RULES], n = decision_changers(&d, &v->decision, changer);
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        const struct decision_rule *r = &c->rules->item[changer[i]];
        (void)json_array_append_new(list, json_pack("{s:s,s:s,s:b}", "rule", r->id, "when", r->when, "now_fired",
                                                    v->decision.state[changer[i]] == RULE_FIRED));
    }
    n = v->api && v->priced ? cost_tornado(&v->setup, v->in, swing) : 0;
    for (int i = 0; i < n; i++)
        if (swing[i].flips)
            (void)json_array_append_new(list,
                                        json_pack("{s:s,s:f,s:f}", "input", cost_input_info[swing[i].input].key, "low",
                                                  v->in[swing[i].input].low, "high", v->in[swing[i].input].high));
    return list;
}

static json_t *hybrid_json(const struct plan_verdict *v)
{
    if (!v->api || !v->priced) return json_null();
    double routed = v->in[COST_ROUTED].mid;
    return json_pack("{s:f,s:f,s:f,s:f,s:s,s:s}", "routed_share", routed, "monthly_cny", v->hybrid_monthly,
                     "private_monthly_cny", v->front.monthly, "api_monthly_cny", v->hybrid_monthly - v->front.monthly,
                     "api_provider", v->api->provider, "api_model", v->api->model);
}

static json_t *tier_json(const struct plan_case *c, const struct plan_verdict *v)
{
    const struct tier_info *t = &tier_info[tier_of(c->demand.team, v->demand.users)];
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "tier", t->key, "text", t->en, "text_zh", t->zh, "hardware",
                     t->hardware_en, "hardware_zh", t->hardware_zh);
}

json_t *plan_decision_json(const struct plan_case *c, const struct plan_verdict *v)
{
    const struct decision *d = &v->decision;
    json_t *o = json_pack("{s:s,s:o,s:f,s:{s:f,s:f,s:f},s:o,s:b}", "choice", choice_name[d->choice], "reasons",
                          reasons_json(c, v), "confidence", v->confidence, "points", choice_name[0], d->score[0],
                          choice_name[1], d->score[1], choice_name[2], d->score[2], "decided_by_rule",
                          d->decided_by < 0 ? json_null() : json_string(c->rules->item[d->decided_by].id),
                          "contradicts", d->contradicts);
    json_t *money = v->api && v->priced
                        ? json_pack("{s:f,s:f,s:f,s:s}", "private_monthly_cny", v->cost.monthly, "api_monthly_cny",
                                    v->api_monthly, "hybrid_monthly_cny", v->hybrid_monthly, "cheapest",
                                    v->hybrid_monthly < fmin(v->cost.monthly, v->api_monthly) ? "hybrid"
                                    : v->cost.monthly < v->api_monthly                        ? "private"
                                                                                              : "api")
                        : json_null();
    o = with(o, "money", money);
    o = with(o, "rules", rules_json(c, v));
    o = with(o, "would_change", changes_json(c, v));
    o = with(o, "hybrid", hybrid_json(v));
    return with(o, "tier", tier_json(c, v));
}

json_t *plan_verdict_json(const struct plan_case *c, const struct plan_verdict *v)
{
    json_t *o = with(json_object(), "demand", demand_json(c, v));
    o = with(o, "capacity", capacity_json(c, v));
    o = with(o, "carries_demand", json_boolean(v->fits));
    o = with(o, "cost", plan_cost_json(c, v));
    o = with(o, "api", plan_api_json(c, v));
    return with(o, "decision", plan_decision_json(c, v));
}
