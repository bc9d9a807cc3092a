/* The near pool: layers with a window are kept for the last positions of a sequence alone, in pages of their own.
 * A page of the cache has a near page (slot) from when it is taken until no sequence is within a window of it, and
 * after that until another page wants the slot: a prefix that is used again soon finds all its layers.
 *
 * What always holds: a slot is free, or belongs to one page; a page with a slot is in use, or in the list. */
#include "compute/engine/near_int.h"

#include <assert.h>

#include "ground/base/mem.h"

int near_init(struct near_pool *n, struct dev_kv *kv, int n_page, int n_slot, int span, struct err *e)
{
    *n = (struct near_pool){.kv = kv, .span = span, .n_slot = n_slot, .n_free = n_slot, .oldest = -1, .newest = -1};
    if (!span) return 0;
    n->page = mem_try_array((size_t)n_page, sizeof(*n->page));
    n->free_slot = mem_try_array((size_t)n_slot, sizeof(*n->free_slot));
    if (!n->page || !n->free_slot) {
        near_deinit(n);
        return err_set(e, ERR_NOMEM, NULL, "cannot keep track of %d KV pages: out of memory", n_page);
    }
    for (int i = 0; i < n_page; i++) n->page[i] = (struct near_page){-1, 0, -1, -1};
    for (int i = 0; i < n_slot; i++) n->free_slot[i] = n_slot - 1 - i;
    return 0;
}

void near_deinit(struct near_pool *n)
{
    mem_free(n->page);
    mem_free(n->free_slot);
    *n = (struct near_pool){0};
}

int near_first(const struct near_pool *n, size_t pos)
{
    size_t span = (size_t)n->span;
    return span && pos + 1 > span ? (int)((pos + 1 - span) / DEV_PAGE) : 0;
}

bool near_has(const struct near_pool *n, int page)
{
    return !n->span || n->page[page].slot >= 0;
}

static void set_slot(struct near_pool *n, int page, int slot)
{
    n->page[page].slot = slot;
    if (n->kv) dev_kv_near(n->kv, page, slot);
}

static void list_push(struct near_pool *n, int page)
{
    n->page[page].older = n->newest;
    n->page[page].newer = -1;
    *(n->newest >= 0 ? &n->page[n->newest].newer : &n->oldest) = page;
    n->newest = page;
}

static void list_remove(struct near_pool *n, int page)
{
    const struct near_page *g = &n->page[page];
    *(g->older >= 0 ? &n->page[g->older].newer : &n->oldest) = g->newer;
    *(g->newer >= 0 ? &n->page[g->newer].older : &n->newest) = g->older;
}

/* A slot that holds nothing anybody reads; -1: none. */
static int find_slot(struct near_pool *n)
{
    if (n->n_free > 0) return n->free_slot[--n->n_free];
    int page = n->oldest;
    if (page < 0) return -1;
    int slot = n->page[page].slot;
    list_remove(n, page);
    set_slot(n, page, -1);
    return slot;
}

bool near_take(struct near_pool *n, int page)
{
    if (!n->span) return true;
    struct near_page *g = &n->page[page];
    assert(g->n_use == 0);
    if (g->slot >= 0) { /* of what the page held before */
        list_remove(n, page);
    } else {
        int slot = find_slot(n);
        if (slot < 0) return false;
        set_slot(n, page, slot);
    }
    g->n_use = 1;
    return true;
}

void near_ref(struct near_pool *n, int page)
{
    if (!n->span) return;
    assert(n->page[page].slot >= 0);
    if (n->page[page].n_use++ == 0) list_remove(n, page);
}

void near_unref(struct near_pool *n, int page)
{
    if (!n->span) return;
    assert(n->page[page].n_use > 0);
    if (--n->page[page].n_use == 0) list_push(n, page);
}

void near_move(struct near_pool *n, int from, int to)
{
    if (!n->span) return;
    struct near_page *a = &n->page[from], *b = &n->page[to];
    assert(a->n_use > 0 && b->slot < 0 && b->n_use == 0);
    int slot = a->slot;
    set_slot(n, from, -1);
    set_slot(n, to, slot);
    b->n_use = a->n_use;
    a->n_use = 0;
}

void near_forget(struct near_pool *n, int page)
{
    if (!n->span || n->page[page].slot < 0 || n->page[page].n_use > 0) return;
    list_remove(n, page);
    n->free_slot[n->n_free++] = n->page[page].slot;
    set_slot(n, page, -1);
}
