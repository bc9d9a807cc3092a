/* plan diff: two scenarios side by side. */
#include <math.h>
#include <stdio.h>

#include "doors/cli/cli.h"
#include "doors/cli/plan_money.h"
#include "doors/cli/plan_scenario.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

extern const struct command cmd_plan_diff;

static const struct param params[] = {
    {"a", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "A.yaml",
     "scenario: the options of `tailor plan` as YAML", "方案：以 YAML 给出 `tailor plan` 的选项"},
    {"b", PARAM_STRING, PARAM_POSITIONAL | PARAM_REQUIRED, NULL, 0, 0, NULL, NULL, "B.yaml", "the other scenario",
     "另一个方案"},
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE",
     "CSV file or folder whose rows go over the catalogue's", "CSV 文件或目录，其中的行覆盖内置目录"},
};

struct line {
    const char *key, *en, *zh;
    double a, b;
    double unit; /* of what is printed: 2^30 for GiB */
};
enum { N_LINE = 16 };

static int lines_of(const struct plan_scenario *a, const struct plan_scenario *b, struct line *out)
{
    int n = 0;
#define LINE(k, e, z, member) out[n++] = (struct line){k, e, z, a->member, b->member, 1}
    LINE("calls_month", "calls a month", "每月调用次数", verdict.in[COST_CALLS].mid);
    LINE("memory_total_bytes", "memory of a replica (GiB)", "单副本显存（GiB）", forecast.memory.total_bytes);
    out[n - 1].unit = 0x1p30;
    LINE("ttft_s", "TTFT within the targets (s)", "目标内首词元（秒）", verdict.offer.at.ttft_s);
    LINE("tpot_s", "TPOT within the targets (s)", "目标内词元间隔（秒）", verdict.offer.at.tpot_s);
    LINE("replica_calls_s", "calls a second of a replica", "单副本每秒调用数", verdict.offer.capacity_s);
    LINE("replicas", "replicas", "副本数", verdict.cost.replicas);
    LINE("cards", "cards", "卡数", verdict.cost.cards);
    LINE("capex_cny", "purchase (CNY)", "采购（元）", verdict.cost.capex);
    LINE("monthly_cny", "private, a month (CNY)", "私有化每月（元）", verdict.cost.monthly);
    LINE("tco_36_months_cny", "three years in all (CNY)", "三年总成本（元）", verdict.cost.tco);
    LINE("per_mtok_cny", "a million tokens (CNY)", "每百万词元（元）", verdict.cost.per_mtok);
    LINE("api_monthly_cny", "API, a month (CNY)", "API 每月（元）", verdict.api_monthly);
    LINE("hybrid_monthly_cny", "hybrid, a month (CNY)", "混合每月（元）", verdict.hybrid_monthly);
    LINE("break_even_calls_month", "break-even (calls a month)", "盈亏平衡点（次/月）", verdict.break_even.calls_month);
    LINE("confidence", "confidence of the choice", "结论的置信度", verdict.confidence);
#undef LINE
    return n;
}

static json_t *or_null(json_t *v)
{
    return v ? json_incref(v) : json_null();
}

/* What the files set differently. */
static json_t *settings_json(json_t *a, json_t *b)
{
    json_t *o = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value) if (!json_equal(value, json_object_get(b, key)))(void)
        json_object_set_new(o, key, json_pack("{s:O,s:o}", "a", value, "b", or_null(json_object_get(b, key))));
    json_object_foreach((json_t *)b, key, value) if (!json_object_get(a, key))(void)
        json_object_set_new(o, key, json_pack("{s:n,s:O}", "a", "b", value));
    return o;
}

static json_t *diff_json(const struct plan_scenario *a, const struct plan_scenario *b, json_t *settings)
{
    struct line line[N_LINE];
    int n = lines_of(a, b, line);
    json_t *rows = json_object();
    for (int i = 0; i < n; i++)
        (void)json_object_set_new(rows, line[i].key,
                                  json_pack("{s:o,s:o,s:o}", "a", json_finite(line[i].a), "b", json_finite(line[i].b),
                                            "difference", json_finite(line[i].b - line[i].a)));
    return json_pack("{s:o,s:o,s:{s:s,s:s}}", "settings", settings, "figures", rows, "choice", "a",
                     choice_name[a->verdict.decision.choice], "b", choice_name[b->verdict.decision.choice]);
}

