/* catalog models, catalog hardware, catalog prices: what the planner knows, searched and sorted. */
#include <stdio.h>
#include <string.h>

#include "doors/cli/catalog_list.h"
#include "doors/cli/catalog_params.h"
#include "doors/cli/cli.h"
#include "doors/cli/print_wrapped.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "lifecycle/plan/age.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/memory.h"

extern const struct command cmd_catalog_models, cmd_catalog_hardware, cmd_catalog_prices;

static const struct param model_params[] = {
    PARAM_SEARCH,
    {"licence", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "licences that hold this text: Apache, MIT, Community",
     "许可证含有该文字：Apache、MIT、Community"},
    {"max_params", PARAM_FLOAT, PARAM_ABOVE, "billions", 0, 1e6, NULL, NULL, "B", "at most so many parameters in all",
     "参数总量上限"},
    {"language", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT",
     "languages that hold this text (zh, en), and rows that count languages without naming them",
     "语言含有该文字（zh、en），以及只给出语言数量而未列出名称的行"},
    {"modality", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "TEXT", "modalities that hold this text: image, code",
     "模态含有该文字：image、code"},
    PARAM_SORT,
    PARAM_CATALOG,
};

static const struct param other_params[] = {PARAM_SEARCH, PARAM_SORT, PARAM_CATALOG};

/* Sorted as asked, else by a column of its own. */
static int order(struct catalog_rows *r, const struct param_set *args, const char *otherwise, struct err *e)
{
    const char *column = param_str(args, "sort");
    return column || otherwise ? catalog_rows_sort(r, column ? column : otherwise, e) : 0;
}

/* An empty table looks like a mistake of the program. */
static bool none_found(const struct cli *c, const struct catalog_rows *r)
{
    if (r->n == 0) printf("%s\n", cli_text(c, "no row fits what was asked for", "没有符合条件的行"));
    return r->n == 0;
}

typedef void (*decorate)(json_t *o, const void *row);

static void print_rows_json(const struct catalog_rows *r, const char *name, decorate more)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->n; i++) {
        json_t *o = row_json(r->table, r->row[i]);
        if (o && more) more(o, r->row[i]);
        if (json_array_append_new(list, o)) {
            json_decref(list);
            list = NULL;
        }
    }
    cli_print_json(json_pack("{s:o}", name, list));
}

/* --- models --- */

static bool small_enough(const void *row, const void *at)
{
    const double *most = at;
    return plan_params_total(row) <= 1e9 * *most;
}

/* "119 languages", "multilingual", "140+": it may be among them. */
static bool counts_only(const char *languages)
{
    bool counts = languages[0] >= '0' && languages[0] <= '9';
    return (counts && !strchr(languages, '(')) || strstr(languages, "multilingual");
}

static bool speaks(const void *row, const void *at)
{
    const struct plan_model *m = row;
    return strcasestr(m->languages, at) || counts_only(m->languages);
}

/* What the dimensions say beside what was published. */
static void decorate_model(json_t *o, const void *row)
{
    const struct plan_model *m = row;
    struct plan_params p;
    plan_params_of(m, &p);
    json_object_set_new(o, "params_calc_b", json_real((p.linear + p.embed) / 1e9));
    json_object_set_new(o, "active_calc_b", json_real((p.active + p.embed) / 1e9));
    json_object_set_new(o, "calc_error", json_real((p.linear + p.embed) / (1e9 * m->params_total_b) - 1));
    json_object_set_new(o, "kv_known", json_boolean(plan_kv_known(m)));
}

static void print_models(const struct cli *c, const struct catalog_rows *r)
{
    printf("%s\n", cli_text(c, "model                        billions context  licence              modality",
                            "模型                             十亿  上下文  许可证               模态"));
    for (size_t i = 0; i < r->n; i++) {
        const struct plan_model *m = r->row[i];
        char size[32], context[16];
        snprintf(size, sizeof size, m->n_expert ? "%.4g (%.3g)" : "%.4g", m->params_total_b, m->params_active_b);
        snprintf(context, sizeof context, "%dK", m->n_ctx / 1024);
        printf("%-24.24s %12s %7s  %-20.20s %.12s\n", m->name, size, context, m->licence, m->modality);
    }
    print_wrapped(cli_text(
        c,
        "billions: parameters in all, in brackets those at work for one token (mixture of experts); "
        "context: tokens of prompt and answer together at most\n",
        "十亿：参数总量，括号内为每个词元实际参与计算的（混合专家模型）；上下文：提示词与回答合计的最大词元数\n"));
}

