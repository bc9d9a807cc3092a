/* What the inner loops ask of the compiler. Private to kernels. */
#ifndef KERNELS_UNROLL_H
#define KERNELS_UNROLL_H

#include <stddef.h>

/* Emulated, or sanitized where a file asks for it (KERN_COMPACT), no constant is worth the minutes of compiling a
 * kernel for every one of them. */
#if defined(TAILOR_SIMDE) && !defined(KERN_COMPACT)
#define KERN_COMPACT
#endif

/* Unroll a loop of constant count fully, so that arrays indexed by it become registers. */
#if defined(KERN_COMPACT)
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif
#if defined(KERN_COMPACT)
#define ALWAYS_INLINE static inline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

/* Asks for the n_bytes that lie `ahead` bytes behind p: from memory into the second-level cache, long before they are
 * wanted. The sequential prefetcher of the CPU alone leaves the latency of memory in sight when a block is worked on
 * for several rows (one core of Zen 5 that can read 40 GB/s, Q8_0: 8 rows went at 10 GB/s and go at 34). How far is
 * the affair of the loop: see its constants. */
ALWAYS_INLINE void prefetch_far(const char *p, const size_t n_bytes, const size_t ahead)
{
    UNROLL
    for (size_t i = 0; i < n_bytes; i += 64) {
        __builtin_prefetch(p + ahead + i, 0, 2);
    }
}

/* The same into the first level, which has few lines to wait for memory with: better asked for what is on its way to
 * the second. */
ALWAYS_INLINE void prefetch_near(const char *p, const size_t n_bytes, const size_t ahead)
{
    UNROLL
    for (size_t i = 0; i < n_bytes; i += 64) {
        __builtin_prefetch(p + ahead + i);
    }
}

enum { BASES_ROWS = 24 };
/* Up to so many rows of one matrix, four to a base register: row r is base[r / 4] plus 0, 1, 2 or 3 strides, all of
 * which x86 addressing reaches with two more registers. The bases are hidden from the optimizer, which would otherwise
 * keep one offset a row, on the stack, and load it in every step (30 % of the time of a 16-row tile on Zen 5). */
struct row_bases {
    const char *base[BASES_ROWS / 4];
    size_t stride, stride3; /* bytes: one row, three rows */
};

ALWAYS_INLINE struct row_bases row_bases(const void *p, size_t stride_bytes, const int n_row)
{
    struct row_bases b = {.stride = stride_bytes, .stride3 = 3 * stride_bytes};
    __asm__("" : "+r"(b.stride3));
    UNROLL
    for (int i = 0; 4 * i < n_row; i++) {
        b.base[i] = (const char *)p + 4 * (size_t)i * stride_bytes;
        __asm__("" : "+r"(b.base[i]));
    }
    return b;
}

ALWAYS_INLINE const void *row_at(const struct row_bases *b, const int r)
{
    const char *p = b->base[r / 4];
    return r % 4 == 0 ? p : (r % 4 == 1 ? p + b->stride : (r % 4 == 2 ? p + 2 * b->stride : p + b->stride3));
}

/* All rows move on by so many bytes. */
ALWAYS_INLINE void rows_advance(struct row_bases *b, size_t bytes, const int n_row)
{
    UNROLL
    for (int i = 0; 4 * i < n_row; i++) {
        b->base[i] += bytes;
    }
}

#endif
