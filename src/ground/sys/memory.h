/* How much memory this process may still take, and what limits it: the machine, its control groups, the limits that
 * were set for the process. Read afresh by every call. */
#ifndef SYS_MEMORY_H
#define SYS_MEMORY_H

#include <stdint.h>

/* What limits a process. */
enum memory_limit { MEMORY_OF_MACHINE, MEMORY_OF_GROUP, MEMORY_OF_ADDRESSES, MEMORY_OF_DATA, MEMORY_OF_OPTION };

struct memory_room {
    uint64_t total_bytes; /* of the machine, or of the control group when that is less */
    uint64_t
        physical_bytes;  /* free without swapping, in the machine and in the control groups: what fills them can go */
    uint64_t free_bytes; /* physical_bytes, or less where a limit of the process (ulimit -v, -d) leaves less */
    enum memory_limit limit; /* the smallest one */
};

/* Fill *m; what cannot be found out is 0 in total_bytes and does not limit. */
void memory_room_read(struct memory_room *m);
/* Whose the free memory is, for messages: "in this machine", "in the control group" ... */
const char *memory_limit_name(enum memory_limit limit);

#endif
