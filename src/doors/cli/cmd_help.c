/* `tailor help [COMMAND]`. */
#include "doors/cli/help.h"
#include "ground/base/mem.h"

extern const struct command cmd_help;

static const struct param params[] = {
    {.name = "command",
     .type = PARAM_STRING,
     .flags = PARAM_POSITIONAL | PARAM_REST,
     .metavar = "COMMAND",
     .help_en = "the command or group to describe; without it all are listed",
     .help_zh = "要说明的命令或命令组；省略则列出全部命令"},
};

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    size_t n = param_count(args, "command");
    char **word = mem_alloc((n + 1) * sizeof *word);
    for (size_t i = 0; i < n; i++) word[i] = mem_strdup(param_str_at(args, "command", i));
    int rc = help_print(c, (int)n, word, false, e);
    for (size_t i = 0; i < n; i++) mem_free(word[i]);
    mem_free(word);
    return rc;
}

const struct command cmd_help = {
    .name = "help",
    .flags = COMMAND_NO_HOME,
    .summary_en = "describe the commands and their options",
    .summary_zh = "说明命令及其选项",
    .usage = "[COMMAND]",
    .example = "tailor help tune",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
