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

/* What products in bfloat16 need besides; all NULL where they are not taken. */
struct work_bf16 {
    uint16_t *q;      /* [n_row][d_head] */
    uint16_t *weight; /* [n_row][ld] from position base, zeros from end on; times inv_sum they sum to 1 */
    float *inv_sum;   /* [n_row] */
    uint16_t *k, *v;  /* panels: of a page; of up to ATTENTION_RUN positions */
    size_t ld;
    int run_pos, run_n; /* positions whose values stand in v and wait for their product */
    size_t run_row0;
};

/* Scratch of an item. */
struct work {
    float *q, *out; /* [n_row][d_head], row = token * n_head + head */
    float *score;   /* [n_row][ld] from position base */
    float *k, *v;   /* converted pages: [d_head][DEV_PAGE], [DEV_PAGE][d_head] */
    float *v_all;   /* PRECISION_REFERENCE: [end - base][d_head] */
    int base, end;  /* positions that any row sees; base a multiple of 16 */
    size_t ld, n_row;
    struct work_bf16 bf16;
};

/* Positions [pos, pos + n) are slots [slot, slot + n) of a page. */
struct span {
    int pos, n, slot;
    int32_t page;
    size_t row0; /* first row of the item that sees any of them */
};

/* The scores of a row, and which of them count: [from, from + n), from a multiple of 16. Those among them that the
 * window hides are masked. */
float *cpu_attention_row(const struct attention *p, const struct item *it, const struct work *w, size_t row,
                         size_t *from, size_t *n);

/* Scratch for rows x positions scores and d_head; and laying it out for an item that takes bfloat16. */
size_t cpu_attention_bf16_bytes(size_t n_score, size_t n_row, size_t d_head);
void cpu_attention_bf16_begin(const struct attention *p, struct work *w, struct carve *c);
/* Does this item take bfloat16? Where the device has the product, the cache holds float16, and rows are many enough. */
bool cpu_attention_takes_bf16(const struct attention *p, size_t n_row);
/* Queries to bfloat16, before the first span of scores; scores to weights, after the last. */
void cpu_attention_bf16_queries(const struct attention *p, struct work *w);
void cpu_attention_bf16_weights(const struct attention *p, const struct item *it, struct work *w);
/* Scores of a span whose slot is a multiple of 16. Up to 15 columns past it are written: of the next span, or of the
 * padding. */
void cpu_attention_bf16_scores(const struct attention *p, const struct item *it, struct work *w, const struct span *at);
/* Values of a span: gathered, and multiplied when the run is full; the rest by cpu_attention_bf16_finish. */
void cpu_attention_bf16_values(const struct attention *p, const struct item *it, struct work *w, const struct span *at);
void cpu_attention_bf16_finish(const struct attention *p, struct work *w);

#endif
