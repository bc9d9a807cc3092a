/* plan for hardware of the catalogue. */
#ifndef CLI_PLAN_TARGET_H
#define CLI_PLAN_TARGET_H

#include "doors/cli/cli.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/speed.h"

/* What --model, --quant, --hardware, --count, --tp, --pp, --stack and --kv ask for. */
struct plan_target {
    struct plan_system system; /* one replica */
    int count, replicas;       /* cards in all; replicas that they make */
    struct plan_model own;     /* a model at hand; system.model points here then */
    char architecture[32];
    struct plan_file file; /* its tensors; weight_bytes 0: a name of the catalogue */
};
/* Without --count, --tp and --pp: by_cost, on as many cards as carry the demand at the least cost (the options of
 * plan_options.h are read); else on the fewest that hold the model. The target must stay where it is: its system points
 * into it. */
int plan_target_of(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue, bool by_cost,
                   struct plan_target *out, struct err *e) MUST_CHECK;
/* The whole command with --hardware: predict and print. */
int plan_target_run(const struct cli *c, const struct param_set *args, const struct catalogue *catalogue,
                    struct err *e) MUST_CHECK;

#endif
