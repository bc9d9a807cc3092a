/* Fields of a tuning run: sources laid over each other, and places made independent of where the program runs. Owns
 * only what struct tune_places holds. What always holds: a run directory written from these fields can be resumed from
 * any working directory. */
#include "doors/cli/tune_fields.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

/* --- sources --- */

static int read_yaml_of(struct param_set *s, const char *dir, struct err *e)
{
    char *path = path_join(dir, "run.yaml");
    int rc = file_exists(path) ? param_set_yaml(s, path, e)
                               : err_set(e, ERR_NOT_FOUND, dir, "cannot read the run \"%s\": it has no run.yaml", dir);
    mem_free(path);
    return rc;
}

static int apply_set(struct param_set *s, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text) return err_set(e, ERR_USAGE, text, "cannot set \"%s\": KEY=VALUE is needed", text);
    char *key = mem_strndup(text, (size_t)(eq - text));
    int rc = param_set_text(s, key, eq + 1, e);
    mem_free(key);
    return rc;
}

/* --set, then the flags: the last one wins. */
static int apply_flags(struct param_set *s, const struct param_set *args, struct err *e)
{
    json_t *values = param_to_json(args);
    int rc = values == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot read the command line: out of memory") : 0;
    for (size_t i = 0; rc == 0 && i < param_count(args, "set"); i++) rc = apply_set(s, param_str_at(args, "set", i), e);
    for (size_t i = 0; rc == 0 && i < train_n_param; i++) {
        const char *name = train_params[i].name;
        if (param_is_set(args, name)) rc = param_set_json(s, name, json_object_get(values, name), e);
    }
    json_decref(values);
    return rc;
}

static int apply_run_file(struct param_set *s, const struct param_set *args, struct err *e)
{
    const char *path = param_str(args, "run");
    return path == NULL ? 0 : param_set_yaml(s, path, e);
}

/* Lay one source over s. epochs and max_steps are two ways to say one thing, so a source that names one of them takes
 * back the other of the sources below. */
static int lay_over(struct param_set *s, const struct param_set *args,
                    int (*apply)(struct param_set *, const struct param_set *, struct err *), struct err *e)
{
    struct param_set *alone = param_set_new(train_params, train_n_param);
    int rc = apply(alone, args, e);
    bool epochs = param_is_set(alone, "epochs"), steps = param_is_set(alone, "max_steps");
    param_set_free(alone);
    if (rc == 0 && epochs) param_clear(s, "max_steps");
    if (rc == 0 && steps) param_clear(s, "epochs");
    return rc != 0 ? rc : apply(s, args, e);
}

/* Fields that may change when a run goes on: its result does not depend on them. */
static bool may_change(const char *name)
{
    static const char *const free_to[] = {"threads", "recompute", "memory_limit", "save_every"};
    for (size_t i = 0; i < N_ELEM(free_to); i++)
        if (str_eq(name, free_to[i])) return true;
    return false;
}

static int read_resumed(struct param_set *s, const struct param_set *args, struct err *e)
{
    const char *dir = param_str(args, "resume");
    int rc = read_yaml_of(s, dir, e);
    if (rc == 0 && (param_is_set(args, "run") || param_is_set(args, "from") || param_count(args, "set") > 0))
        rc = err_set(e, ERR_USAGE, "resume",
                     "cannot resume \"%s\" with other fields: --resume stands without run, from and set", dir);
    for (size_t i = 0; rc == 0 && i < train_n_param; i++) {
        const char *name = train_params[i].name;
        if (param_is_set(args, name) && !may_change(name))
            rc = err_set(e, ERR_USAGE, name,
                         "cannot resume \"%s\" with another %s: a run keeps its fields (--from copies them "
                         "into a new one)",
                         dir, name);
    }
    if (rc == 0) rc = apply_flags(s, args, e);
    return rc != 0 ? rc : param_set_text(s, "output", dir, e);
}

static bool is_given(const struct param_set *fields, const char *name)
{
    const char *said = param_str(fields, name);
    return said != NULL && *said != '\0'; /* whoever needs it says so */
}

enum { MAX_NAME = 100000 };

/* A run that is not told where: runs/tune-1, or beside the run that it copies (runs/first-2); the first that is free.
 */
static int name_output(struct param_set *fields, const char *from, struct err *e)
{
    const char *stem = from != NULL ? from : "runs/tune";
    char path[PATH_MAX];
    size_t n = strlen(stem);
    while (n > 1 && stem[n - 1] == '/') n--;
    for (int i = from != NULL ? 2 : 1; i < MAX_NAME; i++) {
        int len = snprintf(path, sizeof(path), "%.*s-%d", (int)n, stem, i);
        if (len >= (int)sizeof(path))
            return err_set(e, ERR_LIMIT, stem, "cannot name a run after \"%s\": the name is too long", stem);
        if (!file_exists(path)) return param_set_text(fields, "output", path, e);
    }
    return err_set(e, ERR_USAGE, "output", "cannot name the run: %s-1 to %s-%d are taken, output is needed", stem, stem,
                   MAX_NAME);
}

