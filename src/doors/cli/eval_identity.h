/* What an evaluation is identified by, gathered from the command line and the opened model. */
#ifndef CLI_EVAL_IDENTITY_H
#define CLI_EVAL_IDENTITY_H

#include "doors/cli/cli_engine.h"
#include "govern/registry/registry.h"
#include "lifecycle/eval/run.h"

/* Everything the score depends on, by digest or value: new reference. adapter: the text of --adapter or NULL. */
int eval_identity(const struct cli *c, struct registry *r, const struct cli_engine *x, const char *adapter,
                  const struct eval_options *o, json_t **out, struct err *e) MUST_CHECK;
/* What people want to see besides: paths, machine, the command. dataset: name:version that the cases are from, or NULL.
 * New reference. */
int eval_description(const struct cli *c, const struct cli_engine *x, const char *model, const char *adapter,
                     const char *dataset, const struct eval_options *o, const char *command, json_t **out,
                     struct err *e) MUST_CHECK;

#endif
