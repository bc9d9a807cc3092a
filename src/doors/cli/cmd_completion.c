/* `tailor completion bash|zsh|fish`. */
#include <stdio.h>

#include "doors/cli/completion.h"
#include "ground/base/str.h"

extern const struct command cmd_completion;

enum { SCRIPT_MAX_BYTES = 1 << 20 };

static const struct param params[] = {
    {.name = "shell",
     .type = PARAM_CHOICE,
     .flags = PARAM_POSITIONAL | PARAM_REQUIRED,
     .choices = "bash|zsh|fish",
     .help_en = "bash, zsh or fish",
     .help_zh = "bash、zsh 或 fish"},
};

static int run(const struct cli *c, const struct param_set *args, struct err *e)
{
    const char *shell = param_str(args, "shell");
    struct buf text;
    buf_init(&text, SCRIPT_MAX_BYTES);
    int rc;
    if (str_eq(shell, "bash"))
        rc = completion_bash(&text);
    else
        rc = str_eq(shell, "zsh") ? completion_zsh(c->lang, &text) : completion_fish(c->lang, &text);
    if (rc)
        rc = err_set(e, -rc, shell, "cannot write completion for \"%s\": %s", shell, err_code_name(rc));
    else if (c->json)
        cli_print_json(json_pack("{ss,ss}", "shell", shell, "script", text.data));
    else
        fputs(text.data, stdout);
    buf_deinit(&text);
    return rc;
}

const struct command cmd_completion = {
    .name = "completion",
    .flags = COMMAND_NO_HOME,
    .summary_en = "completion script for a shell",
    .summary_zh = "输出 shell 补全脚本",
    .usage = "bash|zsh|fish",
    .example = "source <(tailor completion bash)",
    .params = params,
    .n_param = N_ELEM(params),
    .run = run,
};
