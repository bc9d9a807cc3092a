/* Where the control groups of this process are: /proc/self/cgroup names them, /sys/fs/cgroup holds them. Owns nothing
 * and interprets no limit: whoever asks knows the file names. */
#include "ground/base/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DIR_SIZE = 1024 };

struct search {
    const char *controller;
    void (*visit)(const char *dir, bool v2, void *arg);
    void *arg;
};

static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

bool cgroup_read(const char *dir, const char *name, char *out, size_t size)
{
    char path[DIR_SIZE + 64];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path) return false;
    return read_text(path, out, size);
}

static void visit_upwards(const struct search *s, const char *mount, const char *group, bool v2)
{
    char dir[DIR_SIZE];
    size_t n_mount = strlen(mount);
    if ((size_t)snprintf(dir, sizeof dir, "%s%s", mount, group) >= sizeof dir) return;
    for (;;) {
        s->visit(dir, v2, s->arg);
        char *slash = strrchr(dir, '/');
        if (!slash || slash < dir + n_mount) break;
        *slash = '\0';
    }
}

/* The list "cpu,cpuacct" up to end holds the name. */
static bool names_controller(const char *list, const char *end, const char *name)
{
    for (const char *at = list; at < end;) {
        size_t len = strcspn(at, ",:");
        if (len == strlen(name) && memcmp(at, name, len) == 0) return true;
        at += len + 1;
    }
    return false;
}

/* Lines are "id:controllers:path", controllers empty for version 2. */
static void visit_line(const struct search *s, const char *line)
{
    const char *list = strchr(line, ':');
    const char *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) return;
    char mount[64];
    if (group == list + 1) {
        visit_upwards(s, "/sys/fs/cgroup", group + 1, true);
    } else if (names_controller(list + 1, group, s->controller)) {
        snprintf(mount, sizeof mount, "/sys/fs/cgroup/%s", s->controller);
        visit_upwards(s, mount, group + 1, false);
    }
}

void cgroup_each(const char *controller, void (*visit)(const char *dir, bool v2, void *arg), void *arg)
{
    const struct search s = {controller, visit, arg};
    char text[8192], *save = NULL;
    if (!read_text("/proc/self/cgroup", text, sizeof text)) return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) visit_line(&s, line);
}
