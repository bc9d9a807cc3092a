/* What two guides that companies read claim of sizes, hardware and costs, beside what the planner computes: does the
 * claim hold, is it wrong, is the hardware more than is needed, and why. Nothing of a verdict is stored: each is
 * computed from the catalogue when it is asked for. */
#ifndef PLAN_SEED_TABLE_H
#define PLAN_SEED_TABLE_H

#include <jansson.h>

#include "lifecycle/plan/catalogue.h"

enum seed_verdict { SEED_HOLDS, SEED_LIMITS, SEED_OVERSIZED, SEED_WRONG, SEED_DEPENDS };
extern const char *const seed_verdict_name[];                         /* "holds", ... */
extern const char *const seed_verdict_en[], *const seed_verdict_zh[]; /* for people */

enum seed_table { SEED_SIZES, SEED_DEPLOYMENT }; /* the table of model sizes; the account of private deployment */

enum { SEED_TEXT = 400, SEED_MAX_ROWS = 64 };
struct seed_row {
    enum seed_table table;
    const char *claim_en, *claim_zh;
    enum seed_verdict verdict;
    char reason_en[SEED_TEXT], reason_zh[SEED_TEXT];
};
struct seed_rows {
    struct seed_row row[SEED_MAX_ROWS];
    size_t n;
};
/* -ERR_NOT_FOUND when the catalogue lacks a model or hardware that a claim names. */
int seed_rows_compute(const struct catalogue *c, struct seed_rows *out, struct err *e) MUST_CHECK;

#endif
