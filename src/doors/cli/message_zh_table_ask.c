/* The Chinese forms of messages about teachers, judges and JSON Schema. Owns the table only; what holds of
 * message_zh_table.c holds here. */
#include "doors/cli/message_zh.h"

/* clang-format off */
const struct message_zh message_zh_table_ask[] = {
    /* --- training data from a teacher --- */
    {"cannot learn from \"*\": its licence is not known; --licence states it, and that it allows training on "
     "what the model writes",
     "不能向“$1”学习：其许可证未知；请用 --licence 声明许可证，并声明它允许用该模型的输出训练"},
    {"cannot learn from \"*\": whether its licence, *, allows training on what it writes is not known; "
     "--licence states that it does",
     "不能向“$1”学习：不清楚其许可证 $2 是否允许用其输出训练；请用 --licence 声明允许"},
    {"cannot learn from \"*\": its licence, *, forbids it: *", "不能向“$1”学习：其许可证 $2 禁止这样做：$3"},
    {"cannot ask \"*\": --teacher-model says which model there", "无法向“$1”提问：请用 --teacher-model 给出该处的模型"},
    {"cannot ask \"*\": the variable *, which holds its key, is not set", "无法向“$1”提问：存放密钥的变量 $2 未设置"},
    {"cannot ask \"*\": its answer takes longer than * s", "无法向“$1”提问：回答超过 $2 秒"},
    {"cannot ask \"*\": the question is too large", "无法向“$1”提问：问题过大"},
    {"cannot use the answer of \"*\": it has more than * bytes", "无法使用“$1”的回答：超过 $2 字节"},
    {"cannot use the answer of \"*\": it is no JSON", "无法使用“$1”的回答：不是 JSON"},
    {"cannot use the answer of \"*\": it has no text at choices[0].message.content",
     "无法使用“$1”的回答：choices[0].message.content 处没有文本"},
    {"cannot use the key of *: one word of printable characters is needed", "$1 中的密钥不可用：应为一个由可打印字符组成的词"},
    {"cannot ask the teacher after * rows, the same command goes on: *",
     "完成 $1 行后无法再联系教师模型（再次执行同一命令即可继续）：@2"},
    {"cannot ask after * attempts: *", "尝试 $1 次后无法提问：@2"},
    {"interrupted after * rows; the same command goes on from there", "在 $1 行后中断；再次执行同一命令即可继续"},
    {"interrupted; the same command goes on from there", "已中断；再次执行同一命令即可继续"},
    {"cannot generate data into \"*\": its manifest.json is of another kind; choose another --out",
     "无法将数据生成到“$1”：其中的 manifest.json 属于别的内容；请改用其他 --out"},
    {"cannot generate data into \"*\": what is there was made with another *; choose another --out",
     "无法将数据生成到“$1”：其中的内容以不同的 $2 生成；请改用其他 --out"},
    {"cannot generate data into \"*\": another process is at it", "无法将数据生成到“$1”：另一个进程正在使用它"},
    {"cannot generate data from \"*\": it has no rows", "无法由“$1”生成数据：其中没有数据行"},
    {"cannot go on with \"*\": line * is not of this generation", "无法继续“$1”：第 $2 行不属于这次生成"},
    {"cannot go on with \"*\": it has fewer rows than before", "无法继续“$1”：数据行比以前少"},
    {"cannot use label *, \"*\": it says nothing", "不能使用第 $1 个标签“$2”：它没有内容"},
    {"cannot use labels \"*\" and \"*\": they are the same label", "不能同时使用标签“$1”与“$2”：它们是同一个标签"},
    {"cannot use min_chars *: max_chars is *", "不能使用 min_chars $1：max_chars 为 $2"},
    {"cannot use --labels with --answer-format or --schema: a label is a text",
     "--labels 不能与 --answer-format 或 --schema 同用：标签是文本"},
    {"cannot use * samples at temperature 0: all would be the same answer", "温度为 0 时不能要求 $1 个回答：它们会完全相同"},
    {"cannot read \"*\" line *: outputs is \"*\", yes, no, conditions or unknown is needed",
     "无法读取“$1”第 $2 行：outputs 为“$3”，应为 yes、no、conditions 或 unknown"},
    {"cannot judge an answer of more than * bytes", "无法评判超过 $1 字节的回答"},

    /* --- JSON Schema --- */
    {"cannot use *: keyword \"*\" at \"*\" is not checked; *", "不能使用 $1：“$3”处的关键字“$2”不受检查；@4"},
    {"cannot use *: keyword \"*\" at \"*\" is not checked", "不能使用 $1：“$3”处的关键字“$2”不受检查"},
    {"a pattern would be", "可改用 pattern"},
    {"prefixItems and items would be", "可改用 prefixItems 与 items"},
    {"dependentRequired and dependentSchemas would be", "可改用 dependentRequired 与 dependentSchemas"},
    {"true or false is needed", "应为 true 或 false"},
    {"a whole number from 0 on is needed", "应为不小于 0 的整数"},
    {"a number above 0 is needed", "应为大于 0 的数"},
    {"a list of strings is needed", "应为字符串列表"},
    {"an object of lists of strings is needed", "应为由字符串列表组成的对象"},
    {"a list of schemas is needed", "应为模式列表"},
    {"an object of schemas is needed", "应为由模式组成的对象"},
    {"a schema (an object, true or false) is needed", "应为模式（对象、true 或 false）"},
    {"cannot use *: $ref \"*\" leads to nothing in this schema (\"#/$defs/NAME\" would) at \"*\"",
     "不能使用 $1：“$3”处的引用“$2”在此模式中不存在（可写成 #/$defs/名称）"},
    {"cannot judge by *: more than * steps are needed", "无法按 $1 评判：所需步数超过 $2"},
    {"cannot judge by *: it goes more than * schemas deep", "无法按 $1 评判：模式嵌套超过 $2 层"},

    /* --- weights of rows --- */
    {"cannot use *: its weight is *, a number from 0 to * is needed", "不能使用 $1：其 weight 为 $2，应为 0 到 $3 的数"},
    {"cannot use *: it has a weight, and rows have weights in method sft only",
     "不能使用 $1：它带有 weight，而只有 sft 方法的数据行可带权重"},
    {"cannot tune with \"*\": all of its * rows have weight 0", "不能用“$1”微调：其中 $2 行的权重均为 0"},
    {"*: * rows have a weight other than 1, * of weight 0 are left out", "$1：$2 行的权重不为 1，另有 $3 行权重为 0 而不参与训练"},

    /* --- judges --- */
    {"cannot use *: url is \"*\", an address like http://127.0.0.1:8321/v1 is needed",
     "不能使用 $1：url 为“$2”，应为形如 http://127.0.0.1:8321/v1 的地址"},
    {"cannot use *: min * is not below max *", "不能使用 $1：min $2 不小于 max $3"},
    {"cannot use *: key_env and key_file are both given, one is needed", "不能使用 $1：key_env 与 key_file 只能给出一个"},
    {"cannot use *: question is empty", "不能使用 $1：question 为空"},
    {"cannot judge by *: the judge says \"*\", a number from * to *, yes, no or n/a is needed",
     "无法按 $1 评判：裁判模型回复“$2”，应为 $3 到 $4 的数、yes、no 或 n/a"},
    {"cannot use *: * at \"*\"", "不能使用 $1：“$3”处@2"},
    {NULL, NULL},
};
/* clang-format on */
