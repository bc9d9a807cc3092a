/* Products of packed weights with int8 activations for AVX2: two registers of 8 output rows, one 32-bit lane an output
 * row, the activations broadcast from memory.
 * 4-bit: VPMADDUBSW of nibbles (0..15) with activations; eight of them fit 16 bits (8 x 2 x 15 x 127 = 30480), so one
 * VPMADDWD widens the sum of all 32 inputs.
 * 8-bit: |w| times the activation with w's sign; 2 x 128 x 127 = 32512 fits, so each step is widened.
 * What limits the speed is loads, so each broadcast serves both registers: a block is gone through in two halves of
 * 16 inputs, whose weights fill eight registers and are used for up to TILE activation rows. The sums of the rows
 * stand in the first-level cache. The order of a row's sum is k alone. */
#include <string.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { TILE = 16, QUADS = 4 };

struct pair {
    __m256i v[2]; /* output rows 0..7 and 8..15 */
};

/* Half of a weight block: 16 inputs of 16 rows. */
struct half {
    struct pair w[QUADS]; /* 4-bit: q; 8-bit: |q| */
    const int8_t *q;      /* 8-bit: the signed bytes */
};

struct scale {
    __m256 v[2];
};

ALWAYS_INLINE struct scale scales(const uint16_t *p)
{
    return (struct scale){{_mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)p)),
                           _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)(p + 8)))}};
}

ALWAYS_INLINE __m256i load32(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* which is 0 or 1: low nibbles, inputs 0..15, or high ones, 16..31 */
ALWAYS_INLINE void unpack_nibbles(struct half *h, const uint8_t q[4][64], const int which)
{
    const __m256i low = _mm256_set1_epi8(15);
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        UNROLL
        for (int i = 0; i < 2; i++) {
            __m256i line = load32(q[j] + 32 * i);
            h->w[j].v[i] = _mm256_and_si256(which ? _mm256_srli_epi16(line, 4) : line, low);
        }
    }
}

ALWAYS_INLINE void unpack_bytes(struct half *h, const int8_t q[8][64], const int which)
{
    h->q = q[4 * which];
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        UNROLL
        for (int i = 0; i < 2; i++) {
            h->w[j].v[i] = _mm256_abs_epi8(load32(h->q + 64 * j + 32 * i));
        }
    }
}

ALWAYS_INLINE void unpack(struct half *h, const void *packed, const int which, enum quant_type type)
{
    if (type == QUANT_Q4_0) {
        unpack_nibbles(h, ((const struct packed_q4_0 *)packed)->q, which);
    } else if (type == QUANT_Q4_1) {
        unpack_nibbles(h, ((const struct packed_q4_1 *)packed)->q, which);
    } else {
        unpack_bytes(h, ((const struct packed_q8_0 *)packed)->q, which);
    }
}

ALWAYS_INLINE __m256i quad(const int8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof(word));
    return _mm256_set1_epi32(word);
}

/* Sums over 16 inputs of nibble * activation, two 16-bit halves a row, at most 4 x 2 x 15 x 127 = 15240. */
ALWAYS_INLINE struct pair dot_nibbles(const struct half *h, const int8_t *q)
{
    struct pair s;
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        __m256i x = quad(q + 4 * j);
        UNROLL
        for (int i = 0; i < 2; i++) {
            __m256i product = _mm256_maddubs_epi16(h->w[j].v[i], x);
            s.v[i] = j == 0 ? product : _mm256_add_epi16(s.v[i], product);
        }
    }
    return s;
}

/* The same for bytes, in 32 bits. */
ALWAYS_INLINE struct pair dot_bytes(const struct half *h, const int8_t *q)
{
    const __m256i ones = _mm256_set1_epi16(1);
    struct pair s;
    UNROLL
    for (int j = 0; j < QUADS; j++) {
        __m256i x = quad(q + 4 * j);
        UNROLL
        for (int i = 0; i < 2; i++) {
            __m256i signed_x = _mm256_sign_epi8(x, load32(h->q + 64 * j + 32 * i));
            __m256i product = _mm256_madd_epi16(_mm256_maddubs_epi16(h->w[j].v[i], signed_x), ones);
            s.v[i] = j == 0 ? product : _mm256_add_epi32(s.v[i], product);
        }
    }
    return s;
}

