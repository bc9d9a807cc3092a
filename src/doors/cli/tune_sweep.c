/* Sweeps. Owns the directory of runs and sweep.json in it, which names what was asked and what came of it. What always
 * holds: the names of the runs follow from their values alone, so the same command finds them again. */
#include "doors/cli/tune_sweep.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/message_zh.h"
#include "doors/cli/tune_fields.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/train/preset.h"

enum { MAX_AXIS = 8, MAX_RUN = 1000, MAX_SWEEP_BYTES = 16 << 20, NAME_SIZE = 200 };

/* One field and its values. */
struct axis {
    char *key, **value;
    size_t n;
};

struct sweep {
    const struct cli *c;
    const struct param_set *args;
    tune_fn tune;
    struct axis axis[MAX_AXIS];
    size_t n_axis, n_run;
    char *dir;
    json_t *asked; /* {"fields", "grid"} */
    json_t *runs;  /* what came of them */
};

/* --- the grid --- */

static void axis_deinit(struct axis *a)
{
    for (size_t i = 0; i < a->n; i++) mem_free(a->value[i]);
    mem_free(a->value);
    mem_free(a->key);
}

static int add_value(struct axis *a, const char *text, size_t n, struct err *e)
{
    struct param_set *alone = param_set_new(train_params, train_n_param);
    char *value = mem_strndup(text, n);
    int rc = param_set_text(alone, a->key, value, e);
    param_set_free(alone);
    for (size_t i = 0; rc == 0 && i < a->n; i++)
        if (str_eq(a->value[i], value))
            rc = err_set(e, ERR_USAGE, a->key, "cannot sweep over %s: the value %s is there twice", a->key, value);
    char **grown = rc == 0 ? mem_try_realloc(a->value, (a->n + 1) * sizeof(*grown)) : NULL;
    if (rc == 0 && grown == NULL) rc = err_set(e, ERR_NOMEM, a->key, "cannot sweep over %s: out of memory", a->key);
    if (rc != 0) {
        mem_free(value);
        return rc;
    }
    a->value = grown;
    a->value[a->n++] = value;
    return 0;
}

static int parse_axis(struct axis *a, const char *text, struct err *e)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text)
        return err_set(e, ERR_USAGE, text, "cannot sweep over \"%s\": KEY=VALUE,VALUE... is needed", text);
    a->key = mem_strndup(text, (size_t)(eq - text));
    if (str_eq(a->key, "output"))
        return err_set(e, ERR_USAGE, "grid", "cannot sweep over output: every run has a place of its own under it");
    int rc = 0;
    for (const char *at = eq + 1; rc == 0;) {
        size_t n = strcspn(at, ",");
        rc = add_value(a, at, n, e);
        if (at[n] == '\0') break;
        at += n + 1;
    }
    return rc;
}

static int parse_grid(struct sweep *s, struct err *e)
{
    size_t n = param_count(s->args, "grid");
    s->n_run = 1;
    if (n > MAX_AXIS)
        return err_set(e, ERR_USAGE, "grid", "cannot sweep over %zu fields, %d are possible", n, MAX_AXIS);
    for (size_t i = 0; i < n; i++) {
        int rc = parse_axis(&s->axis[s->n_axis++], param_str_at(s->args, "grid", i), e);
        if (rc != 0) return rc;
        for (size_t k = 0; k < i; k++)
            if (str_eq(s->axis[k].key, s->axis[i].key))
                return err_set(e, ERR_USAGE, "grid", "cannot sweep over %s twice: all its values go into one grid",
                               s->axis[i].key);
        s->n_run *= s->axis[i].n;
        if (s->n_run > MAX_RUN) return err_set(e, ERR_USAGE, "grid", "cannot sweep over more than %d runs", MAX_RUN);
    }
    return 0;
}

/* Which value of each field run number `idx` has: the last field changes fastest. */
static const char *value_of(const struct sweep *s, size_t idx, size_t axis)
{
    for (size_t i = s->n_axis - 1; i > axis; i--) idx /= s->axis[i].n;
    return s->axis[axis].value[idx % s->axis[axis].n];
}

static int run_name(const struct sweep *s, size_t idx, char name[NAME_SIZE], struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_axis && n < NAME_SIZE; i++)
        n +=
            (size_t)snprintf(name + n, NAME_SIZE - n, "%s%s=%s", i > 0 ? "," : "", s->axis[i].key, value_of(s, idx, i));
    if (n >= NAME_SIZE) return err_set(e, ERR_LIMIT, "grid", "cannot name a run of the sweep: its values are too long");
    for (char *p = name; *p != '\0'; p++)
        if (*p == '/' || *p == ' ') *p = '_';
    return 0;
}

