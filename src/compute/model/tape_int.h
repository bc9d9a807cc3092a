/* Private to the tape: what forward keeps for the way back. */
#ifndef MODEL_TAPE_INT_H
#define MODEL_TAPE_INT_H

#include "compute/model/model_int.h"
#include "compute/model/tape.h"
#include "compute/model/weights_int.h"

/* What one layer keeps, device memory for max_tok tokens. Layers that keep nothing of their own but x share one set. */
struct tape_layer {
    float *x;     /* [n_embd] input of the layer */
    float *x_mid; /* [n_embd] after attention */
    float *inv_rms, *inv_rms_mid;
    float *q, *att;        /* [n_head * d_head] */
    float *lse;            /* [n_head] */
    float *gate, *up;      /* [n_ff]; the way back overwrites them */
    float *q_raw, *k_raw;  /* [n_head * d_head], [n_kv_head * d_head] before their norms; NULL without such norms */
    float *y_attn, *y_ffn; /* [n_embd] branches before they join otherwise than by addition; NULL where they do not */
    float *u[SITE_COUNT];  /* [rank] */
    float *y[SITE_COUNT];  /* outputs before magnitudes; NULL without those */
};

struct tape {
    struct model *m;
    struct tape_options opt;
    int rank; /* of the widest adapter u has room for */
    int n_page;
    int n_shared; /* layers that share the first one's set: those without a way back, those computed again */
    struct tape_layer *layer; /* [n_layer] */
    float *x_out;             /* [n_embd] after the last layer */
    float *dx;                /* [n_embd] */
    float *act, *dact;        /* [n_ff] */
    float *datt, *dq;         /* [n_head * d_head], the memory of act and dact, which attention has no use for */
    float *dbranch;           /* [n_embd]; NULL where branches are added as they are */
    struct dev_kv *kv, *dkv;  /* kv: of layers that share a set, one; dkv: one */
    /* the step in hand */
    struct dev_batch batch;
    struct adapter *adapter;     /* or NULL */
    struct weights *weights;     /* trained instead, or NULL */
    struct dev_segment *segment; /* [max_segment] */
    struct dev_block *block;
    size_t n_block, cap_block;
    int *n_pos; /* [max_segment] positions up to a segment's end */
};

/* Operations of a layer for the step in hand, u's in place. */
void tape_layer_ops(const struct tape *t, int layer, struct layer_ops *ops);
/* The layer of kv that holds a layer's keys and values. */
static inline int tape_kv_layer(const struct tape *t, int layer)
{
    return layer < t->n_shared ? 0 : layer - t->n_shared + (t->n_shared > 0);
}
/* Where a layer puts its output: the next one's input, or x_out. */
static inline float *tape_output(const struct tape *t, int layer)
{
    return layer + 1 < t->m->params.n_layer ? t->layer[layer + 1].x : t->x_out;
}

/* What a family provides. tape_forward: layer[i].x -> tape_output, filling the rest of layer[i] and kv.
 * tape_backward: dx, the gradient of the output, becomes that of layer[i].x; gradients of the adapter, or of the
 * weights, are added. */

#endif
