/* What MODEL and DATA of a command line mean: a path, else a name of the registry. Names are resolved here and nowhere
 * else. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/cli_data.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

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

/* --- data --- */

static int open_dataset(struct cli_data *d, const struct cli *c, const char *data, const char *file, struct err *e)
{
    struct registry *r;
    json_t *manifest = NULL;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_pin(r, data, &d->pinned, e);
    if (rc == 0) rc = registry_dataset_file(r, d->pinned, file, &d->path, &manifest, e);
    const char *format = json_string_value(json_object_get(manifest, "format"));
    if (rc == 0) snprintf(d->format, sizeof d->format, "%s", format ? format : "");
    d->is_registered = true;
    json_decref(manifest);
    registry_close(r);
    return rc;
}

int cli_data_find(struct cli_data *d, const struct cli *c, const char *data, const char *file, struct err *e)
{
    *d = (struct cli_data){0};
    int rc;
    bool is_file = file_exists(data) && !file_is_dir(data); /* the directory that a dataset was made in has its name */
    if (is_file || strchr(data, '/') || str_ends(data, ".jsonl")) {
        rc = path_absolute(data, &d->pinned, e);
        if (rc == 0) d->path = mem_strdup(d->pinned);
    } else {
        rc = open_dataset(d, c, data, file, e);
    }
    if (rc) cli_data_deinit(d);
    return rc;
}

void cli_data_deinit(struct cli_data *d)
{
    mem_free(d->path);
    mem_free(d->pinned);
    *d = (struct cli_data){0};
}
