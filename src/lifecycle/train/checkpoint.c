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

/* Arrays of device memory in the order of the file, behind the state. */
enum { N_ARRAY = 3 };
static const char *const array_name[N_ARRAY] = {"params", "optimizer", "best"};

static float *array_of(const struct checkpoint *c, size_t i)
{
    return i == 0 ? c->params : i == 1 ? c->optimizer : c->best;
}

/* The optimizer's state is bytes, whatever they mean to it. */
static struct safetensors_item item_of(const struct checkpoint *c, size_t i)
{
    bool bytes = i == 1;
    return (struct safetensors_item){.name = array_name[i],
                                     .type = bytes ? TENSOR_U8 : TENSOR_F32,
                                     .shape = {bytes ? c->n_optimizer * sizeof(float) : c->n_param},
                                     .n_dim = 1};
}

static int read_piece(void *arg, size_t idx, uint64_t at, void *data, size_t n_bytes, struct err *e)
{
    const struct checkpoint *c = arg;
    (void)e;
    dev_read(c->dev, data, array_of(c, idx - 1) + at / sizeof(float), n_bytes / sizeof(float));
    return 0;
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
        struct checkpoint from = *c;
        struct safetensors_item item[1 + N_ARRAY] = {
            {.name = "state", .type = TENSOR_U8, .shape = {state.len}, .n_dim = 1, .data = state.data}};
        for (size_t i = 0; i < N_ARRAY; i++) item[1 + i] = item_of(c, i);
        rc = safetensors_save_pieces(path, item, c->best != NULL ? 4 : 3, read_piece, &from, e);
    }
    if (rc == 0) rc = remove_old(dir, e);
    buf_deinit(&state);
    mem_free(path);
    return rc;
}

/* --- reading --- */

static int check_array(const struct safetensors *s, const struct checkpoint *c, size_t i, const char *path,
                       struct err *e)
{
    const struct safetensors_item want = item_of(c, i);
    const struct tensor_info *t = safetensors_find(s, want.name);
    if (t != NULL && t->type == want.type && t->n_dim == 1 && t->shape[0] == want.shape[0]) return 0;
    return err_set(e, ERR_INPUT, path, "cannot read \"%s\": it has no %s of %zu values", path, want.name,
                   (size_t)want.shape[0]);
}

static int read_array(const struct safetensors *s, struct checkpoint *c, size_t i, char *piece, struct err *e)
{
    const struct tensor_info *t = safetensors_find(s, array_name[i]);
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < t->n_bytes; at += SAFETENSORS_PIECE) {
        size_t n = t->n_bytes - at < SAFETENSORS_PIECE ? (size_t)(t->n_bytes - at) : SAFETENSORS_PIECE;
        rc = safetensors_read(s, t, piece, at, n, e);
        if (rc == 0)
            dev_write(c->dev, array_of(c, i) + at / sizeof(float), (const float *)(const void *)piece,
                      n / sizeof(float));
    }
    return rc;
}

/* All arrays; *torn: some of them were overwritten when it failed. */
static int read_arrays(const struct safetensors *s, struct checkpoint *c, bool *torn, const char *path, struct err *e)
{
    size_t n = c->best != NULL ? N_ARRAY : N_ARRAY - 1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) rc = check_array(s, c, i, path, e);
    char *piece = rc == 0 ? mem_try_aligned(SAFETENSORS_PIECE) : NULL;
    if (rc == 0 && piece == NULL) rc = err_set(e, ERR_NOMEM, path, "cannot read \"%s\": out of memory", path);
    *torn = rc == 0;
    for (size_t i = 0; rc == 0 && i < n; i++) rc = read_array(s, c, i, piece, e);
    *torn = *torn && rc != 0;
    mem_free(piece);
    return rc;
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

static int read_one(const char *path, struct checkpoint *c, bool *torn, struct err *e)
{
    struct safetensors *s;
    *torn = false;
    int rc = safetensors_open(&s, path, e);
    if (rc != 0) return rc;
    rc = read_state(s, c, path, e);
    if (rc == 0) rc = read_arrays(s, c, torn, path, e);
    safetensors_close(s);
    return rc;
}

int checkpoint_load(const char *dir, struct checkpoint *c, bool *found, struct err *e)
{
    char **name;
    size_t n;
    bool dirty = false, torn;
    *found = false;
    int rc = file_list_dir(dir, &name, &n, e);
    if (rc != 0) return rc;
    for (size_t i = n; i-- > 0;) {
        if (!*found && is_checkpoint(name[i])) {
            char *path = path_join(dir, name[i]);
            struct err broken;
            *found = read_one(path, c, &torn, &broken) == 0;
            dirty = !*found && (dirty || torn);
            if (!*found) log_warn("%s; the checkpoint before it is used", broken.msg);
            mem_free(path);
        }
        mem_free(name[i]);
    }
    mem_free(name);
    return dirty ? err_set(e, ERR_IO, dir, "cannot resume from \"%s\": no checkpoint there can be read", dir) : 0;
}
