/* The verdict: what passes, what fails, what cannot be said, and that the roles of the models mirror each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "lifecycle/eval/verdict.h"

enum { N = 200 };

/* n pairs: `both` right, then b lost, then c gained, the rest wrong. */
static void make(double *base, double *fresh, size_t n, size_t both, size_t b, size_t c)
{
    for (size_t i = 0; i < n; i++) {
        base[i] = i < both + b ? 1 : 0;
        fresh[i] = i < both || (i >= both + b && i < both + b + c) ? 1 : 0;
    }
}

static void decide(size_t n, size_t both, size_t b, size_t c, struct gate g, struct paired *p, struct decision *d)
{
    double base[N], fresh[N];
    assert_true(n <= N);
    make(base, fresh, n, both, b, c);
    assert_int_equal(paired_compute(base, fresh, NULL, n, 0, p, NULL), 0);
    verdict_decide(p, &g, INVALID_NONE, d);
}

static void a_clear_gain_passes(void **state)
{
    (void)state;
    struct paired p;
    struct decision d;
    decide(200, 20, 2, 150, (struct gate){.margin = 0.02, .has_floor = true, .floor = 0.8}, &p, &d);
    assert_int_equal(d.verdict, VERDICT_PASS);
    assert_true(fabs(p.difference.mean - 0.74) < 1e-12);
    assert_int_equal(p.mcnemar.b, 2);
    assert_int_equal(p.mcnemar.c, 150);
}

static void the_floor_binds_alone(void **state)
{
    (void)state;
    struct paired p;
    struct decision d;
    struct gate g = {.margin = 0.02, .has_floor = true, .floor = 0.9};
    decide(200, 20, 2, 100, g, &p, &d); /* 60 % */
    assert_int_equal(d.verdict, VERDICT_FAIL);
    assert_true(d.margin_pass && d.floor_fail);
    decide(200, 20, 2, 160, g, &p, &d); /* 90 %: the floor is inside the interval */
    assert_int_equal(d.verdict, VERDICT_INCONCLUSIVE);
    assert_true(isinf(d.n_more));
}

static void a_clear_loss_fails(void **state)
{
    (void)state;
    struct paired p;
    struct decision d;
    decide(200, 100, 60, 5, (struct gate){.margin = 0.02}, &p, &d);
    assert_int_equal(d.verdict, VERDICT_FAIL);
}

static void a_against_a(void **state)
{
    (void)state;
    struct paired p;
    struct decision d;
    decide(200, 150, 0, 0, (struct gate){.margin = 0.05}, &p, &d);
    assert_true(fabs(p.difference.mean) < 1e-15);
    assert_int_equal(d.verdict, VERDICT_PASS);
    decide(20, 15, 0, 0, (struct gate){.margin = 0.02}, &p, &d); /* too few to be sure of two points */
    assert_int_equal(d.verdict, VERDICT_INCONCLUSIVE);
    assert_true(d.n_more > 50 && d.n_more < 200);
    struct buf b;
    buf_init(&b, 1000);
    struct gate g = {.margin = 0.02};
    assert_int_equal(verdict_reason(&g, &d, LANG_EN, &b), 0);
    assert_non_null(strstr(b.data, "more cases decide it"));
    buf_deinit(&b);
}

static void needed_cases_decide(void **state)
{
    (void)state;
    struct paired p;
    struct decision d;
    struct gate g = {.margin = 0.02};
    decide(100, 80, 4, 6, g, &p, &d);
    assert_int_equal(d.verdict, VERDICT_INCONCLUSIVE);
    double n = 100 + d.n_more, factor = n / 100;
    struct interval at = stats_tango(4 * factor, 6 * factor, n, STATS_Z_95);
    assert_true(at.low > -0.02);
    at = stats_tango(4 * (n - 2) / 100, 6 * (n - 2) / 100, n - 2, STATS_Z_95);
    assert_true(at.low <= -0.02);
}

static void swapping_negates(void **state)
{
    (void)state;
    double base[N], fresh[N];
    size_t cluster[N];
    struct paired x, y;
    make(base, fresh, N, 100, 13, 31);
    for (size_t i = 0; i < N; i++) cluster[i] = i / 4;
    for (int grouped = 0; grouped < 2; grouped++) {
        assert_int_equal(paired_compute(base, fresh, grouped ? cluster : NULL, N, N / 4, &x, NULL), 0);
        assert_int_equal(paired_compute(fresh, base, grouped ? cluster : NULL, N, N / 4, &y, NULL), 0);
        assert_true(fabs(x.difference_95.low + y.difference_95.high) < 1e-9);
        assert_true(fabs(x.difference_95.high + y.difference_95.low) < 1e-9);
        assert_true(fabs(x.difference.mean + y.difference.mean) < 1e-12);
        assert_int_equal(x.mcnemar.b, y.mcnemar.c);
    }
}

static void invalid_stays_invalid(void **state)
{
    (void)state;
    double one = 1;
    struct paired p;
    struct decision d;
    struct gate g = {.margin = 0.02};
    assert_int_equal(paired_compute(&one, &one, NULL, 0, 0, &p, NULL), 0);
    verdict_decide(&p, &g, INVALID_NONE, &d);
    assert_int_equal(d.verdict, VERDICT_INVALID);
    assert_int_equal(d.cause, INVALID_NO_PAIRS);
    assert_int_equal(paired_compute(&one, &one, NULL, 1, 0, &p, NULL), 0);
    verdict_decide(&p, &g, INVALID_PARTIAL, &d);
    assert_int_equal(d.verdict, VERDICT_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_clear_gain_passes),  cmocka_unit_test(the_floor_binds_alone),
                                       cmocka_unit_test(a_clear_loss_fails),   cmocka_unit_test(a_against_a),
                                       cmocka_unit_test(needed_cases_decide),  cmocka_unit_test(swapping_negates),
                                       cmocka_unit_test(invalid_stays_invalid)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
