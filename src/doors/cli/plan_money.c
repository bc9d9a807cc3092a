/* Cost, API and decision for people. Owns nothing after a call. What is shown is the verdict, nothing is computed here.
 */
#include "doors/cli/plan_money.h"
#include "doors/cli/print_wrapped.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/base/wrap.h"

enum { SHOWN_PRICES = 10, SHOWN_SWINGS = 5 };

/* --- words --- */

const char *plan_choice_text(const struct cli *c, enum choice choice)
{
    static const char *const en[] = {"private", "API", "hybrid"}, *const zh[] = {"私有化部署", "API", "混合"};
    return c->lang == LANG_ZH ? zh[choice] : en[choice];
}

const char *plan_limit_text(const struct cli *c, enum offer_limit limit)
{
    static const char *const en[] = {"memory", "the first token's target", "the target between tokens",
                                     "waiting for a place", "the batch of the software"};
    static const char *const zh[] = {"显存", "首词元目标", "词元间隔目标", "排队等待", "推理软件的批大小"};
    return c->lang == LANG_ZH ? zh[limit] : en[limit];
}

struct plan_currency plan_currency_of(const struct param_set *args, const struct plan_verdict *v)
{
    bool usd = str_eq(param_str(args, "currency"), "USD");
    return usd ? (struct plan_currency){"USD", 1 / v->in[COST_CNY_USD].mid} : (struct plan_currency){"CNY", 1};
}

