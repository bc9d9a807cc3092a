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

    /* --- looking at runs --- */
    {"cannot read the run \"*\": no tuning run is there", "无法读取运行“$1”：其中没有微调运行"},

    /* --- sweeps --- */
    {"run * of *: *", "第 $1/$2 次运行：$3"},
    {"cannot sweep over *: the value * is there twice", "不能遍历 $1：值 $2 重复"},
    {"cannot sweep over \"*\": KEY=VALUE,VALUE... is needed", "不能遍历“$1”：应写成 字段=值,值…"},
    {"cannot sweep over output: every run has a place of its own under it", "不能遍历 output：每次运行在其下各有位置"},
    {"cannot sweep over * fields, * are possible", "不能遍历 $1 个字段，最多 $2 个"},
    {"cannot sweep over * twice: all its values go into one grid", "不能两次遍历 $1：它的所有值应写在一个 grid 中"},
    {"cannot sweep over more than * runs", "一次遍历不能超过 $1 次运行"},
    {"cannot name a run of the sweep: its values are too long", "无法为遍历中的运行命名：值过长"},
    {"cannot sweep into \"*\": something else is there", "不能遍历到“$1”：其中有别的内容"},
    {"cannot sweep into \"*\": it holds a sweep of other fields or values", "不能遍历到“$1”：其中是字段或取值不同的遍历"},
    {"cannot resume with a grid: the same command goes on with a sweep", "--resume 不能与 --grid 同用：再次执行同一命令即可继续遍历"},

    /* --- a loss that is no number --- */
    {"cannot go on tuning: the loss at step * is not finite at row * (line * of the data); a lower lr, more warmup_steps or a "
     "lower max_grad_norm may help",
     "无法继续微调：第 $1 步的损失在第 $2 行数据处不是有限数（数据文件第 $3 行）；可尝试更小的 lr、更多的 warmup_steps 或更小的 max_grad_norm"},
    {"cannot go on tuning: the gradient at step * is not finite; a lower lr, more warmup_steps or a lower max_grad_norm may "
     "help",
     "无法继续微调：第 $1 步的梯度不是有限数；可尝试更小的 lr、更多的 warmup_steps 或更小的 max_grad_norm"},
    {NULL, NULL},
};
/* clang-format on */
