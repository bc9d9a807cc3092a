/* Help. Owns nothing: everything it says is in the tables, so a command cannot be without it. */
#include "doors/cli/help.h"

#include <stdio.h>
#include <string.h>

#include "doors/cli/command_find.h"
#include "doors/cli/options.h"
#include "ground/base/str.h"
#include "ground/base/wrap.h"

enum { HELP_MAX_BYTES = 1 << 20, SUMMARY_COLUMN = 16 };

/* A macro, so that the compiler checks formats. */
#define pick(lang, en, zh) ((lang) == LANG_ZH ? (zh) : (en))

/* The summary starts at `column`, which is wide enough for every name of the list. */
static int command_line(const char *name, const char *summary, int column, struct buf *out)
{
    struct wrap w = {.out = out, .indent = column, .column = column};
    int rc = buf_printf(out, "  %-*s", column - 2, name);
    if (rc == 0) rc = wrap_text(&w, summary);
    return rc ? rc : buf_add_char(out, '\n');
}

static int section_title(const char *first, enum lang lang, struct buf *out)
{
    for (const struct command_section *s = command_sections; s->first; s++) {
        if (!str_eq(s->first, first)) continue;
        return buf_printf(out, pick(lang, "%s%s:\n", "%s%s：\n"), s == command_sections ? "" : "\n",
                          pick(lang, s->title_en, s->title_zh));
    }
    return 0;
}

/* Two columns after the longest name below `first` ("catalog"; NULL: of all commands). */
static int summary_column(const char *first)
{
    size_t longest = SUMMARY_COLUMN - 4;
    for (const struct command *const *c = commands; *c; c++)
        if ((!first || command_is_below(*c, first)) && strlen((*c)->name) > longest) longest = strlen((*c)->name);
    return (int)longest + 4;
}

static int command_list(enum lang lang, struct buf *out)
{
    int rc = 0, wide = summary_column(NULL);
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        rc = section_title((*c)->name, lang, out);
        if (rc == 0) rc = command_line((*c)->name, pick(lang, (*c)->summary_en, (*c)->summary_zh), wide, out);
    }
    return rc;
}

int help_all(enum lang lang, struct buf *out)
{
    const char *en = "Tailor: select, tune, test and use small language models on your own machines.\n\n"
                     "Usage: tailor [OPTIONS] COMMAND [ARGUMENTS]\n\n";
    const char *zh = "Tailor：在自己的机器上选、训、测、用小语言模型。\n\n"
                     "用法：tailor [选项] 命令 [参数]\n\n";
    int rc = buf_add_str(out, pick(lang, en, zh));
    if (rc == 0) rc = command_list(lang, out);
    if (rc == 0) rc = buf_add_char(out, '\n');
    if (rc == 0) rc = param_help(global_params, n_global_params, lang, out);
    en = "These options stand before or after COMMAND. `tailor help COMMAND` describes one.\n";
    zh = "以上选项可放在命令之前或之后。`tailor help 命令` 说明单个命令。\n";
    return rc ? rc : buf_add_str(out, pick(lang, en, zh));
}

int help_usage(const struct command *cmd, enum lang lang, struct buf *out)
{
    struct wrap w = {.out = out, .indent = 4};
    int rc = wrap_text(&w, pick(lang, "Usage: tailor ", "用法：tailor "));
    if (rc == 0) rc = wrap_text(&w, cmd->name);
    if (rc == 0 && cmd->usage && *cmd->usage) rc = buf_add_char(out, ' ');
    w.column++;
    if (rc == 0 && cmd->usage) rc = wrap_text(&w, cmd->usage);
    return rc ? rc : buf_add_char(out, '\n');
}

/* A command may have others below it: plan, plan diff. */
static int commands_below(const char *first, enum lang lang, struct buf *out)
{
    int rc = 0, n = 0;
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (!command_is_below(*c, first)) continue;
        if (n++ == 0) rc = buf_add_str(out, pick(lang, "Subcommands:\n", "子命令：\n"));
        const char *summary = pick(lang, (*c)->summary_en, (*c)->summary_zh);
        if (rc == 0) rc = command_line((*c)->name, summary, summary_column(first), out);
    }
    return rc || n == 0 ? rc : buf_add_char(out, '\n');
}

