/* Memory: the only file that calls malloc, calloc, realloc and free of libc. Owns the fault counter of the torture
 * tests. What always holds: a size of zero gives a pointer that is not NULL and can be freed. */
#include "ground/base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGE_PAGE = 2 << 20 };

/* Process-wide by purpose: the Nth allocation of whatever runs is made to fail. 0 or less: off. */
static _Atomic int64_t fault_countdown;

void mem_fault_after(int64_t countdown)
{
    atomic_store(&fault_countdown, countdown);
}

static bool fault(void)
{
    if (atomic_load_explicit(&fault_countdown, memory_order_relaxed) <= 0) return false;
    return atomic_fetch_sub(&fault_countdown, 1) == 1;
}

static void *must(void *p, size_t size)
{
    if (!p) {
        fprintf(stderr, "tailor: out of memory for %zu bytes\n", size);
        _exit(EXIT_FAILURE); /* an error with its status, no signal: nothing here is worth a core file */
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return must(calloc(1, size ? size : 1), size);
}

void *mem_try_alloc(size_t size)
{
    return fault() ? NULL : calloc(1, size ? size : 1);
}

void *mem_try_array(size_t n, size_t size)
{
    size_t total;
    if (!mul_size(n, size, &total)) return NULL;
    return mem_try_alloc(total);
}

void *mem_try_realloc(void *p, size_t size)
{
    return fault() ? NULL : realloc(p, size ? size : 1);
}

void *mem_try_aligned(size_t size)
{
    if (size > SIZE_MAX - 63 || fault()) return NULL;
    return aligned_alloc(64, round_up(size ? size : 1, 64));
}

void mem_prefer_large_pages(void *p, size_t size)
{
    uintptr_t begin = (uintptr_t)p, first = round_up(begin, LARGE_PAGE), end = (begin + size) / LARGE_PAGE * LARGE_PAGE;
    if (first < end) madvise((char *)p + (first - begin), end - first, MADV_HUGEPAGE);
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *copy = mem_alloc(n + 1);
    memcpy(copy, s, n);
    return copy;
}

/* Blocks in a list, the newest (and largest) first; only the first one is allocated from. */
struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

enum { ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_MAX = 1 << 20 };

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max_bytes = max_bytes};
}

static struct arena_block *arena_grow(struct arena *a, size_t need)
{
    size_t size = a->first ? a->first->size * 2 : ARENA_BLOCK_MIN;
    if (size > ARENA_BLOCK_MAX) size = ARENA_BLOCK_MAX;
    if (size < need) size = need;
    size_t total;
    if (!add_size(size, sizeof(struct arena_block), &total)) return NULL;
    struct arena_block *b = mem_try_realloc(NULL, total);
    if (!b) return NULL;
    b->next = a->first;
    b->used = 0;
    b->size = size;
    a->first = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > a->max_bytes || size > SIZE_MAX - 16) return NULL;
    size_t need = round_up(size ? size : 1, 16);
    if (a->used_bytes > a->max_bytes - size) return NULL;
    struct arena_block *b = a->first;
    if (!b || b->size - b->used < need) b = arena_grow(a, need);
    if (!b) return NULL;
    void *p = b->data + b->used;
    b->used += need;
    a->used_bytes += need;
    return memset(p, 0, need);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    n = strnlen(s, n);
    char *copy = arena_alloc(a, n + 1);
    if (copy) memcpy(copy, s, n);
    return copy;
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        mem_free(b);
        b = next;
    }
}

/* The newest block is kept, so that an arena used once a step stops allocating after the first few steps. */
void arena_reset(struct arena *a)
{
    if (a->first) {
        free_blocks(a->first->next);
        a->first->next = NULL;
        a->first->used = 0;
    }
    a->used_bytes = 0;
}

void arena_deinit(struct arena *a)
{
    free_blocks(a->first);
    *a = (struct arena){0};
}
