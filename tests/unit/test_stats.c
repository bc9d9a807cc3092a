/* Statistics against published and independently computed values, symmetries, and a simulation of coverage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "ground/base/attr.h"
#include "ground/base/rng.h"
#include "lifecycle/eval/stats.h"

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.10g, want %.10g +- %g", got, want, tolerance);
}

static void wilson_vectors(void **state)
{
    (void)state;
    struct interval i = stats_wilson(0.8, 10, 1.96);
    near(i.low, 0.4902, 5e-5);
    near(i.high, 0.9433, 5e-5);
    i = stats_wilson(0, 20, STATS_Z_975);
    near(i.low, 0, 0);
    near(i.high, 0.161125, 1e-5);
    i = stats_wilson(1, 20, STATS_Z_975);
    near(i.high, 1, 0);
    i = stats_wilson(0.5, 0, STATS_Z_975);
    near(i.low, 0, 0);
    near(i.high, 1, 0);
}

static void mcnemar_vectors(void **state)
{
    (void)state;
    struct mcnemar m;
    stats_mcnemar(1, 9, &m);
    near(m.p_exact, 0.02148, 5e-6);
    near(m.p_mid, 0.01172, 5e-6);
    stats_mcnemar(0, 0, &m);
    near(m.p_mid, 1, 0);
    stats_mcnemar(7, 7, &m);
    near(m.p_mid, 1, 0);
    near(m.p_exact, 1, 0);
    stats_mcnemar(0, 3, &m); /* 2/8 and 1/8 */
    near(m.p_exact, 0.25, 1e-12);
    near(m.p_mid, 0.125, 1e-12);
    stats_mcnemar(100000, 100500, &m);
    assert_true(m.p_mid > 0.2 && m.p_mid < 0.3);
}

static void tango_vectors(void **state)
{
    (void)state;
    /* published for b = 1, c = 7, n = 21 as P(first) - P(reverse) = -0.517, -0.026: first is what b counts */
    struct interval i = stats_tango(7, 1, 21, 1.96);
    near(i.low, -0.5172, 5e-5);
    near(i.high, -0.0260, 5e-5);
    i = stats_tango(0, 0, 50, 1.96);
    near(i.low, -0.0713, 1e-4); /* 1.96^2 / (50 + 1.96^2) = 0.07135 */
    near(i.high, 0.0713, 1e-4);
}

static void tango_is_antisymmetric(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 200; k++) {
        double n = 20 + (double)rng_below(300, 5, 0, k), b = floor(rng_unit(5, 1, k) * n / 2),
               c = floor(rng_unit(5, 2, k) * n / 2);
        struct interval x = stats_tango(b, c, n, 1.96), y = stats_tango(c, b, n, 1.96);
        near(x.low, -y.high, 1e-9);
        near(x.high, -y.low, 1e-9);
        assert_true(x.low <= (c - b) / n + 1e-12 && x.high >= (c - b) / n - 1e-12);
    }
}

/* At delta = 0 the score is McNemar's: the interval excludes 0 exactly when |c - b| / sqrt(b + c) > z. */
static void tango_contains_mcnemar(void **state)
{
    (void)state;
    for (int b = 0; b < 15; b++)
        for (int c = 0; c < 15; c++) {
            if (b + c == 0) continue;
            struct interval i = stats_tango(b, c, 60, 1.96);
            bool outside = fabs((double)c - b) / sqrt((double)b + c) > 1.96;
            if (outside != (i.low > 0 || i.high < 0)) fail_msg("b %d c %d: [%g, %g]", b, c, i.low, i.high);
        }
}

static void tango_covers(void **state)
{
    (void)state;
    enum { TRIALS = 4000, N = 200 };
    int covered = 0;
    for (uint64_t t = 0; t < TRIALS; t++) {
        int b = 0, c = 0;
        for (uint64_t i = 0; i < N; i++) {
            double u = rng_unit(11, t, i);
            b += u < 0.08;
            c += u >= 0.08 && u < 0.20;
        }
        struct interval i = stats_tango(b, c, N, STATS_Z_975);
        covered += i.low <= 0.04 && i.high >= 0.04;
    }
    near((double)covered / TRIALS, 0.953, 0.012);
}

static void clusters_widen(void **state)
{
    (void)state;
    double s[240];
    size_t cluster[240];
    for (size_t i = 0; i < 240; i++) {
        cluster[i] = i / 6;
        s[i] = (double)(cluster[i] % 2); /* all six of a cluster agree */
    }
    struct stats_mean plain, grouped;
    stats_mean(s, NULL, 240, 0, &plain);
    stats_mean(s, cluster, 240, 40, &grouped);
    assert_false(plain.clustered);
    assert_true(grouped.clustered);
    near(plain.se, 0.5 / sqrt(239), 1e-9);
    near(grouped.se, 0.5 / sqrt(39), 1e-9); /* 40 independent units */
    struct interval a = stats_proportion(&plain, STATS_Z_975), b = stats_proportion(&grouped, STATS_Z_975);
    assert_true(b.high - b.low > 2 * (a.high - a.low));
    for (size_t i = 0; i < 240; i++) s[i] = 1;
    stats_mean(s, cluster, 240, 40, &grouped);
    near(stats_proportion(&grouped, STATS_Z_975).low, stats_wilson(1, 40, STATS_Z_975).low, 1e-12);
}

static void t_quantiles(void **state)
{
    (void)state;
    near(stats_t_quantile(STATS_Z_975, 1), 12.7062, 1e-3);
    near(stats_t_quantile(STATS_Z_975, 2), 4.30265, 1e-4);
    near(stats_t_quantile(STATS_Z_975, 5), 2.57058, 2e-2);
    near(stats_t_quantile(STATS_Z_975, 30), 2.04227, 1e-4);
    near(stats_t_quantile(STATS_Z_975, 1e9), STATS_Z_975, 1e-6);
}

static void sample_sizes(void **state)
{
    (void)state;
    static const struct {
        double psi, d, n;
    } row[] = {{.05, .02, 979},  {.05, .03, 434}, {.10, .02, 1960}, {.10, .03, 870}, {.10, .05, 312},
               {.20, .02, 3923}, {.20, .05, 626}, {.30, .03, 2614}, {.30, .05, 940}};
    for (size_t i = 0; i < N_ELEM(row); i++) {
        near(stats_paired_n(row[i].psi, row[i].d), row[i].n, 1);
        near(stats_smallest_detectable(row[i].psi, stats_paired_n(row[i].psi, row[i].d)), row[i].d, 1e-6);
    }
    near(stats_smallest_detectable(0.1, 0), 1, 0);
    near(stats_smallest_detectable(0.1, 1), 1, 0);
    assert_true(stats_smallest_detectable(0, 200) < 0.06); /* about 8 discordant cases, all one way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson_vectors),         cmocka_unit_test(mcnemar_vectors),
        cmocka_unit_test(tango_vectors),          cmocka_unit_test(tango_is_antisymmetric),
        cmocka_unit_test(tango_contains_mcnemar), cmocka_unit_test(tango_covers),
        cmocka_unit_test(clusters_widen),         cmocka_unit_test(t_quantiles),
        cmocka_unit_test(sample_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