static int run_models(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue cat;
    struct catalog_rows r = {0};
    int rc = catalogue_open(&cat, c->home, param_str(args, "catalog"), e);
    if (rc == 0) {
        catalog_rows_find(&r, &row_models, cat.model, cat.n_model, param_str(args, "search"));
        catalog_rows_keep(&r, "license", param_str(args, "licence"));
        if (param_str(args, "language")) catalog_rows_filter(&r, speaks, param_str(args, "language"));
        catalog_rows_keep(&r, "modality", param_str(args, "modality"));
        double most = param_is_set(args, "max_params") ? param_float(args, "max_params") : 1e9;
        catalog_rows_filter(&r, small_enough, &most);
        rc = order(&r, args, "params_total_b", e);
        if (rc == 0 && c->json)
            print_rows_json(&r, "models", decorate_model);
        else if (rc == 0 && !none_found(c, &r))
            print_models(c, &r);
    }
    mem_free(r.row);
    catalogue_free(&cat);
    return rc;
}

/* --- hardware --- */

static bool stale(const char *date, int limit, int *days)
{
    return plan_age_days(date, clock_unix_ms(), days) && *days > limit;
}

static void decorate_age(json_t *o, const char *date, int limit)
{
    int days;
    bool old = stale(date, limit, &days);
    bool known = plan_age_days(date, clock_unix_ms(), &days);
    json_object_set_new(o, "age_days", known ? json_integer(days) : json_null());
    json_object_set_new(o, "stale", json_boolean(old));
}

static void decorate_hardware(json_t *o, const void *row)
{
    const struct plan_hardware *h = row;
    decorate_age(o, h->noted, PLAN_STALE_HARDWARE_DAYS);
}

static void print_age(const struct cli *c, const char *date, int limit)
{
    int days;
    if (stale(date, limit, &days)) printf(cli_text(c, " (%d days)", "（%d 天）"), days);
}

/* Catalogue files name kinds in English. */
static const char *kind_of(const struct cli *c, const struct plan_hardware *h)
{
    static const char *const zh[] = {[PLAN_CONSUMER] = "消费级 GPU",
                                     [PLAN_WORKSTATION] = "工作站 GPU",
                                     [PLAN_DATACENTER] = "数据中心 GPU",
                                     [PLAN_NPU] = "数据中心 NPU",
                                     [PLAN_MAC] = "Mac",
                                     [PLAN_CPU] = "CPU"};
    return c->lang == LANG_ZH ? zh[h->kind] : h->kind_text;
}

static void print_hardware(const struct cli *c, const struct catalog_rows *r)
{
    printf("%s\n", cli_text(c, "id           kind               GB  GB/s  FP16   FP8     W link  CNY",
                            "编号         类别               GB  GB/s  FP16   FP8     W 互联  元"));
    for (size_t i = 0; i < r->n; i++) {
        const struct plan_hardware *h = r->row[i];
        char price[48] = "-";
        if (h->price_cny_low > 0) snprintf(price, sizeof price, "%.0f-%.0f", h->price_cny_low, h->price_cny_high);
        printf("%-12.12s %s%*s %5.0f %5.0f %5.0f %5.0f %5.0f %4.0f  %s", h->id, kind_of(c, h),
               str_padding(kind_of(c, h), 15), "", h->memory_gb, h->read_gb_s, h->fp16_tflops, h->fp8_tflops,
               h->power_w, h->link_gb_s, price);
        print_age(c, h->noted, PLAN_STALE_HARDWARE_DAYS);
        putchar('\n');
    }
    print_wrapped(
        cli_text(c,
                 "GB, GB/s: memory and how fast it is read; FP16, FP8: 1e12 operations a second in 16 and 8 "
                 "bits, 0: not in hardware or not known; W: power at most; link: GB/s to other cards; CNY: "
                 "price of one, from - to, -: no source has one\n",
                 "GB、GB/s：显存（内存）及其带宽；FP16、FP8：16 位与 8 位每秒万亿次运算，0：硬件不支持或未知；"
                 "W：最大功率；互联：卡间 GB/s；元：单价（低-高），-：没有来源\n"));
}

