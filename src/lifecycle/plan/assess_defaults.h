/* What a case leaves open: prices and power from the catalogue, servers by kind of hardware, compliance by data class,
 * the API to compare with. */
#ifndef PLAN_ASSESS_DEFAULTS_H
#define PLAN_ASSESS_DEFAULTS_H

#include "lifecycle/plan/assess.h"

/* Server that the cards of a replica go into; cards NULL: this machine. */
void assess_host(const struct plan_hardware *h, int cards_per_replica, struct cost_setup *setup,
                 struct cost_band in[N_COST], const bool set[N_COST]);
/* Card price, power, rent; false when what is needed (purchase or rent) is in no source. */
bool assess_cards(const struct plan_hardware *h, bool rented, struct cost_band in[N_COST], const bool set[N_COST]);
void assess_compliance(enum compliance level, double data_class, struct cost_band in[N_COST], const bool set[N_COST]);
/* The API's prices as inputs. */
void assess_api(const struct plan_price *p, struct cost_setup *setup, struct cost_band in[N_COST],
                const bool set[N_COST]);
/* By name ("model", "provider/model"), -ERR_NOT_FOUND; NULL: the cheapest one that serves this model, else the cheapest
 * whose model is at least of its size, else the cheapest of closed models. *out NULL: no prices at all. */
int assess_pick_api(const struct plan_case *c, const struct cost_setup *s, const struct plan_price **out,
                    bool *same_class, struct err *e) MUST_CHECK;

#endif
