/* runs list, runs show: the run directories that were recorded. */
#include <stdio.h>

#include "doors/cli/run_view.h"
#include "doors/cli/text_plot.h"
#include "govern/registry/registry.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/train/config.h"

extern const struct command cmd_runs_list, cmd_runs_show;

static const char *kind_text(const struct cli *c, const char *kind)
{
    if (c->lang == LANG_ZH && str_eq(kind, "tune")) return "微调";
    return c->lang == LANG_ZH && str_eq(kind, "eval") ? "评测" : kind;
}

/* Of a tuning run that is there: its state, how far it came and its losses, into its row. */
static void add_result(json_t *row)
{
    struct run_view v = {0};
    const char *dir = json_string_value(json_object_get(row, "path"));
    struct err ignored; /* a run that cannot be read stands in the list as before */
    if (!str_eq(json_string_value(json_object_get(row, "kind")), "tune") ||
        !json_is_true(json_object_get(row, "exists")))
        return;
    if (run_view_open(&v, dir, &ignored) == 0) {
        static const char *const key[] = {"state", "steps", "train_loss", "eval_loss"};
        json_t *result = run_view_result(&v);
        for (size_t i = 0; i < N_ELEM(key); i++) (void)json_object_set(row, key[i], json_object_get(result, key[i]));
        json_decref(result);
    }
    run_view_close(&v);
}

static void print_row(const struct cli *c, const json_t *row)
{
    const char *kind = kind_text(c, json_string_value(json_object_get(row, "kind")));
    const char *state = json_string_value(json_object_get(row, "state"));
    const json_t *loss = json_object_get(row, "eval_loss");
    if (!json_is_number(loss)) loss = json_object_get(row, "train_loss");
    printf("%s  %s%*s  %s%s", json_string_value(json_object_get(row, "time")), kind, str_padding(kind, 6), "",
           json_string_value(json_object_get(row, "path")),
           json_is_true(json_object_get(row, "exists")) ? "" : cli_text(c, "  (gone)", "（已不存在）"));
    if (state != NULL)
        printf(cli_text(c, "  %s, %lld steps", "  %s，%lld 步"), run_view_state_text(c, state),
               (long long)json_integer_value(json_object_get(row, "steps")));
    if (state != NULL && json_is_number(loss))
        printf(cli_text(c, ", loss %.4f", "，损失 %.4f"), json_number_value(loss));
    putchar('\n');
}

static int run_list(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct registry *r;
    json_t *list = NULL;
    (void)args;
    int rc = registry_open(&r, c->home, e);
    if (rc) return rc;
    rc = registry_runs(r, &list, e);
    registry_close(r);
    if (rc) return rc;
    for (size_t i = 0; i < json_array_size(list); i++) add_result(json_array_get(list, i));
    if (c->json) {
        cli_print_json(json_pack("{s:o}", "runs", list));
        return EXIT_OK;
    }
    puts(json_array_size(list) == 0
             ? cli_text(c, "nothing yet", "暂无内容")
             : cli_text(c, "time                  kind    directory", "时间                  类别    目录"));
    for (size_t i = 0; i < json_array_size(list); i++) print_row(c, json_array_get(list, i));
    json_decref(list);
    return EXIT_OK;
}

static const struct param show_params[] = {
    {"run", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "DIR", "run directory",
     "运行目录"},
};

static void print_fields(const struct run_view *v)
{
    struct param_set *usual = param_set_new(train_params, train_n_param);
    json_t *initial = param_to_json(usual), *value;
    const char *name;
    json_object_foreach(v->fields, name, value)
    {
        struct buf text;
        json_t *was = json_object_get(initial, name);
        buf_init(&text, 1 << 20);
        if ((was == NULL || !json_equal(was, value)) && json_format(value, JSON_LINE, &text) == 0)
            printf("  %s%*s %s\n", name, str_padding(name, 18), "", text.data);
        buf_deinit(&text);
    }
    json_decref(initial);
    param_set_free(usual);
}

static void print_curve(const char *title, const json_t *curve)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    if (text_plot(&curve, 1, 68, 12, &text) == 0 && text.len > 0) printf("%s\n%s", title, text.data);
    buf_deinit(&text);
}

/* A tuning run for people; the manifest, with the result beside it, as JSON. */
static int show_tuning(const struct cli *c, const char *dir, struct err *e)
{
    struct run_view v = {0};
    int rc = run_view_open(&v, dir, e);
    json_t *result = rc == 0 ? run_view_result(&v) : NULL;
    if (rc == 0 && c->json) {
        if (json_object_set(v.manifest, "result", result) != 0)
            rc = err_set(e, ERR_NOMEM, dir, "cannot show run \"%s\": out of memory", dir);
        else
            cli_print_json(json_incref(v.manifest));
    } else if (rc == 0) {
        double loss = json_number_value(json_object_get(result, "train_loss"));
        printf(cli_text(c, "%s: %s, %lld steps, loss %.4f\n", "%s：%s，%lld 步，损失 %.4f\n"), dir,
               run_view_state_text(c, run_view_state(&v)),
               (long long)json_integer_value(json_object_get(result, "steps")), loss);
        puts(cli_text(c, "fields that are not the defaults", "不同于默认值的字段"));
        print_fields(&v);
        print_curve(cli_text(c, "loss by step", "各步的损失"), v.train.loss);
        print_curve(cli_text(c, "loss on eval_data by step", "各步在 eval_data 上的损失"), v.train.eval_loss);
        print_curve(cli_text(c, "score on eval_cases by step", "各步在 eval_cases 上的得分"), v.train.score);
    }
    json_decref(result);
    run_view_close(&v);
    return rc;
}

static int run_show(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *dir = param_str(args, "run");
    if (run_view_is_tuning(dir)) return show_tuning(c, dir, e);
    char *path = path_join(dir, "manifest.json");
    json_t *manifest = NULL;
    struct buf text;
    buf_init(&text, 1 << 26);
    int rc = file_exists(path) ? json_read_file(path, 1 << 26, &manifest, e)
                               : err_set(e, ERR_NOT_FOUND, dir, "cannot show run \"%s\": it has no manifest.json", dir);
    mem_free(path);
    if (rc == 0 && c->json)
        cli_print_json(json_incref(manifest));
    else if (rc == 0 && json_format(manifest, JSON_PRETTY, &text) == 0)
        fputs(text.data, stdout);
    json_decref(manifest);
    buf_deinit(&text);
    return rc;
}

const struct command cmd_runs_list = {
    .name = "runs list",
    .summary_en = "run directories, newest first",
    .summary_zh = "运行目录，最新的在前",
    .usage = "",
    .example = "tailor runs list",
    .run = run_list,
};

const struct command cmd_runs_show = {
    .name = "runs show",
    .summary_en = "a tuning run: fields, result, curves; the manifest of another",
    .summary_zh = "微调运行的字段、结果与曲线；其他运行的清单",
    .usage = "DIR",
    .example = "tailor runs show runs/base",
    .params = show_params,
    .n_param = N_ELEM(show_params),
    .run = run_show,
};
