/* The fields of `tune`, as initializers of struct param: one list, used by the table of the trainer and, joined with
 * what only a command line has (run, set, resume, from), by the command. */
#ifndef TRAIN_PARAMS_H
#define TRAIN_PARAMS_H

/* clang-format off */
#define TRAIN_PARAMS                                                                                                    \
    {.name = "base", .type = PARAM_STRING, .metavar = "MODEL",                                                          \
     .help_en = "model to tune: GGUF file, Hugging Face directory or registry name",                                    \
     .help_zh = "要微调的模型：GGUF 文件、Hugging Face 目录或注册名"},                                                  \
    {.name = "method", .type = PARAM_CHOICE, .choices = "sft|dpo|orpo|kto|grpo", .initial = "sft",                     \
     .help_en = "sft: from answers; dpo, orpo: from a better and a worse one; kto: from answers that are good or bad; "  \
                "grpo: from its own answers, by rewards",                                                              \
     .help_zh = "sft：学习答案；dpo、orpo：学习较好与较差的答案对；kto：学习标为好或坏的答案；grpo：按奖励学习自己的答案"},                         \
    {.name = "adapter", .type = PARAM_CHOICE, .choices = "lora|qlora|dora|full", .initial = "lora",                    \
     .help_en = "what is trained; with lora and dora a quantized base stays quantized, qlora insists on one; full: all " \
                "weights of a base in F32, F16 or BF16",                                                                \
     .help_zh = "训练的部分；lora 与 dora 时量化基座保持量化，qlora 要求量化基座；full：全部权重，"                     \
                "基座须为 F32、F16 或 BF16"},                                                                           \
    {.name = "rank", .type = PARAM_INT, .min = 1, .max = 1024, .initial = "16",                                         \
     .help_en = "rank of the adapter", .help_zh = "适配器的秩"},                                                        \
    {.name = "alpha", .type = PARAM_FLOAT, .min = 1e-6, .max = 1e6, .initial = "32",                                    \
     .help_en = "the adapter is multiplied by alpha / rank", .help_zh = "适配器乘以 alpha / rank"},                     \
    {.name = "use_rslora", .type = PARAM_BOOL, .initial = "false",                                                      \
     .help_en = "multiply by alpha / sqrt(rank) instead", .help_zh = "改为乘以 alpha / sqrt(rank)"},                    \
    {.name = "target_modules", .type = PARAM_LIST, .initial = "all-linear", .metavar = "NAMES",                         \
     .help_en = "matrices with an adapter: q_proj k_proj v_proj o_proj gate_proj up_proj down_proj, or all-linear; "    \
                "whole names (model.layers.0.self_attn.q_proj); one pattern of whole names alone",                      \
     .help_zh = "带适配器的矩阵：q_proj k_proj v_proj o_proj gate_proj up_proj down_proj，或 all-linear；"              \
                "完整名称（model.layers.0.self_attn.q_proj）；或单独一个匹配完整名称的正则"},                           \
    {.name = "rank_pattern", .type = PARAM_LIST, .metavar = "NAME=RANK,...",                                            \
     .help_en = "other ranks, by the end of a matrix's name or a pattern of it; the first that fits counts",            \
     .help_zh = "按矩阵名称的结尾或其正则指定其他秩；取第一个匹配者"},                                                  \
    {.name = "alpha_pattern", .type = PARAM_LIST, .metavar = "NAME=ALPHA,...",                                          \
     .help_en = "other alphas, in the same way", .help_zh = "以同样方式指定其他 alpha"},                                \
    {.name = "adapter_init", .type = PARAM_STRING, .metavar = "DIR",                                                    \
     .help_en = "start from this PEFT adapter", .help_zh = "从此 PEFT 适配器开始"},                                     \
    {.name = "merge_aware", .type = PARAM_BOOL, .initial = "false",                                                     \
     .help_en = "train with the adapter in the codes of a quantized base (Q4_0, Q4_1, Q8_0), so that the merged file "  \
                "is bit for bit what was evaluated",                                                                    \
     .help_zh = "训练时把适配器放入量化基座（Q4_0、Q4_1、Q8_0）的编码，合并后的文件与评估时逐位相同"},                  \
    {.name = "adapters", .type = PARAM_LIST, .metavar = "A,B,...",                                                      \
     .help_en = "train a new adapter over these, which stay as they are; the result holds all of them",                 \
     .help_zh = "在这些保持不变的适配器之上训练新的适配器；结果包含全部",                                             \
    },                                                                                                                  \
    {.name = "data", .type = PARAM_STRING, .metavar = "FILE",                                                           \
     .help_en = "training rows, JSON Lines, JSON or CSV, or name of a registered dataset",                              \
     .help_zh = "训练数据（JSON Lines、JSON 或 CSV）或已注册的数据集名称"},                                             \
    {.name = "data_format", .type = PARAM_CHOICE, .choices = "chat|openai|sharegpt|alpaca|prompt|tokens",               \
     .initial = "chat",                                                                                                 \
     .help_en = "chat: conversations, their form by their members; openai: messages; sharegpt: conversations; alpaca: " \
                "instruction and output; prompt: prompt and completion; tokens: ids and labels (-100 = not trained)",   \
     .help_zh = "chat：对话，形式按成员判断；openai：messages；sharegpt：conversations；alpaca：instruction 与 "        \
                "output；prompt：prompt 与 completion；tokens：ids 与 labels（-100 表示不训练）"},                      \
    {.name = "eval_data", .type = PARAM_STRING, .metavar = "FILE",                                                      \
     .help_en = "rows of the same format whose loss is measured, or name of a dataset of them",                         \
     .help_zh = "用于测量损失的同格式数据，或其数据集名称"},                                                            \
    {.name = "eval_cases", .type = PARAM_STRING, .metavar = "FILE",                                                     \
     .help_en = "test cases that the model answers at every evaluation (as eval asks them), or name of a dataset",      \
     .help_zh = "每次评估时由模型作答的测试题（与 eval 相同），或其数据集名称"},                                        \
    {.name = "eval_choices", .type = PARAM_CHOICE, .choices = "free|listed|constrained", .initial = "free",             \
     .help_en = "eval_cases: the labels are not named; listed in the prompt; listed, and the answer must be one",       \
     .help_zh = "eval_cases：提示词不列出标签；列出标签；列出标签且回答只能是其中之一"},                                \
    {.name = "eval_max_tokens", .type = PARAM_INT, .unit = "tokens", .min = 1, .max = 1048576, .initial = "32",         \
     .help_en = "eval_cases: longest answer", .help_zh = "eval_cases：回答的最大长度"},                                 \
    {.name = "eval_every", .type = PARAM_INT, .unit = "steps", .min = 0, .max = 1e9, .initial = "0",                    \
     .help_en = "evaluate on eval_data and eval_cases every N steps, keep the best adapter; 0: at both ends only",      \
     .help_zh = "每 N 步在 eval_data 与 eval_cases 上评估并保留最佳适配器；0：仅训练前后"},                             \
    {.name = "best_by", .type = PARAM_CHOICE, .choices = "loss|score",                                                  \
     .help_en = "which evaluation is the best: the lowest loss on eval_data (where it is given), or the highest score " \
                "on eval_cases",                                                                                        \
     .help_zh = "最佳评估的标准：eval_data 上损失最低（给出时），或 eval_cases 上得分最高"},                            \
    {.name = "early_stop", .type = PARAM_INT, .unit = "evaluations", .min = 0, .max = 1e6, .initial = "0",              \
     .help_en = "stop after N evaluations without a better one and keep the best adapter; 0: never",                   \
     .help_zh = "连续 N 次评估无改善则停止并保留最佳适配器；0：不启用"},                                                \
    {.name = "epochs", .type = PARAM_INT, .min = 1, .max = 1e6,                                                         \
     .help_en = "passes over the data (1 where max_steps is not given)", .help_zh = "遍历数据的次数（未给 max_steps 时为 1）"}, \
    {.name = "max_steps", .type = PARAM_INT, .unit = "steps", .min = 1, .max = 1e9,                                     \
     .help_en = "optimizer steps, instead of epochs", .help_zh = "优化器步数，代替 epochs"},                            \
    {.name = "batch_size", .type = PARAM_INT, .unit = "rows", .min = 1, .max = 65536, .initial = "8",                   \
     .help_en = "rows of a micro-batch", .help_zh = "每个微批的行数"},                                                  \
    {.name = "grad_accum", .type = PARAM_INT, .min = 1, .max = 65536, .initial = "1",                                   \
     .help_en = "micro-batches of an optimizer step", .help_zh = "每个优化器步的微批数"},                               \
    {.name = "shuffle", .type = PARAM_BOOL, .initial = "true",                                                          \
     .help_en = "another order of rows every epoch, from the seed", .help_zh = "每轮按种子重排数据"},                   \
    {.name = "lr", .type = PARAM_FLOAT, .min = 0, .max = 100, .initial = "0.0002",                                      \
     .help_en = "learning rate at its highest", .help_zh = "最高学习率"},                                               \
    {.name = "schedule", .type = PARAM_CHOICE, .choices = "constant|linear|cosine", .initial = "cosine",                \
     .help_en = "learning rate after the warm-up: to the end, linear or cosine to min_lr",                              \
     .help_zh = "预热后的学习率：不变、线性或余弦降至 min_lr"},                                                         \
    {.name = "min_lr", .type = PARAM_FLOAT, .min = 0, .max = 100, .initial = "0",                                       \
     .help_en = "learning rate at the end of a linear or cosine schedule",                                              \
     .help_zh = "线性或余弦调度结束时的学习率"},                                                                        \
    {.name = "warmup_steps", .type = PARAM_INT, .unit = "steps", .min = 0, .max = 1e9, .initial = "0",                  \
     .help_en = "steps over which the learning rate rises", .help_zh = "学习率上升的步数"},                             \
    {.name = "betas", .type = PARAM_FLOATS, .min = 0, .max = 0.999999, .initial = "0.9,0.999",                          \
     .help_en = "AdamW, Lion: decay of the moments (Lion: 0.9,0.99)",                                                   \
     .help_zh = "AdamW、Lion：各阶矩的衰减（Lion：0.9,0.99）"},                                                         \
    {.name = "eps", .type = PARAM_FLOAT, .min = 1e-20, .max = 1, .initial = "1e-8",                                     \
     .help_en = "AdamW: added to the root of the second moment", .help_zh = "AdamW：加在二阶矩平方根上的数"},           \
    {.name = "optimizer", .type = PARAM_CHOICE, .choices = "adamw|adamw8bit|lion|adafactor", .initial = "adamw",        \
     .help_en = "adamw; adamw8bit: with a quarter of its state; lion: with half of it, and a tenth of its lr; "          \
                "adafactor: with hardly any, for adapter full",                                                         \
     .help_zh = "adamw；adamw8bit：状态仅为其四分之一；lion：状态为其一半，lr 宜取十分之一；"                           \
                "adafactor：几乎没有状态，用于 adapter full"},                                                          \
    {.name = "weight_decay", .type = PARAM_FLOAT, .min = 0, .max = 10, .initial = "0",                                  \
     .help_en = "decoupled weight decay", .help_zh = "解耦的权重衰减"},                                                 \
    {.name = "max_grad_norm", .type = PARAM_FLOAT, .min = 0, .max = 1e9, .initial = "1",                                \
     .help_en = "clip the gradient to this norm; 0: no clipping", .help_zh = "将梯度裁剪到此范数；0：不裁剪"},          \
    {.name = "neftune_alpha", .type = PARAM_FLOAT, .min = 0, .max = 1000, .initial = "0",                               \
     .help_en = "noise on the embeddings of a row of n tokens, up to this / sqrt(n * n_embd); 5 to 15 are usual; 0: none", \
     .help_zh = "对 n 个词元的行的嵌入加噪声，最大为此值 / sqrt(n * n_embd)；通常取 5 到 15；0：不加"},                  \
    {.name = "max_length", .type = PARAM_INT, .unit = "tokens", .min = 0, .max = 1e7, .initial = "0",                   \
     .help_en = "longest row; 0: the model's training context", .help_zh = "最长的行；0：模型的训练上下文"},            \
    {.name = "too_long", .type = PARAM_CHOICE, .choices = "drop|truncate|refuse", .initial = "drop",                    \
     .help_en = "rows longer than max_length: drop leaves them out and says so, truncate cuts them (their end is not "  \
                "taught), refuse ends the run",                                                                         \
     .help_zh = "超过 max_length 的行：drop 不用并报告，truncate 截断（不教其结尾），refuse 结束运行"},                 \
    {.name = "duplicates", .type = PARAM_CHOICE, .choices = "keep|drop", .initial = "keep",                             \
     .help_en = "rows that say what an earlier one says", .help_zh = "与前面重复的行的处理"},                           \
    {.name = "strict", .type = PARAM_BOOL, .initial = "false",                                                          \
     .help_en = "a row that cannot be used ends the run; else it is left out, counted and noted in refused.jsonl",      \
     .help_zh = "遇到不能使用的行即结束运行；否则不用该行，计数并记入 refused.jsonl"},                                  \
    {.name = "packing", .type = PARAM_BOOL, .initial = "true",                                                          \
     .help_en = "compute what rows of a micro-batch begin with in common once (same gradients)",                        \
     .help_zh = "微批中各行的公共前缀只计算一次（梯度相同）"},                                                          \
    {.name = "token_budget", .type = PARAM_INT, .unit = "tokens", .min = 1, .max = 1e7, .initial = "2048",              \
     .help_en = "most tokens computed at once; a larger micro-batch is computed in parts",                              \
     .help_zh = "一次最多计算的词元数；更大的微批分批计算"},                                                          \
    {.name = "preset", .type = PARAM_CHOICE, .choices = "auto|on|off", .initial = "auto",                               \
     .help_en = "choose what is not given from the model, the rows and the memory; auto: where nothing of it is given",  \
     .help_zh = "按模型、数据行数与内存选择未给出的字段；auto：仅当这些字段都未给出时"},                                \
    {.name = "seed", .type = PARAM_INT, .min = 0, .max = 9e15, .initial = "0",                                          \
     .help_en = "of the adapter's start and of the order of rows", .help_zh = "适配器初值与数据顺序的种子"},            \
    {.name = "precision", .type = PARAM_CHOICE, .choices = "auto|deterministic|reference",                              \
     .help_en = "arithmetic of the run", .help_zh = "计算精度"},                                                        \
    {.name = "threads", .type = PARAM_INT, .min = 1, .max = 4096,                                                       \
     .help_en = "compute threads (the result does not depend on them)", .help_zh = "计算线程数（不影响结果）"},         \
    {.name = "output", .type = PARAM_STRING, .metavar = "DIR",                                                          \
     .help_en = "the run directory, which must not exist", .help_zh = "运行目录，不得已存在"},                          \
    {.name = "recompute", .type = PARAM_CHOICE, .choices = "auto|on|off", .initial = "auto",                            \
     .help_en = "compute layers again in the backward pass, for less memory; on: all; auto: as many as memory_limit "    \
                "asks for",                                                                                             \
     .help_zh = "反向时重新计算各层以节省内存；on：全部；auto：按 memory_limit 所需的层数"},                            \
    {.name = "memory_limit", .type = PARAM_INT, .unit = "bytes", .metavar = "SIZE", .min = 0, .max = 9e15,              \
     .initial = "0",                                                                                                    \
     .help_en = "most memory of the process, the model included: 3GB, 800MB or bytes; 0: what is taken without the "     \
                "backward pass, and for that half of what is free (qlora: half of what the rest takes, or 1 GB)",        \
     .help_zh = "进程（含模型）占用内存的上限：3GB、800MB 或字节数；0：除反向传播外所占用的，"                          \
                "加上反向传播可用的空闲内存的一半（qlora：其余部分所占的一半，或 1 GB）"},                               \
    {.name = "save_every", .type = PARAM_INT, .unit = "steps", .min = 0, .max = 1e9, .initial = "0",                    \
     .help_en = "write a checkpoint every N steps; 0: about ten a run", .help_zh = "每 N 步写检查点；0：每次运行约十个"},                     \
    {.name = "beta", .type = PARAM_FLOAT, .min = 0, .max = 100, .initial = "0.1",                                    \
     .help_en = "dpo, kto, grpo: how strongly the policy is held to the reference, which is the model without adapter " \
                "(grpo: 0 unless given)",                                                                              \
     .help_zh = "dpo、kto、grpo：对参考模型（不带适配器的模型）的约束强度（grpo 未给出时为 0）"},                                                  \
    {.name = "dpo_loss", .type = PARAM_CHOICE, .choices = "sigmoid|ipo", .initial = "sigmoid",                          \
     .help_en = "dpo: loss of a pair", .help_zh = "dpo：答案对的损失"},                                                 \
    {.name = "lambda", .type = PARAM_FLOAT, .min = 0, .max = 100, .initial = "0.1",                                     \
     .help_en = "orpo: weight of the odds ratio beside the loss on the chosen answer",                                  \
     .help_zh = "orpo：赔率比相对于所选答案损失的权重"},                                                                \
    {.name = "desirable_weight", .type = PARAM_FLOAT, .min = 0, .max = 1000, .initial = "1",                            \
     .help_en = "kto: weight of good answers", .help_zh = "kto：好答案的权重"},                                         \
    {.name = "undesirable_weight", .type = PARAM_FLOAT, .min = 0, .max = 1000, .initial = "1",                          \
     .help_en = "kto: weight of bad answers", .help_zh = "kto：坏答案的权重"},                                          \
    {.name = "rewards", .type = PARAM_LIST, .flags = PARAM_OBJECTS, .metavar = "RULES",                                 \
     .help_en = "grpo: what an answer is worth, a list of {type, weight, ...}: exact, normalized, contains, number, "   \
                "choice, regex, tags, length, repetition, json, judge, lua",                                                   \
     .help_zh = "grpo：答案的奖励，由 {type, weight, ...} 组成的列表：exact、normalized、contains、number、"            \
                "choice、regex、tags、length、repetition、json、judge、lua"},                                                  \
    {.name = "group_size", .type = PARAM_INT, .unit = "answers", .min = 2, .max = 1024, .initial = "8",                 \
     .help_en = "grpo: answers sampled for a prompt and compared with each other",                                      \
     .help_zh = "grpo：每个提示采样并相互比较的答案数"},                                                                \
    {.name = "max_new_tokens", .type = PARAM_INT, .unit = "tokens", .min = 1, .max = 1e6, .initial = "256",             \
     .help_en = "grpo: longest sampled answer", .help_zh = "grpo：采样答案的最大长度"},                                 \
    {.name = "temperature", .type = PARAM_FLOAT, .min = 0.01, .max = 10, .initial = "1",                                \
     .help_en = "grpo: of sampling, and of the probabilities that are trained",                                         \
     .help_zh = "grpo：采样及所训练概率的温度"},                                                                        \
    {.name = "mu", .type = PARAM_INT, .unit = "steps", .min = 1, .max = 64, .initial = "1",                             \
     .help_en = "grpo: optimizer steps over the same answers", .help_zh = "grpo：对同一批答案的优化器步数"},            \
    {.name = "epsilon", .type = PARAM_FLOAT, .min = 0, .max = 10, .initial = "0.2",                                     \
     .help_en = "grpo: the ratio counts down to 1 - epsilon", .help_zh = "grpo：概率比的下限为 1 - epsilon"},           \
    {.name = "epsilon_high", .type = PARAM_FLOAT, .min = 0, .max = 10,                                                  \
     .help_en = "grpo: and up to 1 + epsilon_high (as epsilon unless given)",                                           \
     .help_zh = "grpo：概率比的上限为 1 + epsilon_high（未给出时同 epsilon）"},                                         \
    {.name = "loss_type", .type = PARAM_CHOICE, .choices = "dapo|grpo|bnpo|dr_grpo", .initial = "dapo",                 \
     .help_en = "grpo: how the loss is divided: dapo: by tokens of the step; grpo: by tokens of each answer; bnpo: of " \
                "the micro-batch; dr_grpo: by a constant",                                                              \
     .help_zh = "grpo：损失的归一化：dapo 按整步词元数，grpo 按各答案词元数，bnpo 按微批词元数，dr_grpo 按常数"},       \
    {.name = "scale_rewards", .type = PARAM_CHOICE, .choices = "group|batch|none", .initial = "group",                  \
     .help_en = "grpo: advantages are divided by the spread of their group, of the step, or not",                       \
     .help_zh = "grpo：优势除以组内离散度、整步离散度，或不除"},                                                        \
    {.name = "mask_truncated", .type = PARAM_BOOL, .initial = "true",                                                   \
     .help_en = "grpo: answers cut at max_new_tokens are judged, but not learned from",                                 \
     .help_zh = "grpo：被 max_new_tokens 截断的答案只评分，不参与学习"}
/* clang-format on */

#endif
