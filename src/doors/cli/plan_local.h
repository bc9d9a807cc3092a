/* plan for this machine. */
#ifndef CLI_PLAN_LOCAL_H
#define CLI_PLAN_LOCAL_H

#include "doors/cli/cli.h"
#include "doors/cli/plan_machine.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/memory.h"

/* The whole command without --hardware: measure, predict, print. */
int plan_local_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                   struct err *e) MUST_CHECK;

/* The system of --model and --quant on this machine: measured as plan_local_run does, but with the floors of measured
 * where it has some, so that a second look takes less time. It points into measured and the catalogue. */
int plan_local_system(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                      const struct plan_load *load, struct plan_measured *measured, struct plan_system *out,
                      struct err *e) MUST_CHECK;

/* --users, --prompt-tokens and --output-tokens. */
void plan_load_of(const struct param_set *args, struct plan_load *l);
/* --quant, or what stands for it. */
int plan_quant_of(const struct param_set *args, const struct plan_quant *otherwise, const struct plan_quant **out,
                  struct err *e) MUST_CHECK;

#endif
