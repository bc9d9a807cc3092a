/* One replica of a simulation: its batch, its queue, its clock. Used by simulate.c only. */
#ifndef PLAN_SIM_REPLICA_H
#define PLAN_SIM_REPLICA_H

#include "lifecycle/plan/simulate.h"

/* What a request goes through. Times are of the simulation's clock; -1: not yet. */
struct sim_state {
    double arrival_s, admitted_s, first_s, end_s;
    int64_t done_step;  /* of the replica, when its last token is out */
    int32_t next;       /* in the waiting list; -1: last */
    int32_t to_prefill; /* prompt tokens that are not computed yet (after preemption: the answer's so far, too) */
    int32_t prefilled, generated;
    int32_t prompt, output, cached;
    int64_t admission; /* the later the younger */
};

struct sim_replica {
    int32_t waiting_first, waiting_last; /* -1: none */
    int32_t prefill_first, prefill_last; /* admitted, prompt not done; in order */
    int32_t *run;                        /* [room] heap by done_step: decoding */
    int32_t n_run, n_prefill, room;      /* n_run + n_prefill <= max_running */
    double context;                      /* tokens in the cache of decoding sequences */
    double kv;                           /* tokens in the cache, all */
    int64_t step;                        /* steps done */
    double run_start_s, run_step_s;      /* of the run of steps under way */
    int64_t run_n;                       /* 0: idle */
    int32_t run_prefill;                 /* prompt tokens of the step under way */
    bool stretch;                        /* the run is of decode steps and may be cut short */
    int outstanding;                     /* waiting, in prefill, running */
    double busy_s, batch_s;              /* computing; sequences x seconds */
    double kv_peak;
};

struct sim_work {
    const struct sim_server *server;
    struct sim_state *state;
    int64_t admissions;
    uint64_t steps, preemptions;
    int32_t *ended; /* requests whose last token came out in the last replica_finish */
    size_t n_ended, ended_room;
};

/* An idle replica with nothing waiting; deinit also after a failure. */
void replica_init(struct sim_replica *r);
void replica_deinit(struct sim_replica *r);
/* A request arrives: behind the waiting ones. Returns the time at which the replica must be looked at again (now, where
 * it was idle); INFINITY: as planned. */
double replica_arrive(struct sim_work *w, struct sim_replica *r, int32_t request, double now);
/* The run under way is over: tokens are handed out. -ERR_NOMEM. */
int replica_finish(struct sim_work *w, struct sim_replica *r, double now, struct err *e) MUST_CHECK;
/* Admit and plan the next run; the time when it is over, INFINITY when there is nothing to do. */
double replica_plan(struct sim_work *w, struct sim_replica *r, double now);

#endif
