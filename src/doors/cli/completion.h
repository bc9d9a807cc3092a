/* Shell completion, generated from the tables of commands and parameters. */
#ifndef CLI_COMPLETION_H
#define CLI_COMPLETION_H

#include "doors/cli/cli.h"
#include "ground/base/buf.h"

/* A script for the shell to source: commands, options, choices; file names everywhere else. */
int completion_bash(struct buf *out) MUST_CHECK;
/* With descriptions in a language. */
int completion_zsh(enum lang lang, struct buf *out) MUST_CHECK;
/* With descriptions in a language. */
int completion_fish(enum lang lang, struct buf *out) MUST_CHECK;

#endif
