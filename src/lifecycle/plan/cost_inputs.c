/* The table of cost inputs. Owns nothing. What always holds: low <= mid <= high, within the smallest and largest value.
 */
#include "lifecycle/plan/cost_inputs.h"

#include <math.h>

const struct cost_input_info cost_input_info[N_COST] = {
#define X(id, name, u, low_, mid_, high_, min_, max_, e_, z_, s_, sz_) \
    [COST_##id] = {#name, u, {low_, mid_, high_}, min_, max_, e_, z_, s_, sz_},
    COST_INPUTS(X)
#undef X
};

void cost_inputs_init(struct cost_band in[N_COST])
{
    for (int i = 0; i < N_COST; i++) in[i] = cost_input_info[i].band;
}

/* The band moves with the value that was given. */
static struct cost_band around(const struct cost_band *old, double value, const struct cost_input_info *info)
{
    if (!(old->mid > 0)) return (struct cost_band){value, value, fmax(value, old->high)};
    return (struct cost_band){fmax(info->min, value * old->low / old->mid), value,
                              fmin(info->max, value * old->high / old->mid)};
}

int cost_input_set(struct cost_band in[N_COST], enum cost_input i, const double *value, size_t n, struct err *e)
{
    const struct cost_input_info *info = &cost_input_info[i];
    if (n != 1 && n != 3)
        return err_set(e, ERR_USAGE, info->key,
                       "cannot use %zu numbers for %s: one is needed, or three (low,expected,high)", n, info->key);
    for (size_t k = 0; k < n; k++) {
        if (!(value[k] >= info->min && value[k] <= info->max))
            return err_set(e, ERR_USAGE, info->key, "cannot use %s = %g: a number from %g to %g is needed", info->key,
                           value[k], info->min, info->max);
        if (k && value[k] < value[k - 1])
            return err_set(e, ERR_USAGE, info->key,
                           "cannot use %s = %g,%g,%g: low, expected, high are needed in this order", info->key,
                           value[0], value[1], value[2]);
    }
    in[i] = n == 1 ? around(&in[i], value[0], info) : (struct cost_band){value[0], value[1], value[2]};
    return 0;
}
