/* Requests to simulate: from a recorded trace, or drawn at random. */
#ifndef PLAN_ARRIVALS_H
#define PLAN_ARRIVALS_H

#include <stddef.h>

#include "ground/base/err.h"
#include "lifecycle/plan/simulate.h"

enum arrival_kind { ARRIVAL_POISSON, ARRIVAL_UNIFORM, ARRIVAL_BURSTS, ARRIVAL_CLOSED };

struct arrivals {
    enum arrival_kind kind;
    double rate_s; /* requests a second, mean; closed: not used */
    double cv;     /* bursts: spread of the times between requests (gamma), standard deviation / mean */
    int users;     /* closed: users who ask in turn */
    size_t n;
    double prompt_tokens, output_tokens; /* means */
    double length_cv;                    /* spread of both (log-normal); 0: all alike */
    uint64_t seed;
};
/* "poisson:RATE", "uniform:RATE", "bursts:RATE:CV", "closed:USERS"; the other members are left alone. -ERR_USAGE says
 * what would be right. */
int arrivals_parse(const char *text, struct arrivals *out, struct err *e) MUST_CHECK;
/* n requests sorted by arrival (closed: at 0); mem_free. -ERR_USAGE, -ERR_NOMEM. */
int arrivals_draw(const struct arrivals *a, struct sim_request **out, struct err *e) MUST_CHECK;
/* A CSV with the columns arrival_s, prompt_tokens, output_tokens, in any order of rows; mem_free. -ERR_INPUT names the
 * line. */
int arrivals_read(const char *path, struct sim_request **out, size_t *n, struct err *e) MUST_CHECK;

#endif
