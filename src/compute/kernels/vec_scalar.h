/* Vectors of 16 in plain C, for bodies that are shared by every instruction set: v16 holds 16 float32; the names and
 * meanings of vec_avx512.h, and its bits. Loops of constant count over all lanes, which compilers turn into whatever
 * vectors the target has. Private to kernels; included by one file at a time. */
#ifndef KERNELS_VEC_SCALAR_H
#define KERNELS_VEC_SCALAR_H

#include <stddef.h>
#include <string.h>

#include "compute/kernels/kern_int.h"

typedef struct {
    float v[16];
} v16;

/* Inlined, the checks of a sanitizer at every lane make functions that a compiler works on for half a minute. */
#ifdef __SANITIZE_ADDRESS__
#define LANES static __attribute__((noinline, unused))
#else
#define LANES static inline
#endif

LANES v16 v16_load(const float *p)
{
    v16 r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}
LANES void v16_store(float *p, v16 a)
{
    memcpy(p, a.v, sizeof(a.v));
}
LANES v16 v16_set(float a)
{
    v16 r;
    for (int i = 0; i < 16; i++) {
        r.v[i] = a;
    }
    return r;
}
LANES v16 v16_add(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] += b.v[i];
    }
    return a;
}
LANES v16 v16_sub(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] -= b.v[i];
    }
    return a;
}
LANES v16 v16_mul(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] *= b.v[i];
    }
    return a;
}
LANES v16 v16_div(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] /= b.v[i];
    }
    return a;
}
/* b where either is NaN, as MAXPS and MINPS have it */
LANES v16 v16_max(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    }
    return a;
}
LANES v16 v16_min(v16 a, v16 b)
{
    for (int i = 0; i < 16; i++) {
        a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    }
    return a;
}
LANES float v16_sum(v16 a)
{
    return lanes_sum(a.v);
}
/* among equals (0 and -0) the lower lane, as there */
LANES float v16_max_lane(v16 a)
{
    for (int step = 8; step > 0; step /= 2) {
        for (int i = 0; i < step; i++) {
            a.v[i] = a.v[i + step] > a.v[i] ? a.v[i + step] : a.v[i];
        }
    }
    return a.v[0];
}

#endif
