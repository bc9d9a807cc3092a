/* What the CPU device may take. Memory that is allocated and not yet written is free to the kernel, which ends the
 * process when it is written later: so plans are compared with what is free before, and caches that were promised count
 * as taken. */
#include "compute/device/cpu_int.h"
#include "ground/base/str.h"
#include "ground/sys/machine.h"
#include "ground/sys/memory.h"

void dev_memory_limit(struct dev *d, uint64_t max_bytes)
{
    d->max_bytes = max_bytes;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t free_bytes(const struct dev *d, enum memory_limit *limit)
{
    struct memory_room room;
    memory_room_read(&room);
    uint64_t n = minus(room.physical_bytes, d->kv_bytes);
    n = room.free_bytes < n ? room.free_bytes : n;
    *limit = room.limit;
    uint64_t allowed = d->max_bytes ? minus(d->max_bytes, machine_rss_bytes() + d->kv_bytes) : UINT64_MAX;
    if (allowed < n) {
        *limit = MEMORY_OF_OPTION;
        return allowed;
    }
    return n;
}

uint64_t dev_memory_free(const struct dev *d)
{
    enum memory_limit limit;
    return d->max_bytes == UINT64_MAX ? UINT64_MAX : free_bytes(d, &limit);
}

int dev_memory_lack(const struct dev *d, uint64_t need_bytes, const char *what, const char *advice, struct err *e)
{
    enum memory_limit limit;
    char need[32], have[32];
    str_format_bytes(need_bytes, need, sizeof(need));
    str_format_bytes(free_bytes(d, &limit), have, sizeof(have));
    return err_set(e, ERR_NOMEM, "memory", "%s: %s needed, %s free %s; %s", what, need, have, memory_limit_name(limit),
                   advice);
}
