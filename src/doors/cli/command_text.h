/* The command line that gives a parameter set again: for manifests and reports. */
#ifndef CLI_COMMAND_TEXT_H
#define CLI_COMMAND_TEXT_H

#include "ground/base/buf.h"
#include "ground/param/param.h"

/* Append "tailor NAME ..." with every value that was set, quoted for a POSIX shell where it must be. */
int command_text(const char *name, const struct param *table, size_t n, const struct param_set *args,
                 struct buf *out) MUST_CHECK;

#endif
