/* Listing and showing what the registry holds: shared by models, data and runs. */
#ifndef CLI_REGISTRY_PRINT_H
#define CLI_REGISTRY_PRINT_H

#include "doors/cli/cli.h"

/* All names of some kinds (NULL-terminated), as a table or {"KEY": [...]}. */
int registry_print_list(const struct cli *c, const char *const *kinds, const char *key, struct err *e) MUST_CHECK;
/* The manifest behind a reference. */
int registry_print_show(const struct cli *c, const char *ref, struct err *e) MUST_CHECK;

/* Record a run directory, so that `runs list` shows it. */
int registry_record_run(const struct cli *c, const char *kind, const char *dir, struct err *e) MUST_CHECK;

#endif
