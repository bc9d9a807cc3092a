/* The fields of a tuning run, from where the command line says, and what those that name places mean. */
#ifndef CLI_TUNE_FIELDS_H
#define CLI_TUNE_FIELDS_H

#include "doors/cli/cli_data.h"
#include "ground/param/param.h"
#include "lifecycle/train/config.h"

/* Fill a new set over train_params from `args`: --resume alone, or --from under --run under --set and flags. Of epochs
 * and max_steps the source that is nearest to the command line counts. -ERR_USAGE names what contradicts. */
int tune_fields_read(struct param_set *fields, const struct param_set *args, struct err *e) MUST_CHECK;

/* Where the things are that fields name; owned. NULL: the field is not given. */
struct tune_places {
    struct cli_data data, eval_data, eval_cases;
    char *adapter_init; /* to open */
    char *adapters[TRAIN_MAX_STACK];
    char *output; /* as it was given, for people */
};
/* Resolve the fields, and write into them what means the same from any directory and later: an absolute path, or a
 * registry name with its version. Deinit also after a failure. */
int tune_places_find(struct tune_places *p, const struct cli *c, struct param_set *fields, struct err *e) MUST_CHECK;
/* Let a config that was read from these fields point at the places; they must outlive it. */
void tune_places_put(const struct tune_places *p, struct train_config *config);
void tune_places_deinit(struct tune_places *p);

#endif
