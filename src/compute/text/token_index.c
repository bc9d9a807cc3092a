/* Open addressing with linear probing, at most half full. Built once, then only read, so threads share it. */
#include "compute/text/token_index.h"

#include <assert.h>
#include <string.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"

/* 8 bytes a step, multiplied and folded; the constants are odd words of the digits of pi and e. */
static uint64_t hash_text(const char *s, size_t n)
{
    uint64_t h = 0x243F6A8885A308D3u ^ (n * 0x9E3779B97F4A7C15u);
    while (n > 0) {
        uint64_t w = 0;
        size_t m = n < 8 ? n : 8;
        memcpy(&w, s, m);
        h = (h ^ w) * 0xADF85458A2BB4A9Bu;
        h ^= h >> 29;
        s += m;
        n -= m;
    }
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

int token_index_init(struct token_index *x, size_t max)
{
    size_t cap = 16;
    while (cap / 2 < max) {
        cap *= 2;
    }
    *x = (struct token_index){.mask = cap - 1, .max = max};
    x->slot = mem_try_array(cap, sizeof *x->slot);
    return x->slot ? 0 : -ERR_NOMEM;
}

void token_index_deinit(struct token_index *x)
{
    mem_free(x->slot);
    *x = (struct token_index){0};
}

struct token_slot *token_index_slot(const struct token_index *x, const char *text, size_t n)
{
    size_t i = (size_t)hash_text(text, n) & x->mask;
    while (x->slot[i].text && (x->slot[i].n != n || memcmp(x->slot[i].text, text, n) != 0)) {
        i = (i + 1) & x->mask;
    }
    return &x->slot[i];
}

void token_index_put(struct token_index *x, const char *text, size_t n, uint32_t id)
{
    struct token_slot *s = token_index_slot(x, text, n);
    if (!s->text) {
        assert(x->n < x->max);
        x->n++;
    }
    *s = (struct token_slot){.text = text, .n = (uint32_t)n, .id = id};
}

int64_t token_index_find(const struct token_index *x, const char *text, size_t n)
{
    if (!x->slot) {
        return -1;
    }
    const struct token_slot *s = token_index_slot(x, text, n);
    return s->text ? (int64_t)s->id : -1;
}
