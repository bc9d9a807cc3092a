/* A pool of compute threads. The caller is worker 0; workers spin briefly for the next call, then sleep on a futex,
 * so that a busy neighbour on a core costs what it takes and no more. Threads are pinned only when the process was
 * given a CPU set smaller than the machine. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

#include "ground/base/err.h"

struct pool;
/* fn runs once on every worker; worker 0 is the caller. */
typedef void (*pool_fn)(void *arg, int worker, int n_worker);

/* n_thread >= 1 counts the caller. */
int pool_new(struct pool **out, int n_thread, struct err *e) MUST_CHECK;
void pool_free(struct pool *p);
int pool_size(const struct pool *p);
/* Run fn on all workers and return when all are done. Not reentrant; one caller at a time, not always the same thread.
 */
void pool_run(struct pool *p, pool_fn fn, void *arg);
/* Inside fn: wait for all workers of this run (sense-reversing, on cache lines of its own). */
void pool_barrier(struct pool *p);
/* The share [*begin, *end) of n items, in multiples of `grain`, that a worker takes: contiguous, sizes differ by <=
 * grain. */
void pool_share(size_t n, size_t grain, int worker, int n_worker, size_t *begin, size_t *end);
/* CPUs this process may use: affinity mask and cgroup quota, at least 1. */
int pool_cpus_available(void);

#endif
