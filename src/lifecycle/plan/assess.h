/* One installation for one demand, as a whole: what it carries, what it costs, what an API would cost, and the
 * decision.
 *
 * A case says what is asked; what it leaves open is taken from the catalogue and from the general values of
 * cost_inputs.h, and the result says which. */
#ifndef PLAN_ASSESS_H
#define PLAN_ASSESS_H

#include <jansson.h>

#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/cost.h"
#include "lifecycle/plan/decision.h"
#include "lifecycle/plan/demand.h"
#include "lifecycle/plan/offer.h"

enum compliance { COMPLIANCE_BY_DATA, COMPLIANCE_NONE, COMPLIANCE_MLPS2, COMPLIANCE_MLPS3 };

struct plan_case {
    const struct catalogue *catalogue;
    const struct decision_rules *rules;
    const struct plan_system *system; /* one replica; hardware NULL: this machine, which is there already */
    int replicas;                     /* 0: as many as the calls need */
    struct plan_goal goal;
    struct demand demand; /* prompt and output tokens are those of target */
    struct cost_band in[N_COST];
    bool set[N_COST]; /* given by the user: stays as it is */
    enum compliance compliance;
    bool rented;
    const char *api;      /* "model" or "provider/model" to compare with; NULL: picked by size */
    double facts[N_FACT]; /* data class, engineers, budget, customize, generic ...; NAN: not known */
    uint64_t seed;        /* of the draws for confidence */
};
/* Everything open: general inputs, facts not known, targets of a conversation (2 s, 100 ms). */
void plan_case_init(struct plan_case *c);

struct plan_verdict {
    struct offer offer;
    struct demand_result demand;
    struct queue_result wait; /* of one replica at the peak */
    struct cost_setup setup;
    struct cost_band in[N_COST]; /* all filled in */
    struct cost_private cost;
    bool priced;                  /* the purchase (or rent) is known */
    bool fits;                    /* memory, targets and, with fixed replicas, the peak */
    const struct plan_price *api; /* compared with; NULL: no price */
    bool same_class;              /* the API's model is known to be of this model's size or above */
    double api_monthly, api_call, hybrid_monthly;
    struct cost_private front; /* of the hybrid */
    struct cost_break_even break_even;
    struct decision decision;
    double confidence;
    double facts[N_FACT];
};
/* -ERR_USAGE, -ERR_NOT_FOUND (an API of that name) with what would be right. */
int plan_assess(const struct plan_case *c, struct plan_verdict *out, struct err *e) MUST_CHECK;

/* Size that stands for quality where nothing was evaluated: parameters in 1e9, with experts the geometric mean of all
 * and active ones (a rule of thumb). */
double plan_quality_size(const struct plan_model *m);
/* The cost of one catalogue price for the verdict's calls. */
void plan_price_cost(const struct plan_verdict *v, const struct plan_price *p, double *monthly, double *per_call,
                     struct cost_break_even *b);

/* Members demand, capacity, cost, api, decision; new reference. */
json_t *plan_verdict_json(const struct plan_case *c, const struct plan_verdict *v);
/* The three, for callers that show parts. */
json_t *plan_cost_json(const struct plan_case *c, const struct plan_verdict *v);
json_t *plan_api_json(const struct plan_case *c, const struct plan_verdict *v);
json_t *plan_decision_json(const struct plan_case *c, const struct plan_verdict *v);

#endif
