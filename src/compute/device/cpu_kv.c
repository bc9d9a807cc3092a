/* Pages of keys and values, and the way from a row of a batch to its place in them. */
#include "compute/device/cpu_int.h"

#include <string.h>

#include "ground/base/mem.h"

enum { READ_PAST = 64 }; /* bytes that readers of whole vectors may touch past the last page */

/* Whether a layer is kept apart. */
static bool is_near(const struct dev_kv_shape *shape, int layer)
{
    return shape->n_near > 0 && shape->is_near && shape->is_near[layer];
}

/* The form of a cache, without its pages. */
static struct dev_kv kv_form(const struct dev *d, const struct dev_kv_shape *shape, enum dev_mode mode)
{
    bool is_short = d->opt.precision != PRECISION_REFERENCE && mode == DEV_SERVE;
    struct dev_kv kv = {.shape = *shape,
                        .is_f16 = is_short && d->kv_type == DEV_KV_F16,
                        .is_q8 = is_short && d->kv_type == DEV_KV_Q8_0,
                        .head_len = (size_t)shape->d_head * DEV_PAGE};
    kv.elem_bytes = kv.is_q8 ? 1 : kv.is_f16 ? 2 : 4;
    kv.head_bytes = kv.head_len * kv.elem_bytes + (kv.is_q8 ? kv.head_len / KERN_K * sizeof(uint16_t) : 0);
    size_t layer_bytes = kv_planes(shape) * (size_t)shape->n_kv_head * kv.head_bytes;
    for (int l = 0; l < shape->n_layer; l++) {
        *(is_near(shape, l) ? &kv.near_bytes : &kv.far_bytes) += layer_bytes;
    }
    return kv;
}

void dev_kv_use(struct dev *d, enum dev_kv_type type)
{
    d->kv_type = type;
}

enum dev_kv_type dev_kv_type(const struct dev *d)
{
    return d->kv_type;
}

size_t dev_kv_plan_page_bytes(const struct dev *d, const struct dev_kv_shape *shape, enum dev_mode mode)
{
    struct dev_kv kv = kv_form(d, shape, mode);
    return dev_kv_page_bytes(&kv);
}

uint64_t dev_kv_plan_bytes(const struct dev *d, const struct dev_kv_shape *shape, enum dev_mode mode, int n_page)
{
    struct dev_kv kv = kv_form(d, shape, mode);
    return (uint64_t)kv.far_bytes * (uint64_t)n_page + (uint64_t)kv.near_bytes * (uint64_t)shape->n_near;
}

/* Where each layer stands in its page, and that no page has a near one yet. */
static int place_layers(struct dev_kv *kv, struct err *e)
{
    size_t at[2] = {0, 0};
    kv->layer = mem_try_array((size_t)kv->shape.n_layer, sizeof *kv->layer);
    kv->slot = mem_try_array((size_t)kv->n_page, sizeof *kv->slot);
    if (!kv->layer || !kv->slot) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make a cache of keys and values: out of memory");
    }
    for (int l = 0; l < kv->shape.n_layer; l++) {
        bool near = is_near(&kv->shape, l);
        kv->layer[l] = (struct kv_layer){at[near], near};
        at[near] += kv_planes(&kv->shape) * (size_t)kv->shape.n_kv_head * kv->head_bytes;
    }
    for (int i = 0; i < kv->n_page; i++) {
        kv->slot[i] = -1;
    }
    kv->near_start = kv->far_bytes * (size_t)kv->n_page;
    kv->shape.is_near = NULL; /* the caller's */
    return 0;
}

void dev_kv_near(struct dev_kv *kv, int page, int slot)
{
    kv->slot[page] = slot;
}

