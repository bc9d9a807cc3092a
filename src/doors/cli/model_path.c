/* What MODEL of a command line means: a path. Names of a registry are resolved here and nowhere else. */
#include "doors/cli/cli.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"

int cli_model_path(const struct cli *c, const char *model, char **path, struct err *e)
{
    if (file_exists(model)) {
        *path = mem_strdup(model);
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND, model,
                   "cannot find model \"%s\": neither a file or directory nor a name registered in \"%s\"", model,
                   c->home);
}
