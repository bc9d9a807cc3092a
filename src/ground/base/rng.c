/* Counter-based random numbers. Owns no state: every draw is a function of its arguments. The 128-bit counter is
 * (counter, stream), the key is the seed. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC'11, figure 4 and table 2; Random123's known answers are in the test. */
#include "ground/base/rng.h"

#include <math.h>
#include <stdbool.h>

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void draw(uint64_t seed, uint64_t stream, uint64_t counter, uint64_t out[2])
{
    const uint32_t c[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t r[4];
    rng_philox(c, key, r);
    out[0] = r[0] | (uint64_t)r[1] << 32;
    out[1] = r[2] | (uint64_t)r[3] << 32;
}

uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t r[2];
    draw(seed, stream, counter, r);
    return r[0];
}

static double unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double rng_unit(uint64_t seed, uint64_t stream, uint64_t counter)
{
    return unit(rng_u64(seed, stream, counter));
}

double rng_normal(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t r[2];
    draw(seed, stream, counter, r);
    double radius = sqrt(-2.0 * log(1.0 - unit(r[0]))); /* 1 - [0, 1) is never 0 */
    return radius * cos(6.283185307179586476925 * unit(r[1]));
}

/* Lemire, "Fast random integer generation in an interval" (2019), algorithm 5: the high half of bits x n, rejected
 * when the low half falls below 2^64 mod n. */
static bool take_below(uint64_t bits, uint64_t n, uint64_t *out)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)bits * n;
    *out = (uint64_t)(product >> 64);
    return (uint64_t)product >= n || (uint64_t)product >= (0 - n) % n;
}

uint64_t rng_below(uint64_t n, uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t r[2], value = 0;
    for (;;) {
        draw(seed, stream, counter, r);
        if (take_below(r[0], n, &value) || take_below(r[1], n, &value)) return value;
        seed += 0x9E3779B97F4A7C15u; /* rejected twice: other draws for this counter alone */
    }
}

void rng_shuffle(uint32_t *idx, size_t n, uint64_t seed, uint64_t stream)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(i, seed, stream, i);
        uint32_t t = idx[i - 1];
        idx[i - 1] = idx[j];
        idx[j] = t;
    }
}
