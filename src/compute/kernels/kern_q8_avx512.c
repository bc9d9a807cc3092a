/* Products of packed weights with int8 activations for AVX-512: VPDPBUSD, one 32-bit lane an output row, four inputs
 * a step, the activations broadcast from memory. A weight block is unpacked into eight registers and used for up to
 * TILE activation rows; their sums stand in registers over all of k, so the order of a row's sum is k alone. */
#include <string.h>

#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { TILE = 8, QUADS = 8 };

/* GCC 12 would load a line twice, once for each use, and half of the lines lie across two cache lines. */
#if defined(TAILOR_SIMDE)
#define IN_REGISTER(v) (void)(v)
#else
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#endif

/* One weight block, ready for the dot products: bytes are unsigned. */
struct block {
    __m512i w[QUADS]; /* inputs 4j..4j+3 of 16 rows */
    __m512 d, m;
};

ALWAYS_INLINE __m512 scales(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p));
}

ALWAYS_INLINE void unpack_nibbles(struct block *b, const uint8_t q[4][64])
{
    const __m512i low = _mm512_set1_epi8(15);
    UNROLL
    for (int j = 0; j < 4; j++) {
        __m512i line = _mm512_loadu_si512(q[j]);
        IN_REGISTER(line);
        b->w[j] = _mm512_and_si512(line, low);
        b->w[j + 4] = _mm512_and_si512(_mm512_srli_epi16(line, 4), low);
    }
}

ALWAYS_INLINE void unpack(struct block *b, const void *packed, enum quant_type type)
{
    if (type == QUANT_Q4_0) {
        const struct packed_q4_0 *p = packed;
        b->d = scales(p->d);
        unpack_nibbles(b, p->q);
    } else if (type == QUANT_Q4_1) {
        const struct packed_q4_1 *p = packed;
        b->d = scales(p->d);
        b->m = scales(p->m);
        unpack_nibbles(b, p->q);
    } else {
        const struct packed_q8_0 *p = packed;
        b->d = scales(p->d);
        UNROLL
        for (int j = 0; j < QUADS; j++) { /* q + 128 */
            b->w[j] = _mm512_xor_si512(_mm512_loadu_si512(p->q[j]), _mm512_set1_epi8(-128));
        }
    }
}

/* s + w . q, q the four bytes at `offset` of row r, for every output row at once. Written out because GCC 12 loads and
 * broadcasts in an instruction of its own, and both compilers keep stride + offset for each of the 32 addresses,
 * on the stack: together a tenth of the speed. Without optimization, or with a sanitizer, the constants that the
 * written form needs are none to the compiler: then the intrinsic does it. */
#if defined(TAILOR_SIMDE) || !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
ALWAYS_INLINE __m512i dot4(__m512i s, __m512i w, const struct row_bases *q, const int r, const int offset)
{
    int32_t word;
    memcpy(&word, (const char *)row_at(q, r) + offset, sizeof(word));
    return _mm512_dpbusd_epi32(s, w, _mm512_set1_epi32(word));
}
#else
struct readable { /* "reads memory from here on" */
    char bytes[1 << 30];
};
#define DOT4(address)                                \
    __asm__("vpdpbusd\t" address "%{1to16%}, %1, %0" \
            : "+v"(s)                                \
            : "v"(w), "r"(p), "r"(stride), "i"(offset), "m"(*(const struct readable *)p))
ALWAYS_INLINE __m512i dot4(__m512i s, __m512i w, const struct row_bases *q, const int r, const int offset)
{
    const char *p = q->base[r / 4];
    size_t stride = r % 4 == 3 ? q->stride3 : q->stride;
    if (r % 4 == 0) {
        DOT4("%c4(%2)");
    } else if (r % 4 == 2) {
        DOT4("%c4(%2,%3,2)");
    } else {
        DOT4("%c4(%2,%3)");
    }
    return s;
}
#endif

