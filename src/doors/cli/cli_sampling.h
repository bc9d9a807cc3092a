/* The sampling options that several commands share: their rows of the parameter table, and their values. */
#ifndef CLI_CLI_SAMPLING_H
#define CLI_CLI_SAMPLING_H

#include "compute/engine/engine.h"
#include "doors/cli/cli.h"

/* clang-format off */
#define CLI_SAMPLING_PARAMS \
    {"greedy", PARAM_BOOL, 0, NULL, 0, 0, NULL, "false", NULL, \
     "always the most likely token", "总是取概率最大的词元"}, \
    {"temperature", PARAM_FLOAT, 0, NULL, 0, 100, NULL, "0.8", "X", \
     "divide logits by this before drawing; 0 is --greedy", "采样前用它除 logits；0 等于 --greedy"}, \
    {"top_k", PARAM_INT, 0, "tokens", 0, 16777216, NULL, "40", "N", \
     "draw from the N most likely tokens; 0: all", "只在概率最大的 N 个词元中采样；0 为不限"}, \
    {"top_p", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 1, NULL, "0.95", "X", \
     "draw from the smallest set of tokens with this probability together; 1: all", "只在累计概率达到它的最小词元集合中采样；1 为不限"}, \
    {"min_p", PARAM_FLOAT, 0, NULL, 0, 1, NULL, "0", "X", \
     "leave out tokens less likely than X times the most likely", "去掉概率低于最大概率 X 倍的词元"}, \
    {"repetition_penalty", PARAM_FLOAT, PARAM_ABOVE, NULL, 0, 10, NULL, "1", "X", \
     "above 1, tokens of prompt and answer become less likely", "大于 1 时，提示词和回答中已有词元的概率降低"}, \
    {"presence_penalty", PARAM_FLOAT, 0, NULL, -10, 10, NULL, "0", "X", \
     "take X from the logits of tokens that the answer has", "从回答中已有词元的 logits 减去 X"}, \
    {"frequency_penalty", PARAM_FLOAT, 0, NULL, -10, 10, NULL, "0", "X", \
     "take X from the logits for every time the answer has the token", "词元在回答中每出现一次，logits 减去 X"}, \
    {"seed", PARAM_INT, 0, NULL, 0, 9007199254740992.0, NULL, NULL, "N", \
     "equal seeds draw equal tokens; a new one each run when not given", "相同种子得到相同词元；不给则每次不同"}
/* clang-format on */

/* The values of those rows; -ERR_INPUT outside their ranges. */
int cli_sampling(const struct param_set *args, struct sampling *out, struct err *e) MUST_CHECK;

#endif
