/* A case of the planner from the options. */
#ifndef CLI_PLAN_CASE_H
#define CLI_PLAN_CASE_H

#include "doors/cli/cli.h"
#include "lifecycle/plan/assess.h"

/* What the options of plan_options.h (load, demand, decision, cost) say; system and catalogue are borrowed. Rules are
 * opened: plan_case_close. */
struct plan_asked {
    struct plan_case at;
    struct decision_rules rules;
};
int plan_case_open(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                   const struct plan_system *system, struct plan_asked *out, struct err *e) MUST_CHECK;
void plan_case_close(struct plan_asked *a);

/* The options with those of --run FILE.yaml under them: a new set over the same table (param_set_free). */
int plan_with_scenario(const struct param *table, size_t n, const struct param_set *args, struct param_set **out,
                       struct err *e) MUST_CHECK;
/* The same with a file given. */
int plan_read_scenario(const struct param *table, size_t n, const char *path, const struct param_set *over,
                       struct param_set **out, struct err *e) MUST_CHECK;

#endif
