/* Private to the three completion generators: walks over the tables. */
#ifndef CLI_COMPLETION_INT_H
#define CLI_COMPLETION_INT_H

#include "doors/cli/completion.h"

/* Append "--max-tokens". */
int completion_flag(const struct param *p, struct buf *out) MUST_CHECK;
/* Append "a b c" of "a|b|c". */
int completion_choices(const struct param *p, struct buf *out) MUST_CHECK;
/* Append the first words of all commands, each once, separated by spaces. */
int completion_first_words(struct buf *out) MUST_CHECK;
/* The command is the first in the table with its first word, and that word has second words. */
bool completion_begins_group(const struct command *const *c);
/* What the first word of the command is about: its group, or the command itself. */
const char *completion_summary(const struct command *const *c, enum lang lang);
/* Append the second words that a first word (its n bytes) has, separated by spaces. */
int completion_second_words(const char *word, size_t n, struct buf *out) MUST_CHECK;
/* The arguments of a command are known words: the choices of a positional one, the commands for `help`. */
bool completion_has_words(const struct command *c);
/* Append those words, separated by spaces. */
int completion_words(const struct command *c, struct buf *out) MUST_CHECK;
/* Append shell patterns of all two-word commands: 'data import'|'plan validate'. A pattern that matches nothing when
 * there are none. */
int completion_pair_pattern(struct buf *out) MUST_CHECK;
/* Append shell patterns of the common options that take a value: --home|--lang. */
int completion_value_pattern(struct buf *out) MUST_CHECK;
/* Is an option of this version. */
bool completion_is_flag(const struct param *p);

#endif
