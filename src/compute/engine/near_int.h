/* Private to engine/: which pages of the cache hold the layers that have a window. */
#ifndef ENGINE_NEAR_INT_H
#define ENGINE_NEAR_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "ground/base/err.h"

struct near_page {
    int slot;         /* near page that holds its layers with a window, -1: none */
    int n_use;        /* sequences that may still read them */
    int older, newer; /* neighbours among those with a slot and no use, -1: none */
};

struct near_pool {
    struct dev_kv *kv;
    int span;               /* positions that a token sees in those layers; 0: every page holds all layers */
    struct near_page *page; /* [n_page] */
    int *free_slot;         /* [n_slot], the first n_free count */
    int n_free, n_slot;
    int oldest, newest; /* pages that nobody reads and that keep their slot until it is needed */
};

/* span 0: no cache is kept apart, and all the functions below say yes and do nothing. n_slot near pages for n_page
 * pages of kv (borrowed; NULL: the caller only counts). -ERR_NOMEM. */
int near_init(struct near_pool *n, struct dev_kv *kv, int n_page, int n_slot, int span, struct err *e) MUST_CHECK;
void near_deinit(struct near_pool *n);
/* The first block that a token at this position reads in those layers. */
int near_first(const struct near_pool *n, size_t pos);
bool near_has(const struct near_pool *n, int page);
/* Room for the layers of a page that was taken, with one use: a free slot, else that which nobody has read for the
 * longest time. False when all are read. */
bool near_take(struct near_pool *n, int page);
/* Another use of a page that has them; the end of one. */
void near_ref(struct near_pool *n, int page);
void near_unref(struct near_pool *n, int page);
/* Another page holds the same tokens: it has the slot and its uses from now on. It had none. */
void near_move(struct near_pool *n, int from, int to);
/* The page is empty: whatever nobody reads is let go. */
void near_forget(struct near_pool *n, int page);

#endif
