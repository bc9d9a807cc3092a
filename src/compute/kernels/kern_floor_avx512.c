/* Instruction loops for the floors of the machine, AVX-512: see struct kern_floor. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)
#include <cpuid.h>

enum { CHAINS = 16 };

/* The value stays in its register, and the compiler knows nothing about it. */
#define OPAQUE(v) __asm__ volatile("" : "+v"(v))

static double fp32(size_t n)
{
    __m512 acc[CHAINS], a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        acc[i] = _mm512_setzero_ps();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_fmadd_ps(a, b, acc[i]);
            OPAQUE(acc[i]);
        }
    }
    return (double)n * CHAINS * 16 * 2;
}

static double int8(size_t n)
{
    __m512i acc[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        acc[i] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
            OPAQUE(acc[i]);
        }
    }
    return (double)n * CHAINS * 64 * 2;
}

/* VDPBF16PS, which a CPU of this level may have; a fact about the machine, whether gemm_bf16 uses it or not. */
__attribute__((target("avx512bf16"))) static double bf16(size_t n)
{
    __m512 acc[CHAINS];
    __m512i a = _mm512_set1_epi16(0x3f80), b = _mm512_set1_epi16(0x3f80);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        acc[i] = _mm512_setzero_ps();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)a, (__m512bh)b);
            OPAQUE(acc[i]);
        }
    }
    return (double)n * CHAINS * 32 * 2;
}

static bool has_bf16(void)
{
    enum { L7_1_EAX_AVX512_BF16 = 1 << 5 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & L7_1_EAX_AVX512_BF16) != 0;
}

void kern_floor_fill_avx512(struct kern *k)
{
    k->floor.fp32 = fp32;
    k->floor.int8 = int8;
    k->floor.int4 = int8;
    k->floor.bf16 = has_bf16() ? bf16 : NULL;
}
#endif
