/* Claims of the account of private deployment: two installations by memory, purchase, volume and compression. Owns
 * nothing. */
#include <math.h>
#include <stdio.h>

#include "lifecycle/plan/assess_defaults.h"
#include "lifecycle/plan/offer.h"
#include "lifecycle/plan/seed_table_int.h"

enum { PROMPT = 1000, ANSWER = 500 };

static double sequences(const struct plan_system *s, int prompt, int answer, double *weights_gib)
{
    struct plan_load l = {1, prompt, answer};
    struct plan_memory m;
    plan_memory_of(s, &l, &m);
    *weights_gib = m.weights_bytes / 0x1p30;
    return m.max_sequences;
}

/* --- 70B in 4 bits on 48 GB --- */

static int small_team(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    struct seed_row *r = seed_row_add(
        rows, SEED_DEPLOYMENT, "a team of 1-5: Llama-3.3-70B in 4 bits needs 48-80 GB: 2 x RTX 4090 or 1 x A6000",
        "1-5 人团队：Llama-3.3-70B 4-bit 需 48-80GB：2 张 RTX 4090 或 1 张 A6000");
    struct plan_system two, one;
    struct plan_step step = {.n_seq = 1, .mean_context = PROMPT + ANSWER / 2.0};
    double weights, other;
    int rc = seed_system(c, "Llama-3.3-70B", "AWQ", "RTX4090", 2, &two, e);
    if (rc == 0) rc = seed_system(c, "Llama-3.3-70B", "AWQ", "A6000", 1, &one, e);
    if (rc) return rc;
    double on_two = sequences(&two, PROMPT, ANSWER, &weights), on_one = sequences(&one, PROMPT, ANSWER, &other);
    double long_one = sequences(&two, 127 * 1024, 1024, &other);
    r->verdict = on_two >= 5 && on_one >= 1 ? (on_one >= 5 && long_one >= 1 ? SEED_HOLDS : SEED_LIMITS) : SEED_WRONG;
    double alone_two = 1 / plan_step_s(&two, &step), alone_one = 1 / plan_step_s(&one, &step);
    snprintf(r->reason_en, sizeof r->reason_en,
             "weights %.1f GiB; 2 x 4090 hold %.0f conversations of 1,500 tokens and write %.0f tokens/s for one, "
             "A6000 %.0f "
             "and %.0f; one conversation of 128K tokens %s",
             weights, on_two, alone_two, on_one, alone_one, long_one >= 1 ? "fits" : "does not fit");
    snprintf(
        r->reason_zh, sizeof r->reason_zh,
        "权重 %.1f GiB；2 张 4090 可容纳 %.0f 个 1500 词元的对话、单个 %.0f 词元/秒，A6000 为 %.0f 个、%.0f 词元/秒；"
        "128K 词元的对话%s",
        weights, on_two, alone_two, on_one, alone_one, long_one >= 1 ? "可容纳" : "放不下");
    return 0;
}

static int small_purchase(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    static const bool nothing_set[N_COST];
    struct seed_row *r = seed_row_add(rows, SEED_DEPLOYMENT, "hardware for it: 50-150k CNY", "其硬件成本：5-15 万元");
    struct cost_setup s = {.cards_per_host = 1};
    struct cost_band in[N_COST];
    const struct plan_hardware *h;
    int rc = catalogue_need_hardware(c, "RTX4090", &h, e);
    if (rc) return rc;
    cost_inputs_init(in);
    assess_host(h, 2, &s, in, nothing_set);
    (void)assess_cards(h, false, in, nothing_set);
    double low = 2 * in[COST_CARD_PRICE].low + in[COST_HOST_PRICE].low,
           high = 2 * in[COST_CARD_PRICE].high + in[COST_HOST_PRICE].high;
    r->verdict = high >= 50e3 && low <= 150e3 ? SEED_HOLDS : SEED_WRONG;
    SEED_SAY(r, "two RTX 4090 and their box cost %.0f-%.0fk CNY at prices of 2026",
             "两张 RTX 4090 及主机按 2026 年价格为 %.0f-%.0f 千元", low / 1e3, high / 1e3);
    return 0;
}

