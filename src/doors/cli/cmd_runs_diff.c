/* runs diff: in what two tuning runs differ, and what came of it. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/run_view.h"
#include "doors/cli/text_plot.h"
#include "ground/base/file.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "ground/report/document.h"
#include "lifecycle/train/config.h"

extern const struct command cmd_runs_diff;

enum { PLOT_WIDTH = 68, PLOT_HEIGHT = 14, MAX_PICTURE = 8 << 20, MAX_TEXT = 1 << 20 };

static const struct param params[] = {
    {"a", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "A", "directory of a tuning run",
     "一次微调的运行目录"},
    {"b", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "B", "directory of another",
     "另一次的运行目录"},
    {"svg", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.svg", "write the curves as a picture", "把曲线写成 SVG 图片"},
};

/* --- differences --- */

static json_t *or_null(json_t *v)
{
    return v != NULL ? json_incref(v) : json_null();
}

static int add_pair(json_t *list, const char *name, json_t *a, json_t *b)
{
    return json_array_append_new(list, json_pack("{s:s,s:o,s:o}", "name", name, "a", or_null(a), "b", or_null(b)));
}

/* Fields with other values; where the runs are is none. */
static json_t *diff_fields(const struct run_view *a, const struct run_view *b)
{
    json_t *list = json_array();
    int rc = 0;
    for (size_t i = 0; i < train_n_param; i++) {
        const char *name = train_params[i].name;
        json_t *x = json_object_get(a->fields, name), *y = json_object_get(b->fields, name);
        bool same = (x == NULL && y == NULL) || (x != NULL && y != NULL && json_equal(x, y));
        if (!same && !str_eq(name, "output")) rc |= add_pair(list, name, x, y);
    }
    if (rc == 0) return list;
    json_decref(list);
    return NULL;
}

static const char *digest_of(const json_t *input)
{
    const char *hex = json_string_value(json_object_get(input, "sha256"));
    return hex != NULL ? hex : json_string_value(json_object_get(input, "kind"));
}

/* Inputs whose contents are others: base, data, eval_data, template ... */
static json_t *diff_inputs(const struct run_view *a, const struct run_view *b)
{
    json_t *x = json_object_get(a->manifest, "inputs"), *y = json_object_get(b->manifest, "inputs");
    json_t *list = json_array(), *value;
    const char *key;
    int rc = 0;
    json_object_foreach(x, key, value)
    {
        json_t *other = json_object_get(y, key);
        if (!str_eq(key, "config") && !str_eq(digest_of(value), digest_of(other)))
            rc |= add_pair(list, key, value, other);
    }
    json_object_foreach(y, key, value)
    {
        if (json_object_get(x, key) == NULL) rc |= add_pair(list, key, NULL, value);
    }
    if (rc == 0) return list;
    json_decref(list);
    return NULL;
}

/* --- for people --- */

static void value_text(const json_t *v, char *out, size_t size)
{
    struct buf b;
    const char *hex = digest_of(v), *name = json_string_value(json_object_get(v, "name"));
    if (name == NULL) name = json_string_value(json_object_get(v, "path"));
    if (json_is_null(v)) snprintf(out, size, "-");
    if (json_is_null(v)) return;
    if (json_is_object(v) && hex != NULL) {
        snprintf(out, size, "%s%s%.12s", name != NULL ? path_base(name) : "", name != NULL ? " " : "", hex);
        return;
    }
    buf_init(&b, MAX_TEXT);
    if (json_is_string(v))
        snprintf(out, size, "%s", json_string_value(v));
    else if (json_is_real(v))
        snprintf(out, size, "%g", json_real_value(v));
    else if (json_format(v, JSON_LINE, &b) == 0)
        snprintf(out, size, "%s", b.data);
    buf_deinit(&b);
}

static void print_pairs(const json_t *list)
{
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        char a[512] = "", b[512] = "";
        const char *name = json_string_value(json_object_get(row, "name"));
        value_text(json_object_get(row, "a"), a, sizeof(a));
        value_text(json_object_get(row, "b"), b, sizeof(b));
        printf("  %s%*s %s%*s %s\n", name, str_padding(name, 18), "", a, str_padding(a, 28), "", b);
    }
}

/* The one word among results is a state. */
static void result_text(const struct cli *c, const json_t *v, char *out, size_t size)
{
    if (json_is_string(v))
        snprintf(out, size, "%s", run_view_state_text(c, json_string_value(v)));
    else
        value_text(v, out, size);
}

static void print_results(const struct cli *c, const json_t *a, const json_t *b)
{
    static const struct {
        const char *name, *en, *zh;
    } shown[] = {{"state", "state", "状态"},
                 {"steps", "steps", "步数"},
                 {"train_loss", "loss", "损失"},
                 {"eval_loss", "loss on eval_data", "eval_data 损失"},
                 {"score", "score on cases", "测试题得分"},
                 {"seconds", "seconds", "秒"},
                 {"peak_rss_bytes", "memory, bytes", "内存（字节）"}};
    for (size_t i = 0; i < N_ELEM(shown); i++) {
        char x[64] = "-", y[64] = "-";
        const char *name = cli_text(c, shown[i].en, shown[i].zh);
        result_text(c, json_object_get(a, shown[i].name), x, sizeof(x));
        result_text(c, json_object_get(b, shown[i].name), y, sizeof(y));
        printf("  %s%*s %s%*s %s\n", name, str_padding(name, 18), "", x, str_padding(x, 28), "", y);
    }
}

