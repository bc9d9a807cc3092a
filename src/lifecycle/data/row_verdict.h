/* What became of a row of training data at the door: one verdict a row, so that rows in = rows kept + rows refused, and
 * every refusal has a reason that can be counted. */
#ifndef DATA_ROW_VERDICT_H
#define DATA_ROW_VERDICT_H

#include <stdbool.h>

/* ROW_KEPT to ROW_DUPLICATE_KEPT are trained on, ROW_WEIGHT_ZERO is left out as it asks to be, the others are refused.
 */
enum row_verdict {
    ROW_KEPT,
    ROW_TRUNCATED,      /* kept up to max_length; its end is not taught */
    ROW_DUPLICATE_KEPT, /* says the same as an earlier row, and counts again */
    ROW_WEIGHT_ZERO,    /* its weight is 0: counted, and not trained on */
    ROW_DUPLICATE,
    ROW_OVER_LENGTH,
    ROW_EMPTY_TARGET, /* nothing to train on, or truncation left nothing */
    ROW_BAD_ROLES,    /* messages in an order that no conversation has */
    ROW_NO_CONTRAST,  /* chosen and rejected say the same */
    ROW_UNRENDERED,   /* the model's chat template cannot show it */
    ROW_BAD_FIELDS,   /* members are missing or of the wrong type */
    ROW_UNREADABLE,   /* no JSON object, or a broken line of a table */
    ROW_N_VERDICT
};
/* "kept", "truncated", "duplicate_kept" ...: as results and files have it. */
const char *row_verdict_name(enum row_verdict v);
bool row_verdict_is_refused(enum row_verdict v);

#endif
