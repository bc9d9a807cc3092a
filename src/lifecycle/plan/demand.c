/* Demand. Owns nothing. What always holds: what was given is taken as it is, and only what is missing is derived. */
#include "lifecycle/plan/demand.h"

#include <math.h>
#include <stddef.h>

double demand_seconds_month(const struct demand *d)
{
    return d->days_month * d->hours_day * 3600;
}

static int check(const struct demand *d, double answer_s, struct err *e)
{
    const struct {
        const char *name;
        double value, min, max; /* min itself is allowed */
    } row[] = {
        {"team", d->team, 0, 1e9},
        {"users", d->users, 0, 1e9},
        {"calls_month", d->calls_month, 0, 1e15},
        {"active_share", d->active_share, 1e-9, 1},
        {"calls_person_day", d->calls_person_day, 1e-9, 1e6},
        {"think_s", d->think_s, 0, 1e6},
        {"days_month", d->days_month, 1e-3, 31},
        {"hours_day", d->hours_day, 1e-3, 24},
        {"peak", d->peak, 1, 1e3},
        {"prompt_tokens", d->prompt_tokens, 1, 1e8},
        {"output_tokens", d->output_tokens, 1, 1e8},
        {"answer_s", answer_s, 1e-12, 1e12},
    };
    for (size_t i = 0; i < N_ELEM(row); i++)
        if (!(row[i].value >= row[i].min && row[i].value <= row[i].max))
            return err_set(e, ERR_USAGE, row[i].name, "cannot plan for %s = %g: a number from %g to %g is needed",
                           row[i].name, row[i].value, row[i].min, row[i].max);
    return 0;
}

/* Conversations at the peak: as given, by the team, by Little's law from the calls, else one. */
static double users_of(const struct demand *d, double answer_s, enum demand_basis *basis)
{
    if (d->users > 0) {
        *basis = DEMAND_GIVEN;
        return d->users;
    }
    if (d->team > 0) {
        *basis = DEMAND_BY_TEAM;
        return fmax(1, ceil(d->team * d->active_share));
    }
    if (d->calls_month > 0) {
        *basis = DEMAND_BY_CALLS;
        return fmax(1, ceil(d->calls_month / demand_seconds_month(d) * d->peak * answer_s));
    }
    *basis = DEMAND_ASSUMED;
    return 1;
}

static double calls_of(const struct demand *d, double users, double answer_s, enum demand_basis *basis)
{
    if (d->calls_month > 0) {
        *basis = DEMAND_GIVEN;
        return d->calls_month;
    }
    if (d->team > 0) {
        *basis = DEMAND_BY_TEAM;
        return d->team * d->calls_person_day * d->days_month;
    }
    *basis = d->users > 0 ? DEMAND_BY_USERS : DEMAND_ASSUMED;
    return users / (answer_s + d->think_s) * demand_seconds_month(d) / d->peak;
}

int demand_resolve(const struct demand *d, double answer_s, struct demand_result *out, struct err *e)
{
    *out = (struct demand_result){0};
    int rc = check(d, answer_s, e);
    if (rc) return rc;
    out->users = users_of(d, answer_s, &out->users_basis);
    out->calls_month = calls_of(d, out->users, answer_s, &out->calls_basis);
    out->mean_s = out->calls_month / demand_seconds_month(d);
    out->peak_s = out->mean_s * d->peak;
    return 0;
}
