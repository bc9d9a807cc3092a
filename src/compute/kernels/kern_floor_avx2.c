/* Instruction loops for the floors of the machine, AVX2 and FMA: see struct kern_floor. */
#include "compute/kernels/intrinsics.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { CHAINS = 12 };

/* The value stays in its register, and the compiler knows nothing about it. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))

/* Twelve sums in flight: two multiply-adds a cycle with a latency of four, with room. */
static double fp32(size_t n)
{
    __m256 acc[CHAINS], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
    UNROLL
    for (int i = 0; i < CHAINS; i++) {
        acc[i] = _mm256_setzero_ps();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm256_fmadd_ps(a, b, acc[i]);
            OPAQUE(acc[i]);
        }
    }
    return (double)n * CHAINS * 8 * 2;
}

/* Signed bytes: every VPMADDUBSW must be widened. */
static double int8(size_t n)
{
    enum { SUMS = 8 };
    __m256i acc[SUMS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
    UNROLL
    for (int i = 0; i < SUMS; i++) {
        acc[i] = _mm256_setzero_si256();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            OPAQUE(a);
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
            OPAQUE(acc[i]);
        }
    }
    return (double)n * SUMS * 32 * 2;
}

/* 4-bit weights: eight VPMADDUBSW are summed in 16 bits before one VPMADDWD. Several sums side by side: in one, each
 * addition waits for the one before. */
static double int4(size_t n)
{
    enum { STEPS = 8, SUMS = 4 };
    __m256i acc[SUMS], s[SUMS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
    UNROLL
    for (int i = 0; i < SUMS; i++) {
        acc[i] = _mm256_setzero_si256();
    }
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < STEPS * SUMS; i++) {
            OPAQUE(a);
            __m256i product = _mm256_maddubs_epi16(a, b);
            s[i % SUMS] = i < SUMS ? product : _mm256_add_epi16(s[i % SUMS], product);
            OPAQUE(s[i % SUMS]);
        }
        UNROLL
        for (int i = 0; i < SUMS; i++) {
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(s[i], ones));
            OPAQUE(acc[i]);
        }
    }
    return (double)n * STEPS * SUMS * 32 * 2;
}

enum { STEP_BYTES = 256, STREAMS = 4 };

ALWAYS_INLINE void read_step(__m256i acc[4], const char *at)
{
    UNROLL
    for (int i = 0; i < 8; i++) {
        acc[i % 4] = _mm256_xor_si256(acc[i % 4], _mm256_loadu_si256((const __m256i_u *)(at + 32 * i)));
    }
}

/* n_stream places in turn; ahead: what lies there is asked for. */
ALWAYS_INLINE double read_streams(const char *p, size_t size, const size_t n_stream, const bool ahead)
{
    size_t part = size / n_stream / STEP_BYTES * STEP_BYTES;
    __m256i acc[4];
    UNROLL
    for (int i = 0; i < 4; i++) {
        acc[i] = _mm256_setzero_si256();
    }
    for (size_t at = 0; at < part; at += STEP_BYTES) {
        UNROLL
        for (size_t i = 0; i < n_stream; i++) {
            read_step(acc, p + i * part + at);
            if (ahead) {
                _mm_prefetch(p + i * part + at + 2048, _MM_HINT_T0);
            }
        }
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        OPAQUE(acc[i]);
    }
    return (double)(n_stream * part);
}

/* Which is faster depends on the core: with a request ahead Zen 3 reads 13 GB/s of the 21 to 24 that it reads without.
 */
static double read_ahead(const void *p, size_t size)
{
    return read_streams(p, size, 1, true);
}

static double read_plain(const void *p, size_t size)
{
    return read_streams(p, size, STREAMS, false);
}

void kern_floor_fill_avx2(struct kern *k)
{
    k->floor = (struct kern_floor){.fp32 = fp32, .int8 = int8, .int4 = int4, .read = {read_ahead, read_plain}};
}
#endif
