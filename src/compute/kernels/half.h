/* float16 and bfloat16 as bits: conversions to and from float32, equal to what the hardware instructions give
 * (round to nearest even, subnormals kept, NaN made quiet with its payload's upper bits kept). For kernels, and for
 * formats, which turn quantized safetensors into rows that kernels know. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return u;
}

static inline float bits_f32(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

/* 16 bits from a place that may be unaligned (a block of a file). */
static inline uint16_t load_u16(const void *p)
{
    uint16_t u;
    memcpy(&u, p, sizeof(u));
    return u;
}

static inline uint32_t load_u32(const void *p)
{
    uint32_t u;
    memcpy(&u, p, sizeof(u));
    return u;
}

static inline float f16_value(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exp = (h >> 10) & 0x1fu, mant = h & 0x3ffu;
    if (exp == 0x1f) { /* infinity, NaN */
        return bits_f32(sign | 0x7f800000u | mant << 13 | (mant ? 0x00400000u : 0));
    }
    if (exp == 0) { /* zero, subnormal: mant * 2^-24, exact in float32 */
        float v = (float)mant * 0x1p-24f;
        return bits_f32(sign | f32_bits(v));
    }
    return bits_f32(sign | (exp + 112) << 23 | mant << 13);
}

static inline uint16_t f16_bits(float x)
{
    uint32_t u = f32_bits(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) { /* NaN */
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    }
    if (a >= 0x477ff000u) { /* rounds to 65536 or more: infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (a < 0x38800000u) { /* below 2^-14: adding 0.5 lets the float adder round to a multiple of 2^-24 */
        return (uint16_t)(sign | (f32_bits(bits_f32(a) + 0.5f) - 0x3f000000u));
    }
    uint32_t r = a + 0xfffu + (a >> 13 & 1u);
    return (uint16_t)(sign | (r - 0x38000000u) >> 13);
}

static inline float bf16_value(uint16_t h)
{
    return bits_f32((uint32_t)h << 16);
}

static inline uint16_t bf16_bits(float x)
{
    uint32_t u = f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) { /* NaN */
        return (uint16_t)(u >> 16 | 0x40u);
    }
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* Half of 2^(e - 127): the scale that is an exponent alone. */
static inline float e8m0_half(uint8_t e)
{
    return bits_f32(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

#endif
