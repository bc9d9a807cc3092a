/* Free memory. Owns the order of the limits: the machine, control groups (a page of a file that is in memory counts as
 * free: it goes when it must), the address space and the data segment of the process. */
#include "ground/sys/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ground/base/cgroup.h"
#include "ground/base/str.h"

enum { STAT_SIZE = 8192 };

/* The number after `key` at the beginning of a line; 0 when it is not there. */
static uint64_t line_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    unsigned long long v = 0;
    for (const char *at = text; at && *at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, key, n) == 0 && sscanf(at + n, " %llu", &v) == 1) return v;
    }
    return 0;
}

static bool read_bytes(const char *dir, const char *name, uint64_t *out)
{
    char text[64];
    if (!cgroup_read(dir, name, text, sizeof text)) return false;
    text[strcspn(text, "\n")] = '\0';
    return str_to_u64(text, out); /* "max": no limit */
}

static void limit_to(struct memory_room *m, uint64_t free_bytes, enum memory_limit limit)
{
    if (free_bytes >= m->free_bytes) return;
    m->free_bytes = free_bytes;
    m->limit = limit;
}

static void visit_group(const char *dir, bool v2, void *arg)
{
    struct memory_room *m = arg;
    char stat[STAT_SIZE];
    uint64_t limit, used, files = 0;
    if (!read_bytes(dir, v2 ? "memory.max" : "memory.limit_in_bytes", &limit)) return;
    if (m->total_bytes && limit >= m->total_bytes) return;
    m->total_bytes = limit;
    if (!read_bytes(dir, v2 ? "memory.current" : "memory.usage_in_bytes", &used)) return;
    if (cgroup_read(dir, "memory.stat", stat, sizeof stat))
        files = line_value(stat, v2 ? "inactive_file" : "total_inactive_file") +
                line_value(stat, v2 ? "active_file" : "total_active_file");
    used = used > files ? used - files : 0;
    limit_to(m, used < limit ? limit - used : 0, MEMORY_OF_GROUP);
}

static uint64_t room_below(int resource, uint64_t used)
{
    struct rlimit r;
    if (getrlimit(resource, &r) != 0 || r.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    return r.rlim_cur > used ? (uint64_t)r.rlim_cur - used : 0;
}

/* statm: pages of the address space first, of data and stack sixth. */
static void process_limits(struct memory_room *m)
{
    char text[128];
    unsigned long long all = 0, data = 0;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!cgroup_read("/proc/self", "statm", text, sizeof text) ||
        sscanf(text, "%llu %*u %*u %*u %*u %llu", &all, &data) != 2)
        return;
    limit_to(m, room_below(RLIMIT_AS, all * page_bytes), MEMORY_OF_ADDRESSES);
    limit_to(m, room_below(RLIMIT_DATA, data * page_bytes), MEMORY_OF_DATA);
}

void memory_room_read(struct memory_room *m)
{
    char text[STAT_SIZE];
    *m = (struct memory_room){.free_bytes = UINT64_MAX, .limit = MEMORY_OF_MACHINE};
    if (cgroup_read("/proc", "meminfo", text, sizeof text)) {
        m->total_bytes = line_value(text, "MemTotal:") * 1024;
        m->free_bytes = line_value(text, "MemAvailable:") * 1024;
    }
    cgroup_each("memory", visit_group, m);
    m->physical_bytes = m->free_bytes;
    process_limits(m);
}

const char *memory_limit_name(enum memory_limit limit)
{
    static const char *const name[] = {[MEMORY_OF_MACHINE] = "in this machine",
                                       [MEMORY_OF_GROUP] = "in the control group",
                                       [MEMORY_OF_ADDRESSES] = "below ulimit -v",
                                       [MEMORY_OF_DATA] = "below ulimit -d",
                                       [MEMORY_OF_OPTION] = "below --memory"};
    return name[limit];
}
