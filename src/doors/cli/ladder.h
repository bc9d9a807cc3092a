/* quantize --ladder: one table of what every step down in bits costs and saves, against the source model. */
#ifndef CLI_LADDER_H
#define CLI_LADDER_H

#include "compute/formats/imatrix_file.h"
#include "doors/cli/cli.h"

struct ladder_options {
    const char *model;             /* path or name */
    const char *file, *field;      /* texts; NULL: the source model writes some itself */
    const struct imatrix *imatrix; /* NULL: none */
};
/* Writes, measures and removes a file for every mix from Q8_0 to Q2_K in the home directory, then prints the table. */
int ladder_run(const struct cli *c, const struct ladder_options *opt, struct err *e) MUST_CHECK;

#endif
