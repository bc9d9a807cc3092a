/* compare: two evaluations of the same cases, and the verdict. */
#include <stdio.h>

#include "doors/cli/cli.h"
#include "ground/base/str.h"
#include "lifecycle/eval/compare.h"

extern const struct command cmd_compare;

static const struct param params[] = {
    {"base", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "BASE_DIR",
     "evaluation to compare with", "作为基准的评测目录"},
    {"new", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "NEW_DIR",
     "evaluation to be judged", "待判定的评测目录"},
    {"metric", PARAM_STRING, 0, NULL, 0, 0, NULL, "accuracy", "M", "what is compared", "比较的指标"},
    {"margin", PARAM_FLOAT, 0, NULL, 0, 1, NULL, "0.02", "X",
     "largest acceptable loss, as a fraction; fix it before the run", "可接受的最大下降（小数），应在评测前确定"},
    {"floor", PARAM_FLOAT, 0, NULL, 0, 1, NULL, NULL, "X", "lowest acceptable score of the new model (default: none)",
     "新模型的最低可接受成绩（默认不设）"},
};

static int exit_status(enum verdict v)
{
    return v == VERDICT_PASS ? EXIT_OK : v == VERDICT_FAIL ? EXIT_VERDICT_FAIL : EXIT_INCONCLUSIVE;
}

static int print(const struct cli *c, const struct comparison *cmp, struct err *e)
{
    struct buf text;
    json_t *o;
    if (c->json) {
        int rc = comparison_to_json(cmp, &o, e);
        if (rc == 0) cli_print_json(o);
        return rc;
    }
    buf_init(&text, 1 << 20);
    int rc = comparison_to_text(cmp, c->lang, &text);
    if (rc == 0) fputs(text.data, stdout);
    buf_deinit(&text);
    return rc ? err_set(e, -rc, NULL, "cannot print the comparison: out of memory") : 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct eval_result base = {0}, fresh = {0};
    struct comparison cmp = {0};
    struct gate gate = {.margin = param_float(args, "margin"), .has_floor = param_is_set(args, "floor")};
    if (gate.has_floor) gate.floor = param_float(args, "floor");
    int rc = eval_result_load(&base, param_str(args, "base"), e);
    if (rc == 0) rc = eval_result_load(&fresh, param_str(args, "new"), e);
    if (rc == 0) rc = comparison_make(&cmp, &base, &fresh, param_str(args, "metric"), &gate, e);
    if (rc == 0) rc = print(c, &cmp, e);
    int status = rc ? rc : exit_status(cmp.decision.verdict);
    comparison_deinit(&cmp);
    eval_result_deinit(&base);
    eval_result_deinit(&fresh);
    return status;
}

const struct command cmd_compare = {
    .name = "compare",
    .summary_en = "compare two evaluations case by case and decide; exit status 0 pass, 3 fail, 4 not decided",
    .summary_zh = "逐题比较两次评测并给出结论；退出码 0 通过，3 不通过，4 无法判定",
    .usage = "BASE_DIR NEW_DIR [--metric M] [--margin 0.02] [--floor X]",
    .example = "tailor compare runs/base runs/tuned --margin 0.02 --floor 0.8",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