static void print_settings(const struct cli *c, json_t *settings)
{
    const char *key;
    json_t *value;
    printf("%s\n", cli_text(c, "set differently:", "设置不同之处："));
    json_object_foreach((json_t *)settings, key, value)
    {
        struct buf a, b;
        buf_init(&a, 1 << 20);
        buf_init(&b, 1 << 20);
        if (json_format(json_object_get(value, "a"), JSON_LINE, &a) == 0 &&
            json_format(json_object_get(value, "b"), JSON_LINE, &b) == 0)
            printf("  %s: %.*s -> %.*s\n", key, (int)a.len, a.data, (int)b.len, b.data);
        buf_deinit(&a);
        buf_deinit(&b);
    }
}

/* 1,710,000 or 0.9580. */
static void figure_text(double v, char out[32])
{
    if (fabs(v) < 1000 || !isfinite(v))
        snprintf(out, 32, "%.4g", v);
    else
        plan_money_text(v, &(struct plan_currency){"", 1}, out, 32);
}

static void print_line(const struct cli *c, const struct line *l, bool never_a, bool never_b)
{
    const char *name = cli_text(c, l->en, l->zh), *never = cli_text(c, "never", "永不");
    char a[32], b[32];
    figure_text(l->a / l->unit, a);
    figure_text(l->b / l->unit, b);
    const char *shown_a = never_a ? never : a, *shown_b = never_b ? never : b;
    printf("%s%*s%*s %s%*s %s", name, str_padding(name, 32), "", str_padding(shown_a, 14), "", shown_a,
           str_padding(shown_b, 14), "", shown_b);
    if (isfinite(l->b / l->a) && l->a > 0 && !never_a && !never_b) printf(" %+7.1f %%", 100 * (l->b / l->a - 1));
    putchar('\n');
}

static void print_diff(const struct cli *c, const struct plan_scenario *a, const struct plan_scenario *b,
                       json_t *settings)
{
    struct line line[N_LINE];
    int n = lines_of(a, b, line);
    print_settings(c, settings);
    putchar('\n');
    for (int i = 0; i < n; i++) {
        bool even = str_eq(line[i].key, "break_even_calls_month");
        print_line(c, &line[i], even && !a->verdict.break_even.within_capacity,
                   even && !b->verdict.break_even.within_capacity);
    }
    const char *name = cli_text(c, "decision", "结论");
    const char *choice_a = plan_choice_text(c, a->verdict.decision.choice);
    const char *choice_b = plan_choice_text(c, b->verdict.decision.choice);
    printf("%s%*s%*s %s%*s %s\n", name, str_padding(name, 32), "", str_padding(choice_a, 14), "", choice_a,
           str_padding(choice_b, 14), "", choice_b);
}

static int open_one(const struct cli *c, const char *path, const struct catalogue *catalogue, struct param_set **set,
                    struct plan_scenario *s, struct err *e)
{
    struct param_set *nothing = param_set_new(plan_params, plan_n_param);
    int rc = plan_read_scenario(plan_params, plan_n_param, path, nothing, set, e);
    param_set_free(nothing);
    if (rc == 0) rc = plan_scenario_open(c, *set, catalogue, s, e);
    return rc ? err_wrap(e, rc, "%s", path) : 0;
}

static int diff(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                struct plan_scenario s[2], struct param_set *set[2], struct err *e)
{
    int rc = open_one(c, param_str(args, "a"), catalogue, &set[0], &s[0], e);
    if (rc == 0) rc = open_one(c, param_str(args, "b"), catalogue, &set[1], &s[1], e);
    if (rc) return rc;
    json_t *a = param_to_json(set[0]), *b = param_to_json(set[1]), *settings = settings_json(a, b);
    json_decref(a);
    json_decref(b);
    if (c->json) {
        cli_print_json(diff_json(&s[0], &s[1], settings));
        return 0;
    }
    print_diff(c, &s[0], &s[1], settings);
    json_decref(settings);
    return 0;
}

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue catalogue;
    struct param_set *set[2] = {NULL, NULL};
    struct plan_scenario *s = mem_alloc(2 * sizeof *s);
    int rc = catalogue_open(&catalogue, c->home, param_str(args, "catalog"), e);
    if (rc == 0) rc = diff(c, args, &catalogue, s, set, e);
    for (int i = 0; i < 2; i++) {
        plan_scenario_close(&s[i]);
        param_set_free(set[i]);
    }
    mem_free(s);
    catalogue_free(&catalogue);
    return rc;
}

const struct command cmd_plan_diff = {
    .name = "plan diff",
    .summary_en = "compare two scenarios: what is set differently and what comes of it",
    .summary_zh = "比较两个方案：设置的差异与结果的差异",
    .usage = "A.yaml B.yaml",
    .example = "tailor plan diff small.yaml large.yaml",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
