/* The inputs of a cost estimate: name, unit, band (low, expected, high), what it is, where the number comes from.
 *
 * A band is what the expected value may turn out to be; sensitivity and confidence are computed from it. 0, 0, 0: there
 * is no general value, it comes from the catalogue, the prediction or the user. "assumption" marks what no source
 * backs. Money is in CNY unless the name says otherwise. */
#ifndef PLAN_COST_INPUTS_H
#define PLAN_COST_INPUTS_H

#include <stddef.h>

#include "ground/base/err.h"

/* id, key, unit, low, expected, high, smallest, largest, English, Chinese, source, source in Chinese */
#define COST_INPUTS(X)                                                                                                 \
    X(CALLS, calls_month_band, "calls", 0, 0, 0, 0, 1e15, "calls a month, uncertain", "每月调用次数（不确定范围）",    \
      "assumption: half to twice the expected volume", "假设：预期调用量的一半至两倍")                                 \
    X(CARD_PRICE, card_price, "CNY", 0, 0, 0, 0, 1e9, "price of one card, Mac or CPU board", "单卡（或整机）价格",     \
      "catalogue of hardware, prices of 2026", "硬件目录，2026 年价格")                                                \
    X(HOST_PRICE, host_price, "CNY", 0, 0, 0, 0, 1e9, "price of a server without its cards", "服务器（不含显卡）价格", \
      "two-card box 15-20k: market 2026; others: assumption", "双卡机箱 1.5 至 2 万元：2026 年市场价；其余为假设")     \
    X(NETWORK, network_price, "CNY", 0, 0, 0, 0, 1e9, "switches, rack and load balancer, for all servers together",    \
      "交换机、机柜与负载均衡，合计", "assumption; 0: none for one server, 5 % of the purchase for more",              \
      "假设，0 表示按此推算：一台服务器不计，多台按采购额的 5%")                                                       \
    X(LIFE, life_years, "years", 2, 3, 5, 0.25, 20, "years until the hardware is written off", "硬件折旧年限",         \
      "three years is usual in total-cost comparisons (ertas.ai 2026)", "总成本比较中通常取三年（ertas.ai 2026）")     \
    X(CARD_POWER, card_power, "W", 0, 0, 0, 0, 1e5, "power of one card at full load", "单卡满载功率",                  \
      "catalogue of hardware", "硬件目录")                                                                             \
    X(HOST_POWER, host_power, "W", 0, 0, 0, 0, 1e5, "power of a server without its cards", "服务器（不含显卡）功率",   \
      "assumption", "假设")                                                                                            \
    X(IDLE, idle_share, "", 0.15, 0.25, 0.4, 0, 1, "share of its power that an idle card draws",                       \
      "空闲时功率占满载功率的比例", "assumption", "假设")                                                              \
    X(POWER_HOURS, power_hours, "h", 730, 730, 730, 0, 744, "hours a month that the hardware is switched on",          \
      "每月开机小时数", "always on", "始终开机")                                                                       \
    X(PUE, pue, "", 1.3, 1.4, 1.5, 1, 5, "power of the room over power of the machines (cooling)",                     \
      "机房总功率与设备功率之比（制冷）", "assumption: 1.3 to 1.5", "假设：1.3 至 1.5")                                \
    X(TARIFF, tariff, "CNY/kWh", 0.6, 0.8, 1.0, 0, 100, "price of electricity", "电价", "assumption: 0.6 to 1.0 CNY",  \
      "假设：0.6 至 1.0 元")                                                                                           \
    X(STAFF, staff, "people", 0, 0, 0, 0, 1e5, "engineers' time that running it takes, in full-time people",           \
      "运维所需的全职工程师人数", "assumption; 0: by the number of servers", "假设，0 表示按服务器台数推算")           \
    X(SALARY, salary, "CNY/year", 300000, 450000, 600000, 0, 1e8, "yearly salary of an engineer", "工程师年薪",        \
      "300-600k CNY: market 2026", "30 至 60 万元：2026 年市场")                                                       \
    X(MAINTENANCE, maintenance, "CNY/year", 8000, 15000, 30000, 0, 1e8, "maintenance of one server a year",            \
      "每台服务器的年维护费", "8-30k CNY: market 2025", "0.8 至 3 万元：2025 年市场")                                  \
    X(MLPS, mlps, "CNY/year", 0, 0, 0, 0, 1e9, "multi-level protection scheme (dengbao): assessment a year",           \
      "等级保护测评，每年", "level 2 from 50k CNY (2025); level 3: assumption",                                        \
      "二级 5 万元起（2025 年）；三级为假设")                                                                          \
    X(CLASSIFICATION, classification, "CNY/year", 0, 0, 0, 0, 1e9, "classifying the data, a year", "数据分类，每年",   \
      "assumption", "假设")                                                                                            \
    X(ACCESS, access_control, "CNY/year", 0, 0, 0, 0, 1e9, "access control: accounts, roles, keys, a year",            \
      "访问控制（账号、角色、密钥），每年", "assumption", "假设")                                                      \
    X(AUDIT, audit_log, "CNY/year", 0, 0, 0, 0, 1e9, "audit logs: storage and review, a year",                         \
      "审计日志（存储与审查），每年", "assumption", "假设")                                                            \
    X(GAP_DAYS, gap_days, "days", 10, 30, 90, 0, 1e5,                                                                  \
      "work to close the gap in quality to a frontier model (prompts, tuning, tests), once",                           \
      "弥补与顶尖模型效果差距的工作（提示工程、微调、测试），一次性", "assumption", "假设")                            \
    X(GAP_UPKEEP, gap_upkeep, "days", 0, 1, 3, 0, 31, "work that keeps the gap in quality closed, every month",        \
      "使效果差距不再拉大的工作，每月", "assumption", "假设")                                                          \
    X(RENT, rent, "USD/h", 0, 0, 0, 0, 1e6, "cloud rent of one card an hour", "单卡云租金（每小时）",                  \
      "catalogue of hardware", "硬件目录")                                                                             \
    X(RENT_HOURS, rent_hours, "h", 730, 730, 730, 0, 744, "hours a month that cards are rented", "每月租用小时数",     \
      "always on", "始终开机")                                                                                         \
    X(API_INPUT, api_input, "CNY/Mtok", 0, 0, 0, 0, 1e6, "API price of a million prompt tokens",                       \
      "API 每百万输入词元价格", "catalogue of prices; band: assumption", "价格目录；区间为假设")                       \
    X(API_OUTPUT, api_output, "CNY/Mtok", 0, 0, 0, 0, 1e6, "API price of a million answer tokens",                     \
      "API 每百万输出词元价格", "catalogue of prices; band: assumption", "价格目录；区间为假设")                       \
    X(API_CACHED, api_cached, "CNY/Mtok", 0, 0, 0, 0, 1e6, "API price of a million prompt tokens found in its cache",  \
      "API 每百万缓存命中词元价格", "catalogue of prices; without one: as input", "价格目录；没有时按输入价")          \
    X(CACHE_HIT, cache_hit, "", 0, 0, 0.5, 0, 1, "share of prompt tokens that the API finds in its cache",             \
      "输入词元的缓存命中率", "assumption: none is counted on", "假设：不计缓存命中")                                  \
    X(API_STAFF, api_staff, "people", 0, 0, 0.1, 0, 1e5, "engineers' time that using the API takes",                   \
      "使用 API 所需的全职工程师人数", "assumption", "假设")                                                           \
    X(ROUTED, routed_share, "", 0.1, 0.2, 0.4, 0, 1, "hybrid: share of calls that go to the large API model",          \
      "混合方案中转给大模型 API 的调用比例", "assumption", "假设")                                                     \
    X(CAPACITY, capacity, "calls/s", 0, 0, 0, 0, 1e9, "calls a second that one replica answers in time",               \
      "每个副本每秒能按时完成的调用数", "prediction, with its error band", "预测值及其误差区间")                       \
    X(CNY_USD, cny_usd, "CNY", 6.5, 6.7195, 7.2, 0.1, 1000, "CNY for one USD", "1 美元兑人民币",                       \
      "2026-09-28; band: assumption", "2026-09-28；区间为假设")

#define COST_RATE_DATE "2026-09-28" /* of the expected value of CNY_USD */

enum cost_input {
#define X(id, ...) COST_##id,
    COST_INPUTS(X)
#undef X
        N_COST
};

struct cost_band {
    double low, mid, high;
};

struct cost_input_info {
    const char *key, *unit;
    struct cost_band band; /* all 0: no general value */
    double min, max;
    const char *en, *zh, *source, *source_zh;
};
extern const struct cost_input_info cost_input_info[N_COST];

/* The general values. */
void cost_inputs_init(struct cost_band in[N_COST]);
/* Value of one input: n = 1, the expected one, with the band around it in proportion (a band of its own is there, else
 * none); n = 3: low, expected, high. -ERR_USAGE otherwise, for numbers out of range or order. */
int cost_input_set(struct cost_band in[N_COST], enum cost_input i, const double *value, size_t n,
                   struct err *e) MUST_CHECK;

#endif
