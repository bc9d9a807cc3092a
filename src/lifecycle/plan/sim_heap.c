/* An indexed heap. Owns its arrays. What always holds: order and place are inverse, and no key is less than that of the
 * place above it. */
#include "lifecycle/plan/sim_heap.h"

#include <math.h>

#include "ground/base/mem.h"

int sim_heap_init(struct sim_heap *h, int n, struct err *e)
{
    size_t size = (size_t)n;
    *h = (struct sim_heap){.key = mem_try_array(size, sizeof(double)),
                           .order = mem_try_array(size, sizeof(int32_t)),
                           .place = mem_try_array(size, sizeof(int32_t)),
                           .n = n};
    if (!h->key || !h->order || !h->place) {
        sim_heap_deinit(h);
        return err_set(e, ERR_NOMEM, NULL, "cannot simulate %d replicas: out of memory", n);
    }
    for (int i = 0; i < n; i++) {
        h->key[i] = HUGE_VAL;
        h->order[i] = h->place[i] = i;
    }
    return 0;
}

void sim_heap_deinit(struct sim_heap *h)
{
    mem_free(h->key);
    mem_free(h->order);
    mem_free(h->place);
    *h = (struct sim_heap){0};
}

int sim_heap_least(const struct sim_heap *h)
{
    return h->order[0];
}

static double key_at(const struct sim_heap *h, int place)
{
    return h->key[h->order[place]];
}

static void swap(struct sim_heap *h, int a, int b)
{
    int32_t x = h->order[a], y = h->order[b];
    h->order[a] = y;
    h->order[b] = x;
    h->place[x] = b;
    h->place[y] = a;
}

void sim_heap_set(struct sim_heap *h, int number, double key)
{
    int at = h->place[number];
    h->key[number] = key;
    while (at > 0 && key < key_at(h, (at - 1) / 2)) {
        swap(h, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
    for (int child = 2 * at + 1; child < h->n; child = 2 * at + 1) {
        if (child + 1 < h->n && key_at(h, child + 1) < key_at(h, child)) child++;
        if (key_at(h, child) >= key) break;
        swap(h, at, child);
        at = child;
    }
}
