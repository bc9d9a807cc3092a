/* DATA of a command line: a file, else the file of a registered dataset. */
#ifndef CLI_CLI_DATA_H
#define CLI_CLI_DATA_H

#include <stdbool.h>

#include "doors/cli/cli.h"

struct cli_data {
    char *path;         /* to open */
    char *pinned;       /* what means the same from any directory and later: an absolute path, or name:version */
    bool is_registered; /* a dataset of the registry */
    char format[16];    /* "chat" or "tokens" as the dataset says; "" for a file */
};
/* data: a path, or name[:version|@alias] of a dataset, of which `file` is meant ("train.jsonl", "cases.jsonl"). A path
 * that is not there is left to whoever opens it. Free with cli_data_deinit; fine after a failure. */
int cli_data_find(struct cli_data *d, const struct cli *c, const char *data, const char *file,
                  struct err *e) MUST_CHECK;
void cli_data_deinit(struct cli_data *d);

#endif