/* --- one run --- */

static int fill_fields(const struct sweep *s, struct param_set *fields, size_t idx, const char *dir, struct err *e)
{
    int rc = tune_fields_read(fields, s->args, e);
    /* the grid alone does not say that somebody has chosen the rest */
    if (rc == 0 && preset_wanted(fields)) rc = param_set_text(fields, "preset", "on", e);
    for (size_t i = 0; i < s->n_axis && rc == 0; i++) {
        if (str_eq(s->axis[i].key, "epochs")) param_clear(fields, "max_steps");
        if (str_eq(s->axis[i].key, "max_steps")) param_clear(fields, "epochs");
        rc = param_set_text(fields, s->axis[i].key, value_of(s, idx, i), e);
    }
    return rc == 0 ? param_set_text(fields, "output", dir, e) : rc;
}

static int resumed_fields(struct param_set *fields, const char *dir, struct err *e)
{
    char *path = path_join(dir, "run.yaml");
    int rc = param_set_yaml(fields, path, e);
    mem_free(path);
    return rc != 0 ? rc : param_set_text(fields, "output", dir, e);
}

static json_t *values_json(const struct sweep *s, size_t idx)
{
    json_t *set = json_object();
    for (size_t i = 0; i < s->n_axis; i++)
        if (json_object_set_new(set, s->axis[i].key, json_string(value_of(s, idx, i))) != 0) return set;
    return set;
}

/* A loss that is no number is a result of a sweep: this learning rate is too high. */
static bool is_divergence(int rc, const struct err *e)
{
    return rc == -ERR_INPUT && (str_eq(e->object, "loss") || str_eq(e->object, "grad_norm"));
}

static int tune_one(struct sweep *s, size_t idx, struct err *e)
{
    struct param_set *fields = param_set_new(train_params, train_n_param);
    struct train_result r = {.train_loss = (double)NAN, .eval_loss = (double)NAN, .score = (double)NAN};
    char name[NAME_SIZE], line[NAME_SIZE + 64];
    int rc = run_name(s, idx, name, e);
    char *dir = path_join(s->dir, rc == 0 ? name : "");
    bool is_there = file_exists(dir);
    if (rc == 0) rc = is_there ? resumed_fields(fields, dir, e) : fill_fields(s, fields, idx, dir, e);
    snprintf(line, sizeof(line), "run %zu of %zu: %s", idx + 1, s->n_run, name);
    if (rc == 0) cli_print_message(s->c->lang, "", "", line);
    if (rc == 0) rc = s->tune(s->c, fields, is_there, &r, e);
    bool diverged = is_divergence(rc, e);
    if (diverged) cli_print_message(s->c->lang, "", "", e->msg);
    if (rc == 0 || diverged) {
        json_t *row = json_pack("{s:s,s:o,s:s,s:I,s:o,s:o,s:o,s:s*,s:o,s:o}", "run", dir, "set", values_json(s, idx),
                                "state", diverged ? "diverged" : "done", "steps", (json_int_t)r.steps, "train_loss",
                                json_finite(r.train_loss), "eval_loss", json_finite(r.eval_loss), "score",
                                json_finite(r.score), "best_by", param_str(fields, "best_by"), "tok_s",
                                json_finite(r.tok_s), "seconds", json_finite(r.seconds));
        rc = json_array_append_new(s->runs, row) == 0 ? 0
                                                      : err_set(e, ERR_NOMEM, dir, "cannot note a run: out of memory");
    }
    mem_free(dir);
    param_set_free(fields);
    return rc;
}

/* --- the directory --- */

static int ask(struct sweep *s, struct err *e)
{
    struct param_set *fields = param_set_new(train_params, train_n_param);
    json_t *grid = json_array();
    int rc = tune_fields_read(fields, s->args, e);
    if (rc == 0) s->dir = mem_strdup(param_str(fields, "output"));
    for (size_t i = 0; i < param_count(s->args, "grid"); i++)
        (void)json_array_append_new(grid, json_string(param_str_at(s->args, "grid", i)));
    s->asked = json_pack("{s:o,s:o}", "fields", param_to_json(fields), "grid", grid);
    param_set_free(fields);
    return rc == 0 && s->asked == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot sweep: out of memory") : rc;
}

