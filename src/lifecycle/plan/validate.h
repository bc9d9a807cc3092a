/* The planner against published measurements: what it predicts for each row, and how far off it is by class. */
#ifndef PLAN_VALIDATE_H
#define PLAN_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"
#include "lifecycle/plan/catalogue.h"
#include "lifecycle/plan/speed.h"

struct plan_check {
    const char *id, *class_name, *model, *quant, *hardware, *engine, *metric;
    const char *skipped;               /* why there is no prediction; NULL: there is one */
    double measured, predicted, error; /* error: predicted / measured - 1 */
    struct plan_band band;
    bool covered; /* measured lies in the 80 % interval */
};
struct plan_class {
    const char *name;
    size_t rows;
    double median_error, p80_error, within_30, coverage; /* fractions */
    double gate;                                         /* on median_error; 0: none */
};
enum { PLAN_CLASSES_MAX = 32 };
struct plan_validation {
    struct plan_check *check; /* [n] rows that are used for validation, worst first; skipped ones last */
    size_t n, n_skipped, n_unused;
    struct plan_class class_of[PLAN_CLASSES_MAX];
    size_t n_class;
    double coverage; /* of all predicted rows */
    struct arena arena;
};
/* path NULL: the measurements in the program. -ERR_INPUT names file, line and column. Also after a failure
 * plan_validation_free. */
int plan_validate(const struct catalogue *c, const char *path, struct plan_validation *out, struct err *e) MUST_CHECK;
void plan_validation_free(struct plan_validation *v);

#endif
