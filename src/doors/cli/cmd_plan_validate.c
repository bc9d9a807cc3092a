/* plan validate: the planner's predictions against published measurements, and its parameter counts against published
 * totals. */
#include <math.h>
#include <stdio.h>

#include "doors/cli/catalog_params.h"
#include "doors/cli/cli.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/str.h"
#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/validate.h"

extern const struct command cmd_plan_validate;

enum { N_WORST = 12 };
#define TOTAL_CLOSE 0.002 /* of the published total */

static const struct param params[] = {
    {"measurements", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "F.csv",
     "measurements to predict, as catalog/measurements.csv; otherwise those in the program",
     "要预测的测量值，格式同 catalog/measurements.csv；未给出时用程序内置的"},
    PARAM_CATALOG,
};

/* --- JSON --- */

static json_t *classes_json(const struct plan_validation *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n_class; i++) {
        const struct plan_class *c = &v->class_of[i];
        json_array_append_new(list, json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:o}", "class", c->name, "rows",
                                              (json_int_t)c->rows, "median_error", c->median_error, "p80_error",
                                              c->p80_error, "within_30", c->within_30, "interval_coverage", c->coverage,
                                              "gate", c->gate > 0 ? json_real(c->gate) : json_null()));
    }
    return list;
}

static json_t *check_json(const struct plan_check *k)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:f,s:f,s:f,s:b}", "id", k->id, "class", k->class_name, "model",
                     k->model, "quant", k->quant, "hardware", k->hardware, "engine", k->engine, "metric", k->metric,
                     "measured", k->measured, "predicted", k->predicted, "error", k->error, "in_interval", k->covered);
}

static json_t *worst_json(const struct plan_validation *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->n && i < N_WORST && !v->check[i].skipped; i++)
        json_array_append_new(list, check_json(&v->check[i]));
    return list;
}

static json_t *skipped_json(const struct plan_validation *v)
{
    json_t *list = json_array();
    for (size_t i = v->n - v->n_skipped; i < v->n; i++)
        json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "id", v->check[i].id, "class", v->check[i].class_name,
                                              "reason", v->check[i].skipped));
    return list;
}

/* --- totals by dimensions --- */

struct totals {
    size_t published, close;
};

static double total_error(const struct plan_model *m)
{
    return plan_params_total(m) / (1e9 * m->params_total_b) - 1;
}

static struct totals count_totals(const struct catalogue *c, json_t *others)
{
    struct totals t = {0, 0};
    for (size_t i = 0; i < c->n_model; i++) {
        const struct plan_model *m = &c->model[i];
        if (!str_eq(m->params_basis, "published") || !(m->params_total_b > 0)) continue;
        bool close = fabs(total_error(m)) <= TOTAL_CLOSE;
        t.published++;
        t.close += close;
        if (!close)
            json_array_append_new(others, json_pack("{s:s,s:f,s:s}", "model", m->name, "error", total_error(m),
                                                    "reason", *m->params_gap ? m->params_gap : "not known"));
    }
    return t;
}

/* --- for people --- */

static void print_classes(const struct cli *c, const struct plan_validation *v)
{
    printf("%s\n", cli_text(c, "class       rows  median    p80  within 30 %  80 % intervals hold  gate",
                            "类别        行数  中位误差  p80  30% 以内      80% 区间覆盖率       门限"));
    for (size_t i = 0; i < v->n_class; i++) {
        const struct plan_class *k = &v->class_of[i];
        char gate[32] = "-";
        if (k->gate > 0)
            snprintf(gate, sizeof gate, "%.0f %% %s", 100 * k->gate,
                     k->median_error <= k->gate ? cli_text(c, "met", "达到") : cli_text(c, "missed", "未达到"));
        printf("%-11.11s %4zu  %5.1f %% %5.1f %%  %9.0f %%  %17.0f %%  %s\n", k->name, k->rows, 100 * k->median_error,
               100 * k->p80_error, 100 * k->within_30, 100 * k->coverage, gate);
    }
    printf(cli_text(c, "all: %zu rows, %.0f %% in their intervals; %zu not for validation, %zu not predicted\n",
                    "合计：%zu 行，%.0f%% 落在区间内；%zu 行不用于验证，%zu 行无法预测\n"),
           v->n - v->n_skipped, 100 * v->coverage, v->n_unused, v->n_skipped);
}

