/* Checkpoint files. What always holds: a file under its final name is whole; names sort by step. */
#include "lifecycle/train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/log.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { STATE_MAX_BYTES = 1 << 16, FORMAT = 2 };

/* --- the small state, as JSON --- */

static json_t *state_to_json(const struct checkpoint *c)
{
    return json_pack(
        "{s:i,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:b,s:s}", "format", FORMAT, "step",
        (json_int_t)c->step, "events_bytes", (json_int_t)c->events_bytes, "train_loss", json_finite(c->train_loss),
        "eval_loss", json_finite(c->eval_loss), "best_loss", json_finite(c->best_loss), "score", json_finite(c->score),
        "best_score", json_finite(c->best_score), "evaluated", json_finite(c->evaluated), "score_seconds",
        json_finite(c->score_seconds), "seconds", json_finite(c->seconds), "eval_seconds", json_finite(c->eval_seconds),
        "predicted_seconds", json_finite(c->predicted_seconds), "predicted_peak_bytes",
        json_finite(c->predicted_peak_bytes), "n_tok", (json_int_t)c->n_tok, "n_row", (json_int_t)c->n_row, "bad_evals",
        (json_int_t)c->bad_evals, "stopped", (int)c->stopped, "inputs", c->inputs);
}

static int get_count(const json_t *j, const char *key, uint64_t *out, const char *where, struct err *e)
{
    int64_t v = 0;
    int rc = json_get_int(j, key, 0, INT64_MAX, &v, where, e);
    *out = (uint64_t)v;
    return rc;
}

static int get_number(const json_t *j, const char *key, double *out, const char *where, struct err *e)
{
    *out = (double)NAN;
    return json_opt_float(j, key, -1e300, 1e300, out, where, e);
}

static int state_from_json(struct checkpoint *c, const json_t *j, const char *where, struct err *e)
{
    const char *inputs = NULL;
    int64_t format = 0;
    int rc = json_get_int(j, "format", FORMAT, FORMAT, &format, where, e);
    if (rc == 0) rc = get_count(j, "step", &c->step, where, e);
    if (rc == 0) rc = get_count(j, "events_bytes", &c->events_bytes, where, e);
    if (rc == 0) rc = get_number(j, "train_loss", &c->train_loss, where, e);
    if (rc == 0) rc = get_number(j, "eval_loss", &c->eval_loss, where, e);
    if (rc == 0) rc = get_number(j, "best_loss", &c->best_loss, where, e);
    if (rc == 0) rc = get_number(j, "score", &c->score, where, e);
    if (rc == 0) rc = get_number(j, "best_score", &c->best_score, where, e);
    if (rc == 0) rc = get_number(j, "evaluated", &c->evaluated, where, e);
    if (rc == 0) rc = get_number(j, "score_seconds", &c->score_seconds, where, e);
    if (isnan(c->score_seconds)) c->score_seconds = 0;
    if (rc == 0) rc = get_number(j, "seconds", &c->seconds, where, e);
    if (rc == 0) rc = get_number(j, "eval_seconds", &c->eval_seconds, where, e);
    if (rc == 0) rc = get_number(j, "predicted_seconds", &c->predicted_seconds, where, e);
    if (rc == 0) rc = get_number(j, "predicted_peak_bytes", &c->predicted_peak_bytes, where, e);
    if (rc == 0) rc = get_count(j, "n_tok", &c->n_tok, where, e);
    if (rc == 0) rc = get_count(j, "n_row", &c->n_row, where, e);
    if (rc == 0) rc = get_count(j, "bad_evals", &c->bad_evals, where, e);
    if (rc == 0) rc = json_get_bool(j, "stopped", &c->stopped, where, e);
    if (rc == 0) rc = json_get_str(j, "inputs", &inputs, where, e);
    if (rc == 0) snprintf(c->inputs, sizeof(c->inputs), "%s", inputs);
    return rc;
}

/* --- writing --- */

static struct safetensors_item floats(const char *name, const float *data, size_t n)
{
    return (struct safetensors_item){.name = name, .type = TENSOR_F32, .shape = {n}, .n_dim = 1, .data = data};
}

static bool is_checkpoint(const char *name)
{
    return str_starts(name, "step-") && str_ends(name, ".safetensors");
}

