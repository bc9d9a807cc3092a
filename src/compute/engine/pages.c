/* The page pool: reference counts, the index of full pages by their prefix, and eviction. Owns numbers of pages, never
 * their contents.
 *
 * A prefix is shared by full pages only. A page is found by the serial of the page before it and its own ids, compared
 * exactly; serials are never used twice, so a chain of pages means exactly one list of tokens, and the children of a
 * page that was evicted can no longer be found.
 *
 * What always holds: a page is in exactly one of three places: referenced (n_ref > 0), idle (published, n_ref 0), free.
 */
#include "compute/engine/pages_int.h"

#include <string.h>

#include "ground/base/mem.h"

#define FIRST_SERIAL (UINT64_C(1) << 32) /* below: roots, one an adapter */

static void list_push(struct page_pool *p, struct page_list *l, int idx)
{
    p->page[idx].older = l->newest;
    p->page[idx].newer = -1;
    if (l->newest >= 0)
        p->page[l->newest].newer = idx;
    else
        l->oldest = idx;
    l->newest = idx;
    l->n++;
}

static void list_remove(struct page_pool *p, struct page_list *l, int idx)
{
    struct page *g = &p->page[idx];
    if (g->older >= 0)
        p->page[g->older].newer = g->newer;
    else
        l->oldest = g->newer;
    if (g->newer >= 0)
        p->page[g->newer].older = g->older;
    else
        l->newest = g->older;
    l->n--;
}

int page_pool_init(struct page_pool *p, int n_page, bool sharing, struct err *e)
{
    *p = (struct page_pool){.n_page = n_page, .next_serial = FIRST_SERIAL, .sharing = sharing, .n_bucket = 16};
    p->free = p->idle = (struct page_list){-1, -1, 0};
    while (p->n_bucket < (size_t)n_page) p->n_bucket *= 2;
    p->page = mem_try_array((size_t)n_page, sizeof(*p->page));
    p->bucket = mem_try_array(p->n_bucket, sizeof(*p->bucket));
    if (!p->page || !p->bucket) {
        page_pool_deinit(p);
        return err_set(e, ERR_NOMEM, NULL, "cannot keep track of %d KV pages: out of memory", n_page);
    }
    for (size_t i = 0; i < p->n_bucket; i++) p->bucket[i] = -1;
    for (int i = 0; i < n_page; i++) list_push(p, &p->free, i);
    return 0;
}

void page_pool_deinit(struct page_pool *p)
{
    mem_free(p->page);
    mem_free(p->bucket);
    *p = (struct page_pool){0};
}

int page_pool_available(const struct page_pool *p)
{
    return p->free.n + p->idle.n;
}

uint64_t page_root(int adapter)
{
    return (uint64_t)(adapter + 2);
}

/* FNV-1a over words: the index compares exactly, so only spread matters. */
static size_t bucket_of(const struct page_pool *p, uint64_t parent, const int32_t *ids)
{
    uint64_t h = UINT64_C(14695981039346656037) ^ parent;
    for (int i = 0; i < DEV_PAGE; i++) h = (h ^ (uint32_t)ids[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32) & (p->n_bucket - 1);
}

static void unpublish(struct page_pool *p, int idx)
{
    struct page *g = &p->page[idx];
    int *link = &p->bucket[bucket_of(p, g->parent, g->ids)];
    while (*link != idx) link = &p->page[*link].next;
    *link = g->next;
    g->serial = 0;
}

int page_take(struct page_pool *p)
{
    int idx = p->free.oldest;
    if (idx >= 0) {
        list_remove(p, &p->free, idx);
    } else {
        idx = p->idle.oldest;
        if (idx < 0) return -1;
        list_remove(p, &p->idle, idx);
        unpublish(p, idx);
    }
    p->page[idx].n_ref = 1;
    return idx;
}

void page_ref(struct page_pool *p, int idx)
{
    if (p->page[idx].n_ref++ == 0) list_remove(p, &p->idle, idx);
}

void page_unref(struct page_pool *p, int idx)
{
    if (--p->page[idx].n_ref == 0) list_push(p, p->page[idx].serial ? &p->idle : &p->free, idx);
}

int page_find(const struct page_pool *p, uint64_t parent, const int32_t *ids)
{
    if (!p->sharing) return -1;
    for (int i = p->bucket[bucket_of(p, parent, ids)]; i >= 0; i = p->page[i].next)
        if (p->page[i].parent == parent && !memcmp(p->page[i].ids, ids, sizeof(p->page[i].ids))) return i;
    return -1;
}

uint64_t page_publish(struct page_pool *p, int idx, uint64_t parent, const int32_t *ids)
{
    if (!p->sharing) return 0;
    int known = page_find(p, parent, ids);
    if (known >= 0) return p->page[known].serial;
    struct page *g = &p->page[idx];
    size_t b = bucket_of(p, parent, ids);
    g->serial = p->next_serial++;
    g->parent = parent;
    memcpy(g->ids, ids, sizeof(g->ids));
    g->next = p->bucket[b];
    p->bucket[b] = idx;
    return g->serial;
}
