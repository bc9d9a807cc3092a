/* The options that the plan commands share: the system that is planned for, the demand and its targets, what a decision
 * needs to know, and the inputs of cost. */
#ifndef CLI_PLAN_OPTIONS_H
#define CLI_PLAN_OPTIONS_H

#include "ground/param/param.h"
#include "lifecycle/plan/cost_inputs.h"

/* clang-format off */
#define PLAN_SYSTEM_PARAMS \
    {"model", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL", \
     "model on disk or in the registry (measured now), or a name of the catalogue", \
     "磁盘或注册表中的模型（现场测量），或目录中的名称"}, \
    {"quant", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "Q", \
     "type of the weights: BF16, Q8_0, Q4_K_M, Q4_0, FP8, AWQ ...", "权重类型：BF16、Q8_0、Q4_K_M、Q4_0、FP8、AWQ ……"}, \
    {"catalog", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE", \
     "CSV file or folder whose rows go over the catalogue's", "CSV 文件或目录，其中的行覆盖内置目录"}, \
    {"hardware", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "H", \
     "cards or machines of the catalogue instead of this machine (`tailor catalog hardware` lists them)", \
     "目录中的显卡或机器，而不是本机（`tailor catalog hardware` 列出）"}, \
    {"count", PARAM_INT, 0, NULL, 1, 4096, NULL, "1", "N", "how many of it", "其数量"}, \
    {"tp", PARAM_INT, 0, NULL, 1, 8, NULL, NULL, "N", \
     "cards that share every matrix (tensor parallel); otherwise as many as the heads allow", \
     "共同计算每个矩阵的卡数（张量并行）；未给出时按注意力头数取最大"}, \
    {"pp", PARAM_INT, 0, NULL, 1, 1024, NULL, NULL, "N", "groups of layers, one after the other, on cards of their own", \
     "按层切分的组数，各组在自己的卡上依次计算"}, \
    {"stack", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "S", \
     "serving software: tuned (TensorRT-LLM, tuned vLLM or SGLang), vllm, vllm-0.6, llama.cpp, tailor", \
     "推理软件：tuned（TensorRT-LLM、调优的 vLLM 或 SGLang）、vllm、vllm-0.6、llama.cpp、tailor"}, \
    {"kv", PARAM_STRING, 0, NULL, 0, 0, NULL, "fp16", "TYPE", "type of cached keys and values: fp16, fp8, int8, q8_0", \
     "缓存的键和值的类型：fp16、fp8、int8、q8_0"}

