/* The Chinese forms of messages about choosing, comparing and repeating runs, looked through before the general ones.
 * Owns the table only; what holds of message_zh_table.c holds here. */
#include "doors/cli/message_zh.h"

/* clang-format off */
const struct message_zh message_zh_table_runs[] = {
    /* --- presets --- */
    {"method *: the rows hold a chosen and a rejected answer", "方法 $1：数据行含有较好与较差的回答"},
    {"method *: the rows hold answers with a label, good or bad", "方法 $1：数据行含有标为好或坏的回答"},
    {"method *: the rows hold answers", "方法 $1：数据行含有答案"},
    {"adapter qlora: the base is quantized, and stays as it is served", "适配器 qlora：基座已量化，并保持其服务时的样子"},
    {"adapter lora: the base stays as it is, the result is small and can be taken off", "适配器 lora：基座不变，结果很小且可随时取下"},
    {"rank *, alpha *: * rows fill no larger one", "rank $1，alpha $2：$3 行数据用不满更大的秩"},
    {"lr *: for * on a model of * M parameters, * wide", "lr $1：适合以 $2 训练 $3 百万参数、宽 $4 的模型"},
    {"* rows a step, * steps, * of them to warm up: * rows of data", "每步 $1 行，共 $2 步，其中预热 $3 步：数据有 $4 行"},
    {"eval_every *, early_stop *: eval_data is given, so the best adapter is kept",
     "eval_every $1，early_stop $2：已给出 eval_data，因此保留最佳适配器"},
    {"token_budget *: more tokens at once do not fit in * for the backward pass", "token_budget $1：$2 容不下更多词元的反向传播"},
    {"cannot name a run after \"*\": the name is too long", "不能以“$1”为运行命名：名称过长"},
    {"cannot name the run: * to * are taken, output is needed", "无法为运行命名：$1 到 $2 均已占用，请给出 output"},
    {NULL, NULL},
};
/* clang-format on */
