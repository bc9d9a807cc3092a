/* Private to attention, forward: the unit of work and its scratch. */
#ifndef DEVICE_CPU_ATTENTION_H
#define DEVICE_CPU_ATTENTION_H

#include "compute/device/cpu_int.h"

struct attention {
    struct dev *d;
    const struct dev_batch *b;
    const struct dev_attn *p;
    const float *q;
    float *out, *lse;
    const struct dev_kv *kv;
    int layer;
};

struct item {
    const struct dev_segment *s;
    int tok0, n_tok;   /* query tokens, counted from the segment's first */
    int head0, n_head; /* query heads */
    int kv_head;
};

/* What products in bfloat16 need besides; positions are taken in runs, and the weights of a row are corrected when a
 * later run has a larger score. All NULL where they are not taken. */
struct work_bf16 {
    uint16_t *q;      /* [n_row][d_head] */
    uint16_t *weight; /* [n_row][run] exp(score - max) */
    uint16_t *k, *v;  /* panels: keys of a page, values of a run */
    float *max, *sum; /* [n_row] the largest scaled score so far; the sum of the weights so far */
    int run_pos, run_n;
    size_t run_row0; /* first row that sees any position of the run */
};

/* What a compressed cache needs besides; positions are taken in runs. NULL where there is none. */
struct work_latent {
    float *q;     /* [d_head][ld] queries, transposed: the panel of a product with rows of latents and keys */
    float *rows;  /* [run][d_head] latents and keys of the run in float32 */
    float *score; /* [run][ld] */
    size_t ld;
    int run_pos, run_n;
    size_t run_row0; /* first row that sees any position of the run */
};

/* Scratch of an item. */
struct work {
    float *q, *out; /* [n_row][d_head], [n_row][values of a head], row = token * n_head + head */
    float *score;   /* [n_row][ld] from position base */
    float *k, *v;   /* converted pages: [d_head][DEV_PAGE], [DEV_PAGE][d_head] */
    float *v_all;   /* PRECISION_REFERENCE: [end - base][d_head] */
    int base, end;  /* positions that any row sees; base a multiple of 16 */
    size_t ld, n_row;
    struct work_bf16 bf16;
    struct work_latent latent;
};

/* Positions [pos, pos + n) are slots [slot, slot + n) of a page. */
struct span {
    int pos, n, slot;
    int32_t page, next_page; /* next_page: of the span after this one, -1: none */
    size_t row0;             /* first row of the item that sees any of them */
};

/* First position that token t of a segment sees. */
static inline int first_seen(const struct attention *p, const struct dev_segment *s, int t)
{
    int pos = s->first_pos + t, seen = p->p->window > 0 ? pos - p->p->window + 1 : 0;
    if (p->p->chunk > 0) {
        int start = pos - pos % p->p->chunk;
        seen = start > seen ? start : seen;
    }
    return seen > 0 ? seen : 0;
}

/* Every run of an item's visible positions that lies in one page, ascending. */
typedef void (*span_fn)(const struct attention *p, const struct item *it, struct work *w, const struct span *at);
void cpu_attention_each_span(const struct attention *p, const struct item *it, struct work *w, span_fn fn);

/* Do items of this segment take bfloat16? Where the device has the product, the cache holds float16, and rows are many
 * enough to pay for the panels. */
bool cpu_attention_takes_bf16(const struct attention *p, const struct dev_segment *s);
/* Scratch for n_row rows; laying it out. Scores take n_row * CPU_ATTENTION_LD floats of w->score. */
enum { CPU_ATTENTION_RUN = 512, CPU_ATTENTION_LD = CPU_ATTENTION_RUN + 16 };
size_t cpu_attention_bf16_bytes(size_t n_row, size_t d_head);
void cpu_attention_bf16_begin(const struct attention *p, struct work *w, struct carve *c);
/* w->out from w->q. */
void cpu_attention_bf16(const struct attention *p, const struct item *it, struct work *w);

/* Compressed caches. Scratch for n_row rows; laying it out; scores of all positions from w->q; weights times values of
 * all into w->out; values of all into w->v_all. */
size_t cpu_attention_latent_bytes(size_t n_row, size_t d_head);
/* Rows of a span in float32. */
void cpu_attention_latent_rows(const struct attention *p, const struct span *at, float *to);
void cpu_attention_latent_begin(const struct attention *p, struct work *w, struct carve *c);
void cpu_attention_latent_scores(const struct attention *p, const struct item *it, struct work *w);
void cpu_attention_latent_values(const struct attention *p, const struct item *it, struct work *w);
void cpu_attention_latent_gather(const struct attention *p, const struct item *it, struct work *w);

#endif
