/* Names of verdicts. Owns nothing. */
#include "lifecycle/data/row_verdict.h"

const char *row_verdict_name(enum row_verdict v)
{
    static const char *const name[ROW_N_VERDICT] = {
        [ROW_KEPT] = "kept",
        [ROW_TRUNCATED] = "truncated",
        [ROW_DUPLICATE_KEPT] = "duplicate_kept",
        [ROW_WEIGHT_ZERO] = "weight_zero",
        [ROW_DUPLICATE] = "duplicate",
        [ROW_OVER_LENGTH] = "over_length",
        [ROW_EMPTY_TARGET] = "empty_target",
        [ROW_BAD_ROLES] = "bad_roles",
        [ROW_NO_CONTRAST] = "no_contrast",
        [ROW_UNRENDERED] = "unrendered",
        [ROW_BAD_FIELDS] = "bad_fields",
        [ROW_UNREADABLE] = "unreadable",
    };
    return name[v];
}

bool row_verdict_is_refused(enum row_verdict v)
{
    return v > ROW_WEIGHT_ZERO;
}
