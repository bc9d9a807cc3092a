/* Weights of rows. Owns nothing. */
#include "lifecycle/data/row_weight.h"

#include <stdbool.h>
#include <stdio.h>

#include "ground/base/buf.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { SHOWN_MAX = 80 };
static const double WEIGHT_MAX = 1e6;

static int refuse(const json_t *v, const char *where, struct err *e)
{
    struct buf shown;
    buf_init(&shown, SHOWN_MAX);
    bool whole = json_format(v, JSON_LINE, &shown) == 0;
    int rc = err_set(e, ERR_INPUT, where, "cannot use %s: its weight is %s, a number from 0 to %.0f is needed", where,
                     whole ? shown.data : json_kind(v), WEIGHT_MAX);
    buf_deinit(&shown);
    return rc;
}

int row_weight_read(const json_t *row, enum example_kind kind, const char *where, double *out, struct err *e)
{
    const json_t *v = json_object_get(row, "weight");
    *out = 1;
    if (v == NULL || json_is_null(v) || kind == EXAMPLE_PROMPT) return 0;
    if (kind != EXAMPLE_ANSWER)
        return err_set(e, ERR_INPUT, where, "cannot use %s: it has a weight, and rows have weights in method sft only",
                       where);
    bool good = json_is_number(v) || (json_is_string(v) && str_to_double(json_string_value(v), out));
    if (json_is_number(v)) *out = json_number_value(v);
    return good && *out >= 0 && *out <= WEIGHT_MAX ? 0 : refuse(v, where, e);
}
