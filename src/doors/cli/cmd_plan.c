/* plan: which models fit this machine or given hardware, and how fast they would be. */
#include "doors/cli/cli.h"
#include "doors/cli/plan_ask.h"
#include "doors/cli/plan_case.h"
#include "doors/cli/plan_local.h"
#include "doors/cli/plan_options.h"
#include "doors/cli/plan_scenario.h"
#include "doors/cli/plan_search.h"
#include "doors/cli/plan_target.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/quant.h"

extern const struct command cmd_plan;

const struct param plan_params[] = {
    PLAN_SYSTEM_PARAMS,
    PLAN_LOAD_PARAMS,
    {"measure", PARAM_BOOL, 0, NULL, 0, 0, NULL, "true", NULL, "time the model at hand, so that predictions rest on it",
     "对手头的模型计时，使预测以实测为准"},
    {"ask", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL,
     "ask the few questions that matter, with defaults and explanations", "逐项提问（附默认值与解释）"},
    {"out", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "write a report instead: .html, .md, .csv or .json by its ending",
     "改为写出报告，按扩展名 .html、.md、.csv 或 .json"},
    {"run", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE.yaml",
     "scenario: the options as YAML; the command line goes over it", "方案文件：以 YAML 给出各选项，命令行优先"},
    PLAN_DEMAND_PARAMS,
    PLAN_DECISION_PARAMS,
    {"min_params_b", PARAM_FLOAT, 0, "billions", 0, 1e5, NULL, "0", "X",
     "search: models of at least so many parameters", "搜索：模型参数量下限"},
    {"max_params_b", PARAM_FLOAT, 0, "billions", 0, 1e5, NULL, NULL, "X",
     "search: models of at most so many parameters", "搜索：模型参数量上限"},
    {"why", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL",
     "search: every hardware and type that was refused for this model, and why",
     "搜索：列出该模型被排除的每种硬件与类型及原因"},
    {"min_accuracy", PARAM_FLOAT, 0, NULL, 0, 1, NULL, "0", "X",
     "search: leave out models that you evaluated below this accuracy", "搜索：略去自有评测准确率低于此值的模型"},
    {"any_licence", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "search: licences that forbid commercial use, too",
     "搜索：包括不允许商用的许可证"},
    PLAN_COST_PARAMS};
const size_t plan_n_param = N_ELEM(plan_params);

void plan_load_of(const struct param_set *args, struct plan_load *l)
{
    *l = (struct plan_load){(int)param_int(args, "users"), (int)param_int(args, "prompt_tokens"),
                            (int)param_int(args, "output_tokens")};
}

int plan_quant_of(const struct param_set *args, const struct plan_quant *otherwise, const struct plan_quant **out,
                  struct err *e)
{
    const char *name = param_str(args, "quant");
    *out = name ? plan_quant_find(name) : otherwise;
    return *out ? 0
                : err_set(e, ERR_USAGE, "quant", "cannot plan for type \"%s\": known are %s", name, plan_quant_names());
}

/* Options that say how cards are used mean nothing for this machine. */
static int refuse_without_hardware(const struct param_set *args, struct err *e)
{
    static const char *const names[] = {"count", "tp", "pp", "stack", "kv"};
    for (size_t i = 0; i < N_ELEM(names); i++)
        if (param_is_set(args, names[i]))
            return err_set(e, ERR_USAGE, names[i], "cannot plan with --%s alone: --hardware is needed", names[i]);
    return 0;
}

static int write_report(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                        struct err *e)
{
    struct plan_scenario *s = mem_alloc(sizeof *s);
    int rc = plan_scenario_open(c, args, catalogue, s, e);
    if (rc == 0) rc = plan_scenario_write(c, s, param_str(args, "out"), e);
    plan_scenario_close(s);
    mem_free(s);
    return rc;
}

static int plan(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    bool here = !param_str(args, "hardware");
    bool search = plan_search_asked(args);
    int rc = here && !search ? refuse_without_hardware(args, e) : 0;
    if (rc) return rc;
    rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0 && param_str(args, "out"))
        rc = write_report(c, args, &catalogue, e);
    else if (rc == 0 && search)
        rc = plan_search_run(c, args, &catalogue, e);
    else if (rc == 0)
        rc = here ? plan_local_run(c, args, &catalogue, e) : plan_target_run(c, args, &catalogue, e);
    catalogue_free(&catalogue);
    return rc;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct param_set *asked;
    int rc = plan_with_scenario(plan_params, plan_n_param, args, &asked, e);
    if (rc == 0 && param_bool(asked, "ask")) rc = plan_ask(c, asked, e);
    if (rc == 0) rc = plan(c, asked, e);
    param_set_free(asked);
    return rc;
}

const struct command cmd_plan = {
    .name = "plan",
    .summary_en = "which models fit this machine or other hardware, how fast, at what cost, private or API",
    .summary_zh = "哪些模型能在本机或其他硬件上运行、速度与成本如何、私有化还是 API",
    .usage = "[--model M] [--quant Q] [--hardware H [--count N]] [--users N] [--calls-month N] [--prompt-tokens N] "
             "[--output-tokens N] [--data-class public|internal|secret] [--team N] [--engineers X] [--run FILE.yaml]",
    .example = "tailor plan --model smollm2",
    .params = plan_params,
    .n_param = N_ELEM(plan_params),
    .run = run,
};
