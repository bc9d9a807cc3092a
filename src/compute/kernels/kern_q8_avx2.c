/* Products of packed weights with int8 activations for AVX2, 8 output rows (half a packed block) at a time, one
 * 32-bit lane an output row, the activations broadcast from memory.
 * 4-bit: VPMADDUBSW of nibbles (0..15) with activations; eight of them fit 16 bits (8 x 2 x 15 x 127 = 30480), so one
 * VPMADDWD widens the sum of all 32 inputs.
 * 8-bit: |w| times the activation with w's sign; 2 x 128 x 127 = 32512 fits, so each step is widened.
 * A half block is unpacked into eight registers and used for up to TILE activation rows, whose sums stand in the
 * first-level cache: one more load and store a block, and the eight registers are enough. The order of a row's sum is
 * k alone. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "compute/kernels/unroll.h"

enum { TILE = 16, QUADS = 8 };

/* Half a weight block. For 8-bit weights w holds |q|, and the signed bytes are read from `packed` again. */
struct half_block {
    __m256i w[QUADS];
    __m256 d, m;
    const int8_t *q; /* 8-bit: the half line 0 */
};

ALWAYS_INLINE __m256 scales(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)p));
}

ALWAYS_INLINE __m256i load32(const void *p)
{
    return _mm256_loadu_si256(p);
}

ALWAYS_INLINE void unpack_nibbles(struct half_block *b, const uint8_t *q)
{
    const __m256i low = _mm256_set1_epi8(15);
    UNROLL
    for (int j = 0; j < 4; j++) {
        __m256i line = load32(q + 64 * j);
        b->w[j] = _mm256_and_si256(line, low);
        b->w[j + 4] = _mm256_and_si256(_mm256_srli_epi16(line, 4), low);
    }
}

/* half is 0 or 1: output rows 0..7 or 8..15 */
ALWAYS_INLINE void unpack(struct half_block *b, const void *packed, size_t half, enum quant_type type)
{
    if (type == QUANT_Q4_0) {
        const struct packed_q4_0 *p = packed;
        b->d = scales(p->d + 8 * half);
        unpack_nibbles(b, p->q[0] + 32 * half);
    } else if (type == QUANT_Q4_1) {
        const struct packed_q4_1 *p = packed;
        b->d = scales(p->d + 8 * half);
        b->m = scales(p->m + 8 * half);
        unpack_nibbles(b, p->q[0] + 32 * half);
    } else {
        const struct packed_q8_0 *p = packed;
        b->d = scales(p->d + 8 * half);
        b->q = p->q[0] + 32 * half;
        UNROLL
        for (int j = 0; j < QUADS; j++) {
            b->w[j] = _mm256_abs_epi8(load32(b->q + 64 * j));
        }
    }
}

ALWAYS_INLINE __m256i quad(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof(word));
    return _mm256_set1_epi32(word);
}

/* sum over 32 inputs of nibble * activation */
ALWAYS_INLINE __m256i dot_nibbles(const struct half_block *b, const int8_t *q)
{
    __m256i s = _mm256_maddubs_epi16(b->w[0], quad(q));
    UNROLL
    for (int j = 1; j < QUADS; j++) {
        s = _mm256_add_epi16(s, _mm256_maddubs_epi16(b->w[j], quad(q + 4 * j)));
    }
    return _mm256_madd_epi16(s, _mm256_set1_epi16(1));
}

ALWAYS_INLINE __m256i dot_bytes(const struct half_block *b, const int8_t *q)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i s = _mm256_setzero_si256();
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        __m256i signed_x = _mm256_sign_epi8(quad(q + 4 * j), load32(b->q + 64 * j));
        s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(b->w[j], signed_x), ones));
    }
    return s;
}

/* acc + (half block . q) * d of one activation row */
ALWAYS_INLINE __m256 block_dot(__m256 acc, const struct half_block *b, const int8_t *q, float d, int32_t sum,
                               enum quant_type type)
{
    if (type == QUANT_Q8_0) {
        __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(dot_bytes(b, q)), b->d);
        return _mm256_fmadd_ps(t, _mm256_set1_ps(d), acc);
    }
    __m256i s = dot_nibbles(b, q);
    if (type == QUANT_Q4_1) {
        __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(s), b->d);
        t = _mm256_fmadd_ps(b->m, _mm256_set1_ps((float)sum), t);
        return _mm256_fmadd_ps(t, _mm256_set1_ps(d), acc);
    }
    s = _mm256_sub_epi32(s, _mm256_slli_epi32(_mm256_set1_epi32(sum), 3));
    return _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(s), b->d), _mm256_set1_ps(d), acc);
}

/* n_row <= TILE activation rows */
ALWAYS_INLINE void tile(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                        size_t n_block, enum quant_type type, size_t block_bytes)
{
    size_t n_k = x->n_k, n_scale = x->n_k / KERN_K;
    const int8_t *q = x->q + x_row * n_k;
    const float *d = x->d + x_row * n_scale;
    const int32_t *sum = x->sum + x_row * n_scale;
    __m256 acc[TILE][2];
    for (size_t r = 0; r < n_row; r++) {
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    }
    for (size_t i = 0; i < n_block; i++, packed += block_bytes, q += KERN_K, d++, sum++) {
        for (size_t half = 0; half < 2; half++) {
            struct half_block b;
            unpack(&b, packed, half, type);
            for (size_t r = 0; r < n_row; r++) {
                acc[r][half] = block_dot(acc[r][half], &b, q + r * n_k, d[r * n_scale], sum[r * n_scale], type);
            }
        }
    }
    for (size_t r = 0; r < n_row; r++) {
        _mm256_storeu_ps(y + r * ldy, acc[r][0]);
        _mm256_storeu_ps(y + r * ldy + 8, acc[r][1]);
    }
}

ALWAYS_INLINE void gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row,
                           size_t n_row, size_t n_block, enum quant_type type, size_t block_bytes)
{
    if (n_row == 1) {
        tile(y, ldy, packed, x, x_row, 1, n_block, type, block_bytes);
        return;
    }
    for (size_t r = 0; r < n_row; r += TILE) {
        size_t n = n_row - r < TILE ? n_row - r : TILE;
        tile(y + r * ldy, ldy, packed, x, x_row + r, n, n_block, type, block_bytes);
    }
}

static void q8_0_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    gemm_q8(y, ldy, packed, x, x_row, n_row, n_block, QUANT_Q8_0, sizeof(struct packed_q8_0));
}

static void q4_0_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    gemm_q8(y, ldy, packed, x, x_row, n_row, n_block, QUANT_Q4_0, sizeof(struct packed_q4_0));
}

static void q4_1_gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                         size_t n_block)
{
    gemm_q8(y, ldy, packed, x, x_row, n_row, n_block, QUANT_Q4_1, sizeof(struct packed_q4_1));
}

void kern_q8_fill_avx2(struct kern *k)
{
    k->quant[QUANT_Q8_0].gemm_q8 = q8_0_gemm_q8;
    k->quant[QUANT_Q4_0].gemm_q8 = q4_0_gemm_q8;
    k->quant[QUANT_Q4_1].gemm_q8 = q4_1_gemm_q8;
}
#endif