static int save(const struct sweep *s, const char *path, struct err *e)
{
    json_t *all = json_copy(s->asked);
    int rc = json_object_set(all, "runs", s->runs) != 0
                 ? err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path)
                 : json_write_file(path, all, e);
    json_decref(all);
    return rc;
}

/* A new directory; or that of the same sweep, which goes on. */
static int open_dir(struct sweep *s, const char *path, struct err *e)
{
    json_t *was = NULL;
    if (!file_exists(s->dir)) {
        int rc = file_mkdirs(s->dir, e);
        return rc != 0 ? rc : save(s, path, e);
    }
    if (!file_exists(path))
        return err_set(e, ERR_CONFLICT, s->dir, "cannot sweep into \"%s\": something else is there", s->dir);
    int rc = json_read_file(path, MAX_SWEEP_BYTES, &was, e);
    if (rc == 0 && (!json_equal(json_object_get(was, "fields"), json_object_get(s->asked, "fields")) ||
                    !json_equal(json_object_get(was, "grid"), json_object_get(s->asked, "grid"))))
        rc = err_set(e, ERR_CONFLICT, s->dir, "cannot sweep into \"%s\": it holds a sweep of other fields or values",
                     s->dir);
    json_decref(was);
    return rc;
}

/* --- results --- */

/* What a run is judged by, lower is better: the score where best_by says so, else eval_data's loss where there is one.
 */
static double judged(const json_t *row)
{
    const json_t *score = json_object_get(row, "score");
    if (json_is_number(score) && str_eq(json_string_value(json_object_get(row, "best_by")), "score"))
        return -json_number_value(score);
    const json_t *v = json_object_get(row, "eval_loss");
    if (!json_is_number(v)) v = json_object_get(row, "train_loss");
    return json_is_number(v) ? json_number_value(v) : (double)INFINITY;
}

static const json_t *best_of(const json_t *runs)
{
    const json_t *best = NULL;
    size_t i;
    json_t *row;
    json_array_foreach(runs, i, row)
    {
        if (isfinite(judged(row)) && (best == NULL || judged(row) < judged(best))) best = row;
    }
    return best;
}

static void print_number(const json_t *v)
{
    if (json_is_number(v))
        printf("%10.4g  ", json_number_value(v));
    else
        printf("%10s  ", "-");
}

static void print_table(const struct sweep *s)
{
    size_t i;
    json_t *row;
    const json_t *best = best_of(s->runs);
    puts(cli_text(s->c, "      loss   eval loss       score     seconds  run",
                  "      损失    评估损失        得分          秒  运行"));
    json_array_foreach(s->runs, i, row)
    {
        print_number(json_object_get(row, "train_loss"));
        print_number(json_object_get(row, "eval_loss"));
        print_number(json_object_get(row, "score"));
        print_number(json_object_get(row, "seconds"));
        printf("%s%s%s\n", path_base(json_string_value(json_object_get(row, "run"))),
               row == best ? cli_text(s->c, "  (best)", "（最佳）") : "",
               str_eq(json_string_value(json_object_get(row, "state")), "diverged")
                   ? cli_text(s->c, "  (diverged)", "（发散）")
                   : "");
    }
    printf("%s/sweep.json\n", s->dir);
}

static void print(const struct sweep *s)
{
    if (!s->c->json) {
        print_table(s);
        return;
    }
    const json_t *best = best_of(s->runs);
    cli_print_json(json_pack("{s:s,s:O,s:o}", "sweep", s->dir, "runs", s->runs, "best",
                             best != NULL ? json_incref(json_object_get(best, "run")) : json_null()));
}

int tune_sweep(const struct cli *c, const struct param_set *args, tune_fn tune, struct err *e)
{
    struct sweep s = {.c = c, .args = args, .tune = tune, .runs = json_array()};
    char *path = NULL;
    int rc = param_str(args, "resume") != NULL
                 ? err_set(e, ERR_USAGE, "grid", "cannot resume with a grid: the same command goes on with a sweep")
                 : parse_grid(&s, e);
    if (rc == 0) rc = ask(&s, e);
    if (rc == 0) path = path_join(s.dir, "sweep.json");
    if (rc == 0) rc = open_dir(&s, path, e);
    for (size_t i = 0; i < s.n_run && rc == 0; i++) {
        rc = tune_one(&s, i, e);
        if (rc == 0) rc = save(&s, path, e);
    }
    if (rc == 0) print(&s);
    for (size_t i = 0; i < s.n_axis; i++) axis_deinit(&s.axis[i]);
    json_decref(s.asked);
    json_decref(s.runs);
    mem_free(s.dir);
    mem_free(path);
    return rc;
}