#define PLAN_LOAD_PARAMS \
    {"users", PARAM_INT, 0, NULL, 1, 100000, NULL, "1", "N", "conversations at a time", "同时进行的对话数"}, \
    {"prompt_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "512", "N", "length of a prompt", "提示词长度"}, \
    {"output_tokens", PARAM_INT, 0, "tokens", 1, 10000000, NULL, "128", "N", "length of an answer", "回答长度"}

#define PLAN_DEMAND_PARAMS \
    {"ttft_ms", PARAM_FLOAT, 0, "ms", 1, 1e7, NULL, "2000", "X", \
     "target: the first token of an answer at the latest after this time (TTFT)", \
     "目标：首词元最迟出现时间（TTFT）"}, \
    {"tpot_ms", PARAM_FLOAT, 0, "ms", 0.1, 1e6, NULL, "100", "X", \
     "target: each further token at the latest after this time (TPOT)", \
     "目标：后续每个词元的最长间隔（TPOT）"}, \
    {"calls_month", PARAM_FLOAT, 0, NULL, 1, 1e15, NULL, NULL, "N", "calls a month; otherwise from the team or the users", \
     "每月调用次数；未给出时由团队人数或对话数推算"}, \
    {"team", PARAM_FLOAT, 0, NULL, 1, 1e9, NULL, NULL, "N", "people who share it", "使用人数"}, \
    {"active_share", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1, NULL, "0.05", "X", \
     "share of the team that is in a conversation at the busiest time (an assumption: 3 to 10 % of seats)", \
     "高峰时正在对话的人数比例（假设：席位的 3% 至 10%）"}, \
    {"calls_person_day", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1e6, NULL, "30", "N", \
     "calls of a person on a working day (an assumption)", \
     "每人每个工作日的调用次数（假设）"}, \
    {"think_s", PARAM_FLOAT, 0, "s", 0, 1e6, NULL, "30", "X", "time between an answer and the next question (an assumption)", \
     "从得到回答到下一次提问的时间（假设）"}, \
    {"days_month", PARAM_FLOAT, PARAM_ABOVE, "days", 0, 31, NULL, "22", "N", "days of use a month", "每月使用天数"}, \
    {"hours_day", PARAM_FLOAT, PARAM_ABOVE, "h", 0, 24, NULL, "8", "N", "hours of use a day", "每天使用小时数"}, \
    {"peak", PARAM_FLOAT, 0, NULL, 1, 1000, NULL, "2", "X", "busiest hour over the mean of the hours of use", "最忙一小时与平均的比值"}, \
    {"max_load", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1, NULL, "0.9", "X", \
     "share of what a full batch serves that is planned for at most", \
     "规划时最多使用满批处理能力的比例"}, \
    {"spare", PARAM_FLOAT, 0, NULL, 0, 10, NULL, "1", "X", \
     "places of the batch kept free for chance, in square roots of the load; 0: none", "为随机波动预留的位置数，以负载的平方根计；0 表示不留"}, \
    {"answer_cv", PARAM_FLOAT, 0, NULL, 0, 10, NULL, "1", "X", "spread of the answers' lengths: standard deviation over mean", \
     "回答长度的离散程度：标准差与均值之比"}

#define PLAN_DECISION_PARAMS \
    {"data_class", PARAM_CHOICE, 0, NULL, 0, 0, "public|internal|secret", NULL, NULL, \
     "what the data is; secret: it may not leave the company", "数据级别；secret：不得离开公司"}, \
    {"engineers", PARAM_FLOAT, 0, NULL, 0, 1e6, NULL, NULL, "X", \
     "engineers of your own who can run models, in full-time people", \
     "能够运维模型的自有工程师人数（全职）"}, \
    {"budget", PARAM_FLOAT, 0, "CNY", 0, 1e12, NULL, NULL, "N", "what may be spent on the purchase", "采购预算"}, \
    {"customize", PARAM_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, \
     "the model must be tuned deeply on data of the field", "需要深度定制（垂直领域微调）"}, \
    {"generic", PARAM_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, "the use is general questions and answers without special demands", \
     "用例为通用问答，无特殊要求"}, \
    {"compliance", PARAM_CHOICE, 0, NULL, 0, 0, "none|mlps2|mlps3", NULL, NULL, \
     "multi-level protection scheme (dengbao) level whose costs count; otherwise by the data class", "计入的等级保护级别费用；未给出时按数据级别"}, \
    {"rented", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, "cards rented in a cloud instead of bought", "租用云端显卡而非购买"}, \
    {"api", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "MODEL", \
     "API to compare with, MODEL or PROVIDER/MODEL; otherwise the cheapest of at least this model's size", \
     "用于比较的 API（MODEL 或 PROVIDER/MODEL）；未给出时取不小于该模型规模的最便宜者"}, \
    {"rules", PARAM_STRING, 0, NULL, 0, 0, NULL, NULL, "FILE.csv", \
     "rules of the decision instead of the program's", "决策规则文件，替代内置规则"}, \
    {"currency", PARAM_CHOICE, 0, NULL, 0, 0, "CNY|USD", "CNY", NULL, "money in what people read", "显示所用货币"}

#define PLAN_COST_ROW(id, name, u, low, mid, high, min, max, en, zh, source, source_zh) \
    {#name, PARAM_FLOATS, 0, u[0] ? u : NULL, min, max, NULL, NULL, "X|LOW,X,HIGH", en, zh},
/* ends with a comma */
#define PLAN_COST_PARAMS COST_INPUTS(PLAN_COST_ROW)
/* clang-format on */

#endif
