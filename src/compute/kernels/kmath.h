/* Elementary functions of our own: libm differs between versions and machines, these do not. No fused multiply-add;
 * every vector version performs the operations of the scalar one in the same order, so the bits agree. */
#ifndef KERNELS_KMATH_H
#define KERNELS_KMATH_H

/* float32, relative error < 2 ulp over the whole range; below -104 -> 0, above 88.8 -> +inf, NaN kept. */
float kmath_expf(float x);
/* float32 natural logarithm, x > 0. */
float kmath_logf(float x);
float kmath_tanhf(float x);
/* The error function; absolute error below 2e-7. */
float kmath_erff(float x);
/* double, for tables made once (rotary angles): |error| < 1e-15 relative to 1, |x| < 1e7. */
double kmath_sin(double x);
double kmath_cos(double x);
/* double x^y for x > 0. */
double kmath_pow(double x, double y);

#endif
