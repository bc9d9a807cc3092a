/* From people to calls to requests a second: what a company knows of its use, with every assumption an input.
 *
 * A month of calls is spread over days x hours; the busiest hour has `peak` times the mean. People at work ask
 * `calls_person_day` times a day; `active_share` of them are in a conversation at the peak. */
#ifndef PLAN_DEMAND_H
#define PLAN_DEMAND_H

#include "ground/base/err.h"

struct demand {
    /* what is known; 0: not given */
    double team;        /* people who may use it */
    double users;       /* conversations at a time, at the peak */
    double calls_month; /* calls a month */
    /* assumptions */
    double active_share;     /* of the team in conversation at the peak */
    double calls_person_day; /* calls of a person on a working day */
    double think_s;          /* between an answer and the next question of a conversation */
    double days_month, hours_day;
    double peak; /* busiest hour over the mean of the hours of use */
    double prompt_tokens, output_tokens;
};

enum demand_basis { DEMAND_GIVEN, DEMAND_BY_TEAM, DEMAND_BY_USERS, DEMAND_BY_CALLS, DEMAND_ASSUMED };

struct demand_result {
    double users, calls_month;
    double mean_s, peak_s; /* requests a second in the hours of use, in the busiest hour */
    enum demand_basis users_basis, calls_basis;
};
/* answer_s: seconds of one answer (TTFT + output x TPOT) under this load. Nothing known: one conversation.
 * -ERR_USAGE names a number out of range and what would be right. */
int demand_resolve(const struct demand *d, double answer_s, struct demand_result *out, struct err *e) MUST_CHECK;
/* The hours of use of a month, in seconds. */
double demand_seconds_month(const struct demand *d);

#endif
