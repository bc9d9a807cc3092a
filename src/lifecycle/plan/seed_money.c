/* Claims of purchase and monthly cost for each size: the machines that the table names, at the catalogue's prices.
 * Owns nothing. */
#include <math.h>
#include <stdio.h>

#include "lifecycle/plan/assess_defaults.h"
#include "lifecycle/plan/seed_table_int.h"

/* Training and inference hardware of a row, the purchase and the month that it states, in CNY. */
struct claim {
    const char *capex_en, *capex_zh, *month_en, *month_zh;
    const char *train, *infer;
    int n_train, n_infer;
    double capex_low, capex_high, month_low, month_high;
};

static const struct claim claims[] = {
    {"1.5B: purchase 10-20k CNY", "1.5B：采购 1-2 万元", "1.5B: below 500 CNY a month", "1.5B：每月低于 500 元", NULL,
     "RTX3060", 0, 1, 10e3, 20e3, 0, 500},
    {"7B: purchase 50-100k CNY", "7B：采购 5-10 万元", "7B: 800-1,500 CNY a month", "7B：每月 800-1500 元", "RTX4090",
     "RTX3060", 1, 1, 50e3, 100e3, 800, 1500},
    {"14B: purchase 100-200k CNY", "14B：采购 10-20 万元", "14B: 1,500-3,000 CNY a month", "14B：每月 1500-3000 元",
     "RTX4090", "RTX4080", 1, 1, 100e3, 200e3, 1500, 3000},
    {"32B: purchase 300-500k CNY", "32B：采购 30-50 万元", "32B: 4,000-8,000 CNY a month", "32B：每月 4000-8000 元",
     "RTX4090", "RTX4090", 2, 2, 300e3, 500e3, 4000, 8000},
    {"70B: purchase 800k-1M CNY", "70B：采购 80-100 万元", "70B: 10-15k CNY a month", "70B：每月 1-1.5 万元", "A100-80",
     "A100-80", 2, 2, 800e3, 1000e3, 10e3, 15e3},
    {"671B: purchase 3-4M CNY", "671B：采购 300-400 万元", "671B: 60-100k CNY a month", "671B：每月 6-10 万元",
     "A100-80", "A100-80", 8, 8, 3000e3, 4000e3, 60e3, 100e3},
};

/* Cards and their servers; power at full load for the inference machine. */
static int add_machine(const struct catalogue *c, const char *id, int n, bool powered, struct cost_band *price,
                       double *watts, struct err *e)
{
    static const bool nothing_set[N_COST];
    struct cost_setup s = {.cards_per_host = 1};
    struct cost_band in[N_COST];
    const struct plan_hardware *h;
    if (!id) return 0;
    int rc = catalogue_need_hardware(c, id, &h, e);
    if (rc) return rc;
    cost_inputs_init(in);
    assess_host(h, n, &s, in, nothing_set);
    if (!assess_cards(h, false, in, nothing_set))
        return err_set(e, ERR_NOT_FOUND, id, "cannot price \"%s\": the catalogue has no price of it", id);
    double part = s.host_by_part ? ceil(2.0 * n / s.cards_per_host) / 2 : ceil((double)n / s.cards_per_host);
    price->low += n * in[COST_CARD_PRICE].low + part * in[COST_HOST_PRICE].low;
    price->high += n * in[COST_CARD_PRICE].high + part * in[COST_HOST_PRICE].high;
    if (powered) *watts += n * in[COST_CARD_POWER].mid + part * in[COST_HOST_POWER].mid;
    return 0;
}

static void judge_purchase(const struct claim *x, const struct cost_band *price, struct seed_row *r)
{
    bool meet = price->low <= x->capex_high && price->high >= x->capex_low;
    double mid = (price->low + price->high) / 2, ratio = (x->capex_low + x->capex_high) / 2 / mid;
    r->verdict = meet && ratio < 1.8 && ratio > 1 / 1.8 ? SEED_HOLDS : SEED_WRONG;
    SEED_SAY(
        r, "the cards and servers named cost %.0f-%.0fk CNY at prices of 2026: the figure is %.1f times what they cost",
        "所列显卡与服务器按 2026 年价格为 %.0f-%.0f 千元：该数字是其 %.1f 倍", price->low / 1e3, price->high / 1e3,
        ratio);
}

/* Power at all hours and straight-line depreciation of the purchase that the table itself states. */
static void judge_month(const struct claim *x, double watts, struct seed_row *r)
{
    const struct cost_input_info *in = cost_input_info;
    double hours = in[COST_POWER_HOURS].band.mid, use = 0.5; /* on always, at half load */
    double power = watts / 1e3 * use * hours * in[COST_TARIFF].band.mid;
    double month = x->month_low > 0 ? (x->month_low + x->month_high) / 2 : x->month_high,
           capex = (x->capex_low + x->capex_high) / 2;
    double three_years = capex / 36 + power, life = capex / 12 / fmax(month - power, 1);
    double ratio = three_years / month;
    r->verdict = ratio > 1.3 || ratio < 0.7 ? SEED_WRONG : SEED_HOLDS;
    SEED_SAY(
        r,
        "its own purchase over three years and %.0f CNY of power give %.0f CNY a month, %.1f times the figure, which "
        "implies a life of %.1f years; engineers are left out",
        "按其自身采购额三年折旧加电费 %.0f 元，每月应为 %.0f 元，是该数字的 %.1f 倍（相当于折旧 %.1f 年）；未计人力",
        power, three_years, ratio, life);
}

int seed_rows_money(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    for (size_t i = 0; i < N_ELEM(claims); i++) {
        const struct claim *x = &claims[i];
        struct cost_band price = {0, 0, 0};
        double watts = 0;
        int rc = add_machine(c, x->train, x->n_train, false, &price, &watts, e);
        if (rc == 0) rc = add_machine(c, x->infer, x->n_infer, true, &price, &watts, e);
        if (rc) return rc;
        judge_purchase(x, &price, seed_row_add(rows, SEED_SIZES, x->capex_en, x->capex_zh));
        judge_month(x, watts, seed_row_add(rows, SEED_SIZES, x->month_en, x->month_zh));
    }
    return 0;
}
