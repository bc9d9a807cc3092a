/* The document of a plan. Owns nothing. What always holds: every figure of the document is one of the verdict, or the
 * same functions at other volumes and users. */
#include "lifecycle/plan/plan_report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/param/param.h"
#include "ground/table/csv.h"

enum { PLOT_REACH = 100, PLOT_POINTS = 60, TABLE_APIS = 12 };

#define say(r, en, zh) ((r)->lang == LANG_ZH ? (zh) : (en))

static json_t *text_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
static json_t *text_of(const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    str_cut_utf8(text);
    return json_string(text);
}

/* "1,710,000": as people write it, to so many figures; borrowed from out. */
static const char *grouped(double v, int figures, char out[32])
{
    char digits[24];
    double unit = pow(10, fmax(0, floor(log10(fmax(fabs(v), 1))) + 1 - figures));
    size_t n = (size_t)snprintf(digits, sizeof digits, "%.0f", fmin(1e15, round(fabs(v) / unit) * unit)), len = 0;
    if (v < 0) out[len++] = '-';
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) out[len++] = ',';
        out[len++] = digits[i];
    }
    out[len] = '\0';
    return out;
}
enum { EXACT = 15 };

/* A number of a table: grouped from 1,000 on, to four figures below. */
static json_t *value(double v)
{
    char text[32];
    return fabs(v) >= 1000 ? json_string(grouped(v, EXACT, text)) : text_of("%.4g", v);
}

static void add(json_t *blocks, json_t *block)
{
    (void)json_array_append_new(blocks, block);
}

static void heading(json_t *blocks, const char *text)
{
    add(blocks, json_pack("{s:s,s:s}", "type", "heading", "text", text));
}

static void paragraph(json_t *blocks, const char *text)
{
    add(blocks, json_pack("{s:s,s:s}", "type", "text", "text", text));
}

static json_t *columns(const struct plan_report *r, const char *const head[][2], size_t n, unsigned right)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s,s:b}", "text", say(r, head[i][0], head[i][1]), "right", (int)(right >> i & 1)));
    return list;
}

/* --- the choice --- */

static const char *choice_text(const struct plan_report *r, enum choice c)
{
    static const char *const en[] = {"Private deployment", "API", "Hybrid"};
    static const char *const zh[] = {"私有化部署", "API", "混合"};
    return say(r, en[c], zh[c]);
}

static void add_choice(const struct plan_report *r, json_t *blocks)
{
    const struct plan_verdict *v = r->verdict;
    const struct decision *d = &v->decision;
    char text[400];
    if (d->decided_by >= 0) {
        const struct decision_rule *rule = &r->asked->rules->item[d->decided_by];
        snprintf(text, sizeof text, "%s", say(r, rule->en, rule->zh));
    } else {
        snprintf(
            text, sizeof text,
            say(r, "points: private %.3g, API %.3g, hybrid %.3g; the same choice in %.0f %% of the draws of the inputs",
                "得分：私有化 %.3g，API %.3g，混合 %.3g；在 %.0f%% 的随机取值中结论相同"),
            d->score[0], d->score[1], d->score[2], 100 * v->confidence);
    }
    const char *carries = v->fits ? say(r, "the hardware carries the demand", "该硬件能够承载需求")
                                  : say(r, "the hardware does not carry the demand", "该硬件无法承载需求");
    add(blocks, json_pack("{s:s,s:s,s:s,s:s,s:o}", "type", "verdict", "state", v->fits ? "PASS" : "FAIL", "label",
                          choice_text(r, d->choice), "title", carries, "text", json_string(text)));
}

static void fact(json_t *rows, const char *name, json_t *value)
{
    (void)json_array_append_new(rows, json_pack("[s,o]", name, value));
}

