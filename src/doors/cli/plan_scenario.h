/* One whole plan: the system of the options, its forecast and its assessment. */
#ifndef CLI_PLAN_SCENARIO_H
#define CLI_PLAN_SCENARIO_H

#include "doors/cli/plan_case.h"
#include "doors/cli/plan_machine.h"
#include "doors/cli/plan_target.h"
#include "lifecycle/plan/forecast.h"

struct plan_scenario {
    struct plan_target target; /* with --hardware */
    struct plan_measured measured;
    struct plan_system system;
    int replicas;
    struct plan_load load;
    struct plan_forecast forecast;
    struct plan_asked asked;
    struct plan_verdict verdict;
};
/* Must stay where it is; plan_scenario_close also after a failure (zeroed before). */
int plan_scenario_open(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                       struct plan_scenario *out, struct err *e) MUST_CHECK;
void plan_scenario_close(struct plan_scenario *s);
/* --out: the report by its ending (.html, .md, .csv, .json); prints its path. */
int plan_scenario_write(const struct cli *c, const struct plan_scenario *s, const char *path, struct err *e) MUST_CHECK;

/* The options of `plan`, which scenario files hold. */
extern const struct param plan_params[];
extern const size_t plan_n_param;

#endif
