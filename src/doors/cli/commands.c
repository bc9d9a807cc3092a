/* The table of commands, in the order of help. A new command is its file, its line in the list of declarations and its
 * line in the table. */
#include "doors/cli/cli.h"

extern const struct command cmd_inspect, cmd_make_model;
extern const struct command cmd_tune;
extern const struct command cmd_completion, cmd_help, cmd_version;

const struct command *const commands[] = {
    &cmd_inspect,
    &cmd_make_model,
    &cmd_tune,
    &cmd_version,
    &cmd_help,
    &cmd_completion,
    NULL,
};
