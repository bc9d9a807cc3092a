/* An index of names: positions sorted by name. Owns the order, not the names. Sorting (and not hashing) keeps a file
 * made of colliding names from costing more than n log n. */
#include "compute/formats/formats_int.h"

#include <stdlib.h>
#include <string.h>

struct sort_context {
    const void *items;
    name_at_fn name_at;
};

static int compare_names(const void *a, const void *b, void *context)
{
    const struct sort_context *c = context;
    const uint32_t *x = a;
    const uint32_t *y = b;
    return strcmp(c->name_at(c->items, *x), c->name_at(c->items, *y));
}

int name_index_init(struct name_index *x, const void *items, size_t n, name_at_fn name_at, size_t *dup)
{
    *x = (struct name_index){0};
    *dup = n;
    if (n == 0) {
        return 0;
    }
    x->order = mem_try_array(n, sizeof *x->order);
    if (!x->order) {
        return -ERR_NOMEM;
    }
    x->n = n;
    for (size_t i = 0; i < n; i++) {
        x->order[i] = (uint32_t)i;
    }
    struct sort_context c = {items, name_at};
    qsort_r(x->order, n, sizeof *x->order, compare_names, &c);
    for (size_t i = 1; i < n; i++) {
        if (!strcmp(name_at(items, x->order[i - 1]), name_at(items, x->order[i]))) {
            *dup = x->order[i];
            break;
        }
    }
    return 0;
}

void name_index_deinit(struct name_index *x)
{
    mem_free(x->order);
    *x = (struct name_index){0};
}

size_t name_index_find(const struct name_index *x, const void *items, name_at_fn name_at, const char *name)
{
    size_t low = 0;
    size_t high = x->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strcmp(name_at(items, x->order[mid]), name);
        if (order == 0) {
            return x->order[mid];
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return x->n;
}
