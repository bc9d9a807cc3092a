/* The search for people and as JSON. Owns nothing after a call. */
#include "doors/cli/plan_search.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "doors/cli/plan_money.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/str.h"
#include "ground/json/json.h"
#include "lifecycle/plan/search.h"

bool plan_search_asked(const struct param_set *args)
{
    static const char *const names[] = {"hardware",     "users",        "ttft_ms",    "tpot_ms",
                                        "calls_month",  "team",         "data_class", "budget",
                                        "min_params_b", "max_params_b", "why",        "min_accuracy"};
    if (param_str(args, "model")) return false;
    for (size_t i = 0; i < N_ELEM(names); i++)
        if (param_is_set(args, names[i])) return true;
    return false;
}

static void query_of(const struct param_set *args, const struct plan_case *k, const struct quality_book *book,
                     struct search_query *q)
{
    *q = (struct search_query){.catalogue = k->catalogue,
                               .goal = k->goal,
                               .demand = k->demand,
                               .hardware = param_str(args, "hardware"),
                               .quant = param_str(args, "quant"),
                               .min_params_b = param_float(args, "min_params_b"),
                               .max_params_b =
                                   param_is_set(args, "max_params_b") ? param_float(args, "max_params_b") : 0,
                               .budget_cny = param_is_set(args, "budget") ? param_float(args, "budget") : 0,
                               .why = param_str(args, "why"),
                               .book = book,
                               .min_accuracy = param_float(args, "min_accuracy"),
                               .any_licence = param_bool(args, "any_licence"),
                               .kv_bits = plan_kv_bits(param_str(args, "kv")),
                               .max_cards = param_is_set(args, "count") ? (int)param_int(args, "count") : 8,
                               .compliance = k->compliance,
                               .data_class = k->facts[FACT_DATA_CLASS],
                               .rented = k->rented};
    memcpy(q->in, k->in, sizeof q->in);
    memcpy(q->set, k->set, sizeof q->set);
    /* the gap in quality depends on what is compared with, which a search does not know */
    if (!k->set[COST_GAP_DAYS]) q->in[COST_GAP_DAYS] = (struct cost_band){0, 0, 0};
    if (!k->set[COST_GAP_UPKEEP]) q->in[COST_GAP_UPKEEP] = (struct cost_band){0, 0, 0};
}

/* --- why not --- */

static void why_text(const struct search_miss *m, const struct search_query *q, enum lang lang, char *out, size_t size)
{
    bool zh = lang == LANG_ZH;
    switch (m->why) {
    case REFUSED_MEMORY:
        snprintf(out, size, zh ? "放不下，每卡差 %.1f GiB" : "does not fit by %.1f GiB a card", m->value);
        return;
    case REFUSED_CONTEXT:
        snprintf(out, size, zh ? "模型上下文为 %.0f 词元，需要 %.0f" : "its context is %.0f tokens, %.0f are needed",
                 m->value, q->goal.prompt_tokens + q->goal.output_tokens);
        return;
    case REFUSED_TTFT:
        snprintf(out, size, zh ? "首词元 %.2g 秒，超过 %.2g 秒" : "TTFT %.2g s > %.2g s", m->value, q->goal.ttft_s);
        return;
    case REFUSED_TPOT:
        snprintf(out, size, zh ? "词元间隔 %.0f 毫秒，超过 %.0f 毫秒" : "TPOT %.0f ms > %.0f ms", 1e3 * m->value,
                 1e3 * q->goal.tpot_s);
        return;
    case REFUSED_LICENCE:
        snprintf(out, size, zh ? "许可证不允许商用（%.60s）" : "its licence forbids commercial use (%.60s)",
                 m->model->licence);
        return;
    case REFUSED_ACCURACY:
        snprintf(out, size,
                 zh ? "评测的准确率为 %.1f%%，低于 %.1f%%"
                    : "its accuracy was evaluated as %.1f %%, %.1f %% are needed",
                 100 * m->value, 100 * q->min_accuracy);
        return;
    case REFUSED_PRICE:
        snprintf(out, size, "%s", zh ? "该硬件没有价格来源" : "no source has a price of the hardware");
        return;
    case REFUSED_BUDGET:
    default:
        snprintf(out, size,
                 zh ? "采购需 %.0f 元，超出预算 %.0f 元" : "the purchase takes %.0f CNY, the budget is %.0f CNY",
                 m->value, q->budget_cny);
    }
}

/* --- JSON --- */

/* {"basis":"eval", ...} or {"basis":"size class", "class"}. */
static json_t *quality_json(const struct search_point *p, const char *size_class)
{
    const struct known_quality *k = p->known;
    if (!k) return json_pack("{s:s,s:s}", "basis", "size class", "class", size_class);
    return json_pack("{s:s,s:f,s:f,s:f,s:I,s:s,s:s,s:b,s:s}", "basis", "eval", "accuracy", k->accuracy, "low", k->low,
                     "high", k->high, "n", (json_int_t)k->n, "evaluated", k->file, "run", k->run, "tuned", k->tuned,
                     "finished", k->time);
}