/* The exact integer sums of both halves, with what Q4_0's unsigned nibbles have too much taken off. */
ALWAYS_INLINE struct pair join(struct pair a, struct pair b, int32_t q_sum, enum quant_type type)
{
    UNROLL
    for (int i = 0; i < 2; i++) {
        if (type == QUANT_Q8_0) {
            a.v[i] = _mm256_add_epi32(a.v[i], b.v[i]);
        } else {
            a.v[i] = _mm256_madd_epi16(_mm256_add_epi16(a.v[i], b.v[i]), _mm256_set1_epi16(1));
        }
        if (type == QUANT_Q4_0) {
            a.v[i] = _mm256_sub_epi32(a.v[i], _mm256_slli_epi32(_mm256_set1_epi32(q_sum), 3));
        }
    }
    return a;
}

/* acc += s * d, with Q4_1's minima */
ALWAYS_INLINE void add_scaled(struct scale *acc, struct pair s, const struct scale *w_d, const struct scale *w_m,
                              float x_d, int32_t x_sum, enum quant_type type)
{
    UNROLL
    for (int i = 0; i < 2; i++) {
        __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(s.v[i]), w_d->v[i]);
        if (type == QUANT_Q4_1) {
            t = _mm256_fmadd_ps(w_m->v[i], _mm256_set1_ps((float)x_sum), t);
        }
        acc->v[i] = _mm256_fmadd_ps(t, _mm256_set1_ps(x_d), acc->v[i]);
    }
}

/* One weight block with n_row <= TILE activation rows; q, d, x_sum point at row 0's values of this block. */
ALWAYS_INLINE void block(struct scale *acc, const void *packed, const int8_t *q, const float *d, const int32_t *x_sum,
                         size_t n_k, size_t n_row, enum quant_type type)
{
    struct pair part[TILE];
    struct half h;
    unpack(&h, packed, 0, type);
    for (size_t r = 0; r < n_row; r++) {
        part[r] = type == QUANT_Q8_0 ? dot_bytes(&h, q + r * n_k) : dot_nibbles(&h, q + r * n_k);
    }
    unpack(&h, packed, 1, type);
    struct scale w_d = scales(packed), w_m = type == QUANT_Q4_1 ? scales((const uint16_t *)packed + KERN_ROWS) : w_d;
    size_t n_scale = n_k / KERN_K;
    for (size_t r = 0; r < n_row; r++) {
        const int8_t *x = q + r * n_k + KERN_K / 2;
        struct pair s = type == QUANT_Q8_0 ? dot_bytes(&h, x) : dot_nibbles(&h, x);
        s = join(part[r], s, x_sum[r * n_scale], type);
        add_scaled(&acc[r], s, &w_d, &w_m, d[r * n_scale], x_sum[r * n_scale], type);
    }
}

/* n_row <= TILE activation rows. The first tile brings the weights into the caches. */
ALWAYS_INLINE void tile(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row, size_t n_row,
                        size_t n_block, bool first, enum quant_type type, size_t block_bytes)
{
    size_t n_k = x->n_k, n_scale = x->n_k / KERN_K;
    const int8_t *q = x->q + x_row * n_k;
    const float *d = x->d + x_row * n_scale;
    const int32_t *sum = x->sum + x_row * n_scale;
    struct scale acc[TILE];
    for (size_t r = 0; r < n_row; r++) {
        acc[r].v[0] = acc[r].v[1] = _mm256_setzero_ps();
    }
    for (size_t i = 0; i < n_block; i++, packed += block_bytes) {
        if (first) {
            prefetch_ahead(packed, block_bytes);
        }
        block(acc, packed, q + i * KERN_K, d + i, sum + i, n_k, n_row, type);
    }
    for (size_t r = 0; r < n_row; r++) {
        _mm256_storeu_ps(y + r * ldy, acc[r].v[0]);
        _mm256_storeu_ps(y + r * ldy + 8, acc[r].v[1]);
    }
}

ALWAYS_INLINE void gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row,
                           size_t n_row, size_t n_block, enum quant_type type, size_t block_bytes)
{
    if (n_row == 1) {
        tile(y, ldy, packed, x, x_row, 1, n_block, true, type, block_bytes);
        return;
    }
    for (size_t r = 0; r < n_row; r += TILE) {
        size_t n = n_row - r < TILE ? n_row - r : TILE;
        tile(y + r * ldy, ldy, packed, x, x_row + r, n, n_block, r == 0, type, block_bytes);
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
