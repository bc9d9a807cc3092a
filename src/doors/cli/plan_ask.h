/* plan --ask: the few questions that matter, with defaults and explanations. */
#ifndef CLI_PLAN_ASK_H
#define CLI_PLAN_ASK_H

#include "doors/cli/cli.h"

/* Asks on stderr, reads answers from stdin and sets them (an empty line or the end of input: the default); then shows
 * the answers as a scenario on stderr. What the command line gave is not asked. -ERR_USAGE after three answers that are
 * no value. */
int plan_ask(const struct cli *c, struct param_set *set, struct err *e) MUST_CHECK;

#endif
