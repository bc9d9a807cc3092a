/* plan without a model: the points of the catalogue that carry a demand. */
#ifndef CLI_PLAN_SEARCH_H
#define CLI_PLAN_SEARCH_H

#include "doors/cli/cli.h"
#include "lifecycle/plan/catalogue.h"

/* Whether the options ask for a search: a demand or targets, but no model. */
bool plan_search_asked(const struct param_set *args);
int plan_search_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                    struct err *e) MUST_CHECK;

#endif
