/* Sweeps: one tuning run for every combination of the values that --grid names. */
#ifndef CLI_TUNE_SWEEP_H
#define CLI_TUNE_SWEEP_H

#include "doors/cli/cli.h"
#include "lifecycle/train/train.h"

/* One run over complete or incomplete fields; resume: go on with the directory that "output" names. */
typedef int (*tune_fn)(const struct cli *c, struct param_set *fields, bool resume, struct train_result *out,
                       struct err *e);
/* Tune every combination into a directory of its own under "output", print the table of results (with --json one
 * object) and write it as sweep.json. What has ended is not done again, what was interrupted goes on. A run whose loss
 * is not finite is noted and the others go on; any other failure ends the sweep. -ERR_USAGE names a value of the grid
 * that its field does not take; -ERR_CONFLICT: output holds something else. */
int tune_sweep(const struct cli *c, const struct param_set *args, tune_fn tune, struct err *e) MUST_CHECK;

#endif