int help_command(const struct command *cmd, enum lang lang, struct buf *out)
{
    struct wrap w = {.out = out};
    int rc = wrap_text(&w, pick(lang, cmd->summary_en, cmd->summary_zh));
    if (rc == 0) rc = buf_add_str(out, "\n\n");
    if (rc == 0) rc = help_usage(cmd, lang, out);
    if (rc == 0) rc = buf_add_char(out, '\n');
    if (rc == 0) rc = param_help(cmd->params, cmd->n_param, lang, out);
    if (rc == 0) rc = commands_below(cmd->name, lang, out);
    if (rc == 0 && cmd->example)
        rc = buf_printf(out, pick(lang, "Example:\n  %s\n\n", "示例：\n  %s\n\n"), cmd->example);
    const char *en = "`tailor help` lists the options that every command has.\n";
    const char *zh = "`tailor help` 列出所有命令共有的选项。\n";
    return rc ? rc : buf_add_str(out, pick(lang, en, zh));
}

int help_group(const struct command_group *group, enum lang lang, struct buf *out)
{
    int rc = buf_printf(
        out, pick(lang, "%s\n\nUsage: tailor %s SUBCOMMAND [ARGUMENTS]\n\n", "%s\n\n用法：tailor %s 子命令 [参数]\n\n"),
        pick(lang, group->summary_en, group->summary_zh), group->name);
    if (rc == 0) rc = commands_below(group->name, lang, out);
    if (rc) return rc;
    return buf_printf(
        out, pick(lang, "`tailor help %s SUBCOMMAND` describes one.\n", "`tailor help %s 子命令` 说明单个子命令。\n"),
        group->name);
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

static json_t *choices_json(const struct param *p)
{
    json_t *array = json_array();
    for (const char *c = p->choices, *end = c + param_choices_len(p); c < end;) {
        size_t n = strcspn(c, "|");
        json_array_append_new(array, json_stringn(c, n));
        c += n + 1;
    }
    return array;
}

static json_t *param_json(const struct param *p)
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
    if (p->choices) json_object_set_new(o, "choices", choices_json(p));
    set_text(o, "default", p->initial);
    set_text(o, "help", p->help_en);
    set_text(o, "help_zh", p->help_zh);
    return o;
}

static json_t *params_json(const struct param *table, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        if (!(table[i].flags & PARAM_REFUSED)) json_array_append_new(array, param_json(&table[i]));
    return array;
}

/* The commands of a group, or all of them (NULL). */
static json_t *commands_json(const struct command_group *group)
{
    json_t *list = json_array();
    for (const struct command *const *c = commands; *c; c++)
        if (!group || command_in_group(*c, group))
            json_array_append_new(list, json_pack("{ss,ss,ss}", "name", (*c)->name, "summary", (*c)->summary_en,
                                                  "summary_zh", (*c)->summary_zh));
    return list;
}

json_t *help_all_json(void)
{
    return json_pack("{so,so}", "commands", commands_json(NULL), "options",
                     params_json(global_params, n_global_params));
}

json_t *help_command_json(const struct command *cmd)
{
    json_t *o = json_object();
    set_text(o, "name", cmd->name);
    set_text(o, "summary", cmd->summary_en);
    set_text(o, "summary_zh", cmd->summary_zh);
    set_text(o, "usage", cmd->usage);
    set_text(o, "example", cmd->example);
    json_object_set_new(o, "parameters", params_json(cmd->params, cmd->n_param));
    return o;
}

static json_t *help_group_json(const struct command_group *group)
{
    return json_pack("{ss,ss,ss,so}", "name", group->name, "summary", group->summary_en, "summary_zh",
                     group->summary_zh, "commands", commands_json(group));
}

/* --- printing --- */

static int print(const struct cli *c, const struct command_group *group, const struct command *cmd, struct err *e)
{
    if (c->json) {
        cli_print_json(group ? help_group_json(group) : cmd ? help_command_json(cmd) : help_all_json());
        return 0;
    }
    struct buf text;
    buf_init(&text, HELP_MAX_BYTES);
    int rc = group ? help_group(group, c->lang, &text)
             : cmd ? help_command(cmd, c->lang, &text)
                   : help_all(c->lang, &text);
    if (rc)
        rc = err_set(e, -rc, "help", "cannot print the help: %s", err_code_name(rc));
    else
        fputs(text.data, stdout);
    buf_deinit(&text);
    return rc;
}

int help_print(const struct cli *c, int n_word, char *const *word, bool more, struct err *e)
{
    const struct command *cmd = NULL;
    int n_used = 0;
    const struct command_group *group = n_word == 1 ? command_group_find(word[0]) : NULL;
    int rc = group || n_word == 0 ? 0 : command_find(n_word, word, &cmd, &n_used, e);
    if (rc == 0 && cmd && n_used < n_word && !more)
        rc = err_set(e, ERR_USAGE, word[n_used], "cannot use argument \"%s\": there is no place for it", word[n_used]);
    return rc ? rc : print(c, group, cmd, e);
}
