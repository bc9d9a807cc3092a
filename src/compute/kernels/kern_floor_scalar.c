/* Instruction loops for the floors of the machine in plain C: what a CPU without a faster level can do. */
#include "compute/kernels/kern_int.h"

enum { CHAINS = 16 };

#define OPAQUE(v) __asm__ volatile("" : "+m"(v))

static double fp32(size_t n)
{
    float acc[CHAINS] = {0}, a[CHAINS];
    for (size_t i = 0; i < CHAINS; i++) {
        a[i] = (float)i;
    }
    OPAQUE(a);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < CHAINS; i++) {
            acc[i] += a[i] * 1e-9f;
        }
    }
    OPAQUE(acc);
    return (double)n * CHAINS * 2;
}

static double int8(size_t n)
{
    int32_t acc[CHAINS] = {0};
    int8_t a[CHAINS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    for (size_t k = 0; k < n; k++) {
        OPAQUE(a);
        for (size_t i = 0; i < CHAINS; i++) {
            acc[i] += a[i] * a[CHAINS - 1 - i];
        }
    }
    OPAQUE(acc);
    return (double)n * CHAINS * 2;
}

static double read_bytes(const void *p, size_t size)
{
    const uint64_t *at = p;
    uint64_t acc[4] = {0};
    size_t n = size / sizeof(*at) / 4 * 4;
    for (size_t i = 0; i < n; i += 4) {
        acc[0] ^= at[i];
        acc[1] ^= at[i + 1];
        acc[2] ^= at[i + 2];
        acc[3] ^= at[i + 3];
    }
    OPAQUE(acc);
    return (double)(n * sizeof(*at));
}

void kern_floor_fill_scalar(struct kern *k)
{
    k->floor = (struct kern_floor){.fp32 = fp32, .int8 = int8, .int4 = int8, .read = {read_bytes, read_bytes}};
}
