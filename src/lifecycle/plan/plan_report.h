/* A plan as a document for people who decide: the choice first, then money, memory and latency with plots, the rules,
 * every assumption with its source, and what the words mean. */
#ifndef PLAN_PLAN_REPORT_H
#define PLAN_PLAN_REPORT_H

#include "ground/base/buf.h"
#include "ground/param/param.h"
#include "lifecycle/plan/assess.h"
#include "lifecycle/plan/forecast.h"

struct plan_report {
    const struct plan_case *asked;
    const struct plan_verdict *verdict;
    const struct plan_forecast *forecast;
    enum lang lang;
};
/* A document of report/document.h; new reference. -ERR_NOMEM. */
int plan_report_compose(const struct plan_report *r, json_t **doc, struct err *e) MUST_CHECK;
/* Rows "section,name,value,unit" of the same figures. */
int plan_report_csv(const struct plan_report *r, struct buf *out, struct err *e) MUST_CHECK;

#endif
