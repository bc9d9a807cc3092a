/* A pool of compute threads. The caller is worker 0; workers spin briefly for the next call, then sleep on a futex,
 * so that a busy neighbour on a core costs what it takes and no more. Threads are pinned only when the process was
 * given a CPU set smaller than the machine. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

struct pool;
/* fn runs once on every worker that takes part, n_worker of them; worker 0 is the caller. */
typedef void (*pool_fn)(void *arg, int worker, int n_worker);

/* n_thread >= 1 counts the caller. */
int pool_new(struct pool **out, int n_thread, struct err *e) MUST_CHECK;
void pool_free(struct pool *p);
int pool_size(const struct pool *p);
/* From the next run on, at most n workers take part, 1 to pool_size, those that lost least of their cores; the others
 * sleep. Not inside fn. */
void pool_limit(struct pool *p, int n);
/* Let the pool set that limit itself, by what other processes take of its cores (core_loss.h). */
void pool_watch(struct pool *p);
/* Run fn on all workers and return when all are done. Not reentrant; one caller at a time, not always the same thread.
 */
void pool_run(struct pool *p, pool_fn fn, void *arg);
/* Inside fn: wait for all workers of this run (sense-reversing, on cache lines of its own). */
void pool_barrier(struct pool *p);
/* The share [*begin, *end) of n items, in multiples of `grain`, that a worker takes: contiguous, sizes differ by <=
 * grain. */
void pool_share(size_t n, size_t grain, int worker, int n_worker, size_t *begin, size_t *end);
/* Inside fn, for as long as it returns true: the next [*begin, *end) of n items for this worker, at most `step` of
 * them. First the parts of its own share (that of pool_share with grain 1), then what slower workers have not begun of
 * theirs: a worker that lost its core keeps the others waiting for one part, not for its whole share. Every item goes
 * to one worker. At most one such loop between two barriers (or the begin and the end of a run), with equal n and step.
 */
bool pool_take(struct pool *p, size_t n, size_t step, int worker, size_t *begin, size_t *end);
/* The same by hand, for parts that a caller numbers itself: the number of the next part of worker `share`, 0, 1, 2 ...
 * since the last barrier, whoever asks. Instead of pool_take, not beside it. */
size_t pool_take_part(struct pool *p, int share);
/* CPUs this process may use: affinity mask and cgroup quota, at least 1. */
int pool_cpus_available(void);

#endif