/* --- Scout on one A100 --- */

static int company(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    struct seed_row *r = seed_row_add(
        rows, SEED_DEPLOYMENT, "a company of up to 100: Llama 4 Scout 17B on one A100 80G, 10-20 requests at a time",
        "100 人以内企业：Llama 4 Scout 17B 单张 A100 80G，10-20 个并发");
    struct plan_system bf16, int4;
    struct plan_point p;
    double whole, small, other;
    int rc = seed_system(c, "Llama-4-Scout", "BF16", "A100-80", 1, &bf16, e);
    if (rc == 0) rc = seed_system(c, "Llama-4-Scout", "AWQ", "A100-80", 1, &int4, e);
    if (rc) return rc;
    double plain = sequences(&bf16, PROMPT, ANSWER, &whole), room = sequences(&int4, PROMPT, ANSWER, &small);
    double long_room = sequences(&int4, 7000, 1000, &other);
    plan_point_at(&int4, PROMPT, ANSWER, 20, fmax(room, 1), &p);
    r->verdict = plain >= 20 && long_room >= 20 ? SEED_HOLDS : room >= 20 ? SEED_LIMITS : SEED_WRONG;
    SEED_SAY(
        r,
        "17B are the active parameters: the weights are %.0f GiB in BF16 and do not fit; in 4 bits %.0f GiB, room for "
        "%.0f conversations of 1,500 tokens or %.0f of 8,000; 20 at a time get %.0f tokens/s each",
        "17B 为激活参数：BF16 权重 %.0f GiB，放不下；4 位为 %.0f GiB，可容纳 %.0f 个 1500 词元或 %.0f 个 8000 "
        "词元的对话；20 并发时每个 %.0f 词元/秒",
        whole, small, room, long_room, 1 / p.tpot_s);
    return 0;
}

/* --- volume --- */

/* Ten million calls of 1,000 + 500 tokens a month on pairs of H100 that serve a 70B model in FP8. */
static int ten_million(const struct catalogue *c, struct cost_setup *s, double v[N_COST], struct err *e)
{
    static const bool nothing_set[N_COST];
    struct plan_system h100;
    struct offer o;
    struct plan_goal goal = {PROMPT, ANSWER, 2, 0.05, 1, 0, 1};
    struct cost_band in[N_COST];
    int rc = seed_system(c, "Llama-3.3-70B", "FP8", "H100", 2, &h100, e);
    if (rc) return rc;
    offer_of(&h100, &goal, &o);
    *s = (struct cost_setup){.prompt_tokens = PROMPT,
                             .output_tokens = ANSWER,
                             .use_s_month = 22 * 8 * 3600,
                             .peak = 2,
                             .cards_per_replica = 2};
    cost_inputs_init(in);
    assess_host(h100.hardware, 2, s, in, nothing_set);
    (void)assess_cards(h100.hardware, false, in, nothing_set);
    assess_compliance(COMPLIANCE_MLPS2, (double)NAN, in, nothing_set);
    in[COST_GAP_DAYS] = in[COST_GAP_UPKEEP] = (struct cost_band){0, 0, 0};
    cost_expected(in, v);
    v[COST_CALLS] = 1e7;
    v[COST_CAPACITY] = o.capacity_s;
    return 0;
}

