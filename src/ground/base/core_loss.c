/* Reads the scheduler's account of a thread. */
#include "ground/base/core_loss.h"

#include <stdio.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

bool core_loss_waited(int tid, uint64_t *waited_ns)
{
    char path[64], text[96];
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return false;
    text[n] = 0;
    return sscanf(text, "%*u %" SCNu64, waited_ns) == 1;
}

int core_loss_leave_out(double lost, int n)
{
    if (n == 1 || lost * 2 >= n) return 0;
    return (int)(lost + 0.6); /* 0.4 of a core is worth a thread: a neighbour with equal rights leaves it half of one */
}
