/* A simulation of servers with continuous batching, event by event, on predicted step times.
 *
 * Every replica works in steps: one token for each running sequence, and up to chunk_tokens of the prompts that were
 * admitted. Requests wait in order of arrival until the batch has a place and the cache has room for the prompt; when
 * the cache is full the youngest sequence gives its room back, waits at the head and computes its tokens again. Runs of
 * equal steps are taken at once, with the context they have in the middle, so the work grows with requests, not with
 * tokens. A balancer gives each request to one replica when it arrives. */
#ifndef PLAN_SIMULATE_H
#define PLAN_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "lifecycle/plan/speed.h"

enum { SIM_MAX_REPLICAS = 100000, SIM_MAX_REQUESTS = 50000000 };

struct sim_server {
    double (*step_s)(const void *arg, const struct plan_step *step); /* seconds of a step, positive */
    const void *arg;
    double first_token_s; /* further, before the first token: request handling */
    int max_running;      /* sequences of a batch, >= 1 */
    int chunk_tokens;     /* tokens of a step at most, prompts and running sequences together, >= 1 */
    double step_budget_s; /* of a step of prompts and running sequences: prompts take what is left of it, or as long as
                             the sequences, whichever is more; 0: without limit */
    double kv_tokens;     /* tokens that the cache holds; 0: without limit */
};

enum sim_balancer { SIM_ROUND_ROBIN, SIM_RANDOM, SIM_LEAST_REQUESTS };

struct sim_request {
    double arrival_s;
    int prompt_tokens, output_tokens; /* each >= 1 */
    int cached_tokens;                /* of the prompt, whose keys and values the replica has: fewer than all */
};

struct sim_setup {
    struct sim_server server;
    int replicas;
    enum sim_balancer balancer;
    uint64_t seed; /* of the random balancer */
    int users; /* 0: requests arrive at their times; else so many users ask in turn, each think_s after its answer */
    double think_s;
    double apart_s;            /* of users: each asks first so long after the one before */
    double warmup_share;       /* of the requests, at the start, that figures leave out */
    bool (*interrupted)(void); /* may be NULL */
};

struct sim_quantiles {
    double mean, p50, p90, p95, p99, max;
    double middle; /* mean of the half of them in the middle */
};

struct sim_result {
    size_t n;                                             /* requests in the figures */
    struct sim_quantiles wait_s, ttft_s, tpot_s, total_s; /* tpot: of answers of two tokens and more */
    double makespan_s;                                    /* from the first arrival to the last answer */
    double requests_s, output_tok_s;                      /* of all replicas together, over the makespan */
    double busy;       /* share of time that a replica computes, mean over replicas */
    double mean_batch; /* sequences in a step, by time, while it computes */
    double in_system;  /* requests waiting or in service, by time, a replica */
    double kv_peak;    /* largest share of the cache in use; 0 without a limit */
    uint64_t steps, preemptions;
};
/* Requests sorted by arrival (with users: their times are not read). -ERR_USAGE: a number out of range; -ERR_INPUT:
 * request that can never be served (longer than the cache), or not sorted; -ERR_INTERRUPTED. */
int simulate(const struct sim_setup *s, const struct sim_request *request, size_t n, struct sim_result *out,
             struct err *e) MUST_CHECK;

/* The mean of the middle half of n values, which are sorted; n above 0. */
double sim_middle(const double *sorted, size_t n);

/* A server that a system is: its step times, what memory leaves for the cache. */
void sim_server_of(const struct plan_system *system, double kv_tokens, struct sim_server *out);

#endif
