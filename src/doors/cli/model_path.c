/* What MODEL of a command line means: a path, else a name of the registry. Names are resolved here and nowhere else. */
#include "doors/cli/cli.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

int cli_model_path(const struct cli *c, const char *model, char **path, struct err *e)
{
    if (file_exists(model)) {
        *path = mem_strdup(model);
        return 0;
    }
    struct registry *r;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_resolve(r, model, path, e);
    registry_close(r);
    return rc;
}

int cli_model_pin(const struct cli *c, const char *model, char **pinned, struct err *e)
{
    if (file_exists(model)) return path_absolute(model, pinned, e);
    struct registry *r;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_pin(r, model, pinned, e);
    registry_close(r);
    return rc;
}
