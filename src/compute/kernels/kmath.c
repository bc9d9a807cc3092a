/* Elementary functions of our own; see kmath.h for what they promise. Polynomials: Cephes (float32), FreeBSD msun
 * (sine and cosine); reductions by Cody and Waite. Every operation is one IEEE operation, rounded once. */
#include "compute/kernels/kmath.h"

#include <stddef.h>

#include <stdint.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kmath_const.h"

static double bits_f64(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

static uint64_t f64_bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

/* 2^n, -126 <= n <= 127. */
static float exp2_int(int32_t n)
{
    return bits_f32((uint32_t)(n + 127) << 23);
}

/* exp(x) = 2^n * exp(r), |r| <= ln(2) / 2; the factor 2^n in two halves, so that the result is rounded once even
 * where it is subnormal. */
float kmath_expf(float x)
{
    if (x != x) {
        return x;
    }
    x = EXPF_LOW > x ? EXPF_LOW : x;
    x = EXPF_HIGH < x ? EXPF_HIGH : x;
    float t = x * EXPF_LOG2E + EXPF_ROUND;
    int32_t n = (int32_t)(f32_bits(t) - (uint32_t)EXPF_ROUND_BITS);
    float fn = t - EXPF_ROUND;
    float r = x - fn * EXPF_LN2_HI;
    r = r - fn * EXPF_LN2_LO;
    float p = EXPF_P0;
    p = p * r + EXPF_P1;
    p = p * r + EXPF_P2;
    p = p * r + EXPF_P3;
    p = p * r + EXPF_P4;
    p = p * r + EXPF_P5;
    p = p * (r * r) + r;
    p = p + 1.0f;
    int32_t half = n >> 1;
    return p * exp2_int(half) * exp2_int(n - half);
}

float kmath_logf(float x)
{
    if (!(x > 0) || x > 0x1.fffffep127f) { /* zero, negative, NaN, infinity */
        return x > 0 ? x : (x == 0 ? -1.0f / 0.0f : 0.0f / 0.0f);
    }
    int32_t e = 0;
    if (x < 0x1p-126f) {
        x *= 0x1p23f;
        e = -23;
    }
    /* x = m * 2^e with m in [sqrt(1/2), sqrt(2)) */
    uint32_t u = f32_bits(x) - 0x3f3504f3u;
    e += (int32_t)u >> 23;
    float m = bits_f32((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    float fe = (float)e, z = m * m, p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float y = m * z * p;
    y = y + fe * EXPF_LN2_LO;
    y = y - 0.5f * z;
    return m + y + fe * EXPF_LN2_HI;
}

float kmath_tanhf(float x)
{
    float a = bits_f32(f32_bits(x) & 0x7fffffffu);
    if (a < 0.625f) {
        float z = x * x, p = -5.70498872745e-3f;
        p = p * z + 2.06390887954e-2f;
        p = p * z - 5.37397155531e-2f;
        p = p * z + 1.33314422036e-1f;
        p = p * z - 3.33332819422e-1f;
        return p * z * x + x;
    }
    float y = 1.0f - 2.0f / (kmath_expf(a + a) + 1.0f); /* NaN stays NaN; infinity gives 1 */
    return x < 0 ? -y : y;
}

/* r = x - n * pi/2, |r| <= pi/4 (a little more by rounding); returns n. pi/2 in three parts of which the first two
 * have 29 bits, so that their products with n < 2^23 are exact. */
static int64_t reduce_half_pi(double x, double *r)
{
    double fn = x * 0x1.45f306dc9c883p-1 + 0x1.8p52;
    fn = fn - 0x1.8p52;
    double y = x - fn * 0x1.921fb54p0;
    y = y - fn * 0x1.10b4611p-30;
    *r = y - fn * 0x1.4c4c6628b80dcp-59;
    return (int64_t)fn;
}

static double sin_small(double x)
{
    double z = x * x, p = 1.58969099521155010221e-10;
    p = p * z - 2.50507602534068634195e-08;
    p = p * z + 2.75573137070700676789e-06;
    p = p * z - 1.98412698298579493134e-04;
    p = p * z + 8.33333333332248946124e-03;
    p = p * z - 1.66666666666666324348e-01;
    return p * z * x + x;
}

static double cos_small(double x)
{
    double z = x * x, p = -1.13596475577881948265e-11;
    p = p * z + 2.08757232129817482790e-09;
    p = p * z - 2.75573143513906633035e-07;
    p = p * z + 2.48015872894767294178e-05;
    p = p * z - 1.38888888888741095749e-03;
    p = p * z + 4.16666666666666019037e-02;
    double half = 0.5 * z, w = 1.0 - half;
    return w + (1.0 - w - half + z * z * p); /* w's rounding error is given back */
}

/* sin(x + turn * pi/2) */
static double sin_quarter(double x, int64_t turn)
{
    double r, y;
    int64_t n = reduce_half_pi(x, &r) + turn;
    y = n & 1 ? cos_small(r) : sin_small(r);
    return n & 2 ? -y : y;
}

/* 1 - t exp(-x^2 + P(t)), t = 1 / (1 + |x| / 2): the Chebyshev fit of Press et al., Numerical Recipes, section 6.2,
 * whose error is below 1.2e-7 everywhere. In double, so that the sum of terms adds nothing to it. */
float kmath_erff(float x)
{
    static const double c[] = {0.17087277,  -0.82215223, 1.48851587, -1.13520398, 0.27886807,
                               -0.18628806, 0.09678418,  0.37409196, 1.00002368,  -1.26551223};
    double a = x < 0 ? -(double)x : (double)x;
    double t = 1.0 / (1.0 + 0.5 * a);
    double p = c[0];
    for (size_t i = 1; i < sizeof c / sizeof c[0]; i++) {
        p = p * t + c[i];
    }
    double tail = t * (double)kmath_expf((float)(p - a * a));
    return (float)(x < 0 ? tail - 1.0 : 1.0 - tail);
}

double kmath_sin(double x)
{
    return sin_quarter(x, 0);
}

double kmath_cos(double x)
{
    return sin_quarter(x, 1);
}

/* exp(t); overflows to infinity, underflows to zero. */
static double exp_double(double t)
{
    t = t < -750.0 ? -750.0 : (t > 712.0 ? 712.0 : t);
    double fn = t * 0x1.71547652b82fep+0 + 0x1.8p52;
    fn = fn - 0x1.8p52;
    double r = t - fn * 0x1.62e42feep-1;
    r = r - fn * 0x1.a39ef35793c76p-33;
    double p = 1.0;
    for (int i = 14; i > 0; i--) {
        p = p * r / i + 1.0; /* 1 + r/1 (1 + r/2 (1 + ...)) */
    }
    int64_t n = (int64_t)fn, half = n >> 1;
    return p * bits_f64((uint64_t)(half + 1023) << 52) * bits_f64((uint64_t)(n - half + 1023) << 52);
}

/* log(x), x > 0 and normal: m * 2^e, log m = 2 (s + s^3/3 + ...), s = (m - 1) / (m + 1). */
static double log_double(double x)
{
    uint64_t u = f64_bits(x) - 0x3fe6a09e667f3bcdu;
    double e = (double)((int64_t)u >> 52);
    double m = bits_f64((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 0;
    for (int i = 23; i > 1; i -= 2) {
        p = p * z + 1.0 / i;
    }
    double log_m = 2.0 * s + 2.0 * s * z * p;
    return e * 0x1.62e42feep-1 + (e * 0x1.a39ef35793c76p-33 + log_m);
}

double kmath_pow(double x, double y)
{
    if (y == 0 || x == 1) {
        return 1.0;
    }
    return exp_double(y * log_double(x));
}
