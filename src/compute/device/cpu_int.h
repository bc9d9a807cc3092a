/* Private to the CPU device: what its files share.
 *
 * Scratch. Operations allocate nothing. One shared area and one area a worker are carved anew by every operation
 * (struct carve). They grow only in dev_mat_new, dev_kv_new and dev_lora_new (cpu_limits_grow), which know the largest
 * shapes, and in cpu_reserve, which the backward pass calls when a tape is made. Token blocks of TOK_BLOCK rows keep
 * every need independent of the size of a batch.
 *
 * Work is split by groups of 16 output rows, by heads or by tokens, never along the sum. */
#ifndef DEVICE_CPU_INT_H
#define DEVICE_CPU_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/kernels/kern.h"
#include "ground/base/err.h"
#include "ground/base/pool.h"

enum {
    TOK_BLOCK = 256, /* rows of a batch that an operation prepares at a time */
    TILE_GROUPS = 8, /* groups of 16 outputs that a worker computes before it finishes them */
    TILE_COLS = TILE_GROUPS * KERN_ROWS,
    BESIDE_GROUPS = 24, /* the same where panels are made beside the products */
    PANEL_K = 512,      /* inputs of a dequantized panel: 8 groups x 512 x 16 floats = 256 KiB stay in L2 */
    FEW_ROWS = 4,       /* up to so many rows every worker prepares the input itself: cheaper than a barrier */
    MAX_PROJ = 4,       /* projections of one input */
    ROPE_SLOTS = 1024,  /* rows whose rotary tables are kept from layer to layer */
    ROPE_KINDS = 2      /* different ropes of one model */
};

/* The largest shapes that operations were promised; scratch is reserved for them. */
struct cpu_limits {
    size_t n_in, n_out;      /* of any matrix */
    size_t rank;             /* of any adapter */
    size_t n_pos;            /* positions of a segment: at most all pages of the largest dev_kv */
    size_t d_head, n_kv_dim; /* n_kv_dim = n_kv_head * d_head */
    size_t n_latent;         /* of a compressed cache, 0: there is none */
};

struct scratch {
    uint8_t *base; /* 64-byte aligned */
    size_t size_bytes;
};

/* Rotary tables of one kind for the rows of the last batch: slot = row % ROPE_SLOTS, valid where pos agrees. */
struct rope_cache {
    int n_rot; /* 0: empty */
    float magnitude;
    float inv_freq[512];
    int32_t pos[ROPE_SLOTS]; /* -1: empty */
    float *cos, *sin;        /* [ROPE_SLOTS][n_rot / 2] in one allocation of ROPE_SLOTS * d_head floats */
    size_t d_head;           /* what it is allocated for */
};

struct dev {
    struct dev_options opt;
    struct pool *pool;
    struct kern kern;
    struct cpu_limits limits;
    struct scratch shared;  /* for all workers of an operation */
    struct scratch *worker; /* [opt.n_thread] */
    struct rope_cache rope[ROPE_KINDS];
    struct rope_cache *rope_now; /* that of the operation in hand */
    struct slab *slab;           /* where weights are put now */
    enum dev_kv_type kv_type;
    uint64_t max_bytes; /* dev_memory_limit */
    uint64_t kv_bytes;  /* of all dev_kv: memory that is promised and perhaps not yet written */
};

/* Packed blocks: groups of 16 output rows, each n_block blocks along the inputs; padded with zeros. */
struct dev_mat {
    struct dev *dev;
    enum quant_type type;
    size_t n_out, n_in;
    size_t n_group, n_block; /* ceil(n_out / 16), ceil(n_in / packed_k) */
    size_t group_bytes;      /* n_block * packed_bytes */
    uint8_t *packed;         /* [n_group][n_block] packed blocks; QUANT_F32: the panel [n_block * 32][16] itself */
    bool is_borrowed;        /* packed belongs to somebody else and is only read */
    struct slab *slab;       /* that packed lies in; NULL: it stands alone */
};

/* Memory for weights, aligned to 64 bytes and not zeroed, NULL without; *from: the slab to leave when they are let go,
 * or NULL for memory of its own, which mem_free takes. */
uint8_t *cpu_slab_take(struct dev *d, size_t size, struct slab **from);
void cpu_slab_leave(struct slab *s);

/* The packed block of a group in which input k lies. */
static inline const uint8_t *mat_block(const struct dev_mat *m, size_t group, size_t k)
{
    const struct quant *q = quants[m->type];
    return m->packed + group * m->group_bytes + k / (size_t)q->packed_k * q->packed_bytes;
}
/* One group of a matrix from its n_row <= 16 rows in the file's format; those past the end pack as zeros. */
void cpu_mat_pack(struct dev_mat *m, size_t group, const uint8_t *rows, size_t n_row, size_t row_bytes);
/* A matrix of this shape without its memory; raises the limits to it. */
int cpu_mat_shape(struct dev_mat *m, struct dev *d, enum quant_type type, size_t n_out, size_t n_in,
                  struct err *e) MUST_CHECK;
