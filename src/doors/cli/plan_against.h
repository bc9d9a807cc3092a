/* The simulation beside a server that runs: the same closed loads on both. */
#ifndef CLI_PLAN_AGAINST_H
#define CLI_PLAN_AGAINST_H

#include "doors/cli/cli.h"
#include "lifecycle/plan/simulate.h"

/* Times of one load, seconds: each the mean of the half of the requests in the middle, so that a second in which
 * something else had the machine does not speak for the others. */
struct load_times {
    double ttft_s, tpot_s, total_s;
    double prompt_tokens, output_tokens; /* means, as the server counts them */
    double cached_tokens;                /* of the prompt, that it did not compute (what all chats begin with) */
    size_t n;
};
/* n requests by so many users in turn to URL/v1/chat/completions, streamed; prompts differ from the first word on, so
 * that no server has seen their beginning. max_tokens a request. -ERR_* of the connection, or of a server that does not
 * count its tokens. */
int load_server(const char *url, int users, size_t n, int prompt_tokens, int max_tokens, struct load_times *out,
                struct err *e) MUST_CHECK;
/* n requests one after the other that let the server compute as little as can be: a word, the same each time, so that a
 * server keeps its beginning, and one token of answer. What is left is the time that any request takes. */
int load_least(const char *url, size_t n, struct load_times *out, struct err *e) MUST_CHECK;
/* The same load on a setup: closed loop, requests of the lengths that the server saw. */
int load_simulated(const struct sim_setup *setup, int users, const struct load_times *seen, struct load_times *out,
                   struct err *e) MUST_CHECK;

#endif
