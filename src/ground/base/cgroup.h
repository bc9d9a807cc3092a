/* The control groups of this process, versions 1 and 2: limits that hold besides those of the machine. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* Call visit for the group directory of `controller` ("cpu", "memory") and each of its ancestors up to the mount
 * point: a limit of any of them holds. Nothing is called where /proc or /sys cannot be read. */
void cgroup_each(const char *controller, void (*visit)(const char *dir, bool v2, void *arg), void *arg);
/* The contents of dir/name, NUL-terminated and cut at size - 1; false when it cannot be read or is empty. */
bool cgroup_read(const char *dir, const char *name, char *out, size_t size);

#endif
