/* AVX-512 for machines without it: the kernels' own files compiled on SIMDe's portable intrinsics (Debian's
 * libsimde-dev), with the few that its version 0.7.4 lacks, and multiply-adds that round once. Slow and exact.
 * Include before the kernel file. */
#ifndef TESTS_EMU_AVX512_SIMDE_H
#define TESTS_EMU_AVX512_SIMDE_H

#define TAILOR_SIMDE
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#include <stdint.h>
#include <string.h>

#include "compute/kernels/half.h"

/* The lanes of a vector in memory: v.f32[i], v.s8[i] ... */
union lanes512 {
    simde__m512 ps;
    simde__m512i si;
    float f32[16];
    int32_t s32[16];
    uint32_t u32[16];
    int16_t s16[32];
    uint16_t u16[32];
    int8_t s8[64];
};
union lanes256 {
    simde__m256 ps;
    simde__m256i si;
    float f32[8];
    uint16_t u16[16];
};
union lanes128 {
    simde__m128i si;
    int8_t s8[16];
    uint8_t u8[16];
};

#define EACH(n) for (int i = 0; i < (n); i++)

static inline simde__m512 emu_fmadd(simde__m512 a, simde__m512 b, simde__m512 c)
{
    union lanes512 x = {.ps = a}, y = {.ps = b}, z = {.ps = c};
    EACH(16) z.f32[i] = fmaf(x.f32[i], y.f32[i], z.f32[i]);
    return z.ps;
}

/* MAXPS and MINPS: the second operand where either is NaN */
static inline simde__m512 emu_max(simde__m512 a, simde__m512 b)
{
    union lanes512 x = {.ps = a}, y = {.ps = b};
    EACH(16) y.f32[i] = x.f32[i] > y.f32[i] ? x.f32[i] : y.f32[i];
    return y.ps;
}

static inline simde__m512 emu_min(simde__m512 a, simde__m512 b)
{
    union lanes512 x = {.ps = a}, y = {.ps = b};
    EACH(16) y.f32[i] = x.f32[i] < y.f32[i] ? x.f32[i] : y.f32[i];
    return y.ps;
}

static inline simde__m512 emu_maskz_loadu_ps(uint16_t mask, const float *p)
{
    union lanes512 v = {.f32 = {0}};
    EACH(16) v.f32[i] = mask >> i & 1 ? p[i] : 0.0f;
    return v.ps;
}

static inline void emu_mask_storeu_ps(float *p, uint16_t mask, simde__m512 a)
{
    union lanes512 v = {.ps = a};
    EACH(16)
    {
        if (mask >> i & 1) {
            p[i] = v.f32[i];
        }
    }
}

static inline simde__m512 emu_swap_pairs(simde__m512 a)
{
    union lanes512 v = {.ps = a}, r;
    EACH(16) r.f32[i] = v.f32[i ^ 1];
    return r.ps;
}

static inline simde__m512 emu_cvtph(simde__m256i a)
{
    union lanes256 v = {.si = a};
    union lanes512 r;
    EACH(16) r.f32[i] = f16_value(v.u16[i]);
    return r.ps;
}

static inline simde__m256i emu_cvtps_ph(simde__m512 a)
{
    union lanes512 v = {.ps = a};
    union lanes256 r;
    EACH(16) r.u16[i] = f16_bits(v.f32[i]);
    return r.si;
}

static inline simde__m512 emu_cvtepi32_ps(simde__m512i a)
{
    union lanes512 v = {.si = a}, r;
    EACH(16) r.f32[i] = (float)v.s32[i];
    return r.ps;
}

static inline simde__m512i emu_cvtps_epi32(simde__m512 a)
{
    union lanes512 v = {.ps = a}, r;
    EACH(16) r.s32[i] = fabsf(v.f32[i]) < 0x1p31f ? (int32_t)lrintf(v.f32[i]) : INT32_MIN;
    return r.si;
}

static inline simde__m512i emu_cvtepi8(simde__m128i a)
{
    union lanes128 v = {.si = a};
    union lanes512 r;
    EACH(16) r.s32[i] = v.s8[i];
    return r.si;
}

static inline simde__m512i emu_cvtepu8(simde__m128i a)
{
    union lanes128 v = {.si = a};
    union lanes512 r;
    EACH(16) r.s32[i] = v.u8[i];
    return r.si;
}

static inline simde__m512i emu_cvtepu16(simde__m256i a)
{
    union lanes256 v = {.si = a};
    union lanes512 r;
    EACH(16) r.s32[i] = v.u16[i];
    return r.si;
}

static inline simde__m128i emu_cvtepi32_epi8(simde__m512i a)
{
    union lanes512 v = {.si = a};
    union lanes128 r;
    EACH(16) r.u8[i] = (uint8_t)v.u32[i];
    return r.si;
}

