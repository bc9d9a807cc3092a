/* How old a fact of the catalogue is. */
#ifndef PLAN_AGE_H
#define PLAN_AGE_H

#include <stdbool.h>
#include <stdint.h>

enum { PLAN_STALE_PRICE_DAYS = 90, PLAN_STALE_HARDWARE_DAYS = 180 };

/* Days from "2026-08-05" (also "2026-08", "2026": their last day) to a moment; negative where it lies ahead; false
 * where the text is no date. */
bool plan_age_days(const char *date, int64_t unix_ms, int *days);
/* Today as "2026-11-28"; size 11. */
void plan_today(int64_t unix_ms, char out[11]);

#endif