/* acc + s * d of one activation row, s the sums of the unsigned bytes */
ALWAYS_INLINE __m512 scaled(__m512 acc, __m512i s, const struct block *b, const float *d, const int32_t *sum,
                            enum quant_type type)
{
    if (type == QUANT_Q4_1) {
        __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(s), b->d);
        t = _mm512_fmadd_ps(b->m, _mm512_cvtepi32_ps(_mm512_set1_epi32(*sum)), t);
        return _mm512_fmadd_ps(t, _mm512_set1_ps(*d), acc);
    }
    /* what the unsigned bytes have too much: 8 or 128 times the sum of the activations */
    s = _mm512_sub_epi32(s, _mm512_slli_epi32(_mm512_set1_epi32(*sum), type == QUANT_Q4_0 ? 3 : 7));
    return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(s), b->d), _mm512_set1_ps(*d), acc);
}

/* n_row activation rows, a constant up to TILE. The first tile brings the weights into the caches. */
ALWAYS_INLINE void tile(float *y, size_t ldy, const char *packed, const struct q8_rows *x, size_t x_row,
                        const int n_row, size_t n_block, bool first, enum quant_type type, size_t block_bytes)
{
    size_t n_k = x->n_k, n_scale = x->n_k / KERN_K;
    struct row_bases q = row_bases(x->q + x_row * n_k, n_k, n_row);
    struct row_bases d = row_bases(x->d + x_row * n_scale, n_scale * sizeof(float), n_row);
    struct row_bases sum = row_bases(x->sum + x_row * n_scale, n_scale * sizeof(int32_t), n_row);
    sum.stride3 = d.stride3; /* equal, and now known to be */
    __m512 acc[TILE];
    UNROLL
    for (int r = 0; r < n_row; r++) {
        acc[r] = _mm512_setzero_ps();
    }
    for (size_t i = 0; i < n_block; i++, packed += block_bytes) {
        if (first) {
            prefetch_ahead(packed, block_bytes);
        }
        struct block b;
        unpack(&b, packed, type);
        /* the rows go through the eight steps side by side: one row alone is a chain of eight latencies */
        __m512i s[TILE];
        UNROLL
        for (int j = 0; j < QUADS; j++) {
            UNROLL
            for (int r = 0; r < n_row; r++) {
                s[r] = dot4(j == 0 ? _mm512_setzero_si512() : s[r], b.w[j], &q, r, 4 * j);
            }
        }
        UNROLL
        for (int r = 0; r < n_row; r++) {
            acc[r] = scaled(acc[r], s[r], &b, row_at(&d, r), row_at(&sum, r), type);
        }
        rows_advance(&q, KERN_K, n_row);
        rows_advance(&d, sizeof(float), n_row);
        rows_advance(&sum, sizeof(int32_t), n_row);
    }
    UNROLL
    for (int r = 0; r < n_row; r++) {
        _mm512_storeu_ps(y + (size_t)r * ldy, acc[r]);
    }
}

ALWAYS_INLINE void gemm_q8(float *y, size_t ldy, const void *packed, const struct q8_rows *x, size_t x_row,
                           size_t n_row, size_t n_block, enum quant_type type, size_t block_bytes)
{
    size_t r = 0;
    for (; r + TILE <= n_row; r += TILE) {
        tile(y + r * ldy, ldy, packed, x, x_row + r, TILE, n_block, r == 0, type, block_bytes);
    }
    for (; r + 4 <= n_row; r += 4) {
        tile(y + r * ldy, ldy, packed, x, x_row + r, 4, n_block, r == 0, type, block_bytes);
    }
    for (; r + 2 <= n_row; r += 2) {
        tile(y + r * ldy, ldy, packed, x, x_row + r, 2, n_block, r == 0, type, block_bytes);
    }
    if (r < n_row) {
        tile(y + r * ldy, ldy, packed, x, x_row + r, 1, n_block, r == 0, type, block_bytes);
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

void kern_q8_fill_avx512(struct kern *k)
{
    k->quant[QUANT_Q8_0].gemm_q8 = q8_0_gemm_q8;
    k->quant[QUANT_Q4_0].gemm_q8 = q4_0_gemm_q8;
    k->quant[QUANT_Q4_1].gemm_q8 = q4_1_gemm_q8;
}
#endif
