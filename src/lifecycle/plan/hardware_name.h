/* Hardware by the names that people give it: "4090", "H100-SXM", "A100 80G", "NVIDIA RTX 4070 Ti". */
#ifndef PLAN_HARDWARE_NAME_H
#define PLAN_HARDWARE_NAME_H

#include "lifecycle/plan/catalogue.h"

enum { HARDWARE_NAMES = 8 };
struct hardware_matches {
    const struct plan_hardware *one;                    /* the row that is meant; NULL: none, or not clear which */
    const struct plan_hardware *listed[HARDWARE_NAMES]; /* rows that have all of the words */
    size_t n;                                           /* of them; more may match than are listed */
};
/* An id or a name as it stands (case ignored) is always meant. Else every word of the name must be in a row's id, name
 * or vendor: the one row that has them all, or among several the one whose id says nothing further. Names of makers and
 * families are not needed; letters behind digits count ("L40" is not L40S). */
void hardware_match(const struct catalogue *c, const char *name, struct hardware_matches *out);

#endif