/* The part of its block in which input k lies. */
static inline size_t mat_part(const struct dev_mat *m, size_t k)
{
    return k % (size_t)quants[m->type]->packed_k / KERN_K;
}

/* Keys and values by page, then layer, then K before V. Within a page a head is contiguous:
 *   K of a head: [d_head][DEV_PAGE], transposed, so that it is the panel of the product with queries as it stands;
 *   V of a head: [DEV_PAGE][d_head], the panel of the product with weights.
 * A compressed cache has one plane a layer, [DEV_PAGE][d_head]: a token is a row, the latent and then the key.
 * Elements float32 (is_f16 and is_q8 false), float16, or int8, then followed by float16 scales in blocks of 32 along
 * d_head: of K [d_head / 32][DEV_PAGE], of V [DEV_PAGE][d_head / 32]. */
struct kv_layer {
    size_t offset; /* in its page */
    bool near;
};
struct dev_kv {
    struct dev *dev;
    struct dev_kv_shape shape;
    int n_page;
    bool is_f16, is_q8;
    size_t elem_bytes;
    size_t head_len;   /* d_head * DEV_PAGE elements: one head of K or of V */
    size_t head_bytes; /* of it, with its scales */
    size_t n_bytes;    /* of data, counted in dev->kv_bytes */
    uint8_t *data;     /* [n_page][far_bytes], [shape.n_near][near_bytes] */
    size_t far_bytes, near_bytes, near_start;
    struct kv_layer *layer; /* [n_layer] */
    int32_t *slot;          /* [n_page] near page, -1: none */
};

/* LoRA. a, b: row-major as PEFT, borrowed. at, bt: copies that are unit-stride panels for both forward products:
 * u = x at, y += scale * (u bt). Refreshed by dev_lora_update, as norm and gain are (cpu_magnitude.c). */
struct dev_lora {
    struct dev *dev;
    const float *a, *b; /* [rank][n_in], [n_out][rank] */
    float *at, *bt;     /* [n_in][rank], [rank][n_out] */
    int rank;
    size_t n_in, n_out;
    float scale;
    bool absorbed; /* the matrix holds it: it adds nothing */
    /* with magnitudes, else NULL */
    const struct dev_mat *w;
    const float *m;     /* [n_out], borrowed */
    float *norm, *gain; /* [n_out]: lengths of the rows, m / norm */
    double *square;     /* [n_out]: squared lengths of the rows of w */
    double *aa;         /* [rank][rank]: A A^T */
};
/* norm and gain again, from a, b, m and scale. */
void cpu_magnitude_update(struct dev *d, struct dev_lora *l);

/* --- scratch --- */

/* Grow the shared area and every worker's area to at least these sizes; contents are lost. */
int cpu_reserve(struct dev *d, size_t shared_bytes, size_t worker_bytes, struct err *e) MUST_CHECK;
/* Raise the limits to at least l and reserve what the forward operations need for them. */
int cpu_limits_grow(struct dev *d, const struct cpu_limits *l, struct err *e) MUST_CHECK;

/* What forward operations carve at most. */
size_t cpu_linear_shared_bytes(const struct cpu_limits *l);
size_t cpu_linear_worker_bytes(const struct cpu_limits *l);
size_t cpu_attention_worker_bytes(const struct dev *d, const struct cpu_limits *l);

/* A cursor over a scratch area. */
struct carve {
    uint8_t *at, *end;
};
static inline struct carve carve_begin(const struct scratch *s)
{
    return (struct carve){s->base, s->base + s->size_bytes};
}
/* n bytes, 64-byte aligned, not zeroed; asserts that they were reserved. */
void *carve_take(struct carve *c, size_t n_bytes);

/* --- keys and values --- */

static inline size_t kv_planes(const struct dev_kv_shape *s)
{
    return s->n_latent > 0 ? 1 : 2;
}
/* Values of a head's output. */
static inline size_t kv_value_len(const struct dev_kv_shape *s)
{
    return (size_t)(s->n_latent > 0 ? s->n_latent : s->d_head);
}
/* First element of a head of K ([d_head][DEV_PAGE]) or V ([DEV_PAGE][d_head]) as bytes. */
static inline void *kv_head(const struct dev_kv *kv, int32_t page, int layer, bool is_v, int head)
{
    const struct kv_layer *l = &kv->layer[layer];
    size_t at = l->near ? kv->near_start + (size_t)kv->slot[page] * kv->near_bytes : (size_t)page * kv->far_bytes;
    size_t h = (is_v ? (size_t)kv->shape.n_kv_head : 0) + (size_t)head;
    return kv->data + at + l->offset + h * kv->head_bytes;
}

