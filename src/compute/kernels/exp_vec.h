/* exp of 16 values: kmath_expf, operation for operation. */
#ifndef KERNELS_EXP_VEC_H
#define KERNELS_EXP_VEC_H

#include "compute/kernels/kmath_const.h"
#include "compute/kernels/vec.h"

static inline v16 v16_exp2_int(i16 n)
{
    return i16_as_float(i16_left(i16_add(n, i16_set(127)), 23));
}

static inline v16 v16_exp(v16 x)
{
    x = v16_max(v16_set(EXPF_LOW), x); /* this order of operands keeps NaN */
    x = v16_min(v16_set(EXPF_HIGH), x);
    v16 t = v16_add(v16_mul(x, v16_set(EXPF_LOG2E)), v16_set(EXPF_ROUND));
    i16 n = i16_sub(v16_bits(t), i16_set(EXPF_ROUND_BITS));
    v16 fn = v16_sub(t, v16_set(EXPF_ROUND));
    v16 r = v16_sub(x, v16_mul(fn, v16_set(EXPF_LN2_HI)));
    r = v16_sub(r, v16_mul(fn, v16_set(EXPF_LN2_LO)));
    v16 p = v16_set(EXPF_P0);
    p = v16_add(v16_mul(p, r), v16_set(EXPF_P1));
    p = v16_add(v16_mul(p, r), v16_set(EXPF_P2));
    p = v16_add(v16_mul(p, r), v16_set(EXPF_P3));
    p = v16_add(v16_mul(p, r), v16_set(EXPF_P4));
    p = v16_add(v16_mul(p, r), v16_set(EXPF_P5));
    p = v16_add(v16_mul(p, v16_mul(r, r)), r);
    p = v16_add(p, v16_set(1.0f));
    i16 half = i16_right_signed(n, 1);
    return v16_mul(v16_mul(p, v16_exp2_int(half)), v16_exp2_int(i16_sub(n, half)));
}

/* 1 / (1 + exp(-x)) */
static inline v16 v16_sigmoid(v16 x)
{
    v16 one = v16_set(1.0f);
    v16 minus = i16_as_float(i16_add(v16_bits(x), i16_set(INT32_MIN))); /* the sign flipped, of NaN too */
    return v16_div(one, v16_add(one, v16_exp(minus)));
}

#endif
