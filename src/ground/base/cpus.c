/* How many CPUs this process may use: the affinity mask (which holds cpusets too) and the CPU quotas of its control
 * groups. What cannot be read does not limit. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "ground/base/cgroup.h"
#include "ground/base/pool.h"

static int affinity_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than CPU_SETSIZE CPUs */
    return n > 0 ? (int)n : 1;
}

/* Quotas round up: 1.5 CPUs are used better by two threads than by one. */
static void apply_quota(double quota, double period, int *n)
{
    if (quota <= 0 || period <= 0) return;
    double cpus = quota / period;
    if (cpus < (double)*n) *n = (int)cpus + ((double)(int)cpus < cpus);
}

static void visit_group(const char *dir, bool v2, void *arg)
{
    char text[64];
    double quota = 0, period = 0;
    if (v2) {
        if (cgroup_read(dir, "cpu.max", text, sizeof text) && sscanf(text, "%lf %lf", &quota, &period) == 2)
            apply_quota(quota, period, arg);
        return;
    }
    if (!cgroup_read(dir, "cpu.cfs_quota_us", text, sizeof text) || sscanf(text, "%lf", &quota) != 1) return;
    if (cgroup_read(dir, "cpu.cfs_period_us", text, sizeof text) && sscanf(text, "%lf", &period) == 1)
        apply_quota(quota, period, arg);
}

int pool_cpus_available(void)
{
    int n = affinity_cpus();
    cgroup_each("cpu", visit_group, &n);
    return n > 1 ? n : 1;
}
