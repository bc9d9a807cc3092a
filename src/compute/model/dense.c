/* The graph that dense families share: attention and a gated feed-forward on a residual stream, with what the
 * hyper-parameters say of norms, rotation, windows, scales and caps. A family binds its weights and names these steps.
 */
#include "compute/model/dense.h"

#include <stdio.h>

/* --- binding --- */

static const char *const site_tensor[SITE_COUNT] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                    "ffn_gate", "ffn_up", "ffn_down"};

int bind_norm(const struct binder *b, const char *part, size_t n, float **out)
{
    char name[MODEL_TENSOR_NAME];
    snprintf(name, sizeof(name), "blk.%d.%s.weight", b->layer, part);
    return bind_vec(b->m, b->f, name, n, true, out, b->e);
}

/* Rows [row0, row0 + n_out) of a tensor, with that part of its bias, where it has one. */
static int bind_rows(const struct binder *b, const char *part, size_t n_row, size_t row0, enum adapter_site site)
{
    char name[MODEL_TENSOR_NAME];
    struct model_layer *l = &b->m->layer[b->layer];
    size_t n_out, n_in;
    model_site_shape(&b->m->params, site, &n_out, &n_in);
    const struct bind_part rows = {.n_row = n_row, .row0 = row0, .n_out = n_out};
    snprintf(name, sizeof(name), "blk.%d.%s.weight", b->layer, part);
    int rc = bind_mat_part(b->m, b->f, name, &rows, n_in, &l->w[site], b->e);
    if (rc) {
        return rc;
    }
    snprintf(name, sizeof(name), "blk.%d.%s.bias", b->layer, part);
    return bind_vec_part(b->m, b->f, name, &rows, false, &l->bias[site], b->e);
}

int bind_site(const struct binder *b, enum adapter_site site)
{
    size_t n_out, n_in;
    model_site_shape(&b->m->params, site, &n_out, &n_in);
    return bind_rows(b, site_tensor[site], n_out, 0, site);
}

int bind_fused(const struct binder *b, const char *part, enum adapter_site first, int n)
{
    size_t n_row = 0, row0 = 0, n_out, n_in;
    int rc = 0;
    for (int i = 0; i < n; i++) {
        model_site_shape(&b->m->params, first + (enum adapter_site)i, &n_out, &n_in);
        n_row += n_out;
    }
    for (int i = 0; !rc && i < n; i++) {
        rc = bind_rows(b, part, n_row, row0, first + (enum adapter_site)i);
        model_site_shape(&b->m->params, first + (enum adapter_site)i, &n_out, &n_in);
        row0 += n_out;
    }
    return rc;
}

int bind_norms(const struct binder *b)
{
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layer[b->layer];
    size_t n = (size_t)p->n_embd;
    int rc = p->norm_before ? bind_norm(b, "attn_norm", n, &l->attn_norm) : 0;
    rc = rc || !p->norm_before ? rc : bind_norm(b, "ffn_norm", n, &l->ffn_norm);
    rc = rc || !p->norm_after ? rc : bind_norm(b, "post_attention_norm", n, &l->post_attn_norm);
    return rc || !p->norm_after ? rc : bind_norm(b, "post_ffw_norm", n, &l->post_ffn_norm);
}

int bind_attention(const struct binder *b)
{
    const struct model_params *p = &b->m->params;
    struct model_layer *l = &b->m->layer[b->layer];
    bool full = p->qk_norm == QK_NORM_FULL;
    size_t n_q = (size_t)(p->n_head * p->d_head), n_kv = (size_t)(p->n_kv_head * p->d_head), n = (size_t)p->d_head;
    int rc = p->fused ? bind_fused(b, "attn_qkv", SITE_Q, 3) : 0;
    for (int s = SITE_Q; !rc && !p->fused && s <= SITE_V; s++) {
        rc = bind_site(b, (enum adapter_site)s);
    }
    rc = rc ? rc : bind_site(b, SITE_O);
    if (rc || (p->qk_norm != QK_NORM_HEAD && p->qk_norm != QK_NORM_FULL)) {
        return rc;
    }
    rc = bind_norm(b, "attn_q_norm", full ? n_q : n, &l->q_norm);
    return rc ? rc : bind_norm(b, "attn_k_norm", full ? n_kv : n, &l->k_norm);
}

int bind_ffn(const struct binder *b)
{
    int rc = b->m->params.fused ? bind_fused(b, "ffn_up", SITE_GATE, 2) : bind_site(b, SITE_GATE);
    rc = rc || b->m->params.fused ? rc : bind_site(b, SITE_UP);
    return rc ? rc : bind_site(b, SITE_DOWN);
}

int dense_bind(const struct binder *b)
{
    int rc = bind_norms(b);
    rc = rc ? rc : bind_attention(b);
    return rc ? rc : bind_ffn(b);
}

/* --- the forward pass --- */

void dense_attention(struct step *s, int layer)
{
    struct model *m = s->m;
    struct model_space *space = &m->space;
    const struct layer_ops *ops = &s->ops;
    model_tap_normed(m, s->b, layer, SITE_Q, space->x, m->layer[layer].attn_norm);
    dev_attention_in(m->dev, &s->rows, &ops->in, space->x, space->q, NULL, s->kv, layer);
    step_take_wanted(s, layer);
    if (s->rows.n_tok == 0) {
        return;
    }
    dev_attention(m->dev, &s->rows, &ops->attn, space->q, space->att, NULL, s->kv, layer);
    model_tap_rows(m, s->b, layer, SITE_O, space->att, (size_t)(m->params.n_head * m->params.d_head));
    dev_linear_add(m->dev, &s->rows, &ops->o, ops->attn_join, space->att, space->x);
}

/* Under a tap in two steps, so that the input of the last matrix can be seen. */
void dense_ffn(struct step *s, int layer)
{
    struct model *m = s->m;
    struct model_space *space = &m->space;
    const struct layer_ops *ops = &s->ops;
    if (!s->b->tap) {
        dev_ffn(m->dev, &s->rows, &ops->gate_up, &ops->down, ops->ffn_join, space->act, space->x);
        return;
    }
    model_tap_normed(m, s->b, layer, SITE_GATE, space->x, m->layer[layer].ffn_norm);
    dev_gate_up(m->dev, &s->rows, &ops->gate_up, space->x, space->act, NULL, NULL, NULL);
    model_tap_rows(m, s->b, layer, SITE_DOWN, space->act, (size_t)m->params.n_ff);
    dev_linear_add(m->dev, &s->rows, &ops->down, ops->ffn_join, space->act, space->x);
}
