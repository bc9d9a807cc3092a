/* Integers of a block into the bytes of a file. Layouts: ggml-common.h; the readers are in quant_*.c. */
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/quantize_int.h"

static void put_f16(uint8_t *p, float v)
{
    uint16_t h = f16_bits(v);
    memcpy(p, &h, sizeof(h));
}

/* Two bits a value: byte l of each half holds values l, 32 + l, 64 + l, 96 + l of it. */
static void put_2_bits(uint8_t *p, const uint8_t q[256])
{
    for (int half = 0; half < 2; half++) {
        for (int l = 0; l < 32; l++) {
            const uint8_t *v = q + 128 * half + l;
            p[32 * half + l] = (uint8_t)((v[0] & 3) | (v[32] & 3) << 2 | (v[64] & 3) << 4 | (v[96] & 3) << 6);
        }
    }
}

/* Four bits a value: byte l of each quarter holds values l and 32 + l of it. */
static void put_4_bits(uint8_t *p, const uint8_t q[256])
{
    for (int part = 0; part < 4; part++) {
        for (int l = 0; l < 32; l++) {
            const uint8_t *v = q + 64 * part + l;
            p[32 * part + l] = (uint8_t)((v[0] & 15) | (v[32] & 15) << 4);
        }
    }
}

/* Eight pairs of six bits in 12 bytes: the first four pairs in whole bytes, whose upper bits hold those of the others.
 */
static void put_6_bit_pairs(uint8_t p[12], const float s[8], const float m[8])
{
    for (int j = 0; j < 4; j++) {
        int s0 = (int)s[j], s1 = (int)s[j + 4], m0 = (int)m[j], m1 = (int)m[j + 4];
        p[j] = (uint8_t)(s0 | s1 >> 4 << 6);
        p[j + 4] = (uint8_t)(m0 | m1 >> 4 << 6);
        p[j + 8] = (uint8_t)((s1 & 15) | (m1 & 15) << 4);
    }
}

void quantize_bytes_q2_k(uint8_t *block, float d, float e, const float s[16], const float m[16], const uint8_t q[256])
{
    for (int j = 0; j < 16; j++) {
        block[j] = (uint8_t)((int)s[j] | (int)m[j] << 4);
    }
    put_2_bits(block + 16, q);
    put_f16(block + 80, d);
    put_f16(block + 82, e);
}

void quantize_bytes_q3_k(uint8_t *block, float d, const float s[16], const int8_t q[256])
{
    uint8_t u[256], *high = block, *scales = block + 96;
    memset(block, 0, 110);
    for (int i = 0; i < 256; i++) {
        u[i] = (uint8_t)(q[i] + 4);
        high[i % 32] |= (uint8_t)((u[i] >> 2) << (i / 32));
    }
    put_2_bits(block + 32, u);
    for (int j = 0; j < 16; j++) {
        int v = (int)s[j] + 32;
        scales[j % 8] |= (uint8_t)((v & 15) << 4 * (j / 8));
        scales[8 + j % 4] |= (uint8_t)(v >> 4 << 2 * (j / 4));
    }
    put_f16(block + 108, d);
}

void quantize_bytes_q4_k(uint8_t *block, float d, float e, const float s[8], const float m[8], const uint8_t q[256])
{
    put_f16(block, d);
    put_f16(block + 2, e);
    put_6_bit_pairs(block + 4, s, m);
    put_4_bits(block + 16, q);
}

void quantize_bytes_q5_k(uint8_t *block, float d, float e, const float s[8], const float m[8], const uint8_t q[256])
{
    uint8_t *high = block + 16;
    put_f16(block, d);
    put_f16(block + 2, e);
    put_6_bit_pairs(block + 4, s, m);
    memset(high, 0, 32);
    for (int i = 0; i < 256; i++) {
        high[i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
    }
    put_4_bits(block + 48, q);
}

void quantize_bytes_q6_k(uint8_t *block, float d, const float s[16], const int8_t q[256])
{
    uint8_t *low = block, *high = block + 128;
    for (int half = 0; half < 2; half++, low += 64, high += 32) {
        for (int l = 0; l < 32; l++) {
            int v[4];
            for (int i = 0; i < 4; i++) {
                v[i] = q[128 * half + 32 * i + l] + 32;
            }
            low[l] = (uint8_t)((v[0] & 15) | (v[2] & 15) << 4);
            low[l + 32] = (uint8_t)((v[1] & 15) | (v[3] & 15) << 4);
            high[l] = (uint8_t)(v[0] >> 4 | v[1] >> 4 << 2 | v[2] >> 4 << 4 | v[3] >> 4 << 6);
        }
    }
    for (int j = 0; j < 16; j++) {
        block[192 + j] = (uint8_t)(int8_t)s[j];
    }
    put_f16(block + 208, d);
}

/* Low four bits of 32 values: byte i holds values i and 16 + i. */
static void put_nibbles(uint8_t p[16], const uint8_t q[32])
{
    for (int i = 0; i < 16; i++) {
        p[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
    }
}

/* Fifth bits of 32 values: bit i that of value i. */
static void put_fifth_bits(uint8_t p[4], const uint8_t q[32])
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) {
        bits |= (uint32_t)(q[i] >> 4) << i;
    }
    memcpy(p, &bits, sizeof(bits));
}

static void add_offset(uint8_t u[32], const int8_t q[32], int offset)
{
    for (int i = 0; i < 32; i++) {
        u[i] = (uint8_t)(q[i] + offset);
    }
}

void quantize_bytes_q4_0(uint8_t *block, float d, const int8_t q[32])
{
    uint8_t u[32];
    add_offset(u, q, 8);
    put_f16(block, d);
    put_nibbles(block + 2, u);
}

void quantize_bytes_q5_0(uint8_t *block, float d, const int8_t q[32])
{
    uint8_t u[32];
    add_offset(u, q, 16);
    put_f16(block, d);
    put_fifth_bits(block + 2, u);
    put_nibbles(block + 6, u);
}

void quantize_bytes_q8_0(uint8_t *block, float d, const int8_t q[32])
{
    put_f16(block, d);
    memcpy(block + 2, q, 32);
}

void quantize_bytes_q4_1(uint8_t *block, float d, float m, const uint8_t q[32])
{
    put_f16(block, d);
    put_f16(block + 2, m);
    put_nibbles(block + 4, q);
}

void quantize_bytes_q5_1(uint8_t *block, float d, float m, const uint8_t q[32])
{
    put_f16(block, d);
    put_f16(block + 2, m);
    put_fifth_bits(block + 4, q);
    put_nibbles(block + 8, q);
}
