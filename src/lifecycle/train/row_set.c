/* The set of examples. Owns its slots. What always holds: at most half of them are taken, so that a search ends. */
#include "lifecycle/train/row_set.h"

#include <string.h>

#include "ground/base/mem.h"

enum { SLOTS_AT_FIRST = 1024 };

void row_set_deinit(struct row_set *s)
{
    mem_free(s->slot);
    *s = (struct row_set){0};
}

/* FNV-1a over tokens and labels; equal hashes are compared in full. */
static uint64_t hash_of(const struct train_rows *r, size_t first)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = r->start[first]; i < r->start[first + r->unit]; i++) {
        h = (h ^ (uint32_t)r->ids[i]) * 0x100000001b3u;
        h = (h ^ (uint32_t)r->labels[i]) * 0x100000001b3u;
    }
    return h;
}

static bool same_rows(const struct train_rows *r, size_t a, size_t b)
{
    size_t n = train_row_len(r, a);
    return n == train_row_len(r, b) && r->desirable[a] == r->desirable[b] &&
           memcmp(r->ids + r->start[a], r->ids + r->start[b], n * sizeof(*r->ids)) == 0 &&
           memcmp(r->labels + r->start[a], r->labels + r->start[b], n * sizeof(*r->labels)) == 0;
}

static bool same(const struct train_rows *r, size_t a, size_t b)
{
    for (size_t k = 0; k < r->unit; k++)
        if (!same_rows(r, a + k, b + k)) return false;
    return true;
}

/* The slot of an example, or the free one where it belongs. */
static uint32_t *find(const struct row_set *s, const struct train_rows *r, size_t first)
{
    size_t i = (size_t)hash_of(r, first) & (s->n_slot - 1);
    while (s->slot[i] != 0 && !same(r, (s->slot[i] - 1) * r->unit, first)) i = (i + 1) & (s->n_slot - 1);
    return &s->slot[i];
}

static int grow(struct row_set *s, const struct train_rows *r)
{
    struct row_set larger = {.n_slot = s->n_slot == 0 ? SLOTS_AT_FIRST : 2 * s->n_slot, .n = s->n};
    larger.slot = mem_try_array(larger.n_slot, sizeof(*larger.slot));
    if (larger.slot == NULL) return -ERR_NOMEM;
    for (size_t i = 0; i < s->n_slot; i++)
        if (s->slot[i] != 0) *find(&larger, r, (s->slot[i] - 1) * r->unit) = s->slot[i];
    mem_free(s->slot);
    *s = larger;
    return 0;
}

int row_set_add(struct row_set *s, const struct train_rows *r, size_t first, bool *is_old)
{
    if (2 * (s->n + 1) > s->n_slot && grow(s, r) != 0) return -ERR_NOMEM;
    uint32_t *slot = find(s, r, first);
    *is_old = *slot != 0;
    if (*is_old) return 0;
    *slot = (uint32_t)(first / r->unit) + 1;
    s->n++;
    return 0;
}
