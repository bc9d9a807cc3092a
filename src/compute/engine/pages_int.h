/* Private to engine/: which KV page belongs to whom. */
#ifndef ENGINE_PAGES_INT_H
#define ENGINE_PAGES_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "ground/base/err.h"

/* A page of the cache. A full page that was published is known by (serial of the page before it, its token ids). */
struct page {
    uint64_t serial, parent; /* serial 0: not published */
    int32_t ids[DEV_PAGE];
    int n_ref;        /* sequences whose block tables name it */
    int older, newer; /* neighbours in the list it is in (free or idle), -1: none */
    int next;         /* in its bucket, -1: none */
};

struct page_list {
    int oldest, newest, n;
};

struct page_pool {
    struct page *page;
    int n_page;
    struct page_list free; /* nothing in them */
    struct page_list idle; /* published, in no block table: kept until they are needed, least recently used first */
    int *bucket;           /* [n_bucket] first page, -1: none */
    size_t n_bucket;       /* a power of 2 */
    uint64_t next_serial;
    bool sharing;
};

/* All pages free; sharing: keep an index of full pages by prefix. -ERR_NOMEM. */
int page_pool_init(struct page_pool *p, int n_page, bool sharing, struct err *e) MUST_CHECK;
void page_pool_deinit(struct page_pool *p);
/* Pages that page_take could give. */
int page_pool_available(const struct page_pool *p);
/* The serial that stands before the first page of a sequence with an adapter (-1: none). */
uint64_t page_root(int adapter);
/* An empty page with one reference: a free one, else the idle one that was used longest ago; -1: none. */
int page_take(struct page_pool *p);
void page_ref(struct page_pool *p, int idx);
/* The last reference of a published page makes it idle, of another free. */
void page_unref(struct page_pool *p, int idx);
/* The published page with these DEV_PAGE ids after `parent`, -1: none. */
int page_find(const struct page_pool *p, uint64_t parent, const int32_t *ids);
/* A referenced page is full. Returns the serial under which its contents are known: another page's when that one was
 * published before (then this one stays private). */
uint64_t page_publish(struct page_pool *p, int idx, uint64_t parent, const int32_t *ids);

#endif
