/* How many CPUs this process may use: the affinity mask (which holds cpusets too) and the CPU quotas of its control
 * groups, version 2 and 1. Reads /proc and /sys; what cannot be read does not limit. */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/mem.h"
#include "ground/base/pool.h"

enum { PATH_SIZE = 1024 };

static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static int affinity_cpus(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than CPU_SETSIZE CPUs */
    return n > 0 ? (int)n : 1;
}

/* Quotas round up: 1.5 CPUs are used better by two threads than by one. */
static void apply_quota(double quota, double period, int *n)
{
    if (quota <= 0 || period <= 0)
        return;
    double cpus = quota / period;
    if (cpus < (double)*n)
        *n = (int)cpus + ((double)(int)cpus < cpus);
}

static void apply_v2(const char *dir, int *n)
{
    char path[PATH_SIZE + 64], text[64];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", dir);
    if (read_text(path, text, sizeof text) && sscanf(text, "%lf %lf", &quota, &period) == 2)
        apply_quota(quota, period, n);
}

static void apply_v1(const char *dir, int *n)
{
    char path[PATH_SIZE + 64], text[64];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", dir);
    if (!read_text(path, text, sizeof text) || sscanf(text, "%lf", &quota) != 1)
        return;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
    if (read_text(path, text, sizeof text) && sscanf(text, "%lf", &period) == 1)
        apply_quota(quota, period, n);
}

/* A limit of any ancestor holds as well: from the group up to the mount point. */
static void apply_upwards(const char *mount, const char *group, void (*apply)(const char *, int *), int *n)
{
    char dir[PATH_SIZE];
    size_t n_mount = strlen(mount);
    if ((size_t)snprintf(dir, sizeof dir, "%s%s", mount, group) >= sizeof dir)
        return;
    for (;;) {
        apply(dir, n);
        char *slash = strrchr(dir, '/');
        if (!slash || strlen(dir) <= n_mount || slash < dir + n_mount)
            break;
        *slash = '\0';
    }
}

static bool names_cpu(const char *controllers, const char *end)
{
    for (const char *at = controllers; at < end;) {
        size_t len = strcspn(at, ",:");
        if (len == 3 && memcmp(at, "cpu", 3) == 0)
            return true;
        at += len + 1;
    }
    return false;
}

/* Lines of /proc/self/cgroup: "id:controllers:path", controllers empty for version 2. */
static void apply_line(char *line, int *n)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return;
    if (group == controllers + 1)
        apply_upwards("/sys/fs/cgroup", group + 1, apply_v2, n);
    else if (names_cpu(controllers + 1, group))
        apply_upwards("/sys/fs/cgroup/cpu", group + 1, apply_v1, n);
}

int pool_cpus_available(void)
{
    int n = affinity_cpus();
    char text[8192], *save = NULL;
    if (!read_text("/proc/self/cgroup", text, sizeof text))
        return n > 1 ? n : 1;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        apply_line(line, &n);
    return n > 1 ? n : 1;
}