/* Checkpoints but the newest, and what an interrupted write left. */
static int remove_old(const char *dir, struct err *e)
{
    char **name;
    size_t n, n_kept = 0;
    int rc = file_list_dir(dir, &name, &n, e);
    if (rc != 0) return rc;
    for (size_t i = n; i-- > 0;) {
        bool keep = is_checkpoint(name[i]) && n_kept < CHECKPOINT_KEEP;
        n_kept += keep;
        if (rc == 0 && !keep) {
            char *path = path_join(dir, name[i]);
            rc = file_remove_tree(path, e);
            mem_free(path);
        }
        mem_free(name[i]);
    }
    mem_free(name);
    return rc;
}

int checkpoint_save(const char *dir, const struct checkpoint *c, struct err *e)
{
    char name[64];
    snprintf(name, sizeof(name), "step-%010llu.safetensors", (unsigned long long)c->step);
    char *path = path_join(dir, name);
    struct buf state;
    buf_init(&state, STATE_MAX_BYTES);
    json_t *j = state_to_json(c);
    int rc = j == NULL || json_format(j, JSON_LINE, &state) != 0
                 ? err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path)
                 : 0;
    json_decref(j);
    if (rc == 0) {
        struct safetensors_item item[4] = {
            {.name = "state", .type = TENSOR_U8, .shape = {state.len}, .n_dim = 1, .data = state.data},
            floats("params", c->params, c->n_param),
            {.name = "optimizer", .type = TENSOR_U8, .shape = {c->n_optimizer}, .n_dim = 1, .data = c->optimizer},
            floats("best", c->best, c->n_param)};
        rc = safetensors_save(path, item, c->best != NULL ? 4 : 3, NULL, e);
    }
    if (rc == 0) rc = remove_old(dir, e);
    buf_deinit(&state);
    mem_free(path);
    return rc;
}

/* --- reading --- */

static int read_array(const struct safetensors *s, const char *name, float *out, size_t n, const char *path,
                      struct err *e)
{
    const struct tensor_info *t = safetensors_find(s, name);
    if (t == NULL || t->type != TENSOR_F32 || t->n_dim != 1 || t->shape[0] != n)
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it has no %s of %zu values", path, name, n);
    return safetensors_read_f32(s, t, out, n, e);
}

static int read_optimizer(const struct safetensors *s, struct checkpoint *c, const char *path, struct err *e)
{
    const struct tensor_info *t = safetensors_find(s, "optimizer");
    if (t == NULL || t->type != TENSOR_U8 || t->n_bytes != c->n_optimizer)
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it has no state of this optimizer", path);
    return safetensors_read(s, t, c->optimizer, 0, c->n_optimizer, e);
}

static int read_state(const struct safetensors *s, struct checkpoint *c, const char *path, struct err *e)
{
    char text[STATE_MAX_BYTES];
    json_t *j = NULL;
    const struct tensor_info *t = safetensors_find(s, "state");
    if (t == NULL || t->type != TENSOR_U8 || t->n_bytes > sizeof(text))
        return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it is no checkpoint", path);
    int rc = safetensors_read(s, t, text, 0, (size_t)t->n_bytes, e);
    if (rc == 0) rc = json_parse(text, (size_t)t->n_bytes, path, &j, e);
    if (rc == 0) rc = state_from_json(c, j, path, e);
    json_decref(j);
    return rc;
}

static int read_one(const char *path, struct checkpoint *c, struct err *e)
{
    struct safetensors *s;
    int rc = safetensors_open(&s, path, e);
    if (rc != 0) return rc;
    rc = read_state(s, c, path, e);
    if (rc == 0) rc = read_array(s, "params", c->params, c->n_param, path, e);
    if (rc == 0) rc = read_optimizer(s, c, path, e);
    if (rc == 0 && c->best != NULL) rc = read_array(s, "best", c->best, c->n_param, path, e);
    safetensors_close(s);
    return rc;
}

int checkpoint_load(const char *dir, struct checkpoint *c, bool *found, struct err *e)
{
    char **name;
    size_t n;
    *found = false;
    int rc = file_list_dir(dir, &name, &n, e);
    if (rc != 0) return rc;
    for (size_t i = n; i-- > 0;) {
        if (!*found && is_checkpoint(name[i])) {
            char *path = path_join(dir, name[i]);
            struct err broken;
            *found = read_one(path, c, &broken) == 0;
            if (!*found) log_warn("%s; the checkpoint before it is used", broken.msg);
            mem_free(path);
        }
        mem_free(name[i]);
    }
    mem_free(name);
    return 0;
}
