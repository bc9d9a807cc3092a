/* The decision. Owns nothing. What always holds: the same case gives the same choice and the same confidence. */
#include "lifecycle/plan/decision.h"

#include <math.h>

#include "ground/base/rng.h"

static void choose(const struct decision_rules *r, struct decision *d)
{
    d->choice = CHOICE_API; /* without reasons nothing is bought */
    for (int i = 0; i < N_CHOICE; i++)
        if (d->score[i] > d->score[d->choice]) d->choice = (enum choice)i;
    if (d->decided_by >= 0) d->choice = r->item[d->decided_by].favours;
}

static void add_up(const struct decision_rules *r, struct decision *d)
{
    d->decided_by = -1;
    for (int i = 0; i < N_CHOICE; i++) d->score[i] = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (d->state[i] != RULE_FIRED) continue;
        d->score[r->item[i].favours] += r->item[i].weight;
        if (r->item[i].decides && d->decided_by < 0) d->decided_by = (int)i;
    }
    choose(r, d);
}

void decide(const struct decision_rules *r, const double facts[N_FACT], struct decision *out)
{
    *out = (struct decision){0};
    for (size_t i = 0; i < r->n; i++) out->state[i] = decision_rule_state(&r->item[i], facts);
    add_up(r, out);
    out->contradicts = out->decided_by >= 0 && out->choice != CHOICE_API && facts[FACT_FITS] < 0.5;
}

void decision_money(const struct decision_case *c, const double v[N_COST], double facts[N_FACT])
{
    struct cost_private p, front;
    struct cost_break_even b;
    cost_private(c->setup, v, &p);
    facts[FACT_CALLS] = v[COST_CALLS];
    facts[FACT_PRIVATE] = p.monthly;
    facts[FACT_CAPEX] = p.capex;
    facts[FACT_CAPACITY] = p.capacity_calls_month;
    facts[FACT_STAFF] = p.part[COST_PART_STAFF] * 12 / v[COST_SALARY];
    if (!c->has_api) return;
    double api = cost_api_monthly(c->setup, v, v[COST_CALLS]), hybrid = cost_hybrid_monthly(c->setup, v, &front);
    cost_break_even(c->setup, v, &b);
    facts[FACT_API] = api;
    facts[FACT_HYBRID] = hybrid;
    facts[FACT_PRIVATE_OVER_API] = p.monthly / api;
    facts[FACT_HYBRID_OVER_API] = hybrid / api;
    facts[FACT_HYBRID_OVER_BEST] = hybrid / fmin(p.monthly, api);
    facts[FACT_BREAK_EVEN] = b.calls_month;
}

static void decide_with(const struct decision_case *c, const double v[N_COST], struct decision *out)
{
    double facts[N_FACT];
    for (int i = 0; i < N_FACT; i++) facts[i] = c->facts[i];
    decision_money(c, v, facts);
    decide(c->rules, facts, out);
}

void decision_expected(const struct decision_case *c, struct decision *out)
{
    double v[N_COST];
    cost_expected(c->in, v);
    decide_with(c, v, out);
}

/* Triangular between low and high with its top at the expected value. */
static double draw(const struct cost_band *b, double u)
{
    if (!(b->low < b->high)) return b->mid;
    double left = (b->mid - b->low) / (b->high - b->low);
    if (u < left) return b->low + sqrt(u * (b->high - b->low) * (b->mid - b->low));
    return b->high - sqrt((1 - u) * (b->high - b->low) * (b->high - b->mid));
}

double decision_confidence(const struct decision_case *c, enum choice choice)
{
    int same = 0;
    for (uint64_t k = 0; k < DECISION_DRAWS; k++) {
        double v[N_COST];
        struct decision d;
        for (int i = 0; i < N_COST; i++) v[i] = draw(&c->in[i], rng_unit(c->seed, k, (uint64_t)i));
        decide_with(c, v, &d);
        if (d.decided_by >= 0) return d.choice == choice;
        same += d.choice == choice;
    }
    return (double)same / DECISION_DRAWS;
}

int decision_changers(const struct decision_case *c, const struct decision *d, int out[MAX_DECISION_RULES])
{
    int n = 0;
    for (size_t i = 0; i < c->rules->n; i++) {
        struct decision other = *d;
        other.state[i] = d->state[i] == RULE_FIRED ? RULE_NOT_FIRED : RULE_FIRED;
        add_up(c->rules, &other);
        if (other.choice != d->choice) out[n++] = (int)i;
    }
    return n;
}

const struct tier_info tier_info[N_TIER] = {
    {"team",
     "1 to 5 people, an internal tool",
     "1-5 人团队内部工具",
     5,
     {"RTX4090", "A6000"},
     {2, 1},
     "2 x RTX 4090 or 1 x A6000 (48 GB)",
     "2 张 RTX 4090 或 1 张 A6000（48 GB）"},
    {"company",
     "a company of up to 100 people",
     "100 人以内企业",
     100,
     {"A100-80", NULL},
     {1, 0},
     "1 x A100 80 GB; someone who looks after it",
     "1 张 A100 80G；需要运维人员"},
    {"production",
     "production for many users",
     "大规模生产部署",
     0,
     {NULL, NULL},
     {0, 0},
     "a cluster with load balancing and monitoring; often dearer than an API",
     "GPU 集群、负载均衡与监控报警；费用往往超过 API"},
};

enum tier tier_of(double team, double users)
{
    double people = team > 0 ? team : users * 5; /* of five people at most one is in conversation at a time */
    if (people <= tier_info[TIER_TEAM].max_people) return TIER_TEAM;
    return people <= tier_info[TIER_COMPANY].max_people ? TIER_COMPANY : TIER_PRODUCTION;
}
