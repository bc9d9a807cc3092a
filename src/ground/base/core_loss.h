/* What other processes take of the cores that our threads run on, by the kernel's own account of a thread, and how many
 * threads to send away for it. */
#ifndef BASE_CORE_LOSS_H
#define BASE_CORE_LOSS_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds that thread `tid` of this process was ready to run and had to wait for a core, since it began. False
 * where the kernel keeps no such account; what it calls run delay is the second figure of
 * /proc/self/task/TID/schedstat. */
bool core_loss_waited(int tid, uint64_t *waited_ns);

/* How many of n threads that work together to leave out when others hold `lost` cores, the sum over the threads of the
 * share of time each had to wait; always less than n. Threads that meet at barriers are as slow as the slowest, so one
 * whose core is half taken costs the others half of theirs, and leaving it out costs one of n. Where half of the cores
 * or more are lost there is no free one to retreat to, and sharing is the best there is: 0. */
int core_loss_leave_out(double lost, int n);

#endif
