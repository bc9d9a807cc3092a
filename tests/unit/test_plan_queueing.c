/* Waiting and demand against formulas of the textbooks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "lifecycle/plan/demand.h"
#include "lifecycle/plan/queueing.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want) + 1e-12)) fail_msg("%.9g, wanted %.9g", got, want);
}

static double constant(const void *arg, double n)
{
    (void)n;
    return *(const double *)arg;
}

static double shared(const void *arg, double n) /* one processor, shared */
{
    return *(const double *)arg * n;
}

static double batched(const void *arg, double n) /* a step of n sequences: fixed part and a part for each */
{
    return *(const double *)arg * (1 + 0.1 * n);
}

static struct queue_result solve(const struct queue *q)
{
    struct queue_result r;
    struct err e;
    if (queue_solve(q, &r, &e)) fail_msg("%s", e.msg);
    return r;
}

static void erlang_c_is_that_of_the_tables(void **state)
{
    (void)state;
    assert_near(queue_erlang_c(1, 0.7), 0.7, 1e-12);
    assert_near(queue_erlang_c(2, 1), 1.0 / 3, 1e-12);
    assert_near(queue_erlang_c(5, 4), 0.554113, 1e-5);
    assert_near(queue_erlang_c(10, 8), 0.409180, 1e-5);
    assert_near(queue_erlang_c(3, 3), 1, 0);
    assert_near(queue_erlang_c(20000, 0.001), 0, 0);
}

static void constant_service_is_mmc(void **state)
{
    (void)state;
    const double s = 2;
    static const struct {
        int c;
        double lambda;
    } row[] = {{1, 0.4}, {2, 0.5}, {5, 2}, {64, 30}, {700, 345}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        int c = row[i].c;
        double lambda = row[i].lambda, pw = queue_erlang_c(c, lambda * s);
        struct queue_result r = solve(&(struct queue){constant, &s, c, lambda, 1});
        assert_true(r.stable);
        assert_near(r.utilization, lambda * s / c, 1e-12);
        assert_near(r.p_wait, pw, 1e-9);
        assert_near(r.mean_wait_s, pw / (c / s - lambda), 1e-9);
        assert_near(queue_p_longer(&r, 1), pw * exp(-(c / s - lambda)), 1e-9);
        assert_near(r.running, lambda * s, 1e-9); /* Little */
        assert_near(r.little_n, lambda * s, 1e-9);
        assert_near(r.mean_service_s, s, 1e-9);
    }
}

static void spread_of_service_times_scales_waiting(void **state)
{
    (void)state;
    const double s = 1;
    struct queue_result none = solve(&(struct queue){constant, &s, 1, 0.5, 0});
    struct queue_result exponential = solve(&(struct queue){constant, &s, 1, 0.5, 1});
    assert_near(none.mean_wait_s, 0.5, 1e-9); /* M/D/1: rho s / (2 (1 - rho)) */
    assert_near(exponential.mean_wait_s, 1, 1e-9);
}

static void shared_processor_is_mm1(void **state)
{
    (void)state;
    const double s = 0.1;
    struct queue_result r = solve(&(struct queue){shared, &s, 4000, 8, 1});
    assert_near(r.running, 0.8 / 0.2, 1e-6); /* rho / (1 - rho) */
    assert_near(r.mean_service_s, 0.1 / 0.2, 1e-6);
}

static void littles_law_meets_its_fixed_point(void **state)
{
    (void)state;
    const double s = 1;
    struct queue_result r = solve(&(struct queue){batched, &s, 100, 4, 1});
    assert_near(r.little_n, 4 / (1 - 0.4), 1e-6); /* n = 4 (1 + n / 10) */
    assert_near(r.capacity_s, 100 / 11.0, 1e-9);
    assert_true(r.running > 0.9 * r.little_n && r.running < 1.2 * r.little_n);
}

