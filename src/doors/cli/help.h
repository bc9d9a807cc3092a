/* Help texts, made from the tables of commands and parameters, in English and Chinese, as text and as JSON. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "doors/cli/cli.h"
#include "ground/base/buf.h"

/* What `tailor help` says: how to call it, the commands, the options of all of them. */
int help_all(enum lang lang, struct buf *out) MUST_CHECK;
/* What `tailor help COMMAND` says. */
int help_command(const struct command *cmd, enum lang lang, struct buf *out) MUST_CHECK;
/* What `tailor help GROUP` says: the commands that begin with its name. */
int help_group(const struct command_group *group, enum lang lang, struct buf *out) MUST_CHECK;
/* {"commands":[{"name","summary","summary_zh"}],"options":[...]}: new reference. */
json_t *help_all_json(void);
/* {"name","summary","summary_zh","usage","example","parameters":[{"name","type",...,"help","help_zh"}]}: new
 * reference. */
json_t *help_command_json(const struct command *cmd);
/* Print what the words (none, a group, or a command) ask for, as the options of the call say. more: what follows the
 * command may be its arguments; else it is refused. */
int help_print(const struct cli *c, int n_word, char *const *word, bool more, struct err *e) MUST_CHECK;
/* Append "Usage: tailor COMMAND ARGUMENTS" and a newline, its lines within the terminal's width. */
int help_usage(const struct command *cmd, enum lang lang, struct buf *out) MUST_CHECK;

#endif
