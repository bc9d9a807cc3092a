/* The decision "is the new model good enough": paired statistics of two evaluations of the same cases, and a verdict by
 * a margin of non-inferiority and, where one is set, an absolute floor. Both were fixed before the run by the caller.
 */
#ifndef EVAL_VERDICT_H
#define EVAL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/buf.h"
#include "ground/param/param.h"
#include "lifecycle/eval/stats.h"

struct paired {
    size_t n;
    bool binary; /* all scores are 0 or 1: McNemar and Tango hold */
    struct stats_mean base, fresh, difference;
    struct interval base_95, fresh_95, difference_95;
    struct mcnemar mcnemar;     /* meaningful when binary */
    double smallest_detectable; /* with this many cases, two-sided 5 %, power 80 % */
};
/* base[i] and fresh[i] are scores in [0, 1] of the same case; cluster as in stats_mean. n may be 0. -ERR_NOMEM. */
int paired_compute(const double *base, const double *fresh, const size_t *cluster, size_t n, size_t n_cluster,
                   struct paired *p, struct err *e) MUST_CHECK;

struct gate {
    double margin; /* largest loss that is acceptable, >= 0 */
    bool has_floor;
    double floor; /* lowest acceptable score of the new model */
};

enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_INVALID };
/* "PASS" ... */
const char *verdict_name(enum verdict v);

/* The same for people. */
const char *verdict_label(enum verdict v, enum lang lang);

/* Why a comparison proves nothing; the first that holds is reported. */
enum invalid_cause { INVALID_NONE, INVALID_PARTIAL, INVALID_UNPAIRED, INVALID_ERRORS, INVALID_GOLD, INVALID_NO_PAIRS };

struct decision {
    enum verdict verdict;
    enum invalid_cause cause;
    struct interval difference_90, fresh_90; /* one-sided 5 % bounds, which decide */
    bool margin_pass, margin_fail, floor_pass, floor_fail;
    double n_more; /* INCONCLUSIVE: about so many more cases decide, rates as seen; INFINITY: none do */
};
/* PASS: every lower bound is beyond its limit; FAIL: some upper bound is below its limit; else INCONCLUSIVE. */
void verdict_decide(const struct paired *p, const struct gate *g, enum invalid_cause cause, struct decision *d);
/* One sentence with the numbers, in a language. */
int verdict_reason(const struct gate *g, const struct decision *d, enum lang lang, struct buf *out) MUST_CHECK;

#endif
