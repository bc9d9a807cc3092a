/* The preset of a tuning run: whether one is wanted, found before the fields are completed, and its choices, once the
 * model is there. */
#ifndef CLI_TUNE_PRESET_H
#define CLI_TUNE_PRESET_H

#include "doors/cli/cli_model.h"
#include "doors/cli/tune_fields.h"

struct tune_preset {
    bool wanted;
    bool has_length; /* epochs or max_steps was given */
};
/* Before train_config_read, which completes the fields. */
void tune_preset_begin(struct tune_preset *p, const struct param_set *fields);
/* Choose, saying what and why, and read config again from the completed fields. Nothing where no preset is wanted. */
int tune_preset_fill(const struct tune_preset *p, struct param_set *fields, struct train_config *config,
                     const struct tune_places *places, const struct cli_model *m,
                     void (*say)(void *arg, const char *line), void *arg, struct err *e) MUST_CHECK;

#endif