static void add_facts(const struct plan_report *r, json_t *blocks)
{
    const struct plan_verdict *v = r->verdict;
    const struct plan_system *s = r->asked->system;
    const struct cost_private *p = &v->cost;
    json_t *rows = json_array();
    char a[32], b[32];
    fact(rows, say(r, "model", "模型"), text_of("%s %s", s->model->name, s->quant->name));
    fact(rows, say(r, "hardware", "硬件"),
         text_of(say(r, "%.0f x %s in %.0f servers, %.0f replicas", "%.0f x %s，%.0f 台服务器，%.0f 个副本"), p->cards,
                 s->hardware ? s->hardware->name : say(r, "this machine", "本机"), p->hosts, p->replicas));
    fact(rows, say(r, "demand", "需求"),
         text_of(say(r, "%s calls a month, %.3g a second at the peak, %.0f conversations at a time",
                     "每月 %s 次调用，高峰每秒 %.3g 次，同时 %.0f 个对话"),
                 grouped(v->in[COST_CALLS].mid, EXACT, a), v->demand.peak_s, v->demand.users));
    if (v->priced) {
        fact(rows, say(r, "private, a month", "私有化，每月"), text_of("%s CNY", grouped(p->monthly, EXACT, a)));
        fact(rows, say(r, "purchase; three years in all", "采购；三年总成本"),
             text_of("%s CNY; %s CNY", grouped(p->capex, EXACT, a), grouped(p->tco, EXACT, b)));
        fact(rows, say(r, "a call; a million tokens", "每次调用；每百万词元"),
             text_of("%.4f CNY; %.2f CNY", p->per_call, p->per_mtok));
    }
    if (v->api)
        fact(rows, say(r, "the same by API, a month", "同样调用的 API 费用，每月"),
             text_of("%s CNY (%s %s)", grouped(v->api_monthly, EXACT, a), v->api->provider, v->api->model));
    if (v->api && v->priced)
        fact(rows, say(r, "hybrid, a month", "混合方案，每月"),
             text_of(say(r, "%s CNY with %.0f %% of the calls sent to the API", "%s CNY，%.0f%% 的调用转给 API"),
                     grouped(v->hybrid_monthly, EXACT, a), 100 * v->in[COST_ROUTED].mid));
    add(blocks, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
}

/* --- plots --- */

static json_t *series(const char *label, json_t *points)
{
    return json_pack("{s:s,s:o}", "label", label, "points", points);
}

static void point(json_t *list, double x, double y)
{
    if (isfinite(x) && isfinite(y)) (void)json_array_append_new(list, json_pack("[f,f]", x, y));
}

/* A place on an axis of a plot ("x" or "y"); what is not finite is left out. */
static void mark(json_t *list, const char *axis, double at, const char *label)
{
    if (isfinite(at)) (void)json_array_append_new(list, json_pack("{s:f,s:s}", axis, at, "label", label));
}

/* Private cost with replicas that grow with the calls, the API's, the hybrid's; up to twice the demand, the
 * capacity or break-even, whichever is more within a hundred times the demand. */
static void add_volume_plot(const struct plan_report *r, json_t *blocks)
{
    const struct plan_verdict *v = r->verdict;
    struct cost_setup s = v->setup;
    double x[N_COST], calls = v->in[COST_CALLS].mid, top = 2 * calls;
    json_t *own = json_array(), *api = json_array(), *hybrid = json_array();
    char note[300], a[32], b[32];
    cost_expected(v->in, x);
    s.fixed_replicas = 0;
    json_t *marks = json_array();
    double most = v->cost.capacity_calls_month, even = v->break_even.calls_month;
    if (v->break_even.grown_calls > 0) top = fmin(fmax(top, 1.2 * v->break_even.grown_calls), PLOT_REACH * calls);
    if (1.1 * most < PLOT_REACH * calls) top = fmax(top, 1.1 * most);
    if (v->break_even.within_capacity && 1.1 * even < PLOT_REACH * calls) top = fmax(top, 1.1 * even);
    mark(marks, "x", calls / 1e3, say(r, "your calls", "您的调用量"));
    mark(marks, "x", v->break_even.within_capacity ? even / 1e3 : HUGE_VAL, say(r, "break-even", "盈亏平衡点"));
    mark(marks, "x", most / 1e3, say(r, "capacity", "容量上限"));
    for (int i = 0; i <= PLOT_POINTS; i++) {
        struct cost_private p, front;
        x[COST_CALLS] = top * i / PLOT_POINTS;
        cost_private(&s, x, &p);
        point(own, x[COST_CALLS] / 1e3, p.monthly / 1e3);
        point(api, x[COST_CALLS] / 1e3, cost_api_monthly(&s, x, x[COST_CALLS]) / 1e3);
        point(hybrid, x[COST_CALLS] / 1e3, cost_hybrid_monthly(&s, x, &front) / 1e3);
    }
    heading(blocks, say(r, "Cost against volume", "成本与调用量"));
    add(blocks,
        json_pack("{s:s,s:o,s:[o,o,o],s:s,s:s}", "type", "lines", "marks", marks, "series",
                  series(choice_text(r, CHOICE_PRIVATE), own), series(choice_text(r, CHOICE_API), api),
                  series(choice_text(r, CHOICE_HYBRID), hybrid), "x", say(r, "thousand calls a month", "千次调用/月"),
                  "y", say(r, "thousand CNY a month", "千元/月")));
    if (v->break_even.within_capacity)
        snprintf(note, sizeof note,
                 say(r, "Break-even at %s calls a month; these machines answer up to %s.",
                     "盈亏平衡点为每月 %s 次；这些机器每月最多应答 %s 次。"),
                 grouped(even, 3, a), grouped(most, 3, b));
    else
        snprintf(note, sizeof note,
                 say(r,
                     "Never: before it is cheaper than the API, the volume is beyond what these machines answer (%s "
                     "calls a month).",
                     "永不：在比 API 便宜之前，调用量已超出这些机器的能力（每月 %s 次）。"),
                 grouped(most, 3, a));
    paragraph(blocks, note);
}

static json_t *bar(const char *label, double share)
{
    return json_pack("{s:s,s:f,s:f,s:f}", "label", label, "value", share, "low", 0.0, "high", share);
}

static void add_memory_plot(const struct plan_report *r, json_t *blocks)
{
    const struct plan_memory *m = &r->forecast->memory;
    double all = m->usable_bytes > 0 ? m->usable_bytes : 1;
    double most = fmax(1, m->total_bytes / all);
    heading(blocks, say(r, "Memory of one replica", "单个副本的显存"));
    add(blocks, json_pack("{s:s,s:[o,o,o,o],s:f,s:f,s:f,s:s}", "type", "intervals", "rows",
                          bar(say(r, "weights", "权重"), m->weights_bytes / all),
                          bar(say(r, "cache of the users", "用户的缓存"), m->kv_bytes / all),
                          bar(say(r, "software", "软件"), (m->workspace_bytes + m->framework_bytes) / all),
                          bar(say(r, "all", "合计"), m->total_bytes / all), "min", 0.0, "max", 1.1 * most, "mark", 1.0,
                          "unit", " %"));
    char note[200];
    snprintf(note, sizeof note,
             say(r, "Shares of the %.1f GiB that the software may use; room for %.0f conversations at full length.",
                 "占软件可用显存 %.1f GiB 的比例；可容纳 %.0f 个完整长度的对话。"),
             all / 0x1p30, m->max_sequences);
    paragraph(blocks, note);
}

static void add_latency_plot(const struct plan_report *r, json_t *blocks)
{
    const struct plan_case *k = r->asked;
    double room = fmax(1, r->verdict->offer.room), top = fmin(room, fmax(8, 2 * r->verdict->offer.running));
    json_t *ttft = json_array(), *tpot = json_array(), *first = json_array(), *further = json_array();
    const char *planned = say(r, "planned for at most", "规划上限"), *target = say(r, "target", "目标");
    for (int i = 0; i <= PLOT_POINTS; i++) {
        struct plan_point p;
        double n = 1 + (top - 1) * i / PLOT_POINTS;
        plan_point_at(k->system, k->goal.prompt_tokens, k->goal.output_tokens, n, room, &p);
        point(ttft, n, 1e3 * p.ttft_s);
        point(tpot, n, 1e3 * p.tpot_s);
    }
    mark(first, "x", r->verdict->offer.running, planned);
    mark(further, "x", r->verdict->offer.running, planned);
    mark(first, "y", 1e3 * k->goal.ttft_s, target);
    mark(further, "y", 1e3 * k->goal.tpot_s, target);
    heading(blocks, say(r, "Latency against users of one replica", "单个副本的延迟与用户数"));
    add(blocks, json_pack("{s:s,s:o,s:[o],s:s,s:s}", "type", "lines", "marks", first, "series",
                          series(say(r, "first token (TTFT)", "首词元（TTFT）"), ttft), "x",
                          say(r, "conversations at a time", "同时对话数"), "y", "ms"));
    add(blocks, json_pack("{s:s,s:o,s:[o],s:s,s:s}", "type", "lines", "marks", further, "series",
                          series(say(r, "between tokens (TPOT)", "词元间隔（TPOT）"), tpot), "x",
                          say(r, "conversations at a time", "同时对话数"), "y", "ms"));
}

/* --- tables --- */

static void add_costs(const struct plan_report *r, json_t *blocks)
{
    static const char *const head[][2] = {{"part", "项目"}, {"CNY a month", "元/月"}};
    static const char *const zh[] = {"折旧", "租金", "电费", "维护", "工程师", "合规", "弥补效果差距"};
    static const char *const en[] = {
        "written off", "rent", "power", "maintenance", "engineers", "compliance", "closing the gap in quality"};
    const struct plan_verdict *v = r->verdict;
    json_t *rows = json_array();
    for (int i = 0; i < N_COST_PART; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s", say(r, en[i], zh[i]));
        if (i == COST_PART_STAFF && v->in[COST_SALARY].mid > 0)
            snprintf(name, sizeof name, say(r, "engineers: %.2g full-time people", "工程师：%.2g 名全职人员"),
                     v->cost.part[i] * 12 / v->in[COST_SALARY].mid);
        (void)json_array_append_new(rows, json_pack("[s,o]", name, value(round(v->cost.part[i]))));
    }
    (void)json_array_append_new(rows,
                                json_pack("[s,o]", say(r, "all", "合计"), value(round(r->verdict->cost.monthly))));
    heading(blocks, say(r, "Cost of an installation of your own", "自建成本"));
    add(blocks,
        json_pack("{s:s,s:o,s:o}", "type", "table", "columns", columns(r, head, N_ELEM(head), 2), "rows", rows));
}

struct api_row {
    const struct plan_price *price;
    double monthly;
    struct cost_break_even even;
};

static int by_monthly(const void *a, const void *b)
{
    const struct api_row *x = a, *y = b;
    return (x->monthly > y->monthly) - (x->monthly < y->monthly);
}

/* The newest price of every model, cheapest first; mem_free. */
static struct api_row *api_rows(const struct plan_report *r, size_t *n)
{
    const struct catalogue *c = r->asked->catalogue;
    struct api_row *list = mem_alloc((c->n_price + 1) * sizeof *list);
    *n = 0;
    for (size_t i = 0; i < c->n_price; i++) {
        struct api_row *x = &list[*n];
        double call;
        x->price = &c->price[i];
        if (catalogue_price(c, x->price->provider, x->price->model) != x->price) continue;
        plan_price_cost(r->verdict, x->price, &x->monthly, &call, &x->even);
        (*n)++;
    }
    qsort(list, *n, sizeof *list, by_monthly);
    return list;
}

static json_t *api_row(const struct plan_report *r, const struct api_row *x)
{
    char monthly[32], even[32];
    return json_pack(
        "[o,s,s,s]", text_of("%s %s%s", x->price->provider, x->price->model, x->price == r->verdict->api ? " *" : ""),
        grouped(x->monthly, EXACT, monthly),
        x->even.within_capacity ? grouped(x->even.calls_month, 3, even) : say(r, "never", "永不"), x->price->date);
}

/* Some from the cheapest to the dearest, and the one that is compared with. */
static void add_apis(const struct plan_report *r, json_t *blocks)
{
    static const char *const head[][2] = {{"provider and model", "提供商与模型"},
                                          {"CNY a month", "元/月"},
                                          {"your own is cheaper from (calls a month)", "自建更便宜的起点（次/月）"},
                                          {"price of", "价格日期"}};
    json_t *rows = json_array();
    size_t n;
    struct api_row *list = api_rows(r, &n);
    size_t step = n / TABLE_APIS + 1;
    for (size_t i = 0; i < n; i++)
        if (i % step == 0 || i + 1 == n || list[i].price == r->verdict->api)
            (void)json_array_append_new(rows, api_row(r, &list[i]));
    mem_free(list);
    heading(blocks, say(r, "The same calls by API", "同样的调用使用 API"));
    add(blocks, json_pack("{s:s,s:o,s:o,s:s}", "type", "table", "columns", columns(r, head, N_ELEM(head), 6), "rows",
                          rows, "caption",
                          say(r, "a selection, cheapest first; * compared with", "部分列出，由低到高；* 为比较对象")));
}

static void add_rules(const struct plan_report *r, json_t *blocks)
{
    static const char *const head[][2] = {
        {"rule", "规则"}, {"favours", "支持"}, {"points", "分数"}, {"state", "状态"}, {"what it says", "内容"}};
    static const char *const en[] = {"not fired", "fired", "not known"}, *const zh[] = {"未触发", "触发", "信息不足"};
    const struct decision_rules *all = r->asked->rules;
    json_t *rows = json_array();
    for (size_t i = 0; i < all->n; i++) {
        const struct decision_rule *x = &all->item[i];
        enum rule_state state = r->verdict->decision.state[i];
        (void)json_array_append_new(rows, json_pack("[o,s,o,s,s]", text_of("%s (%s)", x->id, x->when),
                                                    choice_text(r, x->favours), text_of("%.3g", x->weight),
                                                    say(r, en[state], zh[state]), say(r, x->en, x->zh)));
    }
    heading(blocks, say(r, "Rules of the decision", "决策规则"));
    add(blocks,
        json_pack("{s:s,s:o,s:o}", "type", "table", "columns", columns(r, head, N_ELEM(head), 4), "rows", rows));
}

static void add_sensitivity(const struct plan_report *r, json_t *blocks)
{
    static const char *const head[][2] = {
        {"input", "输入"},     {"low", "低"},
        {"high", "高"},        {"private minus API at low, CNY a month", "取低时私有化减 API（元/月）"},
        {"at high", "取高时"}, {"the cheaper one changes", "更便宜者改变"}};
    struct cost_swing w[N_COST];
    json_t *rows = json_array();
    int n = cost_tornado(&r->verdict->setup, r->verdict->in, w);
    for (int i = 0; i < n; i++) {
        const struct cost_input_info *x = &cost_input_info[w[i].input];
        (void)json_array_append_new(rows, json_pack("[s,o,o,o,o,s]", say(r, x->en, x->zh),
                                                    value(r->verdict->in[w[i].input].low),
                                                    value(r->verdict->in[w[i].input].high), value(round(w[i].at_low)),
                                                    value(round(w[i].at_high)), w[i].flips ? say(r, "yes", "是") : ""));
    }
    heading(blocks, say(r, "What moves the result", "敏感性"));
    add(blocks,
        json_pack("{s:s,s:o,s:o}", "type", "table", "columns", columns(r, head, N_ELEM(head), 30), "rows", rows));
}

static void add_inputs(const struct plan_report *r, json_t *blocks)
{
    static const char *const head[][2] = {{"input", "输入"}, {"low", "低"},    {"expected", "预期"},
                                          {"high", "高"},    {"unit", "单位"}, {"from", "来源"}};
    json_t *rows = json_array(), *inner = json_array();
    for (int i = 0; i < N_COST; i++) {
        const struct cost_input_info *x = &cost_input_info[i];
        const struct cost_band *b = &r->verdict->in[i];
        (void)json_array_append_new(
            rows, json_pack("[o,o,o,o,s,s]", text_of("%s: %s", x->key, say(r, x->en, x->zh)), value(b->low),
                            value(b->mid), value(b->high), param_unit_text(x->unit, r->lang),
                            r->asked->set[i] ? say(r, "given", "给定") : say(r, x->source, x->source_zh)));
    }
    add(inner,
        json_pack("{s:s,s:o,s:o}", "type", "table", "columns", columns(r, head, N_ELEM(head), 14), "rows", rows));
    add(blocks, json_pack("{s:s,s:s,s:b,s:o}", "type", "details", "summary",
                          say(r, "Every input of the cost, with its source", "全部成本输入及来源"), "open", 0, "blocks",
                          inner));
}

/* --- words --- */

static void add_words(const struct plan_report *r, json_t *blocks)
{
    static const struct {
        const char *word, *en, *zh;
    } words[] = {
        {"TTFT", "time to first token: from the question to the first word of the answer",
         "首词元延迟：从提问到回答第一个词元的时间"},
        {"TPOT", "time per output token: between one piece of a word and the next", "词元间隔：相邻两个词元之间的时间"},
        {"token", "a piece of a word that the model reads and writes", "词元：模型读写的文字片段"},
        {"KV cache", "what the model keeps of a conversation while it writes; it grows with length and users",
         "键值缓存：回答时为对话保留的数据，随长度和用户数增长"},
        {"replica", "one copy of the model that answers by itself", "副本：可独立应答的一份模型"},
        {"break-even", "the volume from which your own machines are cheaper", "盈亏平衡点：自建开始更便宜的调用量"},
        {"PUE", "power of the whole room over power of the machines: what cooling adds",
         "机房总功率与设备功率之比，反映制冷开销"},
        {"quantization", "weights in fewer bits: less memory, slightly lower quality",
         "量化：用更少的位数存放权重，占用更小，质量略降"},
        {"FTE", "one person's full working time", "一名全职人员的工作量"},
    };
    json_t *rows = json_array();
    for (size_t i = 0; i < N_ELEM(words); i++) fact(rows, words[i].word, json_string(say(r, words[i].en, words[i].zh)));
    heading(blocks, say(r, "Words", "术语"));
    add(blocks, json_pack("{s:s,s:o}", "type", "facts", "rows", rows));
}

int plan_report_compose(const struct plan_report *r, json_t **doc, struct err *e)
{
    json_t *blocks = json_array();
    add_choice(r, blocks);
    add_facts(r, blocks);
    if (r->verdict->priced && r->verdict->api) add_volume_plot(r, blocks);
    if (r->verdict->priced) add_costs(r, blocks);
    if (r->verdict->api) add_apis(r, blocks);
    add_memory_plot(r, blocks);
    add_latency_plot(r, blocks);
    add_rules(r, blocks);
    if (r->verdict->priced && r->verdict->api) add_sensitivity(r, blocks);
    add_inputs(r, blocks);
    add_words(r, blocks);
    *doc = json_pack("{s:s,s:s,s:o}", "title",
                     say(r, "Plan: which model, on what, at what cost", "规划：用什么模型、什么硬件、多少成本"), "lang",
                     r->lang == LANG_ZH ? "zh" : "en", "blocks", blocks);
    return *doc ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot write the report: out of memory");
}

/* --- CSV --- */

static int row(struct buf *out, const char *section, const char *name, double value, const char *unit)
{
    char text[40];
    snprintf(text, sizeof text, "%.10g", value);
    const char *field[] = {section, name, text, unit};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ELEM(field); i++) {
        size_t n = 0;
        while (field[i][n]) n++;
        rc = csv_write_field(out, field[i], n, i == 0, true);
    }
    return rc ? rc : csv_write_end(out);
}

