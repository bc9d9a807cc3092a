/* Private to the quantizers: how the searched integers of a block become its bytes. */
#ifndef KERNELS_QUANTIZE_INT_H
#define KERNELS_QUANTIZE_INT_H

#include <stdint.h>

#include "compute/kernels/kern.h"
#include "compute/kernels/quantize.h"

/* Super-blocks of 256 (layouts as ggml-common.h): float16 scales d, e; integers of the sub-blocks; q of the values. */
void quantize_bytes_q2_k(uint8_t *block, float d, float e, const float s[16], const float m[16], const uint8_t q[256]);
void quantize_bytes_q3_k(uint8_t *block, float d, const float s[16], const int8_t q[256]);
void quantize_bytes_q4_k(uint8_t *block, float d, float e, const float s[8], const float m[8], const uint8_t q[256]);
void quantize_bytes_q5_k(uint8_t *block, float d, float e, const float s[8], const float m[8], const uint8_t q[256]);
void quantize_bytes_q6_k(uint8_t *block, float d, const float s[16], const int8_t q[256]);
/* Blocks of 32. */
void quantize_bytes_q4_0(uint8_t *block, float d, const int8_t q[32]);
void quantize_bytes_q5_0(uint8_t *block, float d, const int8_t q[32]);
void quantize_bytes_q8_0(uint8_t *block, float d, const int8_t q[32]);
void quantize_bytes_q4_1(uint8_t *block, float d, float m, const uint8_t q[32]);
void quantize_bytes_q5_1(uint8_t *block, float d, float m, const uint8_t q[32]);

/* Each fills table[0 .. QUANT_COUNT) where its file has a quantizer. */
void quantize_fill_scalar(quantize_fn table[QUANT_COUNT]);
void quantize_fill_avx2(quantize_fn table[QUANT_COUNT]);
void quantize_fill_avx512(quantize_fn table[QUANT_COUNT]);

#endif
