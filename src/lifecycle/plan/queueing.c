/* Queueing formulas. Owns nothing. What always holds: probabilities are within [0, 1], and with constant service times
 * the states are those of M/M/c. */
#include "lifecycle/plan/queueing.h"

#include <math.h>
#include <stddef.h>

static double service(const struct queue *q, double n)
{
    return q->service_s(q->arg, n);
}

/* By the recursion of the loss formula, which stays within [0, 1]: Kleinrock 3.8. */
double queue_erlang_c(int c, double a)
{
    if (a >= c) return 1;
    double b = 1;
    for (int i = 1; i <= c; i++) b = a * b / (i + a * b);
    return b / (1 - a / c * (1 - b));
}

/* n = arrivals x service(n): throughput n / service(n) rises with n, so the smallest root is where it meets arrivals.
 */
static double fixed_point(const struct queue *q)
{
    double low = 0, high = q->slots;
    for (int i = 0; i < 200 && high - low > 1e-12 * high; i++) {
        double n = (low + high) / 2;
        if (n / service(q, n) < q->arrivals_s)
            low = n;
        else
            high = n;
    }
    return (low + high) / 2;
}

/* Probabilities of 0 to c requests relative to the most likely one so far, so that nothing overflows. */
struct states {
    double sum, sum_n, last;
};

static struct states walk_states(const struct queue *q)
{
    struct states s = {.sum = 1, .last = 1};
    for (int n = 1; n <= q->slots; n++) {
        s.last *= q->arrivals_s * service(q, n) / n;
        s.sum += s.last;
        s.sum_n += n * s.last;
        if (s.last > 1e100) {
            s.sum /= s.last;
            s.sum_n /= s.last;
            s.last = 1;
        }
    }
    return s;
}

static void set_unstable(struct queue_result *r, int slots)
{
    r->running = slots;
    r->little_n = slots;
    r->waiting = r->mean_wait_s = r->drain_s = HUGE_VAL;
    r->p_wait = 1;
}

static void solve_stable(const struct queue *q, struct queue_result *r)
{
    struct states s = walk_states(q);
    double rho = r->utilization, beyond = s.last * rho / (1 - rho); /* more than c: geometric */
    double sum = s.sum + beyond, spread = (1 + q->cv * q->cv) / 2;
    r->little_n = fixed_point(q);
    r->p_wait = (s.last + beyond) / sum; /* arrivals see time averages */
    r->running = (s.sum_n + q->slots * beyond) / sum;
    r->waiting = r->p_wait * rho / (1 - rho) * spread;
    r->mean_wait_s = q->arrivals_s > 0 ? r->waiting / q->arrivals_s : 0;
    r->mean_service_s = q->arrivals_s > 0 ? r->running / q->arrivals_s : r->mean_service_s;
    r->drain_s = spread / (r->capacity_s - q->arrivals_s);
}

int queue_solve(const struct queue *q, struct queue_result *out, struct err *e)
{
    *out = (struct queue_result){0};
    if (q->slots < 1 || q->slots > QUEUE_MAX_SLOTS)
        return err_set(e, ERR_USAGE, "slots", "cannot compute waiting with %d slots: 1 to %d are needed", q->slots,
                       QUEUE_MAX_SLOTS);
    if (!(q->arrivals_s >= 0) || !isfinite(q->arrivals_s) || !(q->cv >= 0) || !isfinite(q->cv))
        return err_set(e, ERR_USAGE, "arrivals",
                       "cannot compute waiting with %g arrivals a second and a spread of %g: neither may be negative",
                       q->arrivals_s, q->cv);
    out->mean_service_s = service(q, 1);
    out->capacity_s = q->slots / service(q, q->slots);
    out->utilization = q->arrivals_s / out->capacity_s;
    out->stable = out->utilization < 1;
    if (out->stable)
        solve_stable(q, out);
    else
        set_unstable(out, q->slots);
    return 0;
}

double queue_p_longer(const struct queue_result *r, double t_s)
{
    if (!r->stable) return 1;
    return r->p_wait * exp(-t_s / r->drain_s);
}

double queue_wait_percentile(const struct queue_result *r, double p)
{
    if (!r->stable) return HUGE_VAL;
    if (r->p_wait <= 1 - p) return 0;
    return r->drain_s * log(r->p_wait / (1 - p));
}

double queue_max_arrivals(const struct queue *q, double max_utilization, double p, double t_s)
{
    struct queue trial = *q;
    struct queue_result r;
    double low = 0, high = max_utilization * q->slots / service(q, q->slots);
    for (int i = 0; i < 50; i++) {
        trial.arrivals_s = i == 0 ? high : (low + high) / 2;
        bool meets = queue_solve(&trial, &r, NULL) == 0 && queue_wait_percentile(&r, p) <= t_s;
        if (meets && i == 0) return high;
        if (meets)
            low = trial.arrivals_s;
        else
            high = trial.arrivals_s;
    }
    return low;
}
