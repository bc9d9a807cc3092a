/* What the machine is. Owns nothing; every call reads afresh. What the system does not tell is 0 or "unknown", never
 * a guess. */
#include "ground/sys/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ground/base/cgroup.h"
#include "ground/base/mem.h"
#include "ground/base/pool.h"
#include "ground/base/str.h"
#include "ground/sys/memory.h"

/* The value after "key   : " in text of that form; false when it is not there. */
static bool field_value(const char *line, const char *key, const char **value)
{
    size_t n = strlen(key);
    if (strncmp(line, key, n) != 0) return false;
    const char *at = line + n + strspn(line + n, " \t");
    if (*at != ':') return false;
    *value = at + 1 + strspn(at + 1, " \t");
    return true;
}

struct core_count {
    int n_core, n_socket;
    char name[128];
};

/* Cores of one socket ("cpu cores") times sockets (highest "physical id" + 1). */
static void read_cpuinfo(struct core_count *c)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return;
    char line[4096];
    const char *value;
    while (fgets(line, sizeof line, f)) {
        int v = 0;
        line[strcspn(line, "\n")] = '\0';
        if (!c->name[0] && field_value(line, "model name", &value))
            snprintf(c->name, sizeof c->name, "%.127s", value);
        else if (field_value(line, "physical id", &value) && sscanf(value, "%d", &v) == 1 && v >= c->n_socket)
            c->n_socket = v + 1;
        else if (field_value(line, "cpu cores", &value) && sscanf(value, "%d", &v) == 1)
            c->n_core = v;
    }
    fclose(f);
}

static void read_cpu(struct machine *m)
{
    struct core_count c = {0};
    read_cpuinfo(&c);
    str_cut_utf8(c.name);
    str_make_printable(c.name);
    snprintf(m->cpu_name, sizeof m->cpu_name, "%s", c.name[0] ? c.name : "unknown");
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->n_cpu = online > 0 ? (int)online : 1;
    int n_core = c.n_core * c.n_socket;
    m->n_core = n_core > 0 && n_core <= m->n_cpu ? n_core : m->n_cpu;
    m->n_cpu_usable = pool_cpus_available();
}

static void read_cache(struct machine *m, int idx)
{
    char dir[96], text[64];
    snprintf(dir, sizeof dir, "/sys/devices/system/cpu/cpu0/cache/index%d", idx);
    int level = 0;
    unsigned long long kib = 0;
    if (!cgroup_read(dir, "level", text, sizeof text) || sscanf(text, "%d", &level) != 1) return;
    if (!cgroup_read(dir, "type", text, sizeof text) || strncmp(text, "Instruction", 11) == 0) return;
    if (!cgroup_read(dir, "size", text, sizeof text) || sscanf(text, "%lluK", &kib) != 1) return;
    if (level == 1)
        m->l1d_bytes = kib * 1024;
    else if (level == 2)
        m->l2_bytes = kib * 1024;
    else if (level == 3)
        m->l3_bytes = kib * 1024;
}

void machine_describe(struct machine *m)
{
    *m = (struct machine){0};
    read_cpu(m);
    for (int idx = 0; idx < 8; idx++) read_cache(m, idx);
    struct memory_room room;
    memory_room_read(&room);
    m->memory_bytes = room.total_bytes;
    m->memory_available_bytes = room.free_bytes;
}

uint64_t machine_peak_rss_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024 : 0;
}

uint64_t machine_rss_bytes(void)
{
    char text[128];
    unsigned long long pages = 0;
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (!cgroup_read("/proc/self", "statm", text, sizeof text) || sscanf(text, "%*u %llu", &pages) != 1) return 0;
    return pages * (uint64_t)page_bytes;
}
