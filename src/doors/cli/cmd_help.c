/* `tailor help [COMMAND]`. */
#include "doors/cli/command_find.h"
#include "doors/cli/help.h"
#include "ground/base/mem.h"

extern const struct command cmd_help;

static const struct param params[] = {
    {.name = "command",
     .type = PARAM_STRING,
     .flags = PARAM_POSITIONAL | PARAM_REST,
     .help_en = "the command to describe; without it all are listed",
     .help_zh = "要说明的命令；省略则列出全部命令"},
};

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    size_t n = param_count(args, "command");
    if (n == 0) return help_print(c, NULL, e);
    char *word[2];
    for (size_t i = 0; i < n && i < N_ELEM(word); i++) word[i] = mem_strdup(param_str_at(args, "command", i));
    const struct command *cmd;
    int n_word, given = (int)(n < N_ELEM(word) ? n : N_ELEM(word));
    int rc = command_find(given, word, &cmd, &n_word, e);
    if (rc == 0 && (size_t)n_word < n)
        rc = err_set(e, ERR_USAGE, param_str_at(args, "command", (size_t)n_word),
                     "cannot use argument \"%s\": there is no place for it",
                     param_str_at(args, "command", (size_t)n_word));
    for (int i = 0; i < given; i++) mem_free(word[i]);
    return rc ? rc : help_print(c, cmd, e);
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