static json_t *point_json(const struct search_point *p)
{
    char quality[32];
    search_class_text(p->quality_class, quality, sizeof quality);
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:s,s:o,s:f,s:f,s:f,s:f,s:f,s:f,s:b}", "model", p->model->name, "quant",
                     p->quant->name, "hardware", p->hardware->id, "cards_per_replica", p->cards_per_replica, "replicas",
                     p->replicas, "cards", p->cards_per_replica * p->replicas, "quality_size_class", quality, "quality",
                     quality_json(p, quality), "monthly_cny", p->monthly_cny, "capex_cny", p->capex_cny, "ttft_ms",
                     1e3 * p->ttft_s, "tpot_ms", 1e3 * p->tpot_s, "answer_s", p->answer_s, "replica_calls_s",
                     p->capacity_s, "pareto", p->on_front);
}

static json_t *result_json(const struct search_query *q, const struct search_result *r)
{
    json_t *points = json_array(), *front = json_array(), *refused = json_array();
    for (size_t i = 0; i < r->n_point; i++) {
        (void)json_array_append_new(points, point_json(&r->point[i]));
        if (r->point[i].on_front) (void)json_array_append_new(front, point_json(&r->point[i]));
    }
    for (size_t i = 0; i < r->n_miss; i++) {
        const struct search_miss *m = &r->miss[i];
        char why[200];
        why_text(m, q, LANG_EN, why, sizeof why);
        (void)json_array_append_new(refused, json_pack("{s:s,s:o,s:o,s:i,s:s}", "model", m->model->name, "quant",
                                                       m->quant ? json_string(m->quant->name) : json_null(), "hardware",
                                                       m->hardware ? json_string(m->hardware->id) : json_null(),
                                                       "cards", m->cards, "why_not", why));
    }
    return json_pack("{s:I,s:I,s:s,s:s,s:o,s:o,s:o}", "tried", (json_int_t)r->n_tried, "feasible",
                     (json_int_t)r->n_point, "quality",
                     q->book->n ? "accuracy where evaluated, else size class" : "size class: nothing was evaluated",
                     "cases", q->book->cases, "pareto", front, "points", points, "refused", refused);
}

/* --- for people --- */

enum { SHOWN_OF_CLASS = 4, SHOWN_MISSES = 15, N_CLASS = 16 };

static void print_point(const struct search_point *p, const struct plan_currency *cur)
{
    char quality[32], month[32], capex[32];
    search_class_text(p->quality_class, quality, sizeof quality);
    if (p->known) snprintf(quality, sizeof quality, "%.1f %%%s", 100 * p->known->accuracy, p->known->tuned ? "+" : "");
    plan_money_text(p->monthly_cny, cur, month, sizeof month);
    plan_money_text(p->capex_cny, cur, capex, sizeof capex);
    printf("%-8s %-18.18s %-6.6s %3dx%-11.11s %5.0f %4.0f %8s %9s\n", quality, p->model->name, p->quant->name,
           p->cards_per_replica * p->replicas, p->hardware->id, 1e3 * p->ttft_s, 1e3 * p->tpot_s, month, capex);
}

/* Columns by what they take on a terminal, so that both languages line up with the rows. */
static void print_heads(const struct cli *c)
{
    static const struct {
        const char *en, *zh;
        int columns;
        bool right;
    } head[] = {{"quality", "质量", 8, false},   {"model", "模型", 18, false}, {"quant", "量化", 6, false},
                {"hardware", "硬件", 15, false}, {"TTFT", "TTFT", 5, true},    {"TPOT", "TPOT", 4, true},
                {"a month", "每月", 8, true},    {"purchase", "采购", 9, true}};
    for (size_t i = 0; i < N_ELEM(head); i++) {
        const char *text = cli_text(c, head[i].en, head[i].zh);
        int pad = str_padding(text, head[i].columns);
        printf("%s%*s%s%*s", i ? " " : "", head[i].right ? pad : 0, "", text, head[i].right ? 0 : pad, "");
    }
    putchar('\n');
}

static void print_misses(const struct cli *c, const struct search_query *q, const struct search_result *r)
{
    size_t most = q->why ? r->n_miss : SHOWN_MISSES;
    for (size_t i = 0; i < r->n_miss && i < most; i++) {
        const struct search_miss *m = &r->miss[i];
        char why[200];
        why_text(m, q, c->lang, why, sizeof why);
        if (m->hardware)
            print_wrapped("  %s %s %d x %s: %s\n", m->model->name, m->quant->name, m->cards, m->hardware->id, why);
        else
            print_wrapped("  %s: %s\n", m->model->name, why);
    }
    if (r->n_miss > most)
        print_wrapped(cli_text(c, "  ... and %zu more (--json lists all)\n", "  ……另有 %zu 个（--json 列出全部）\n"),
                      r->n_miss - most);
}

