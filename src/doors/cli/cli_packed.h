/* Packed models in the home (HOME/cache/packed): loading through them, and what `tailor cache` does with them. */
#ifndef CLI_CLI_PACKED_H
#define CLI_CLI_PACKED_H

#include "compute/formats/model_file.h"
#include "compute/model/model.h"
#include "doors/cli/cli.h"

/* Load the weights of f, from their packed file where c says so and it can be used; a file that cannot is a warning. */
int cli_packed_load(const struct cli *c, struct dev *d, const struct model_file *f, struct model **out,
                    struct err *e) MUST_CHECK;
/* Write the packed file of a model that was loaded from f, after those that are of use no more were removed.
 * -ERR_LIMIT when the disk would be nearly full. *path (mem_free): where it is. */
int cli_packed_write(const struct cli *c, const struct model *m, const struct model_file *f, char **path,
                     struct err *e) MUST_CHECK;
/* The directory of packed files (mem_free). */
char *cli_packed_dir(const struct cli *c) MUST_CHECK;
/* Remove packed files that no model file belongs to any more, are of another layout or cannot be read, and what killed
 * writers left; returns their number, -ERR_*. */
int cli_packed_sweep(const struct cli *c, struct dev *d, struct err *e);

#endif