static int volume(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    static const bool nothing_set[N_COST];
    struct seed_row *r = seed_row_add(
        rows, SEED_DEPLOYMENT, "private deployment pays from ten million calls a month (the English text: millions)",
        "月调用千万级以上值得私有化（英文稿写作“百万”）");
    struct cost_setup s;
    struct cost_private own;
    double v[N_COST];
    int n = 0, pays = 0, rc = ten_million(c, &s, v, e);
    if (rc) return rc;
    cost_private(&s, v, &own);
    for (size_t i = 0; i < c->n_price; i++) {
        const struct plan_price *p = &c->price[i];
        struct cost_band in[N_COST];
        if (catalogue_price(c, p->provider, p->model) != p || !(p->input_usd + p->output_usd > 0)) continue;
        for (int k = 0; k < N_COST; k++) in[k] = (struct cost_band){v[k], v[k], v[k]};
        assess_api(p, &s, in, nothing_set);
        double x[N_COST];
        cost_expected(in, x);
        n++;
        pays += cost_api_monthly(&s, x, 1e7) > own.monthly;
    }
    r->verdict = pays == n ? SEED_HOLDS : pays == 0 ? SEED_WRONG : SEED_DEPENDS;
    SEED_SAY(r,
             "ten million calls of 1,000 + 500 tokens take %.0f H100 and %.0fk CNY a month; that is less than %d of "
             "the %d API "
             "prices of the catalogue: the price compared decides, not the volume",
             "每月千万次（1000 + 500 词元）需 %.0f 张 H100、每月 %.0f 千元；低于目录中 %d 个 API 价格（共 %d "
             "个）：取决于所比较的价格，而非调用量",
             own.cards, own.monthly / 1e3, pays, n);
    r = seed_row_add(rows, SEED_DEPLOYMENT, "production: running costs often exceed the API's",
                     "大规模生产：运营成本往往超过 API");
    r->verdict = 2 * pays < n ? SEED_HOLDS : SEED_DEPENDS;
    SEED_SAY(r, "the month above, %.0fk CNY, is more than %d of %d API prices",
             "上述每月 %.0f 千元高于 %d 个（共 %d 个）API 价格", own.monthly / 1e3, n - pays, n);
    return 0;
}

/* --- compression --- */

static double tok_s(const struct plan_system *s, double n)
{
    struct plan_point p;
    plan_point_at(s, PROMPT, ANSWER, n, 0, &p);
    return n / p.tpot_s;
}

static int compression(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    struct seed_row *r = seed_row_add(rows, SEED_SIZES, "quantization speeds up inference", "量化能显著提升推理效率");
    struct plan_system bf16, awq;
    int rc = seed_system(c, "Qwen3-8B", "BF16", "A100-80", 1, &bf16, e);
    if (rc == 0) rc = seed_system(c, "Qwen3-8B", "AWQ", "A100-80", 1, &awq, e);
    if (rc) return rc;
    double alone = tok_s(&awq, 1) / tok_s(&bf16, 1), full = tok_s(&awq, 256) / tok_s(&bf16, 256);
    r->verdict = full >= 1 ? SEED_HOLDS : SEED_LIMITS;
    SEED_SAY(
        r,
        "8B in 4 bits on an A100: %.1f times BF16 for one user, where reading weights is the limit, and %.2f times "
        "with 256 "
        "at a time, where arithmetic is",
        "8B 的 4 位量化在 A100 上：单用户时为 BF16 的 %.1f 倍（受限于读取权重），256 并发时为 %.2f 倍（受限于计算）",
        alone, full);
    r = seed_row_add(rows, SEED_SIZES, "memory for inference is twice the parameters (GB for 1e9), INT8 halves it",
                     "推理显存约为参数量的 2 倍（GB/10 亿），INT8 减半");
    struct plan_load ten = {10, PROMPT, ANSWER};
    struct plan_memory m;
    plan_memory_of(&bf16, &ten, &m);
    double weights = m.weights_bytes / 1e9, two = 2 * plan_params_total(bf16.model) / 1e9;
    r->verdict = m.total_bytes / 1e9 < 1.1 * two ? SEED_HOLDS : SEED_LIMITS;
    SEED_SAY(r,
             "right for weights alone: 8B takes %.1f GB where the rule says %.1f; with the cache of ten users and the "
             "software it "
             "is %.1f GB",
             "仅对权重成立：8B 权重 %.1f GB，按规则为 %.1f GB；加上 10 个用户的缓存与软件开销为 %.1f GB", weights, two,
             m.total_bytes / 1e9);
    return 0;
}

int seed_rows_deployment(const struct catalogue *c, struct seed_rows *rows, struct err *e)
{
    int rc = small_team(c, rows, e);
    if (rc == 0) rc = small_purchase(c, rows, e);
    if (rc == 0) rc = company(c, rows, e);
    if (rc == 0) rc = volume(c, rows, e);
    return rc ? rc : compression(c, rows, e);
}