void plan_money_text(double cny, const struct plan_currency *cur, char *out, size_t size)
{
    double v = cny * cur->per_cny;
    char digits[48];
    if (fabs(v) < 100 || !isfinite(v) || fabs(v) > 1e15) {
        snprintf(out, size, fabs(v) > 0 ? fabs(v) < 1 ? "%.4f" : "%.2f" : "%.0f", v);
        return;
    }
    snprintf(digits, sizeof digits, "%.0f", v);
    size_t n = strlen(digits), at = 0, sign = digits[0] == '-';
    for (size_t i = 0; i < n && at + 2 < size; i++) {
        if (i > sign && (n - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

/* A number of any unit: the three figures that an estimate has, without powers of ten. */
static void estimate_text(double v, char *out, size_t size)
{
    double unit = v > 0 ? pow(10, floor(log10(v)) - 2) : 1;
    if (!isfinite(v) || v < 100)
        snprintf(out, size, "%.3g", v);
    else
        plan_money_text(round(v / unit) * unit, &(struct plan_currency){"", 1}, out, size);
}

static const char *part_text(const struct cli *c, enum cost_part p)
{
    static const char *const en[] = {"written off", "rent",       "power",  "maintenance",
                                     "engineers",   "compliance", "quality"};
    static const char *const zh[] = {"折旧", "租金", "电费", "维护", "工程师", "合规", "效果"};
    return c->lang == LANG_ZH ? zh[p] : en[p];
}

/* --- what it carries --- */

static void print_demand(const struct cli *c, const struct plan_verdict *v)
{
    const struct demand_result *d = &v->demand;
    char calls[32];
    plan_money_text(v->in[COST_CALLS].mid, &(struct plan_currency){"", 1}, calls, sizeof calls);
    print_wrapped(cli_text(c, "\ndemand: %s calls a month, %.3g a second at the peak; %.0f conversations at a time\n",
                           "\n需求：每月 %s 次调用，高峰每秒 %.3g 次；同时 %.0f 个对话\n"),
                  calls, d->peak_s, d->users);
}

static void print_capacity(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v)
{
    const struct offer *o = &v->offer;
    if (o->running < 1) {
        print_wrapped(cli_text(c, "a replica answers nobody within the targets (TTFT %.0f ms, TPOT %.0f ms): %s\n",
                               "单个副本无法在目标内应答（TTFT %.0f 毫秒，TPOT %.0f 毫秒）：受限于%s\n"),
                      1e3 * k->goal.ttft_s, 1e3 * k->goal.tpot_s, plan_limit_text(c, o->limit));
        return;
    }
    print_wrapped(cli_text(c,
                           "a replica answers %.3g calls a second within TTFT %.0f ms and TPOT %.0f ms,\n"
                           "%.0f at a time; limit: %s\n",
                           "单个副本在目标内（TTFT %.0f 毫秒，TPOT %.0f 毫秒）每秒应答 %.3g 次，\n"
                           "同时 %.0f 个；受限于%s\n"),
                  c->lang == LANG_ZH ? 1e3 * k->goal.ttft_s : o->capacity_s,
                  c->lang == LANG_ZH ? 1e3 * k->goal.tpot_s : 1e3 * k->goal.ttft_s,
                  c->lang == LANG_ZH ? o->capacity_s : 1e3 * k->goal.tpot_s, o->running, plan_limit_text(c, o->limit));
    print_wrapped(cli_text(c, "replicas %.0f, cards %.0f, servers %.0f%s\n", "副本 %.0f，卡 %.0f，服务器 %.0f%s\n"),
                  v->cost.replicas, v->cost.cards, v->cost.hosts,
                  v->fits ? "" : cli_text(c, ": too few for the peak", "：不足以应对高峰"));
    if (v->wait.stable && queue_wait_percentile(&v->wait, 0.95) > 0)
        print_wrapped(
            cli_text(c, "waiting for a place at the peak: %.0f %% of calls, 95 %% of all wait less than %.0f ms\n",
                     "高峰时 %.0f%% 的调用需要等待，95%% 的调用等待少于 %.0f 毫秒\n"),
            100 * v->wait.p_wait, 1e3 * queue_wait_percentile(&v->wait, 0.95));
    else if (v->wait.stable && v->wait.p_wait < 1e-3)
        print_wrapped(cli_text(c, "waiting for a place at the peak: fewer than 0.1 %% of calls\n",
                               "高峰时需要等待的调用不到 0.1%%\n"));
    else if (v->wait.stable)
        print_wrapped(
            cli_text(c, "waiting for a place at the peak: %.2g %% of calls\n", "高峰时 %.2g%% 的调用需要等待\n"),
            100 * v->wait.p_wait);
    else
        printf("%s\n", cli_text(c, "at the peak more calls arrive than are answered: waiting grows without end",
                                "高峰时到达多于应答：等待会无限增长"));
}

/* --- cost --- */

static void print_cost(const struct cli *c, const struct plan_verdict *v, const struct plan_currency *cur)
{
    char month[32], capex[32], tco[32], call[32], mtok[32], part[32];
    const struct cost_private *p = &v->cost;
    if (!v->priced) {
        printf("\n%s\n", cli_text(c, "cost: no source has a price of this hardware (--card-price or --rent gives one)",
                                  "成本：没有该硬件的价格来源（可用 --card-price 或 --rent 给出）"));
        return;
    }
    plan_money_text(p->monthly, cur, month, sizeof month);
    plan_money_text(p->capex, cur, capex, sizeof capex);
    plan_money_text(p->tco, cur, tco, sizeof tco);
    plan_money_text(p->per_call, cur, call, sizeof call);
    plan_money_text(p->per_mtok, cur, mtok, sizeof mtok);
    print_wrapped(cli_text(c,
                           "\ncost a month: %s %s; purchase %s, three years in all %s\n"
                           "a call %s, a million tokens %s\n",
                           "\n每月成本：%s %s；采购 %s，三年总成本 %s\n每次调用 %s，每百万词元 %s\n"),
                  month, cur->name, capex, tco, call, mtok);
    for (int i = 0; i < N_COST_PART; i++) {
        if (!(p->part[i] > 0)) continue;
        plan_money_text(p->part[i], cur, part, sizeof part);
        printf("  %s%*s %12s", part_text(c, (enum cost_part)i), str_padding(part_text(c, (enum cost_part)i), 14), "",
               part);
        if (i == COST_PART_STAFF && v->in[COST_SALARY].mid > 0)
            printf(cli_text(c, "  (%.2g full-time people)", "（%.2g 名全职人员）"),
                   p->part[i] * 12 / v->in[COST_SALARY].mid);
        putchar('\n');
    }
    if (v->offer.running < 1) return; /* it answers nobody: there is no use of it to speak of */
    estimate_text(p->capacity_calls_month, part, sizeof part);
    print_wrapped(cli_text(c, "  in use %.2g %% of the time; answers up to %s calls a month at this daily pattern\n",
                           "  利用率 %.2g%%；按此日内分布每月最多应答 %s 次\n"),
                  100 * p->utilization, part);
}

/* --- APIs --- */

struct shown {
    const struct plan_price *price;
    double monthly, call;
    struct cost_break_even b;
};

static int by_monthly(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    return (x->monthly > y->monthly) - (x->monthly < y->monthly);
}

static void print_price(const struct cli *c, const struct plan_verdict *v, const struct shown *s,
                        const struct plan_currency *cur)
{
    char month[32], even[48], name[64];
    plan_money_text(s->monthly, cur, month, sizeof month);
    snprintf(name, sizeof name, "%.30s %.31s", s->price->provider, s->price->model);
    str_cut_utf8(name);
    if (!v->priced)
        snprintf(even, sizeof even, "-");
    else if (s->b.within_capacity)
        estimate_text(s->b.calls_month, even, sizeof even);
    else
        snprintf(even, sizeof even, "%s", cli_text(c, "never", "永不"));
    printf("%s %s%*s %14s  %s\n", s->price == v->api ? "*" : " ", name, str_padding(name, 46), "", month, even);
}

/* The one compared with, and others spread over all from the cheapest to the dearest. */
static void print_apis(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v,
                       const struct plan_currency *cur)
{
    struct shown *all = mem_alloc((k->catalogue->n_price + 1) * sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < k->catalogue->n_price; i++) {
        const struct plan_price *p = &k->catalogue->price[i];
        if (catalogue_price(k->catalogue, p->provider, p->model) != p) continue;
        all[n].price = p;
        plan_price_cost(v, p, &all[n].monthly, &all[n].call, &all[n].b);
        n++;
    }
    qsort(all, n, sizeof *all, by_monthly);
    print_wrapped(
        cli_text(c, "\nthe same calls by API, a month in %s, and from how many calls a month your own is cheaper:\n",
                 "\n同样的调用使用 API 的每月费用（%s），以及每月多少次调用以上自建更便宜：\n"),
        cur->name);
    for (size_t i = 0; i < n; i++)
        if (all[i].price == v->api || n <= SHOWN_PRICES || i % (n / SHOWN_PRICES + 1) == 0 || i + 1 == n)
            print_price(c, v, &all[i], cur);
    print_wrapped(cli_text(c, "* compared with below; \"never\": beyond what these machines answer\n",
                           "* 为下文比较对象；“永不”表示超出这些机器的能力\n"));
    mem_free(all);
}

/* --- decision --- */

/* What the user could say so that more rules count: facts that an open rule asks for, with their options. */
static void print_unknown_facts(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v)
{
    static const struct {
        enum decision_fact fact;
        const char *option, *en, *zh;
    } told[] = {{FACT_DATA_CLASS, "--data-class", "what the data is", "数据级别"},
                {FACT_CUSTOMIZE, "--customize", "whether the model must be tuned deeply", "是否需要深度定制"},
                {FACT_GENERIC, "--generic", "whether the use is general questions", "是否为通用问答"},
                {FACT_TEAM, "--team", "how many people use it", "使用人数"},
                {FACT_ENGINEERS, "--engineers", "how many engineers there are", "工程师人数"},
                {FACT_BUDGET, "--budget", "what may be spent", "预算"}};
    char text[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_ELEM(told); i++) {
        bool open = false;
        for (size_t r = 0; r < k->rules->n; r++)
            open =
                open || (v->decision.state[r] == RULE_UNKNOWN && decision_rule_uses(&k->rules->item[r], told[i].fact));
        if (!open || !isnan(v->facts[told[i].fact])) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, cli_text(c, "%s%s (%s)", "%s%s（%s）"),
                              n ? cli_text(c, ", ", "、") : "", cli_text(c, told[i].en, told[i].zh), told[i].option);
    }
    if (n) print_wrapped(cli_text(c, "  not known, so not counted: %s\n", "  未知、未计入：%s\n"), text);
}

static void print_rules(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v)
{
    const struct decision *d = &v->decision;
    for (size_t i = 0; i < k->rules->n; i++) {
        const struct decision_rule *r = &k->rules->item[i];
        if (d->state[i] != RULE_FIRED) continue;
        print_wrapped(cli_text(c, "  %s +%.3g: %s\n", "  %s +%.3g：%s\n"), plan_choice_text(c, r->favours), r->weight,
                      c->lang == LANG_ZH ? r->zh : r->en);
    }
    print_unknown_facts(c, k, v);
}

/* "yearly salary of an engineer (salary) from 300,000 to 600,000 CNY/year": the option that sets it stands in brackets.
 */
static void print_swing(const struct cli *c, const struct plan_verdict *v, const struct cost_swing *s,
                        const struct plan_currency *cur)
{
    const struct cost_input_info *x = &cost_input_info[s->input];
    char option[64], low[32], high[32], at_low[32], at_high[32];
    snprintf(option, sizeof option, "%s", x->key);
    for (char *p = option; *p; p++)
        if (*p == '_') *p = '-';
    estimate_text(v->in[s->input].low, low, sizeof low);
    estimate_text(v->in[s->input].high, high, sizeof high);
    plan_money_text(s->at_low, cur, at_low, sizeof at_low);
    plan_money_text(s->at_high, cur, at_high, sizeof at_high);
    print_wrapped(cli_text(c, "  %s (--%s) from %s to %s%s%s moves private minus API from %s to %s %s a month%s\n",
                           "  %s（--%s）从 %s 到 %s%s%s，私有化减 API 的月费用差由 %s 变为 %s %s%s\n"),
                  c->lang == LANG_ZH ? x->zh : x->en, option, low, high, *x->unit ? " " : "",
                  param_unit_text(x->unit, c->lang), at_low, at_high, cur->name,
                  s->flips ? cli_text(c, ": the cheaper one changes", "：更便宜者改变") : "");
}

static void print_changes(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v,
                          const struct plan_currency *cur)
{
    struct decision_case d = {.rules = k->rules, .setup = &v->setup, .in = v->in, .has_api = v->api && v->priced};
    struct cost_swing swing[N_COST];
    int changer[MAX_DECISION_RULES], n = decision_changers(&d, &v->decision, changer);
    printf("%s\n", cli_text(c, "what would change it:", "何种情况会改变结论："));
    for (int i = 0; i < n; i++) {
        const struct decision_rule *r = &k->rules->item[changer[i]];
        bool fired = v->decision.state[changer[i]] == RULE_FIRED;
        print_wrapped(fired ? cli_text(c, "  rule %s, if not %s: %s\n", "  规则 %s，若非 %s：%s\n")
                            : cli_text(c, "  rule %s, if %s: %s\n", "  规则 %s，若 %s：%s\n"),
                      r->id, r->when, c->lang == LANG_ZH ? r->zh : r->en);
    }
    n = v->api && v->priced ? cost_tornado(&v->setup, v->in, swing) : 0;
    for (int i = 0; i < n && i < SHOWN_SWINGS; i++) print_swing(c, v, &swing[i], cur);
}

static void print_money(const struct cli *c, const struct plan_verdict *v, const struct plan_currency *cur)
{
    char own[32], api[32], hybrid[32];
    if (!v->api || !v->priced) return;
    plan_money_text(v->cost.monthly, cur, own, sizeof own);
    plan_money_text(v->api_monthly, cur, api, sizeof api);
    plan_money_text(v->hybrid_monthly, cur, hybrid, sizeof hybrid);
    print_wrapped(cli_text(c,
                           "money alone, a month in %s: private %s, API %s (%s),\n"
                           "hybrid %s with %.0f %% sent to the API\n",
                           "仅看费用（每月，%s）：私有化 %s，API %s（%s），\n混合 %s（%.0f%% 转给 API）\n"),
                  cur->name, own, api, v->api->model, hybrid, 100 * v->in[COST_ROUTED].mid);
}

static void print_decision(const struct cli *c, const struct plan_case *k, const struct plan_verdict *v,
                           const struct plan_currency *cur)
{
    const struct decision *d = &v->decision;
    const struct tier_info *t = &tier_info[tier_of(k->demand.team, v->demand.users)];
    print_wrapped(cli_text(c, "\ndecision: %s", "\n结论：%s"), plan_choice_text(c, d->choice));
    if (d->decided_by >= 0)
        print_wrapped(
            cli_text(c, ", by the rule \"%s\" alone, apart from money\n", "，由规则“%s”单独决定，与费用无关\n"),
            k->rules->item[d->decided_by].id);
    else
        print_wrapped(
            cli_text(c, "\n  points: private %.3g, API %.3g, hybrid %.3g; the same in %.0f %% of draws of the inputs\n",
                     "\n  得分：私有化 %.3g，API %.3g，混合 %.3g；在 %.0f%% 的随机取值中结论相同\n"),
            d->score[0], d->score[1], d->score[2], 100 * v->confidence);
    if (d->contradicts)
        printf("  %s\n", cli_text(c, "but this hardware does not carry the demand: other hardware is needed",
                                  "但该硬件无法承载需求：需要其他硬件"));
    print_rules(c, k, v);
    print_money(c, v, cur);
    print_changes(c, k, v, cur);
    print_wrapped(cli_text(c, "size of company: %s; hardware named for it: %s\n", "企业规模：%s；对应硬件：%s\n"),
                  c->lang == LANG_ZH ? t->zh : t->en, c->lang == LANG_ZH ? t->hardware_zh : t->hardware_en);
    if (cur->per_cny < 1)
        print_wrapped(cli_text(c, "1 USD = %.4f CNY (%s)\n", "1 美元 = %.4f 元（%s）\n"), 1 / cur->per_cny,
                      k->set[COST_CNY_USD] ? cli_text(c, "given", "给定") : COST_RATE_DATE);
}

static void print_verdict(const struct cli *c, const struct param_set *args, const struct plan_case *k,
                          const struct plan_verdict *v)
{
    struct plan_currency cur = plan_currency_of(args, v);
    print_demand(c, v);
    print_capacity(c, k, v);
    print_cost(c, v, &cur);
    if (v->api) print_apis(c, k, v, &cur);
    print_decision(c, k, v, &cur);
}

static int assess(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                  const struct plan_system *system, int replicas, struct plan_asked *asked, struct plan_verdict *v,
                  struct err *e)
{
    int rc = plan_case_open(c, args, catalogue, system, asked, e);
    asked->at.replicas = replicas;
    return rc ? rc : plan_assess(&asked->at, v, e);
}

int plan_money_monthly(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       const struct plan_system *system, double *monthly_cny, struct err *e)
{
    struct plan_asked asked;
    struct plan_verdict *v = mem_alloc(sizeof *v);
    int rc = assess(c, args, catalogue, system, 0, &asked, v, e);
    *monthly_cny = rc == 0 && v->fits ? v->cost.monthly : (double)INFINITY;
    plan_case_close(&asked);
    mem_free(v);
    return rc;
}

int plan_money_show(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                    const struct plan_system *system, int replicas, json_t *into, struct err *e)
{
    struct plan_asked asked;
    struct plan_verdict *v = mem_alloc(sizeof *v);
    int rc = assess(c, args, catalogue, system, replicas, &asked, v, e);
    if (rc == 0 && into) {
        json_t *o = plan_verdict_json(&asked.at, v);
        if (!o || json_object_update(into, o)) rc = err_set(e, ERR_NOMEM, NULL, "cannot plan: out of memory");
        json_decref(o);
    } else if (rc == 0) {
        print_verdict(c, args, &asked.at, v);
    }
    plan_case_close(&asked);
    mem_free(v);
    return rc;
}
