/* The staging directory and its lock. Owns the lock's descriptor. What always holds: whoever has the lock has the file
 * that is now at its path, so removing it when done leaves nobody with a lock on nothing. */
#include "lifecycle/hub/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/sys/digest.h"

enum { KEY_LEN = 24, WAIT_MS = 100 };
static const uint64_t SPARE_BYTES = 64 << 20; /* manifests, logs, and not to fill the disk of others to the last byte */

static bool is_at_path(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int wait_for_lock(struct hub_staging *s, const struct hub_options *o, struct err *e)
{
    struct hub_net net = {.o = o};
    bool told = false;
    int rc = 0;
    while (rc == 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_set_errno(e, s->lock_path, "cannot lock \"%s\"", s->lock_path);
        if (!told && o->note) o->note(o->arg, "another process is getting the same model: waiting for it");
        told = true;
        (void)poll(NULL, 0, WAIT_MS);
        rc = hub_check_cancelled(&net, e);
    }
    return rc;
}

static int lock(struct hub_staging *s, const struct hub_options *o, struct err *e)
{
    for (;;) {
        s->lock_fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (s->lock_fd < 0) return err_set_errno(e, s->lock_path, "cannot lock \"%s\"", s->lock_path);
        int rc = wait_for_lock(s, o, e);
        if (rc || is_at_path(s->lock_fd, s->lock_path)) return rc;
        close(s->lock_fd); /* who had it removed it when done */
    }
}

int hub_staging_open(struct hub_staging *s, const char *home, const char *identity, const struct hub_options *o,
                     struct err *e)
{
    char hex[DIGEST_HEX_SIZE], name[KEY_LEN + 8];
    *s = (struct hub_staging){.lock_fd = -1};
    int rc = digest_memory(identity, strlen(identity), hex, e);
    if (rc) return rc;
    hex[KEY_LEN] = '\0';
    char *root = path_join(home, "downloads");
    snprintf(name, sizeof name, "%.24s.lock", hex);
    s->dir = path_join(root, hex);
    s->lock_path = path_join(root, name);
    rc = file_mkdirs(root, e);
    if (rc == 0) rc = lock(s, o, e);
    if (rc == 0) rc = file_mkdirs(s->dir, e);
    mem_free(root);
    if (rc) hub_staging_close(s, false);
    return rc;
}

void hub_staging_close(struct hub_staging *s, bool is_done)
{
    if (s->dir && is_done) {
        int rc = file_remove_tree(s->dir, NULL); /* what cannot be removed is removed after the next pull of it */
        (void)rc;
    }
    if (s->dir && !is_done) (void)rmdir(s->dir); /* nothing came at all */
    bool gone = s->dir && !file_exists(s->dir);
    if (s->lock_fd >= 0 && gone) (void)unlink(s->lock_path);
    if (s->lock_fd >= 0) close(s->lock_fd);
    mem_free(s->dir);
    mem_free(s->lock_path);
    *s = (struct hub_staging){.lock_fd = -1};
}

int hub_check_space(const char *dir, uint64_t bytes, const char *what, struct err *e)
{
    struct statvfs st;
    char need[32], have[32];
    if (statvfs(dir, &st)) return err_set_errno(e, dir, "cannot tell the free space of \"%s\"", dir);
    uint64_t free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    if (bytes <= free_bytes && free_bytes - bytes >= SPARE_BYTES) return 0;
    str_format_bytes(bytes, need, sizeof need);
    str_format_bytes(free_bytes, have, sizeof have);
    return err_set(e, ERR_LIMIT, dir,
                   "cannot get \"%s\": %s more are needed in \"%s\", %s are free (%d MB must remain)", what, need, dir,
                   have, (int)(SPARE_BYTES >> 20));
}