static void print_curves(const char *title, const json_t *a, const json_t *b)
{
    const json_t *series[] = {a, b};
    struct buf b_text;
    buf_init(&b_text, MAX_TEXT);
    if (text_plot(series, 2, PLOT_WIDTH, PLOT_HEIGHT, &b_text) == 0 && b_text.len > 0)
        printf("%s\n%s", title, b_text.data);
    buf_deinit(&b_text);
}

/* --- the picture --- */

static json_t *series(const char *dir, const char *what, json_t *points)
{
    char label[128];
    snprintf(label, sizeof(label), "%.40s%s", path_base(dir), what);
    return json_pack("{s:s,s:O}", "label", label, "points", points);
}

static int save_picture(const struct cli *c, const char *path, const struct run_view *a, const struct run_view *b,
                        struct err *e)
{
    struct buf out;
    json_t *lines = json_array();
    int rc = json_array_append_new(lines, series(a->dir, "", a->train.loss));
    rc |= json_array_append_new(lines, series(b->dir, "", b->train.loss));
    json_t *block = json_pack("{s:s,s:o,s:s,s:s}", "type", "lines", "series", lines, "x", cli_text(c, "step", "步"),
                              "y", cli_text(c, "loss", "损失"));
    buf_init(&out, MAX_PICTURE);
    rc = rc != 0 || block == NULL ? err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path)
                                  : report_svg_lines(block, &out, e);
    if (rc == 0) rc = file_write_atomic(path, out.data, out.len, e);
    json_decref(block);
    buf_deinit(&out);
    return rc;
}

/* --- the command --- */

static json_t *curves(const struct run_view *v)
{
    return json_pack("{s:O,s:O,s:O}", "loss", v->train.loss, "eval_loss", v->train.eval_loss, "score", v->train.score);
}

static void print(const struct cli *c, const struct run_view *a, const struct run_view *b, json_t *fields,
                  json_t *inputs)
{
    json_t *x = run_view_result(a), *y = run_view_result(b);
    if (c->json) {
        cli_print_json(json_pack("{s:s,s:s,s:O,s:O,s:{s:O,s:O},s:{s:o,s:o}}", "a", a->dir, "b", b->dir, "parameters",
                                 fields, "inputs", inputs, "results", "a", x, "b", y, "curves", "a", curves(a), "b",
                                 curves(b)));
    } else {
        printf("* %s\n+ %s\n\n%s\n", a->dir, b->dir,
               json_array_size(fields) > 0 ? cli_text(c, "fields that differ", "不同的字段")
                                           : cli_text(c, "all fields are the same", "所有字段相同"));
        print_pairs(fields);
        puts(json_array_size(inputs) > 0 ? cli_text(c, "inputs that differ", "不同的输入")
                                         : cli_text(c, "base, data and template are the same", "基座、数据与模板相同"));
        print_pairs(inputs);
        puts(cli_text(c, "results", "结果"));
        print_results(c, x, y);
        print_curves(cli_text(c, "\nloss by step", "\n各步的损失"), a->train.loss, b->train.loss);
        print_curves(cli_text(c, "\nloss on eval_data by step", "\n各步在 eval_data 上的损失"), a->train.eval_loss,
                     b->train.eval_loss);
        print_curves(cli_text(c, "\nscore on eval_cases by step", "\n各步在 eval_cases 上的得分"), a->train.score,
                     b->train.score);
    }
    json_decref(x);
    json_decref(y);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct run_view a = {0}, b = {0};
    json_t *fields = NULL, *inputs = NULL;
    int rc = run_view_open(&a, param_str(args, "a"), e);
    if (rc == 0) rc = run_view_open(&b, param_str(args, "b"), e);
    if (rc == 0) {
        fields = diff_fields(&a, &b);
        inputs = diff_inputs(&a, &b);
        if (fields == NULL || inputs == NULL)
            rc = err_set(e, ERR_NOMEM, NULL, "cannot compare the runs: out of memory");
    }
    const char *svg = param_str(args, "svg");
    if (rc == 0 && svg != NULL) rc = save_picture(c, svg, &a, &b, e);
    if (rc == 0) print(c, &a, &b, fields, inputs);
    json_decref(fields);
    json_decref(inputs);
    run_view_close(&a);
    run_view_close(&b);
    return rc;
}

const struct command cmd_runs_diff = {
    .name = "runs diff",
    .summary_en = "in what two tuning runs differ: fields, data, results, curves",
    .summary_zh = "两次微调的差别：字段、数据、结果、曲线",
    .usage = "A B [--svg F.svg]",
    .example = "tailor runs diff runs/first runs/first-2 --svg curves.svg",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
