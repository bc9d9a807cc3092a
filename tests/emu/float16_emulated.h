/* The AVX512_FP16 that kernels use, for machines without it: 32 float16 a vector. Products and differences are
 * rounded once, as they are exact in float32; a sum of a product is rounded to float32 before, which shows only next to
 * a tie. Include after avx512_simde.h. */
#ifndef TESTS_EMU_FLOAT16_EMULATED_H
#define TESTS_EMU_FLOAT16_EMULATED_H

typedef simde__m512i __m512h;

#define _mm512_castsi512_ph(a) (a)
#define _mm512_castph_si512(a) (a)

/* a * b + c */
static inline __m512h emu_fmadd_ph(__m512h a, __m512h b, __m512h c)
{
    union lanes512 x = {.si = a}, y = {.si = b}, z = {.si = c};
    EACH(32)
    {
        double v = (double)f16_value(x.u16[i]) * (double)f16_value(y.u16[i]) + (double)f16_value(z.u16[i]);
        z.u16[i] = f16_bits((float)v);
    }
    return z.si;
}

static inline __m512h emu_set_ph(const float v[32])
{
    union lanes512 z;
    EACH(32) z.u16[i] = f16_bits(v[i]);
    return z.si;
}

static inline __m512h emu_ones_ph(float one)
{
    float v[32];
    EACH(32) v[i] = one;
    return emu_set_ph(v);
}

#define _mm512_setr_ph(...)      emu_set_ph((const float[32]){__VA_ARGS__})
#define _mm512_fmadd_ph(a, b, c) emu_fmadd_ph(a, b, c)
#define _mm512_mul_ph(a, b)      emu_fmadd_ph(a, b, emu_ones_ph(-0.0f))
#define _mm512_sub_ph(a, b)      emu_fmadd_ph(b, emu_ones_ph(-1.0f), a)

#endif
