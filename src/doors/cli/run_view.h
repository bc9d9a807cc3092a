/* A tuning run as people look at it: its fields, manifest, curves and how far it came, read from its directory. */
#ifndef CLI_RUN_VIEW_H
#define CLI_RUN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "doors/cli/cli.h"
#include "lifecycle/eval/report.h"

struct run_view {
    const char *dir;       /* borrowed */
    json_t *fields;        /* run.yaml, defaults filled in */
    json_t *manifest;      /* manifest.json */
    struct training train; /* curves and the last event */
    uint64_t step;         /* steps done */
};
/* -ERR_INPUT: dir is no tuning run. A run that goes on is read as far as it is. Close also after a failure. */
int run_view_open(struct run_view *v, const char *dir, struct err *e) MUST_CHECK;
void run_view_close(struct run_view *v);
/* "done", "stopped early" or "unfinished". */
const char *run_view_state(const struct run_view *v);
/* The same in the language of this run. */
const char *run_view_state_text(const struct cli *c, const char *state);
/* The result for JSON: {"state", "steps", "train_loss", "eval_loss", "seconds", ...}. New reference. */
json_t *run_view_result(const struct run_view *v);
/* Whether dir holds a tuning run, by its files alone. */
bool run_view_is_tuning(const char *dir);

#endif
