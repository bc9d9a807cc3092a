/* Tuning runs read back. Owns what it loads. What always holds: nothing in the directory is changed. */
#include "doors/cli/run_view.h"

#include <string.h>

#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/train/config.h"

enum { MANIFEST_MAX_BYTES = 1 << 26 };

bool run_view_is_tuning(const char *dir)
{
    char *yaml = path_join(dir, "run.yaml"), *events = path_join(dir, "events.jsonl");
    bool is = file_exists(yaml) && file_exists(events);
    mem_free(yaml);
    mem_free(events);
    return is;
}

static int read_fields(struct run_view *v, struct err *e)
{
    struct param_set *s = param_set_new(train_params, train_n_param);
    char *path = path_join(v->dir, "run.yaml");
    int rc = param_set_yaml(s, path, e);
    if (rc == 0) v->fields = param_to_json(s);
    if (rc == 0 && v->fields == NULL) rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    mem_free(path);
    param_set_free(s);
    return rc;
}

int run_view_open(struct run_view *v, const char *dir, struct err *e)
{
    *v = (struct run_view){.dir = dir};
    if (!run_view_is_tuning(dir))
        return err_set(e, ERR_INPUT, dir, "cannot read the run \"%s\": no tuning run is there", dir);
    char *path = path_join(dir, "manifest.json");
    int rc = read_fields(v, e);
    if (rc == 0) rc = json_read_file(path, MANIFEST_MAX_BYTES, &v->manifest, e);
    if (rc == 0) rc = training_load(&v->train, dir, e);
    size_t n = json_array_size(v->train.loss);
    if (n > 0) v->step = (uint64_t)json_number_value(json_array_get(json_array_get(v->train.loss, n - 1), 0));
    mem_free(path);
    return rc;
}

void run_view_close(struct run_view *v)
{
    json_decref(v->fields);
    json_decref(v->manifest);
    training_deinit(&v->train);
    *v = (struct run_view){0};
}

const char *run_view_state(const struct run_view *v)
{
    if (v->train.done == NULL) return "unfinished";
    return json_is_true(json_object_get(v->train.done, "stopped_early")) ? "stopped early" : "done";
}

const char *run_view_state_text(const struct cli *c, const char *state)
{
    if (c->lang != LANG_ZH) return state;
    return str_eq(state, "done") ? "已完成" : str_eq(state, "stopped early") ? "提前停止" : "未完成";
}

/* The y of the last point of a curve, or null. */
static json_t *last_of(const json_t *curve)
{
    size_t n = json_array_size(curve);
    json_t *y = n > 0 ? json_array_get(json_array_get(curve, n - 1), 1) : NULL;
    return y != NULL ? json_incref(y) : json_null();
}

json_t *run_view_result(const struct run_view *v)
{
    json_t *r = v->train.done != NULL
                    ? json_copy(v->train.done)
                    : json_pack("{s:I,s:o,s:o,s:o}", "steps", (json_int_t)v->step, "train_loss", last_of(v->train.loss),
                                "eval_loss", last_of(v->train.eval_loss), "score", last_of(v->train.score));
    (void)json_object_del(r, "event");
    if (r != NULL) (void)json_object_set_new(r, "state", json_string(run_view_state(v)));
    return r;
}
