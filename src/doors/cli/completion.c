/* Walks over the tables that all shells need, and the script for bash. Owns nothing. */
#include "doors/cli/completion.h"

#include <string.h>

#include "doors/cli/command_find.h"
#include "doors/cli/completion_int.h"
#include "doors/cli/options.h"
#include "ground/base/str.h"

extern const struct command cmd_help;

bool completion_is_flag(const struct param *p)
{
    return !(p->flags & (PARAM_POSITIONAL | PARAM_REFUSED));
}

int completion_flag(const struct param *p, struct buf *out)
{
    int rc = buf_add_str(out, "--");
    for (const char *c = p->name; *c && rc == 0; c++) rc = buf_add_char(out, *c == '_' ? '-' : *c);
    return rc;
}

int completion_choices(const struct param *p, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < param_choices_len(p) && rc == 0; i++)
        rc = buf_add_char(out, p->choices[i] == '|' ? ' ' : p->choices[i]);
    return rc;
}

static size_t first_word_len(const struct command *c)
{
    return strcspn(c->name, " ");
}

/* No command before it has the same first word. */
static bool is_first(const struct command *const *c)
{
    size_t n = first_word_len(*c);
    for (const struct command *const *b = commands; b < c; b++) {
        if (first_word_len(*b) == n && memcmp((*b)->name, (*c)->name, n) == 0) return false;
    }
    return true;
}

int completion_first_words(struct buf *out)
{
    int rc = 0;
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (is_first(c)) rc = buf_printf(out, "%s%.*s", c == commands ? "" : " ", (int)first_word_len(*c), (*c)->name);
    }
    return rc;
}

int completion_second_words(const char *word, size_t n, struct buf *out)
{
    int rc = 0;
    bool any = false;
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (first_word_len(*c) != n || memcmp((*c)->name, word, n) != 0 || !(*c)->name[n]) continue;
        rc = buf_printf(out, "%s%s", any ? " " : "", (*c)->name + n + 1);
        any = true;
    }
    return rc;
}

bool completion_begins_group(const struct command *const *c)
{
    size_t n = first_word_len(*c);
    if (!is_first(c)) return false;
    for (const struct command *const *d = c; *d; d++) {
        if (first_word_len(*d) == n && memcmp((*d)->name, (*c)->name, n) == 0 && (*d)->name[n]) return true;
    }
    return false;
}

/* A positional argument with choices, NULL: none. */
static const struct param *positional_choice(const struct command *c)
{
    for (size_t i = 0; i < c->n_param; i++)
        if (c->params[i].flags & PARAM_POSITIONAL && c->params[i].type == PARAM_CHOICE) return &c->params[i];
    return NULL;
}

bool completion_has_words(const struct command *c)
{
    return c == &cmd_help || positional_choice(c);
}

int completion_words(const struct command *c, struct buf *out)
{
    const struct param *p = positional_choice(c);
    return p ? completion_choices(p, out) : completion_first_words(out);
}

const char *completion_summary(const struct command *const *c, enum lang lang)
{
    for (const struct command_group *g = command_groups; g->name; g++)
        if (command_in_group(*c, g)) return lang == LANG_ZH ? g->summary_zh : g->summary_en;
    return lang == LANG_ZH ? (*c)->summary_zh : (*c)->summary_en;
}

int completion_pair_pattern(struct buf *out)
{
    int rc = buf_add_str(out, "' '");
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (strchr((*c)->name, ' ')) rc = buf_printf(out, "|'%s'", (*c)->name);
    }
    return rc;
}

int completion_value_pattern(struct buf *out)
{
    int rc = 0;
    bool any = false;
    for (size_t i = 0; i < n_global_params && rc == 0; i++) {
        if (global_params[i].type == PARAM_BOOL) continue;
        rc = any ? buf_add_char(out, '|') : 0;
        any = true;
        if (rc == 0) rc = completion_flag(&global_params[i], out);
    }
    return rc;
}

/* --- bash --- */

