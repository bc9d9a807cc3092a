/* Dense families with a tape: a layer that keeps what its way back needs, and the way back. The gradient of the
 * residual stream stays in dx; each branch adds its own. */
#include "compute/model/dense.h"
#include "compute/model/tape_int.h"

void dense_tape_forward(struct tape *t, int layer)
{
    struct dev *d = t->m->dev;
    const struct dev_batch *b = &t->batch;
    struct tape_layer *k = &t->layer[layer];
    size_t n = (size_t)b->n_tok * (size_t)t->m->params.n_embd;
    int kv_layer = tape_kv_layer(t, layer);
    float *out = tape_output(t, layer);
    struct layer_ops ops;
    tape_layer_ops(t, layer, &ops);
    dev_attention_in(d, b, &ops.in, k->x, k->q, k->inv_rms, t->kv, kv_layer);
    dev_attention(d, b, &ops.attn, k->q, k->att, k->lse, t->kv, kv_layer);
    dev_copy(d, k->x_mid, k->x, n);
    dev_linear_add(d, b, &ops.o, ops.attn_join, k->att, k->x_mid);
    dev_gate_up(d, b, &ops.gate_up, k->x_mid, t->act, k->gate, k->up, k->inv_rms_mid);
    dev_copy(d, out, k->x_mid, n);
    dev_linear_add(d, b, &ops.down, ops.ffn_join, t->act, out);
}

/* What is trained of a projection, and where its gradient goes. */
static struct dev_proj_grad proj_grad(const struct tape *t, int layer, enum adapter_site site)
{
    return t->weights != NULL ? weights_proj_grad(t->weights, layer, site) : adapter_grad(t->adapter, layer, site);
}

/* The same of a layer's norms. */
static struct layer_norm_grads norm_grads(const struct tape *t, int layer)
{
    return t->weights != NULL ? weights_norm_grads(t->weights, layer) : (struct layer_norm_grads){0};
}

/* The gradient of a branch: that of the residual stream, or taken back through the way it joined. */
static const float *branch_gradient(struct tape *t, const struct dev_join *join, float *dnorm)
{
    if (join == NULL) return t->dx;
    dev_join_backward(t->m->dev, &t->batch, join, (size_t)t->m->params.n_embd, t->dx, t->dbranch, dnorm);
    return t->dbranch;
}

static void feed_forward_back(struct tape *t, int layer, const struct layer_ops *ops)
{
    struct dev *d = t->m->dev;
    struct tape_layer *k = &t->layer[layer];
    size_t n_tok = (size_t)t->batch.n_tok, n_ff = (size_t)t->m->params.n_ff;
    const struct dev_proj_grad g[2] = {proj_grad(t, layer, SITE_GATE), proj_grad(t, layer, SITE_UP)};
    const struct dev_proj_grad g_down = proj_grad(t, layer, SITE_DOWN);
    const struct layer_norm_grads n = norm_grads(t, layer);
    bool gelu = ops->gate_up.gelu;
    dev_glu(d, gelu, t->act, k->gate, k->up, n_tok, n_ff);
    dev_zero(d, t->dact, n_tok * n_ff);
    dev_linear_backward(d, &t->batch, &ops->down, &g_down, branch_gradient(t, ops->ffn_join, n.post_ffn), t->act,
                        t->dact);
    dev_glu_backward(d, gelu, k->gate, k->up, t->dact, k->gate, k->up, n_tok, n_ff);
    dev_gate_up_backward(d, &t->batch, &ops->gate_up, g, k->gate, k->up, k->x_mid, k->inv_rms_mid, t->dx, n.ffn);
}

static void attention_back(struct tape *t, int layer, const struct layer_ops *ops)
{
    struct dev *d = t->m->dev;
    const struct model_params *p = &t->m->params;
    struct tape_layer *k = &t->layer[layer];
    size_t n_q = (size_t)t->batch.n_tok * (size_t)p->n_head * (size_t)p->d_head;
    const struct dev_proj_grad g[3] = {proj_grad(t, layer, SITE_Q), proj_grad(t, layer, SITE_K),
                                       proj_grad(t, layer, SITE_V)};
    const struct dev_proj_grad g_o = proj_grad(t, layer, SITE_O);
    const struct layer_norm_grads n = norm_grads(t, layer);
    dev_zero(d, t->datt, n_q);
    dev_linear_backward(d, &t->batch, &ops->o, &g_o, branch_gradient(t, ops->attn_join, n.post_attn), k->att, t->datt);
    dev_kv_zero(d, t->dkv);
    dev_attention_backward(d, &t->batch, &ops->attn, t->datt, k->att, k->q, k->lse, t->kv, t->dkv,
                           tape_kv_layer(t, layer), 0, t->dq);
    dev_attention_in_backward(d, &t->batch, &ops->in, g, &n.in, t->dq, t->dkv, 0, k->x, k->inv_rms, t->dx);
}

void dense_tape_backward(struct tape *t, int layer)
{
    struct layer_ops ops;
    tape_layer_ops(t, layer, &ops);
    feed_forward_back(t, layer, &ops);
    attention_back(t, layer, &ops);
}