int tune_fields_read(struct param_set *fields, const struct param_set *args, struct err *e)
{
    if (param_str(args, "resume") != NULL) return read_resumed(fields, args, e);
    const char *from = param_str(args, "from");
    int rc = from != NULL ? read_yaml_of(fields, from, e) : 0;
    if (rc == 0) param_clear(fields, "output"); /* where the other run is */
    if (rc == 0) rc = lay_over(fields, args, apply_run_file, e);
    if (rc == 0) rc = lay_over(fields, args, apply_flags, e);
    return rc != 0 || is_given(fields, "output") ? rc : name_output(fields, from, e);
}

/* --- places --- */

/* A path becomes an absolute one, a name gets its version. */
static int pin(const struct cli *c, struct param_set *fields, const char *name, struct err *e)
{
    char *pinned = NULL;
    if (!is_given(fields, name)) return 0;
    int rc = cli_model_pin(c, param_str(fields, name), &pinned, e);
    if (rc == 0) rc = param_set_text(fields, name, pinned, e);
    mem_free(pinned);
    return rc;
}

static int find_adapter(struct tune_places *p, const struct cli *c, struct param_set *fields, struct err *e)
{
    int rc = pin(c, fields, "adapter_init", e);
    return rc != 0 || !is_given(fields, "adapter_init")
               ? rc
               : cli_model_path(c, param_str(fields, "adapter_init"), &p->adapter_init, e);
}

/* Every one of a list, pinned as a single one is. */
static int find_stack(struct tune_places *p, const struct cli *c, struct param_set *fields, struct err *e)
{
    size_t n = param_count(fields, "adapters");
    json_t *pinned = json_array();
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n && i < TRAIN_MAX_STACK; i++) {
        const char *name = param_str_at(fields, "adapters", i);
        char *text = NULL;
        rc = cli_model_pin(c, name, &text, e);
        if (rc == 0) rc = cli_model_path(c, text, &p->adapters[i], e);
        if (rc == 0) (void)json_array_append_new(pinned, json_string(text));
        mem_free(text);
    }
    if (rc == 0 && n > 0 && n == json_array_size(pinned)) rc = param_set_json(fields, "adapters", pinned, e);
    json_decref(pinned);
    return rc;
}

static int find_data(struct cli_data *d, const struct cli *c, struct param_set *fields, const char *name,
                     const char *file, struct err *e)
{
    if (!is_given(fields, name)) return 0;
    int rc = cli_data_find(d, c, param_str(fields, name), file, e);
    return rc != 0 ? rc : param_set_text(fields, name, d->pinned, e);
}

/* A dataset says in which format its rows are. One and the same dataset in both places would measure nothing: its test
 * cases are for eval. */
static int settle_data(const struct tune_places *p, struct param_set *fields, struct err *e)
{
    if (p->data.is_registered && str_eq(p->data.pinned, p->eval_data.pinned))
        return err_set(e, ERR_USAGE, "eval_data",
                       "cannot measure the loss on \"%s\": data is the same dataset; rows that are not trained on are "
                       "needed",
                       p->eval_data.pinned);
    if (p->data.format[0] == '\0' || param_is_set(fields, "data_format")) return 0;
    return param_set_text(fields, "data_format", p->data.format, e);
}

static int find_output(struct tune_places *p, struct param_set *fields, struct err *e)
{
    char *path = NULL;
    if (!is_given(fields, "output")) return 0;
    p->output = mem_strdup(param_str(fields, "output"));
    int rc = path_absolute(p->output, &path, e);
    if (rc == 0) rc = param_set_text(fields, "output", path, e);
    mem_free(path);
    return rc;
}

int tune_places_find(struct tune_places *p, const struct cli *c, struct param_set *fields, struct err *e)
{
    *p = (struct tune_places){0};
    int rc = pin(c, fields, "base", e);
    if (rc == 0) rc = find_data(&p->data, c, fields, "data", "train.jsonl", e);
    if (rc == 0) rc = find_data(&p->eval_data, c, fields, "eval_data", "train.jsonl", e);
    if (rc == 0) rc = find_data(&p->eval_cases, c, fields, "eval_cases", "cases.jsonl", e);
    if (rc == 0) rc = settle_data(p, fields, e);
    if (rc == 0) rc = find_adapter(p, c, fields, e);
    if (rc == 0) rc = find_stack(p, c, fields, e);
    return rc != 0 ? rc : find_output(p, fields, e);
}

void tune_places_put(const struct tune_places *p, struct train_config *config)
{
    config->data = p->data.path;
    config->eval_data = p->eval_data.path;
    config->eval_cases = p->eval_cases.path;
    config->adapter_init = p->adapter_init;
    for (int i = 0; i < config->n_adapter; i++) config->adapters[i] = p->adapters[i];
    config->output = p->output;
}

void tune_places_deinit(struct tune_places *p)
{
    cli_data_deinit(&p->data);
    cli_data_deinit(&p->eval_data);
    cli_data_deinit(&p->eval_cases);
    mem_free(p->adapter_init);
    for (size_t i = 0; i < TRAIN_MAX_STACK; i++) mem_free(p->adapters[i]);
    mem_free(p->output);
    *p = (struct tune_places){0};
}