static void too_much_is_unstable(void **state)
{
    (void)state;
    const double s = 1;
    struct queue_result r = solve(&(struct queue){constant, &s, 4, 4, 1});
    assert_false(r.stable);
    assert_true(isinf(r.mean_wait_s) && r.p_wait == 1 && queue_p_longer(&r, 1e9) == 1);
    struct err e;
    assert_int_equal(queue_solve(&(struct queue){constant, &s, 0, 1, 1}, &r, &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "0 slots"));
    assert_int_equal(queue_solve(&(struct queue){constant, &s, 1, -1, 1}, &r, &e), -ERR_USAGE);
}

static void most_arrivals_meet_their_target(void **state)
{
    (void)state;
    const double s = 1;
    struct queue q = {constant, &s, 8, 0, 1};
    double loose = queue_max_arrivals(&q, 0.7, 0.95, 100), tight = queue_max_arrivals(&q, 0.99, 0.99, 0.05);
    assert_near(loose, 5.6, 1e-9); /* utilization is the limit */
    q.arrivals_s = tight;
    struct queue_result r = solve(&q);
    assert_true(tight < 5.6);
    assert_near(queue_wait_percentile(&r, 0.99), 0.05, 1e-3);
    assert_near(queue_p_longer(&r, 0.05), 0.01, 1e-3);
}

static const struct demand office = {.active_share = 0.05,
                                     .calls_person_day = 30,
                                     .think_s = 30,
                                     .days_month = 22,
                                     .hours_day = 8,
                                     .peak = 2,
                                     .prompt_tokens = 1000,
                                     .output_tokens = 500};

static struct demand_result resolve(const struct demand *d, double answer_s)
{
    struct demand_result r;
    struct err e;
    if (demand_resolve(d, answer_s, &r, &e)) fail_msg("%s", e.msg);
    return r;
}

static void demand_derives_what_is_missing(void **state)
{
    (void)state;
    struct demand d = office;
    d.calls_month = 1e7;
    struct demand_result r = resolve(&d, 10);
    assert_near(r.peak_s, 31.57, 1e-3); /* ten million calls in office hours, twice the mean at the peak */
    assert_near(r.users, 316, 1e-9);    /* Little: 31.57 a second x 10 s */
    assert_int_equal(r.users_basis, DEMAND_BY_CALLS);
    d = office;
    d.team = 100;
    r = resolve(&d, 10);
    assert_near(r.users, 5, 1e-9);
    assert_near(r.calls_month, 100 * 30 * 22, 1e-9);
    d = office;
    d.users = 8;
    r = resolve(&d, 10);
    assert_near(r.peak_s, 8 / 40.0, 1e-9); /* each asks every 40 s */
    d = office;
    d.users = 3;
    d.team = 100;
    d.calls_month = 5;
    r = resolve(&d, 10);
    assert_true(r.users == 3 && r.calls_month == 5);
    r = resolve(&office, 10);
    assert_int_equal(r.users_basis, DEMAND_ASSUMED);
    assert_near(r.users, 1, 0);
}

static void demand_refuses_nonsense(void **state)
{
    (void)state;
    struct demand_result r;
    struct err e;
    struct demand d = office;
    d.team = -5;
    assert_int_equal(demand_resolve(&d, 1, &r, &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "team = -5"));
    d = office;
    d.output_tokens = 0;
    assert_int_equal(demand_resolve(&d, 1, &r, &e), -ERR_USAGE);
    d = office;
    d.hours_day = 25;
    assert_int_equal(demand_resolve(&d, 1, &r, &e), -ERR_USAGE);
    assert_non_null(strstr(e.msg, "24"));
    d = office;
    d.peak = NAN;
    assert_int_equal(demand_resolve(&d, 1, &r, &e), -ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(erlang_c_is_that_of_the_tables),
                                       cmocka_unit_test(constant_service_is_mmc),
                                       cmocka_unit_test(spread_of_service_times_scales_waiting),
                                       cmocka_unit_test(shared_processor_is_mm1),
                                       cmocka_unit_test(littles_law_meets_its_fixed_point),
                                       cmocka_unit_test(too_much_is_unstable),
                                       cmocka_unit_test(most_arrivals_meet_their_target),
                                       cmocka_unit_test(demand_derives_what_is_missing),
                                       cmocka_unit_test(demand_refuses_nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
