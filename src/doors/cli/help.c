/* Help. Owns nothing: everything it says is in the tables, so a command cannot be without it. */
#include "doors/cli/help.h"

#include <stdio.h>
#include <string.h>

#include "doors/cli/options.h"
#include "ground/base/str.h"

enum { HELP_MAX_BYTES = 1 << 20 };

static const char *pick(enum lang lang, const char *en, const char *zh)
{
    return lang == LANG_ZH ? zh : en;
}

static int command_list(enum lang lang, struct buf *out)
{
    int rc = buf_printf(out, "%s\n", pick(lang, "Commands:", "命令："));
    for (const struct command *const *c = commands; *c && rc == 0; c++)
        rc = buf_printf(out, "  %-16s %s\n", (*c)->name, pick(lang, (*c)->summary_en, (*c)->summary_zh));
    return rc;
}

int help_all(enum lang lang, struct buf *out)
{
    int rc = buf_printf(out, "%s\n\n%s tailor [%s] %s [%s]\n\n",
                        pick(lang, "Tailor: select, tune, test and use small language models on your own machines.",
                             "Tailor：在自己的机器上选、训、测、用小语言模型。"),
                        pick(lang, "Usage:", "用法："), pick(lang, "OPTIONS", "选项"), pick(lang, "COMMAND", "命令"),
                        pick(lang, "ARGUMENTS", "参数"));
    if (rc == 0) rc = command_list(lang, out);
    if (rc == 0) rc = buf_add_char(out, '\n');
    if (rc == 0) rc = param_help(global_params, n_global_params, lang, out);
    const char *en = "These options stand before or after COMMAND. `tailor help COMMAND` describes one command.";
    const char *zh = "以上选项可放在命令之前或之后。`tailor help 命令` 说明单个命令。";
    if (rc == 0) rc = buf_printf(out, "%s\n", pick(lang, en, zh));
    return rc;
}

int help_command(const struct command *cmd, enum lang lang, struct buf *out)
{
    int rc = buf_printf(out, "%s\n\n%s tailor %s%s%s\n\n", pick(lang, cmd->summary_en, cmd->summary_zh),
                        pick(lang, "Usage:", "用法："), cmd->name, cmd->usage && *cmd->usage ? " " : "",
                        cmd->usage ? cmd->usage : "");
    if (rc == 0) rc = param_help(cmd->params, cmd->n_param, lang, out);
    if (rc == 0 && cmd->example) rc = buf_printf(out, "%s\n  %s\n\n", pick(lang, "Example:", "示例："), cmd->example);
    if (rc == 0)
        rc =
            buf_printf(out, "%s\n",
                       pick(lang, "`tailor help` lists the options of every command.", "`tailor help` 列出通用选项。"));
    return rc;
}

/* --- JSON --- */

static const char *type_name(enum param_type type)
{
    static const char *const name[] = {"boolean", "integer", "number",  "string",
                                       "choice",  "strings", "numbers", "integers"};
    return name[type];
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text) json_object_set_new(object, key, json_string(text));
}

static json_t *choices_json(const char *choices)
{
    json_t *array = json_array();
    while (choices && *choices) {
        size_t n = strcspn(choices, "|");
        json_array_append_new(array, json_stringn(choices, n));
        choices += n + (choices[n] == '|');
    }
    return array;
}

static json_t *param_json(const struct param *p, enum lang lang)
{
    json_t *o = json_object();
    set_text(o, "name", p->name);
    set_text(o, "type", type_name(p->type));
    json_object_set_new(o, "positional", json_boolean(p->flags & PARAM_POSITIONAL));
    json_object_set_new(o, "required", json_boolean(p->flags & PARAM_REQUIRED));
    json_object_set_new(o, "repeated", json_boolean(p->flags & (PARAM_REPEAT | PARAM_REST)));
    set_text(o, "unit", p->unit);
    if (p->min < 0 || p->min > 0 || p->max < 0 || p->max > 0) {
        json_object_set_new(o, "min", json_real(p->min));
        json_object_set_new(o, "max", json_real(p->max));
        if (p->flags & PARAM_ABOVE) json_object_set_new(o, "above_min", json_true());
    }
    if (p->choices) json_object_set_new(o, "choices", choices_json(p->choices));
    set_text(o, "default", p->initial);
    set_text(o, "help", pick(lang, p->help_en, p->help_zh));
    return o;
}

static json_t *params_json(const struct param *table, size_t n, enum lang lang)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(array, param_json(&table[i], lang));
    return array;
}

json_t *help_all_json(enum lang lang)
{
    json_t *list = json_array();
    for (const struct command *const *c = commands; *c; c++)
        json_array_append_new(
            list, json_pack("{ss,ss}", "name", (*c)->name, "summary", pick(lang, (*c)->summary_en, (*c)->summary_zh)));
    return json_pack("{so,so}", "commands", list, "options", params_json(global_params, n_global_params, lang));
}

json_t *help_command_json(const struct command *cmd, enum lang lang)
{
    json_t *o = json_object();
    set_text(o, "name", cmd->name);
    set_text(o, "summary", pick(lang, cmd->summary_en, cmd->summary_zh));
    set_text(o, "usage", cmd->usage);
    set_text(o, "example", cmd->example);
    json_object_set_new(o, "parameters", params_json(cmd->params, cmd->n_param, lang));
    return o;
}

int help_print(const struct cli *c, const struct command *cmd, struct err *e)
{
    if (c->json) {
        cli_print_json(cmd ? help_command_json(cmd, c->lang) : help_all_json(c->lang));
        return 0;
    }
    struct buf text;
    buf_init(&text, HELP_MAX_BYTES);
    int rc = cmd ? help_command(cmd, c->lang, &text) : help_all(c->lang, &text);
    if (rc)
        rc = err_set(e, -rc, "help", "cannot print the help: %s", err_code_name(rc));
    else
        fputs(text.data, stdout);
    buf_deinit(&text);
    return rc;
}