static int figures(const struct plan_report *r, struct buf *out)
{
    const struct plan_verdict *v = r->verdict;
    const struct plan_memory *m = &r->forecast->memory;
    const struct {
        const char *section, *name;
        double value;
        const char *unit;
    } rows[] = {
        {"demand", "calls_month", v->in[COST_CALLS].mid, "calls"},
        {"demand", "users", v->demand.users, ""},
        {"demand", "calls_s_peak", v->demand.peak_s, "calls/s"},
        {"memory", "weights", m->weights_bytes, "bytes"},
        {"memory", "kv", m->kv_bytes, "bytes"},
        {"memory", "total", m->total_bytes, "bytes"},
        {"speed", "ttft", 1e3 * r->forecast->loaded.ttft_s, "ms"},
        {"speed", "tpot", 1e3 * r->forecast->loaded.tpot_s, "ms"},
        {"capacity", "replica_calls_s", v->offer.capacity_s, "calls/s"},
        {"cost", "replicas", v->cost.replicas, ""},
        {"cost", "cards", v->cost.cards, ""},
        {"cost", "capex", v->cost.capex, "CNY"},
        {"cost", "monthly", v->cost.monthly, "CNY"},
        {"cost", "tco_36_months", v->cost.tco, "CNY"},
        {"cost", "per_mtok", v->cost.per_mtok, "CNY"},
        {"api", "monthly", v->api_monthly, "CNY"},
        {"hybrid", "monthly", v->hybrid_monthly, "CNY"},
        {"decision", "confidence", v->confidence, ""},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ELEM(rows); i++)
        rc = row(out, rows[i].section, rows[i].name, rows[i].value, rows[i].unit);
    for (int i = 0; rc == 0 && i < N_COST_PART; i++)
        rc = row(out, "cost part", cost_part_key[i], v->cost.part[i], "CNY a month");
    for (int i = 0; rc == 0 && i < N_COST; i++)
        rc = row(out, "input", cost_input_info[i].key, v->in[i].mid, cost_input_info[i].unit);
    return rc;
}

int plan_report_csv(const struct plan_report *r, struct buf *out, struct err *e)
{
    int rc = buf_add_str(out, "section,name,value,unit\r\n");
    if (rc == 0) rc = figures(r, out);
    return rc ? err_set(e, -rc, NULL, "cannot write the report: out of memory") : 0;
}