/* The scales of a head of int8 elements. */
static inline uint16_t *kv_scales(const struct dev_kv *kv, void *head)
{
    return (uint16_t *)(void *)((uint8_t *)head + kv->head_len);
}

/* Scratch of a worker that stores a head of one token: its halves, or its int8 form with scales and sums. */
static inline size_t cpu_kv_store_bytes(size_t d_head)
{
    return 2 * d_head + 64 + d_head / KERN_K * 16;
}

/* Where a token of a batch stands. */
struct row_place {
    int32_t page, slot, pos;
};
/* Places of rows [row0, row0 + n_row) of a batch. Rows of no segment get page -1. */
void cpu_row_places(const struct dev_batch *b, int row0, int n_row, struct row_place *out);

/* --- products --- */

/* How a product is computed. The bits of a row depend on the path and on nothing else. */
enum cpu_path {
    PATH_REF, /* dequantized panel, 16-lane order */
    PATH_F32, /* dequantized panel, fused multiply-add */
    PATH_Q8,  /* packed weights with int8 activations */
    PATH_Q16, /* the same with activations of two bytes */
    PATH_BF16 /* panel and activations in bfloat16 */
};
/* fine: as in struct dev_proj. */
enum cpu_path cpu_path_choose(const struct dev *d, enum dev_mode mode, enum quant_type type, int fine, size_t n_row);

/* Rows of an input in the forms that paths want; a form that is not needed stays NULL. */
struct cpu_rows {
    const float *x;
    size_t ldx;
    struct q8_rows q8, q16; /* q16 is fine */
    uint16_t *bf16;         /* [n_row][ld_bf16], padded with zeros to a multiple of 32 */
    size_t ld_bf16;
    size_t n_row;
};
/* Groups of outputs that one product goes by at most: TILE_GROUPS, or BESIDE_GROUPS. */
size_t cpu_most_groups(const struct dev *d, enum cpu_path path);
/* Values from one row to the next of a tile of so many groups: an odd number of cache lines, see cpu_row_stride. */
static inline size_t cpu_tile_ld(size_t n_group)
{
    return (n_group | 1) * KERN_ROWS;
}
/* y[n_row][ldy] = x W^T for output groups [g0, g1), at most cpu_most_groups of them. y points at the first column of
 * g0; 16 * (g1 - g0) columns are written. add: y += instead, PATH_BF16 alone. c: the worker's scratch for panels. */
void cpu_product(const struct dev *d, enum cpu_path path, const struct dev_mat *m, const struct cpu_rows *x, size_t g0,
                 size_t g1, float *y, size_t ldy, bool add, struct carve c);
/* Groups of outputs that a worker takes at a time of n_group, each of so many bytes, when n_row rows are multiplied
 * with them: an even number, at most cpu_most_groups. */
size_t cpu_take_groups(const struct dev *d, enum cpu_path path, size_t n_group, size_t group_bytes, size_t n_row);
/* Worker scratch that cpu_product needs for matrices of n_in inputs. */
size_t cpu_product_bytes(size_t n_in);

/* The float product of a precision: gemm_ref in PRECISION_REFERENCE, else gemm_f32. */
static inline kern_gemm_fn cpu_gemm(const struct dev *d)
{
    return d->opt.precision == PRECISION_REFERENCE ? d->kern.gemm_ref : d->kern.gemm_f32;
}

/* The adapter of a segment on a projection, or NULL. */
static inline const struct dev_lora *cpu_lora(const struct dev_proj *p, const struct dev_segment *s)
{
    return s->adapter >= 0 && s->adapter < p->n_lora ? p->lora[s->adapter] : NULL;
}

/* --- the residual stream --- */

/* A worker's share of rows [row0, row0 + n_row) of join->y joins x: [n_tok][n]. Every worker's products are done; uses
 * its scratch. */
void cpu_join_rows(const struct dev *d, const struct dev_join *join, size_t n, size_t row0, size_t n_row, int worker,
                   int n_worker, float *x);

/* --- rotary tables --- */

/* Make a cache hold tables of this rope (empties one when none did). NULL: nothing. Before workers start. */
void cpu_rope_begin(struct dev *d, const struct dev_rope *rope);
/* cos and sin [n_rot / 2] of position pos, kept in the slot of a batch row. Different rows from different workers only.
 */
void cpu_rope_row(struct dev *d, size_t row, int32_t pos, const float **cos, const float **sin);

#endif
