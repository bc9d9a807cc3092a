/* Definitions in double precision that tests of the device compare with, and what they are fed. */
#ifndef TESTS_NAIVE_H
#define TESTS_NAIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

static inline void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

/* n normal values of a seed and stream; free with mem_free. */
static inline float *normal_values(uint64_t seed, uint64_t stream, size_t n, double scale, double mean)
{
    float *p = mem_alloc((n ? n : 1) * sizeof(float));
    for (size_t i = 0; i < n; i++) p[i] = (float)(rng_normal(seed, stream, i) * scale + mean);
    return p;
}

/* y[n_out] = W x. */
static inline void multiply(double *y, const float *w, int n_out, int n_in, const double *x)
{
    for (int o = 0; o < n_out; o++) {
        y[o] = 0;
        for (int i = 0; i < n_in; i++) y[o] += (double)w[o * n_in + i] * x[i];
    }
}

#endif
