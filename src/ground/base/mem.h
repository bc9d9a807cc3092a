/* Memory: allocation with two policies, arenas for data that dies together, checked arithmetic for sizes from input.
 *
 * mem_alloc ends the process (small sizes of our own choosing); mem_try_* return NULL (sizes that come from input).
 * malloc and free are called nowhere else. mem_fault_after makes the Nth mem_try_* fail, for torture tests. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

/* Zeroed memory; ends the process with status 1 and a message when there is none. Free with mem_free. */
void *mem_alloc(size_t size) MUST_CHECK;
/* Zeroed memory or NULL. */
void *mem_try_alloc(size_t size) MUST_CHECK;
/* n * size zeroed bytes, or NULL when there is no memory or the product overflows. */
void *mem_try_array(size_t n, size_t size) MUST_CHECK;
/* Grow or shrink; contents kept, new bytes NOT zeroed; NULL leaves the old block as it was. */
void *mem_try_realloc(void *p, size_t size) MUST_CHECK;
/* Not zeroed, aligned to 64 bytes (tensor rows, SIMD); free with mem_free. */
void *mem_try_aligned(size_t size) MUST_CHECK;
/* Before it is first touched: ask for pages of 2 MiB where [p, p + size) holds whole ones. For what is filled whole and
 * read as a stream (weights): its pages are found without walks through memory (decode of 1.5B Q4_0: 21 -> 24
 * tokens/s). What is touched here and there would take more memory for it. */
void mem_prefer_large_pages(void *p, size_t size);
void mem_free(void *p);
char *mem_strdup(const char *s) MUST_CHECK; /* as mem_alloc */
char *mem_strndup(const char *s, size_t n) MUST_CHECK;

/* Make the allocation number `countdown` from now (1 = the next) of mem_try_* fail, once; 0 switches it off. */
void mem_fault_after(int64_t countdown);

/* out = a + b, out = a * b; false on overflow, *out is then undefined. */
static inline bool add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
/* n rounded up to a multiple of m (m > 0, no overflow check: for sizes already checked). */
static inline size_t round_up(size_t n, size_t m)
{
    return (n + m - 1) / m * m;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* An arena: allocations that are freed together. Grows in blocks up to max_bytes. One thread. */
struct arena {
    struct arena_block *first;
    size_t used_bytes, max_bytes;
};
void arena_init(struct arena *a, size_t max_bytes);
/* Zeroed, 16-byte aligned; NULL past max_bytes or without memory. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
char *arena_strndup(struct arena *a, const char *s, size_t n) MUST_CHECK;
void arena_reset(struct arena *a); /* all freed, ready for reuse */
void arena_deinit(struct arena *a);

#endif
