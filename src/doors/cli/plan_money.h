/* Cost, API and decision of a plan: computed, and shown or put into the JSON. */
#ifndef CLI_PLAN_MONEY_H
#define CLI_PLAN_MONEY_H

#include "doors/cli/plan_case.h"

/* For one system; replicas 0: as many as the calls need. into: the members demand, capacity, carries_demand, cost, api
 * and decision go there; NULL: printed. */
int plan_money_show(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                    const struct plan_system *system, int replicas, json_t *into, struct err *e) MUST_CHECK;

/* What this system would cost a month, as many replicas as the calls need; INFINITY where it does not carry them. */
int plan_money_monthly(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       const struct plan_system *system, double *monthly_cny, struct err *e) MUST_CHECK;

/* "195,300", in the currency of people (CNY, or USD by the rate); size >= 32. */
struct plan_currency {
    const char *name;
    double per_cny;
};
struct plan_currency plan_currency_of(const struct param_set *args, const struct plan_verdict *v);
void plan_money_text(double cny, const struct plan_currency *cur, char *out, size_t size);
/* Names of a choice and of what limits an offer, in the language of this run. */
const char *plan_choice_text(const struct cli *c, enum choice choice);
const char *plan_limit_text(const struct cli *c, enum offer_limit limit);

#endif
