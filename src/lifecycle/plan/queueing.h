/* Waiting: how many requests are in a server at a time, and how long one waits for a place in its batch.
 *
 * A server has `slots` places. With n requests in it each takes service_s(n) seconds, more the more there are. Arrivals
 * are Poisson. Where service times do not depend on n this is M/M/c with Erlang's C formula, exactly. Sources: Little,
 * Operations Research 9 (1961); Erlang (1917), as in Kleinrock, Queueing Systems I, 3.5 (birth and death) and 3.8; the
 * correction for other spreads of service times is Lee and Longton's (1959). All times in seconds. */
#ifndef PLAN_QUEUEING_H
#define PLAN_QUEUEING_H

#include <stdbool.h>

#include "ground/base/err.h"

enum { QUEUE_MAX_SLOTS = 1000000 };

struct queue {
    double (*service_s)(const void *arg, double n); /* of one request when n are in service; positive, not falling */
    const void *arg;                                /* of service_s */
    int slots;                                      /* 1 to QUEUE_MAX_SLOTS */
    double arrivals_s;                              /* requests a second, >= 0 */
    double cv;                                      /* of service times: standard deviation / mean; 1: exponential */
};

struct queue_result {
    bool stable;             /* arrivals are fewer than all slots serve */
    double capacity_s;       /* requests a second that all slots serve */
    double utilization;      /* arrivals / capacity */
    double little_n;         /* fixed point of n = arrivals x service_s(n): in service, when nobody waits */
    double running, waiting; /* mean numbers */
    double p_wait;           /* that a request has to wait */
    double mean_wait_s;      /* of all requests, those that do not wait among them */
    double mean_service_s;   /* by the states that occur */
    double drain_s;          /* p(wait > t) = p_wait x exp(-t / drain_s) */
};
/* What is not stable has infinite waits (INFINITY), p_wait 1. -ERR_USAGE names a number out of range. */
int queue_solve(const struct queue *q, struct queue_result *out, struct err *e) MUST_CHECK;
/* Probability that a request waits longer than t seconds. */
double queue_p_longer(const struct queue_result *r, double t_s);
/* Seconds that a share p (0 to 1) of all requests waits at most. */
double queue_wait_percentile(const struct queue_result *r, double p);
/* Erlang's C: the probability of waiting with c servers under a load of a Erlang (arrivals x service time); 1 when a >=
 * c. */
double queue_erlang_c(int c, double a);
/* Most arrivals a second at which requests are served by max_utilization of capacity (0 to 1) and a share p waits at
 * most t_s. */
double queue_max_arrivals(const struct queue *q, double max_utilization, double p, double t_s);

#endif