/* What stands for quality. */
static void print_basis(const struct cli *c, const struct quality_book *b)
{
    if (b->n == 0) {
        print_wrapped("%s\n\n", cli_text(c,
                                         "quality: class of the model's size (nothing was evaluated; `tailor eval` "
                                         "measures it on your cases)",
                                         "质量：以模型规模分级代替（未做评测；`tailor eval` 可在您的题目上测量）"));
        return;
    }
    print_wrapped(
        cli_text(
            c,
            "quality: accuracy of your own evaluations on %s where there is one (+: tuned), of the "
            "weights that were evaluated; else the class of the model's size stands for it\n",
            "质量：有自有评测者为其在 %s 上的准确率（+ 表示经过微调，针对被评测的权重）；其余以模型规模分级代替\n"),
        b->cases);
    for (size_t i = 0; i < b->n; i++)
        print_wrapped(cli_text(c, "  %s: %.1f %% (%.1f .. %.1f, %lld cases) of %s, %s\n",
                               "  %s：%.1f%%（%.1f .. %.1f，%lld 题），评测对象 %s，%s\n"),
                      b->of[i].model->name, 100 * b->of[i].accuracy, 100 * b->of[i].low, 100 * b->of[i].high,
                      b->of[i].n, b->of[i].file, b->of[i].run);
    if (b->n_unknown)
        print_wrapped(cli_text(c, "  %zu evaluations are of models that are no row of the catalogue\n",
                               "  另有 %zu 次评测的模型不在目录中\n"),
                      b->n_unknown);
    putchar('\n');
}

static void print_result(const struct cli *c, const struct param_set *args, const struct search_query *q,
                         const struct search_result *r)
{
    struct plan_verdict rates = {.confidence = 0};
    rates.in[COST_CNY_USD] = q->in[COST_CNY_USD];
    struct plan_currency cur = plan_currency_of(args, &rates);
    print_wrapped(
        cli_text(
            c,
            "%zu of %zu combinations of the catalogue carry the demand within TTFT %.0f ms and TPOT %.0f ms.\n"
            "Those that no other beats in quality, cost and time at once, cheapest first (money in %s, times in ms).\n"
            "At most four of a quality are shown, --json has all.\n",
            "目录中有 %zu 个组合（共试 %zu 个）能在首词元 %.0f 毫秒、词元间隔 %.0f 毫秒内承载需求。\n"
            "下列组合在质量、成本与时间上没有被其他组合全面超过，按成本由低到高（货币：%s；时间：毫秒）。\n"
            "每级质量最多列出四个，--json 给出全部。\n"),
        r->n_point, r->n_tried, 1e3 * q->goal.ttft_s, 1e3 * q->goal.tpot_s, cur.name);
    print_basis(c, q->book);
    print_heads(c);
    int shown[N_CLASS] = {0};
    for (size_t i = 0; i < r->n_point; i++)
        if (r->point[i].on_front && (r->point[i].known || shown[r->point[i].quality_class]++ < SHOWN_OF_CLASS))
            print_point(&r->point[i], &cur);
    if (r->n_miss)
        printf("\n%s\n", cli_text(c, "why not (the nearest miss of each):", "未入选的原因（各取最接近者）："));
    print_misses(c, q, r);
    if (r->n_point)
        print_wrapped(
            cli_text(
                c,
                "\n`tailor plan --model %s --quant %s --hardware %s ...` says more of a point: cost, API, decision\n",
                "\n`tailor plan --model %s --quant %s --hardware %s ……` 给出某一组合的成本、API 对比与结论\n"),
            r->point[0].model->name, r->point[0].quant->name, r->point[0].hardware->id);
}

int plan_search_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, struct err *e)
{
    struct plan_asked asked;
    struct search_query q;
    struct search_result r = {0};
    struct quality_book book;
    int rc = quality_book_open(&book, c->home, catalogue, e);
    if (rc) return rc;
    rc = plan_case_open(c, args, catalogue, NULL, &asked, e);
    if (rc == 0) {
        query_of(args, &asked.at, &book, &q);
        rc = search_run(&q, &r, e);
    }
    if (rc == 0 && c->json) cli_print_json(result_json(&q, &r));
    if (rc == 0 && !c->json) print_result(c, args, &q, &r);
    search_result_free(&r);
    quality_book_close(&book);
    plan_case_close(&asked);
    return rc;
}
