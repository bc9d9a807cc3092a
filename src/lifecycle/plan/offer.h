/* What one replica carries within targets: the calls a second it answers in time, and what stops it there. */
#ifndef PLAN_OFFER_H
#define PLAN_OFFER_H

#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/queueing.h"
#include "lifecycle/plan/speed.h"

struct plan_goal {
    double prompt_tokens, output_tokens;
    double ttft_s, tpot_s; /* limits of a call: first token, each further one */
    double max_load;       /* share of what a full batch serves that is planned for at most, 0 to 1 */
    double spare;          /* places kept free for chance, in square roots of the load (Halfin and Whitt, Operations
                              Research 29, 1981); 0: none, 1: about one request in five waits */
    double cv;             /* spread of answers' lengths, for waiting */
};

enum offer_limit { OFFER_MEMORY, OFFER_TTFT, OFFER_TPOT, OFFER_LOAD, OFFER_BATCH };
extern const char *const offer_limit_name[]; /* "memory", "ttft", "tpot", "load", "batch" */

struct offer {
    double room;             /* conversations at a time: memory and the stack's batch */
    double running;          /* at a time within the targets; 0: not even one */
    double capacity_s;       /* calls a second within the targets */
    double full_s;           /* calls a second of a full batch, targets aside */
    enum offer_limit limit;  /* what stops it */
    struct plan_point alone; /* one conversation */
    struct plan_point at;    /* as many as run within the targets */
};
/* Pure; a system whose memory holds no conversation offers nothing. */
void offer_of(const struct plan_system *s, const struct plan_goal *t, struct offer *out);
/* Seconds from question to the last token when n run at a time. */
double offer_answer_s(const struct plan_system *s, const struct plan_goal *t, double room, double n);
/* Waiting for a place of one replica under arrivals a second, by queueing.h. */
int offer_wait(const struct plan_system *s, const struct plan_goal *t, const struct offer *o, double arrivals_s,
               struct queue_result *out, struct err *e) MUST_CHECK;

#endif