static inline simde__m256i emu_cvtepi32_epi16(simde__m512i a)
{
    union lanes512 v = {.si = a};
    union lanes256 r;
    EACH(16) r.u16[i] = (uint16_t)v.u32[i];
    return r.si;
}

static inline simde__m512i emu_srai(simde__m512i a, int n)
{
    union lanes512 v = {.si = a};
    EACH(16) v.s32[i] >>= n;
    return v.si;
}

static inline int32_t emu_reduce_add(simde__m512i a)
{
    union lanes512 v = {.si = a};
    int32_t sum = 0;
    EACH(16) sum += v.s32[i];
    return sum;
}

static inline int32_t emu_reduce_max(simde__m512i a)
{
    union lanes512 v = {.si = a};
    int32_t max = v.s32[0];
    EACH(16) max = v.s32[i] > max ? v.s32[i] : max;
    return max;
}

static inline simde__m256 emu_upper_half(simde__m512 a)
{
    union lanes512 v = {.ps = a};
    union lanes256 r;
    memcpy(r.f32, v.f32 + 8, sizeof(r.f32));
    return r.ps;
}

/* four bytes of a, unsigned, times four of b, signed, added to each sum, without saturation */
static inline simde__m512i emu_dpbusd(simde__m512i s, simde__m512i a, simde__m512i b)
{
    union lanes512 sum = {.si = s}, x = {.si = a}, y = {.si = b};
    EACH(64) sum.s32[i / 4] += (uint8_t)x.s8[i] * y.s8[i];
    return sum.si;
}

/* the 16 of b rounded to bfloat16, then the 16 of a; subnormals become zero on the hardware, which no test uses */
static inline simde__m512i emu_cvtne2ps_pbh(simde__m512 a, simde__m512 b)
{
    union lanes512 x = {.ps = a}, y = {.ps = b}, r;
    EACH(16)
    {
        r.u16[i] = bf16_bits(y.f32[i]);
        r.u16[16 + i] = bf16_bits(x.f32[i]);
    }
    return r.si;
}

/* VDPBF16PS: for each pair of k two products added to the sum, the odd one first, each step rounded once, subnormals
 * read and written as zero */
static inline float emu_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

static inline simde__m512 emu_dpbf16(simde__m512 s, simde__m512i a, simde__m512i b)
{
    union lanes512 sum = {.ps = s}, x = {.si = a}, y = {.si = b};
    EACH(16)
    {
        for (int j = 2 * i + 1; j >= 2 * i; j--) {
            float u = emu_flush(bf16_value(x.u16[j])), v = emu_flush(bf16_value(y.u16[j]));
            sum.f32[i] = emu_flush(fmaf(u, v, emu_flush(sum.f32[i])));
        }
    }
    return sum.ps;
}

#undef _mm512_fmadd_ps
#undef _mm512_max_ps
#undef _mm512_min_ps
#undef _mm512_dpbusd_epi32
#undef _mm512_dpbf16_ps
#undef __m512bh
#define _mm512_fmadd_ps                emu_fmadd
#define _mm512_max_ps                  emu_max
#define _mm512_min_ps                  emu_min
#define _mm512_dpbusd_epi32            emu_dpbusd
#define _mm512_maskz_loadu_ps          emu_maskz_loadu_ps
#define _mm512_mask_storeu_ps          emu_mask_storeu_ps
#define _mm512_permute_ps(a, imm)      emu_swap_pairs(a)
#define _mm512_cvtph_ps                emu_cvtph
#define _mm512_cvtps_ph(a, rounding)   emu_cvtps_ph(a)
#define _mm512_cvtepi32_ps             emu_cvtepi32_ps
#define _mm512_cvtps_epi32             emu_cvtps_epi32
#define _mm512_cvtepi8_epi32           emu_cvtepi8
#define _mm512_cvtepu8_epi32           emu_cvtepu8
#define _mm512_cvtepu16_epi32          emu_cvtepu16
#define _mm512_cvtepi32_epi8           emu_cvtepi32_epi8
#define _mm512_cvtepi32_epi16          emu_cvtepi32_epi16
#define _mm512_srai_epi32              emu_srai
#define _mm512_reduce_add_epi32        emu_reduce_add
#define _mm512_reduce_max_epi32        emu_reduce_max
#define _mm512_extractf32x8_ps(a, imm) emu_upper_half(a)
#define _mm512_cvtne2ps_pbh            emu_cvtne2ps_pbh
#define _mm512_dpbf16_ps(s, a, b)      emu_dpbf16(s, a, b)
#define __m512bh                       simde__m512i
#ifndef _MM_FROUND_TO_NEAREST_INT
#define _MM_FROUND_TO_NEAREST_INT 0
#endif
#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC 8
#endif
typedef uint16_t __mmask16;
typedef simde__m256i __m256i_u;
typedef simde__m128i __m128i_u;

#endif
