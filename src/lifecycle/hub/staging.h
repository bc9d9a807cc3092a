/* Where the files of a model lie until they are in the registry: HOME/downloads/KEY, one directory a source, locked
 * while a process works in it, kept when it failed so that the next one goes on. */
#ifndef HUB_STAGING_H
#define HUB_STAGING_H

#include "lifecycle/hub/net.h"

struct hub_staging {
    char *dir;
    char *lock_path;
    int lock_fd;
};
/* The directory for an identity (any text). Waits for another process that has it, and says so. -ERR_INTERRUPTED. */
int hub_staging_open(struct hub_staging *s, const char *home, const char *identity, const struct hub_options *o,
                     struct err *e) MUST_CHECK;
/* Unlock; is_done: remove the directory too. */
void hub_staging_close(struct hub_staging *s, bool is_done);
/* -ERR_LIMIT when fewer than bytes (and some room to work) are free where dir is; what says what for. */
int hub_check_space(const char *dir, uint64_t bytes, const char *what, struct err *e) MUST_CHECK;

#endif
