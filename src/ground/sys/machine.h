/* This machine and this process: processor, cores, caches, memory. Read from /proc, /sys and sysconf; hwloc is not
 * used, since nothing here needs more than one level of caches of one kind of core. */
#ifndef SYS_MACHINE_H
#define SYS_MACHINE_H

#include <stdint.h>

struct machine {
    char cpu_name[128];                     /* "AMD EPYC", "unknown" */
    int n_cpu;                              /* logical processors online */
    int n_core;                             /* physical cores, n_cpu where that is not known */
    int n_cpu_usable;                       /* by this process: affinity and quota */
    uint64_t l1d_bytes, l2_bytes, l3_bytes; /* of the first processor; 0: none or not known */
    uint64_t memory_bytes;                  /* of the machine, or the control group's limit when that is less */
    uint64_t memory_available_bytes;        /* what this process may still take (memory.h) */
};

/* Fill *m; what cannot be found is 0 or "unknown". */
void machine_describe(struct machine *m);
/* Highest resident size of this process so far, in bytes. */
uint64_t machine_peak_rss_bytes(void);
/* Resident size now, in bytes; 0 when /proc is not there. */
uint64_t machine_rss_bytes(void);

#endif
