/* Our elementary functions against the C library in higher precision, over their whole range. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kmath.h"
#include "ground/base/rng.h"

/* Distance of y from the true value in units of the last place of a float32 of that size. */
static double ulps(float y, double want)
{
    int e = want == 0 ? -126 : ilogb(want);
    return fabs((double)y - want) / ldexp(1.0, (e < -126 ? -126 : e) - 23);
}

/* fn(x) for float32 bit patterns from first to last in steps, within max_ulp of want(x). */
static void sweep(const char *name, float (*fn)(float), double (*want)(double), uint32_t first, uint32_t last,
                  uint32_t step, double max_ulp)
{
    for (uint64_t u = first; u <= last; u += step) {
        float x = bits_f32((uint32_t)u), y = fn(x);
        double w = want((double)x);
        if ((double)(float)w != w && isinf((float)w)) {
            continue; /* beyond float32: the edges are tested by name */
        }
        if (!(ulps(y, w) <= max_ulp)) {
            fail_msg("%s(%a) is %a, should be %a: %.2f units in the last place", name, (double)x, (double)y, w,
                     ulps(y, w));
        }
    }
}

static void test_exp(void **state)
{
    (void)state;
    sweep("exp", kmath_expf, exp, f32_bits(0x1p-30f), f32_bits(88.7f), 211, 2.0);
    sweep("exp", kmath_expf, exp, f32_bits(-0x1p-30f), f32_bits(-103.0f), 211, 2.0);
    assert_true(kmath_expf(0.0f) == 1.0f && kmath_expf(-0.0f) == 1.0f);
    assert_true(kmath_expf(-104.5f) == 0 && kmath_expf(-3e38f) == 0 && kmath_expf(-INFINITY) == 0);
    assert_true(isinf(kmath_expf(88.8f)) && isinf(kmath_expf(3e38f)) && isinf(kmath_expf(INFINITY)));
    assert_true(isnan(kmath_expf(NAN)));
    assert_true(kmath_expf(-100.0f) > 0); /* subnormal results are kept */
}

static void test_log(void **state)
{
    (void)state;
    sweep("log", kmath_logf, log, 1, 0x7f7fffff, 1009, 2.0);
    assert_true(kmath_logf(1.0f) == 0);
    assert_true(isinf(kmath_logf(0.0f)) && kmath_logf(0.0f) < 0 && isnan(kmath_logf(-1.0f)) && isnan(kmath_logf(NAN)));
    assert_true(isinf(kmath_logf(INFINITY)) && kmath_logf(INFINITY) > 0);
}

static void test_tanh(void **state)
{
    (void)state;
    sweep("tanh", kmath_tanhf, tanh, 1, f32_bits(100.0f), 907, 3.0);
    sweep("tanh", kmath_tanhf, tanh, f32_bits(-0x1p-149f), f32_bits(-100.0f), 907, 3.0);
    assert_true(kmath_tanhf(INFINITY) == 1.0f && kmath_tanhf(-INFINITY) == -1.0f && isnan(kmath_tanhf(NAN)));
}

static void test_sin_cos(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 400000; i++) {
        double x = rng_unit(3, 1, i) * pow(10, 7 * rng_unit(3, 2, i)) * (i & 1 ? -1 : 1);
        double s = fabs(kmath_sin(x) - (double)sinl((long double)x));
        double c = fabs(kmath_cos(x) - (double)cosl((long double)x));
        if (!(s < 1e-15 && c < 1e-15)) {
            fail_msg("sin(%a) is off by %g, cos by %g", x, s, c);
        }
    }
    assert_true(kmath_sin(0) == 0 && kmath_cos(0) == 1);
}

static void test_pow(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 400000; i++) {
        double x = pow(10, 9 * rng_unit(4, 1, i) - 2), y = 4 * rng_unit(4, 2, i) - 2;
        long double want = powl((long double)x, (long double)y);
        double off = fabs((double)((long double)kmath_pow(x, y) / want - 1));
        if (!(off < 2e-14)) {
            fail_msg("pow(%a, %a) is off by %g relative", x, y, off);
        }
    }
    assert_true(kmath_pow(10000.0, 0.0) == 1.0 && kmath_pow(1.0, 123.0) == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),     cmocka_unit_test(test_log), cmocka_unit_test(test_tanh),
        cmocka_unit_test(test_sin_cos), cmocka_unit_test(test_pow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
