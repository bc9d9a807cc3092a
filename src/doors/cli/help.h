/* Help texts, made from the tables of commands and parameters, in English and Chinese, as text and as JSON. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "doors/cli/cli.h"
#include "ground/base/buf.h"

/* What `tailor help` says: how to call it, the commands, the options of all of them. */
int help_all(enum lang lang, struct buf *out) MUST_CHECK;
/* What `tailor help COMMAND` says. */
int help_command(const struct command *cmd, enum lang lang, struct buf *out) MUST_CHECK;
/* {"commands":[{"name","summary"}],"options":[...]}: new reference. */
json_t *help_all_json(enum lang lang);
/* {"name","summary","usage","example","parameters":[{"name","type",...,"help"}]}: new reference. */
json_t *help_command_json(const struct command *cmd, enum lang lang);
/* Print either, as the options of the call say; cmd NULL: all commands. */
int help_print(const struct cli *c, const struct command *cmd, struct err *e) MUST_CHECK;

#endif
