/* Memory of weights. Matrices that are smaller than a few large pages (2 MiB) share slabs, so that the kernel can give
 * large pages to them too: what is read as a stream is found without walks through page tables. A slab lives as long as
 * a matrix in it, or as it is the one that is being filled. */
#include "compute/device/cpu_int.h"
#include "ground/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SLAB_BYTES = 0 }; /* each alone: reads past the end are found */
#else
enum { SLAB_BYTES = 32 << 20 };
#endif

struct slab {
    uint8_t *data;
    size_t used;
    int n_user; /* matrices, and the device while it fills this one */
};

void cpu_slab_leave(struct slab *s)
{
    if (!s || --s->n_user > 0) return;
    mem_free(s->data);
    mem_free(s);
}

/* The slab with room for so many bytes; NULL without memory. */
static struct slab *slab_for(struct dev *d, size_t size)
{
    if (d->slab && d->slab->used + size <= SLAB_BYTES) return d->slab;
    struct slab *s = mem_try_alloc(sizeof(*s));
    uint8_t *data = s ? mem_try_aligned(SLAB_BYTES) : NULL;
    if (!data) {
        mem_free(s);
        return NULL;
    }
    mem_prefer_large_pages(data, SLAB_BYTES);
    *s = (struct slab){.data = data, .n_user = 1};
    cpu_slab_leave(d->slab);
    return d->slab = s;
}

uint8_t *cpu_slab_take(struct dev *d, size_t size, struct slab **from)
{
    *from = NULL;
    if (size > SLAB_BYTES / 4) { /* less than that is lost at the end of a slab */
        uint8_t *alone = mem_try_aligned(size);
        if (alone) mem_prefer_large_pages(alone, size);
        return alone;
    }
    struct slab *s = slab_for(d, round_up(size, 64));
    if (!s) return NULL;
    uint8_t *p = s->data + s->used;
    s->used += round_up(size, 64);
    s->n_user++;
    *from = s;
    return p;
}
