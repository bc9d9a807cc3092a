/* What this machine can do at most, measured: the floors that budgets and predictions are shares of. */
#ifndef MEASURE_FLOORS_H
#define MEASURE_FLOORS_H

#include "compute/kernels/kern.h"
#include "ground/base/err.h"

/* All threads of the pool together. A multiply-add counts as two operations. */
struct floors {
    double read_gb_s;      /* reading memory, 10^9 bytes a second */
    double fp32_gflops;    /* float32 multiply-adds on registers */
    double int8_gops;      /* products of bytes summed in 32 bits, the best instruction of the level */
    double int4_int8_gops; /* the same with 4-bit weights */
    double bf16_gflops;    /* bfloat16 products summed in float32; 0 where there is no instruction */
};

/* Measures with threads of its own, the best of several short runs, in about a second. Needs four times the last-level
 * cache (256 MiB to 1 GiB) for that time: -ERR_NOMEM when there is not that much. Numbers are low when others use the
 * CPUs. A virtual machine may give the freed memory back to its host, and what runs in the seconds after is slower for
 * that (prefill of SmolLM2: 1,000 tokens/s where it is 1,500). */
int floors_measure(struct floors *out, int n_thread, enum kern_isa isa, struct err *e) MUST_CHECK;

#endif
