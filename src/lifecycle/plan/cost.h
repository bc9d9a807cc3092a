/* What an installation costs, beside an API for the same calls. Pure arithmetic on a vector of inputs (cost_inputs.h),
 * so that sensitivity and confidence are the same function on other vectors.
 *
 * Private: purchase / life, or rent; power at its utilization; maintenance; engineers' time; compliance; closing the
 * gap in quality. API: tokens by price, cached ones by theirs. Money in CNY. */
#ifndef PLAN_COST_H
#define PLAN_COST_H

#include <stdbool.h>

#include "ground/base/err.h"
#include "lifecycle/plan/cost_inputs.h"

enum { COST_TCO_MONTHS = 36 };

/* What is the same in every variation of the inputs. */
struct cost_setup {
    double prompt_tokens, output_tokens;
    double use_s_month;    /* seconds of use a month (days x hours) */
    double peak;           /* busiest hour over the mean */
    int cards_per_replica; /* >= 1 */
    int cards_per_host;    /* >= 1 */
    int fixed_replicas;    /* 0: as many as the calls need */
    double api_rate;       /* CNY for one USD that the API's prices were converted at; 0: they are in CNY */
    bool rented;           /* cards in a cloud instead of bought */
    bool host_by_part;     /* a server may be bought half filled: its price counts by halves */
};

enum cost_part {
    COST_PART_DEPRECIATION,
    COST_PART_RENT,
    COST_PART_POWER,
    COST_PART_MAINTENANCE,
    COST_PART_STAFF,
    COST_PART_COMPLIANCE,
    COST_PART_QUALITY,
    N_COST_PART
};
extern const char *const cost_part_key[N_COST_PART]; /* "depreciation", ... */

struct cost_private {
    double replicas, cards, hosts;
    double capex, hardware_capex; /* purchase with the one-off work on quality; the machines alone */
    double part[N_COST_PART];     /* a month */
    double monthly;               /* sum of the parts */
    double fixed_monthly;         /* without what a call adds */
    double marginal_call;         /* power that one more call takes */
    double capacity_calls_month;  /* of these replicas, at this daily profile */
    double utilization;           /* calls over what these replicas could answer in the powered hours */
    double tco;                   /* COST_TCO_MONTHS months: purchase in full, nothing left of it */
    double per_call, per_mtok;
};
/* v: values of the inputs. Wants capacity > 0. A hybrid's replicas are computed with the calls that stay. */
void cost_private(const struct cost_setup *s, const double v[N_COST], struct cost_private *out);

/* A month of the API for `calls`, with the engineers' time that it takes. */
double cost_api_monthly(const struct cost_setup *s, const double v[N_COST], double calls);
double cost_api_call(const struct cost_setup *s, const double v[N_COST]);
/* Small model in front, the routed share to the API; the work on quality is not needed for what is routed. */
double cost_hybrid_monthly(const struct cost_setup *s, const double v[N_COST], struct cost_private *front);

struct cost_break_even {
    double calls_month;   /* fixed cost / (API call - marginal call); INFINITY when a call costs no less */
    bool within_capacity; /* false: "never" with this installation */
    double grown_calls;   /* the smallest volume at which an installation grown with it is cheaper; 0: none */
};
/* With the inputs of v; replicas as setup says. */
void cost_break_even(const struct cost_setup *s, const double v[N_COST], struct cost_break_even *out);

/* One row of a tornado: the difference private - API when this input is low or high and the others are as expected. */
struct cost_swing {
    enum cost_input input;
    double at_low, at_high;
    bool flips; /* the cheaper of the two is another at one end */
};
/* Largest swing first; returns how many of the inputs have a band. */
int cost_tornado(const struct cost_setup *s, const struct cost_band in[N_COST], struct cost_swing out[N_COST]);

/* The expected values. */
void cost_expected(const struct cost_band in[N_COST], double v[N_COST]);

#endif
