/* Which command the words of a command line mean. */
#ifndef CLI_COMMAND_FIND_H
#define CLI_COMMAND_FIND_H

#include "doors/cli/cli.h"

/* The command that the first words name: two words before one. *n_word is how many they are. Borrowed.
 * -ERR_USAGE offers the nearest name, or the second words there are. */
int command_find(int n, char *const *word, const struct command **out, int *n_word, struct err *e) MUST_CHECK;

/* The group with this name, NULL: none. */
const struct command_group *command_group_find(const char *word);
/* The command has words after these: "plan diff" is below "plan". */
bool command_is_below(const struct command *cmd, const char *first);
/* The command's first word is the group's name. */
bool command_in_group(const struct command *cmd, const struct command_group *group);

#endif
