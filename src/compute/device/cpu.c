/* The CPU device: its life, plain memory, and the scratch that operations carve. Knows no operation but the sizes
 * that the forward operations need. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <string.h>

#include "ground/base/mem.h"

int dev_cpu_new(struct dev **out, const struct dev_options *opt, struct err *e)
{
    *out = NULL;
    struct dev *d = mem_try_alloc(sizeof(*d));
    if (!d) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make a CPU device: out of memory");
    }
    d->opt = *opt;
    int rc = pool_new(&d->pool, opt->n_thread, e);
    if (rc) {
        goto out;
    }
    d->worker = mem_try_array((size_t)opt->n_thread, sizeof(d->worker[0]));
    if (!d->worker) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot make a CPU device: no memory for %d workers", opt->n_thread);
        goto out;
    }
    pool_watch(d->pool);
    kern_init(&d->kern, opt->isa);
    *out = d;
    d = NULL;
out:
    dev_free(d);
    return rc;
}

void dev_free(struct dev *d)
{
    if (!d) {
        return;
    }
    if (d->worker) {
        for (int i = 0; i < d->opt.n_thread; i++) {
            mem_free(d->worker[i].base);
        }
    }
    mem_free(d->worker);
    cpu_slab_leave(d->slab);
    mem_free(d->shared.base);
    for (int i = 0; i < ROPE_KINDS; i++) {
        mem_free(d->rope[i].cos);
    }
    pool_free(d->pool);
    mem_free(d);
}

enum precision dev_precision(const struct dev *d)
{
    return d->opt.precision;
}
int dev_n_thread(const struct dev *d)
{
    return d->opt.n_thread;
}
enum kern_isa dev_isa(const struct dev *d)
{
    return d->kern.isa;
}
bool dev_uses_bf16(const struct dev *d)
{
    return d->opt.precision == PRECISION_AUTO && d->kern.gemm_bf16 != NULL;
}

int dev_alloc(struct dev *d, float **out, size_t n, struct err *e)
{
    (void)d;
    size_t n_bytes;
    *out = mul_size(n, sizeof(float), &n_bytes) ? mem_try_aligned(n_bytes ? n_bytes : 1) : NULL;
    if (!*out) {
        return err_set(e, ERR_NOMEM, NULL, "cannot allocate device memory: %zu values of 4 bytes wanted", n);
    }
    memset(*out, 0, n_bytes);
    return 0;
}

void dev_release(struct dev *d, float *p)
{
    (void)d;
    mem_free(p);
}

void dev_write(struct dev *d, float *dst, const float *src, size_t n)
{
    (void)d;
    memcpy(dst, src, n * sizeof(float));
}

void dev_read(struct dev *d, float *dst, const float *src, size_t n)
{
    (void)d;
    memcpy(dst, src, n * sizeof(float));
}

void dev_zero(struct dev *d, float *p, size_t n)
{
    (void)d;
    memset(p, 0, n * sizeof(float));
}

void dev_take_rows(struct dev *d, float *x, size_t width, const int32_t *rows, int n_row)
{
    (void)d;
    for (int i = 0; i < n_row; i++) {
        memmove(x + (size_t)i * width, x + (size_t)rows[i] * width, width * sizeof(float));
    }
}

static int scratch_grow(struct scratch *s, size_t size_bytes, struct err *e)
{
    if (size_bytes <= s->size_bytes) {
        return 0;
    }
    uint8_t *p = mem_try_aligned(size_bytes);
    if (!p) {
        return err_set(e, ERR_NOMEM, NULL, "cannot reserve scratch memory: %zu bytes wanted", size_bytes);
    }
    mem_free(s->base);
    s->base = p;
    s->size_bytes = size_bytes;
    return 0;
}

int cpu_reserve(struct dev *d, size_t shared_bytes, size_t worker_bytes, struct err *e)
{
    int rc = scratch_grow(&d->shared, shared_bytes, e);
    for (int i = 0; !rc && i < d->opt.n_thread; i++) {
        rc = scratch_grow(&d->worker[i], worker_bytes, e);
    }
    return rc;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Tables of ROPE_SLOTS rows for heads of up to d_head values. */
static int rope_grow(struct rope_cache *c, size_t d_head, struct err *e)
{
    if (d_head <= c->d_head) {
        return 0;
    }
    float *p = mem_try_aligned(ROPE_SLOTS * d_head * sizeof(float));
    if (!p) {
        return err_set(e, ERR_NOMEM, NULL, "cannot hold rotary tables for heads of %zu values: out of memory", d_head);
    }
    mem_free(c->cos);
    *c = (struct rope_cache){.cos = p, .sin = p + ROPE_SLOTS * d_head / 2, .d_head = d_head};
    return 0;
}

int cpu_limits_grow(struct dev *d, const struct cpu_limits *l, struct err *e)
{
    struct cpu_limits n = {
        .n_in = max_size(d->limits.n_in, l->n_in),
        .n_out = max_size(d->limits.n_out, l->n_out),
        .rank = max_size(d->limits.rank, l->rank),
        .n_pos = max_size(d->limits.n_pos, l->n_pos),
        .d_head = max_size(d->limits.d_head, l->d_head),
        .n_kv_dim = max_size(d->limits.n_kv_dim, l->n_kv_dim),
        .n_latent = max_size(d->limits.n_latent, l->n_latent),
    };
    size_t worker = max_size(cpu_linear_worker_bytes(&n), cpu_attention_worker_bytes(d, &n));
    int rc = cpu_reserve(d, cpu_linear_shared_bytes(&n), worker, e);
    for (int i = 0; !rc && i < ROPE_KINDS; i++) {
        rc = rope_grow(&d->rope[i], n.d_head, e);
    }
    if (!rc) {
        d->limits = n;
    }
    return rc;
}

void *carve_take(struct carve *c, size_t n_bytes)
{
    void *p = c->at;
    n_bytes = round_up(n_bytes, 64);
    assert(n_bytes <= (size_t)(c->end - c->at));
    c->at += n_bytes;
    return p;
}