int dev_kv_new(struct dev *d, struct dev_kv **out, const struct dev_kv_shape *shape, enum dev_mode mode, int n_page,
               struct err *e)
{
    *out = NULL;
    struct dev_kv *kv = mem_try_alloc(sizeof(*kv));
    if (!kv) {
        return err_set(e, ERR_NOMEM, NULL, "cannot make a cache of keys and values: out of memory");
    }
    *kv = kv_form(d, shape, mode);
    kv->dev = d;
    kv->n_page = n_page;
    if (kv->is_q8 && shape->n_latent > 0) {
        mem_free(kv);
        return err_set(e, ERR_UNSUPPORTED, "kv_type",
                       "cannot keep keys and values in q8_0: this model keeps a compressed form of them already");
    }
    if (kv->is_q8 && shape->d_head % KERN_K != 0) {
        mem_free(kv);
        return err_set(e, ERR_UNSUPPORTED, "kv_type",
                       "cannot keep keys and values in q8_0: heads of %d values are no whole blocks of %d",
                       shape->d_head, (int)KERN_K);
    }
    size_t n_far, n_near;
    bool fits = mul_size(kv->far_bytes, (size_t)n_page, &n_far) &&
                mul_size(kv->near_bytes, (size_t)shape->n_near, &n_near) && n_near < SIZE_MAX - READ_PAST - n_far;
    size_t n_bytes = fits ? n_far + n_near : 0;
    kv->data = fits ? mem_try_aligned(n_bytes + READ_PAST) : NULL;
    int rc = 0;
    if (!kv->data) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot hold keys and values: %d pages of %zu bytes wanted", n_page,
                     dev_kv_page_bytes(kv));
        goto out;
    }
    rc = place_layers(kv, e);
    if (rc) {
        goto out;
    }
    rc = cpu_limits_grow(d,
                         &(struct cpu_limits){.n_pos = (size_t)n_page * DEV_PAGE,
                                              .d_head = (size_t)shape->d_head,
                                              .n_kv_dim = (size_t)shape->n_kv_head * (size_t)shape->d_head,
                                              .n_latent = (size_t)shape->n_latent},
                         e);
    if (rc) {
        goto out;
    }
    d->kv_bytes += n_bytes;
    kv->n_bytes = n_bytes;
    *out = kv;
    kv = NULL;
out:
    dev_kv_free(kv);
    return rc;
}

void dev_kv_free(struct dev_kv *kv)
{
    if (kv) {
        kv->dev->kv_bytes -= kv->n_bytes; /* 0 until it was made whole */
        mem_free(kv->data);
        mem_free(kv->layer);
        mem_free(kv->slot);
        mem_free(kv);
    }
}

size_t dev_kv_page_bytes(const struct dev_kv *kv)
{
    return kv->far_bytes + kv->near_bytes;
}

static void copy_tokens(uint8_t *dst, const uint8_t *src, size_t n_line, size_t line_bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_line; i++) {
        memcpy(dst + i * line_bytes, src + i * line_bytes, n_bytes);
    }
}

void dev_kv_copy(struct dev *d, struct dev_kv *kv, int dst_page, int src_page, int n_tok)
{
    (void)d;
    size_t d_head = (size_t)kv->shape.d_head, n = (size_t)n_tok * kv->elem_bytes, n_scale = d_head / KERN_K;
    for (int l = 0; l < kv->shape.n_layer; l++) {
        if (kv->shape.n_latent > 0) {
            memcpy(kv_head(kv, dst_page, l, false, 0), kv_head(kv, src_page, l, false, 0), n * d_head);
            continue;
        }
        for (int h = 0; h < kv->shape.n_kv_head; h++) {
            uint8_t *k = kv_head(kv, dst_page, l, false, h), *v = kv_head(kv, dst_page, l, true, h);
            const uint8_t *from_k = kv_head(kv, src_page, l, false, h), *from_v = kv_head(kv, src_page, l, true, h);
            copy_tokens(k, from_k, d_head, DEV_PAGE * kv->elem_bytes, n);
            memcpy(v, from_v, n * d_head);
            if (kv->is_q8) {
                copy_tokens(k + kv->head_len, from_k + kv->head_len, n_scale, DEV_PAGE * 2, (size_t)n_tok * 2);
                memcpy(v + kv->head_len, from_v + kv->head_len, (size_t)n_tok * n_scale * 2);
            }
        }
    }
}

void dev_kv_zero(struct dev *d, struct dev_kv *kv)
{
    (void)d;
    memset(kv->data, 0, kv->n_bytes);
}

/* Places of tokens [first, end) of a segment, counted from its first token. */
static void segment_places(const struct dev_segment *s, int first, int end, struct row_place *out)
{
    int base = 0; /* position of the first token of the block */
    int i = first;
    for (int k = 0; k < s->n_block && i < end; k++) {
        int next = base + s->block[k].n_tok;
        for (; i < end && s->first_pos + i < next; i++) {
            out[i - first] = (struct row_place){s->block[k].page, s->first_pos + i - base, s->first_pos + i};
        }
        base = next;
    }
    for (; i < end; i++) {
        out[i - first] = (struct row_place){-1, 0, s->first_pos + i};
    }
}

void cpu_row_places(const struct dev_batch *b, int row0, int n_row, struct row_place *out)
{
    for (int i = 0; i < n_row; i++) {
        out[i] = (struct row_place){-1, 0, 0};
    }
    for (int k = 0; k < b->n_segment; k++) {
        const struct dev_segment *s = &b->segment[k];
        int first = s->first_tok > row0 ? s->first_tok : row0;
        int end = s->first_tok + s->n_tok < row0 + n_row ? s->first_tok + s->n_tok : row0 + n_row;
        if (first < end) {
            segment_places(s, first - s->first_tok, end - s->first_tok, out + (first - row0));
        }
    }
}
