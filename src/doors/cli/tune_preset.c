/* When a preset is filled in. Owns nothing. What always holds: without a wanted preset no field is touched. */
#include "doors/cli/tune_preset.h"

#include "ground/sys/machine.h"
#include "lifecycle/train/preset.h"

void tune_preset_begin(struct tune_preset *p, const struct param_set *fields)
{
    p->wanted = preset_wanted(fields);
    p->has_length = param_is_set(fields, "epochs") || param_is_set(fields, "max_steps");
}

/* At least a byte: none would be no limit. */
static uint64_t left_of(uint64_t limit, uint64_t taken)
{
    return limit > taken ? limit - taken : 1;
}

int tune_preset_fill(const struct tune_preset *p, struct param_set *fields, struct train_config *config,
                     const struct tune_places *places, const struct cli_model *m,
                     void (*say)(void *arg, const char *line), void *arg, struct err *e)
{
    struct preset_facts f;
    struct machine machine;
    if (!p->wanted) return 0;
    int rc = preset_look(&f, m->file, m->model, config->data, e);
    if (rc != 0) return rc;
    machine_describe(&machine);
    f.has_eval = config->eval_data != NULL;
    f.limit_bytes = machine.memory_available_bytes / 2;
    if (config->memory_limit_bytes > 0) f.limit_bytes = left_of(config->memory_limit_bytes, machine_rss_bytes());
    if (!p->has_length) param_clear(fields, "epochs"); /* one epoch was filled in, nobody asked for it */
    rc = preset_fill(fields, &f, m->model, say, arg, e);
    if (rc == 0) rc = train_config_read(config, fields, e);
    if (rc == 0) tune_places_put(places, config);
    return rc;
}