static int run_hardware(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue cat;
    struct catalog_rows r = {0};
    int rc = catalogue_open(&cat, c->home, param_str(args, "catalog"), e);
    if (rc == 0) {
        catalog_rows_find(&r, &row_hardware, cat.hardware, cat.n_hardware, param_str(args, "search"));
        rc = order(&r, args, NULL, e);
        if (rc == 0 && c->json)
            print_rows_json(&r, "hardware", decorate_hardware);
        else if (rc == 0 && !none_found(c, &r))
            print_hardware(c, &r);
    }
    mem_free(r.row);
    catalogue_free(&cat);
    return rc;
}

/* --- prices --- */

static bool is_newest(const void *row, const void *at)
{
    const struct plan_price *p = row;
    return catalogue_price(at, p->provider, p->model) == p;
}

static void decorate_price(json_t *o, const void *row)
{
    const struct plan_price *p = row;
    decorate_age(o, p->date, PLAN_STALE_PRICE_DAYS);
}

/* Names are printed whole, since `plan --api` takes them; prices follow in a column behind the longest. */
static void print_prices(const struct cli *c, const struct catalog_rows *r)
{
    const char *title = cli_text(c, "CNY for a million tokens", "元／百万词元");
    int wide = str_columns(title);
    for (size_t i = 0; i < r->n; i++) {
        const struct plan_price *p = r->row[i];
        int columns = str_columns(p->provider) + 1 + str_columns(p->model);
        if (columns > wide) wide = columns;
    }
    printf("%s%*s %s\n", title, str_padding(title, wide), "",
           cli_text(c, "      in      out  cached  date", "    输入     输出    缓存  日期"));
    for (size_t i = 0; i < r->n; i++) {
        const struct plan_price *p = r->row[i];
        char cached[32] = "-";
        if (p->cached_cny > 0) snprintf(cached, sizeof cached, "%.3f", p->cached_cny);
        int left = wide - str_columns(p->provider) - 1 - str_columns(p->model);
        printf("%s %s%*s %8.3f %8.3f %7s  %s", p->provider, p->model, left, "", p->input_cny, p->output_cny, cached,
               p->date);
        print_age(c, p->date, PLAN_STALE_PRICE_DAYS);
        putchar('\n');
    }
}

static int run_prices(const struct cli *c, const struct param_set *args, struct err *e)
{
    struct catalogue cat;
    struct catalog_rows r = {0};
    int rc = catalogue_open(&cat, c->home, param_str(args, "catalog"), e);
    if (rc == 0) {
        catalog_rows_find(&r, &row_prices, cat.price, cat.n_price, param_str(args, "search"));
        if (!param_bool(args, "all")) catalog_rows_filter(&r, is_newest, &cat);
        rc = order(&r, args, "provider", e);
        if (rc == 0 && c->json)
            print_rows_json(&r, "prices", decorate_price);
        else if (rc == 0 && !none_found(c, &r))
            print_prices(c, &r);
    }
    mem_free(r.row);
    catalogue_free(&cat);
    return rc;
}

static const struct param price_params[] = {
    PARAM_SEARCH,
    {"all", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "older prices, too, not the newest of each model alone",
     "包括旧价格，而不只是每个模型最新的价格"},
    PARAM_SORT,
    PARAM_CATALOG,
};

const struct command cmd_catalog_models = {
    .name = "catalog models",
    .summary_en = "models that the planner knows, with dimensions and licence",
    .summary_zh = "规划器所知的模型，含维度与许可证",
    .usage = "[--search TEXT] [--licence TEXT] [--max-params B] [--language TEXT] [--modality TEXT] [--sort COLUMN]",
    .example = "tailor catalog models --licence Apache --max-params 9 --language zh",
    .params = model_params,
    .n_param = N_ELEM(model_params),
    .run = run_models,
};

const struct command cmd_catalog_hardware = {
    .name = "catalog hardware",
    .summary_en = "cards and machines that the planner knows, with prices",
    .summary_zh = "规划器所知的显卡与机器，含价格",
    .usage = "[--search TEXT] [--sort COLUMN]",
    .example = "tailor catalog hardware --search consumer --sort price2026_rmb_low",
    .params = other_params,
    .n_param = N_ELEM(other_params),
    .run = run_hardware,
};

const struct command cmd_catalog_prices = {
    .name = "catalog prices",
    .summary_en = "prices of APIs, a million tokens, old ones marked with their age",
    .summary_zh = "各家 API 每百万词元的价格，过时的标明天数",
    .usage = "[--search TEXT] [--all] [--sort COLUMN]",
    .example = "tailor catalog prices --search deepseek --sort output_cny_per_mtok",
    .params = price_params,
    .n_param = N_ELEM(price_params),
    .run = run_prices,
};