/* A case that answers with the choices when the word before is the option. */
static int bash_choices(const char *cmd, const struct param *table, size_t n, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (table[i].type != PARAM_CHOICE || !completion_is_flag(&table[i])) continue;
        rc = cmd ? buf_printf(out, "    '%s ", cmd) : buf_add_str(out, "    *' ");
        if (rc == 0) rc = completion_flag(&table[i], out);
        if (rc == 0) rc = buf_add_str(out, "') COMPREPLY=($(compgen -W \"");
        if (rc == 0) rc = completion_choices(&table[i], out);
        if (rc == 0) rc = buf_add_str(out, "\" -- \"$cur\")); return ;;\n");
    }
    return rc;
}

static int bash_flags(const struct param *table, size_t n, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!completion_is_flag(&table[i])) continue;
        rc = buf_add_char(out, ' ');
        if (rc == 0) rc = completion_flag(&table[i], out);
    }
    return rc;
}

static int bash_words(struct buf *out)
{
    int rc = buf_add_str(out, "  case \"$cmd\" in\n    '') list=\"");
    if (rc == 0) rc = completion_first_words(out);
    if (rc == 0) rc = buf_add_str(out, "\" ;;\n");
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (!completion_begins_group(c)) continue;
        size_t n = first_word_len(*c);
        rc = buf_printf(out, "    '%.*s') list=\"", (int)n, (*c)->name);
        if (rc == 0) rc = completion_second_words((*c)->name, n, out);
        if (rc == 0) rc = buf_add_str(out, "\" ;;\n");
    }
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        if (!completion_has_words(*c)) continue;
        rc = buf_printf(out, "    '%s') list=\"", (*c)->name);
        if (rc == 0) rc = completion_words(*c, out);
        if (rc == 0) rc = buf_add_str(out, "\" ;;\n");
    }
    return rc ? rc : buf_add_str(out, "  esac\n");
}

static int bash_options(struct buf *out)
{
    int rc = buf_add_str(out, "  case \"$cmd\" in\n");
    for (const struct command *const *c = commands; *c && rc == 0; c++) {
        rc = buf_printf(out, "    '%s') list=\"", (*c)->name);
        if (rc == 0) rc = bash_flags((*c)->params, (*c)->n_param, out);
        if (rc == 0) rc = buf_add_str(out, "\" ;;\n");
    }
    if (rc == 0) rc = buf_add_str(out, "  esac\n  list+=\"");
    if (rc == 0) rc = bash_flags(global_params, n_global_params, out);
    return rc ? rc : buf_add_str(out, " --help\"\n");
}

static int bash_find_command(struct buf *out)
{
    int rc = buf_add_str(out, "_tailor() {\n"
                              "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= list= i\n"
                              "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                              "    case \"${COMP_WORDS[i]}\" in\n      ");
    if (rc == 0) rc = completion_value_pattern(out);
    if (rc == 0)
        rc = buf_add_str(out, ") ((i++)) ;;\n"
                              "      -*) [[ -n $cmd ]] && break ;;\n"
                              "      *) if [[ -z $cmd ]]; then cmd=${COMP_WORDS[i]}; continue; fi\n"
                              "         case \"$cmd ${COMP_WORDS[i]}\" in ");
    if (rc == 0) rc = completion_pair_pattern(out);
    return rc ? rc : buf_add_str(out, ") cmd+=\" ${COMP_WORDS[i]}\" ;; esac; break ;;\n    esac\n  done\n");
}

int completion_bash(struct buf *out)
{
    int rc = buf_add_str(out, "# bash completion for tailor; generated by `tailor completion bash`\n");
    if (rc == 0) rc = bash_find_command(out);
    if (rc == 0) rc = buf_add_str(out, "  case \"$cmd $prev\" in\n");
    for (const struct command *const *c = commands; *c && rc == 0; c++)
        rc = bash_choices((*c)->name, (*c)->params, (*c)->n_param, out);
    if (rc == 0) rc = bash_choices(NULL, global_params, n_global_params, out);
    if (rc == 0) rc = buf_add_str(out, "  esac\n  if [[ $cur != -* ]]; then\n");
    if (rc == 0) rc = bash_words(out);
    if (rc == 0) rc = buf_add_str(out, "  else\n");
    if (rc == 0) rc = bash_options(out);
    return rc ? rc
              : buf_add_str(out, "  fi\n  COMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n}\n"
                                 "complete -o default -F _tailor tailor\n");
}
