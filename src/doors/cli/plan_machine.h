/* This machine for the planner: what it is, its floors, and the measurement of a model on it. */
#ifndef CLI_PLAN_MACHINE_H
#define CLI_PLAN_MACHINE_H

#include "doors/cli/cli.h"
#include "ground/sys/machine.h"
#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/speed.h"

/* Measure the floors with the threads and the instruction set of this run; about a second. */
int plan_measure_floors(const struct cli *c, struct plan_floors *out, struct err *e) MUST_CHECK;

struct plan_measured {
    struct plan_model model; /* its architecture is the text below */
    char architecture[32];
    const struct plan_quant *quant; /* the type of most of its weights */
    struct plan_work work;
    uint64_t file_bytes, weights_bytes; /* on disk; packed in memory */
    struct plan_timing time;            /* all 0 when nothing was timed */
    struct plan_floors floors;          /* of the machine, where who measures them keeps them (plan_local_system) */
};
/* Open a model (a path or a registry name), read what it takes, and time it when timed. */
int plan_measure_model(const struct cli *c, const char *name, bool timed, struct plan_measured *out,
                       struct err *e) MUST_CHECK;

#endif