static void print_class_words(const struct cli *c)
{
    print_wrapped(cli_text(
        c,
        "\nrows: published measurements; the error is how far the prediction is off, either way: half of the rows are "
        "below the median, four of five below p80; intervals hold: how often the 80 %% interval around a prediction "
        "has "
        "the measured value in it; gate: what the median may be at most\n"
        "memory: weights and cache; llamacpp, vllm1: one answer at a time with llama.cpp, vLLM 0.6; serve: 1 to 50 "
        "answers at a time; sat: all that fit; silicon: time between tokens on Hopper cards, software set up by "
        "experts\n",
        "\n行：公开的测量值；误差指预测偏离的程度（不分方向）：半数的行低于中位误差，五分之四低于 p80；区间覆盖率："
        "预测的 80%% 区间包含实测值的比例；门限：中位误差的上限\n"
        "memory：权重与缓存；llamacpp、vllm1：llama.cpp、vLLM 0.6 一次一个回答；serve：同时 1 至 50 个回答；"
        "sat：满载；silicon：Hopper 卡上由专家调优的软件的词元间隔\n"));
}

static void print_worst(const struct cli *c, const struct plan_validation *v)
{
    printf("%s\n", cli_text(c, "\nmissed worst:", "\n误差最大的："));
    for (size_t i = 0; i < v->n && i < N_WORST && !v->check[i].skipped; i++) {
        const struct plan_check *k = &v->check[i];
        printf("  %+5.0f %%  %-6.6s %.26s %.6s, %.11s: %.4g, %s %.4g\n", 100 * k->error, k->id, k->model, k->quant,
               k->hardware, k->predicted, cli_text(c, "measured", "实测"), k->measured);
    }
}

/* The catalogue's reason in Chinese; another one as it stands. */
static const char *gap_text(const struct cli *c, const char *reason)
{
    static const struct {
        const char *en, *zh;
    } known[] = {{"without vision tower", "未含视觉编码器"},
                 {"without vision tower, gates of linear layers", "未含视觉编码器与线性层的门"},
                 {"without vision tower; global layers differ", "未含视觉编码器；全局层不同"},
                 {"total rounded", "公布的总数为约数"},
                 {"total rounded, maybe with a speculative layer", "公布的总数为约数，可能含推测解码层"},
                 {"without gates of linear layers; dims unverified", "未含线性层的门；维度未经核实"},
                 {"not known", "原因不明"}};
    for (size_t i = 0; c->lang == LANG_ZH && i < N_ELEM(known); i++)
        if (str_eq(known[i].en, reason)) return known[i].zh;
    return reason;
}

static void print_totals(const struct cli *c, const struct totals *t, const json_t *others)
{
    printf(cli_text(c, "\nparameters by dimensions: %zu of %zu published totals within 0.2 %%; the others:\n",
                    "\n按维度计算的参数量：%zu 个与公布的总数（共 %zu 个）相差不超过 0.2%%；其余：\n"),
           t->close, t->published);
    for (size_t i = 0; i < json_array_size(others); i++) {
        const json_t *o = json_array_get(others, i);
        printf("  %-20s %+5.1f %%  %s\n", json_string_value(json_object_get(o, "model")),
               100 * json_real_value(json_object_get(o, "error")),
               gap_text(c, json_string_value(json_object_get(o, "reason"))));
    }
}

static void show(const struct cli *c, const struct catalogue *catalogue, const struct plan_validation *v)
{
    json_t *others = json_array();
    struct totals t = count_totals(catalogue, others);
    if (c->json) {
        cli_print_json(json_pack("{s:o,s:o,s:f,s:I,s:o,s:{s:I,s:I,s:o}}", "classes", classes_json(v), "worst",
                                 worst_json(v), "interval_coverage", v->coverage, "rows_not_for_validation",
                                 (json_int_t)v->n_unused, "skipped", skipped_json(v), "parameters", "published",
                                 (json_int_t)t.published, "within_0_2_percent", (json_int_t)t.close, "others", others));
        return;
    }
    print_classes(c, v);
    print_class_words(c);
    print_worst(c, v);
    for (size_t i = v->n - v->n_skipped; i < v->n; i++)
        printf(cli_text(c, "not predicted: %s (%s)\n", "未预测：%s（%s）\n"), v->check[i].id, v->check[i].skipped);
    print_totals(c, &t, others);
    json_decref(others);
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    struct plan_validation v = {0};
    int rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) {
        rc = plan_validate(&catalogue, param_str(args, "measurements"), &v, e);
        if (rc == 0) show(c, &catalogue, &v);
        plan_validation_free(&v);
    }
    catalogue_free(&catalogue);
    return rc;
}

const struct command cmd_plan_validate = {
    .name = "plan validate",
    .summary_en = "the planner's predictions against published measurements",
    .summary_zh = "规划器的预测与公开测量值的对照",
    .usage = "[--measurements F.csv]",
    .example = "tailor plan validate",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
