/* The llama family: RMSNorm, rotary positions, grouped queries, SwiGLU, optional biases, tied or own head. Mistral and
 * Qwen2 are the same graph; pairs or halves and which biases exist come from the file. */
#include <stdio.h>

#include "compute/model/model_int.h"

static const char *const site_tensor[SITE_COUNT] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                    "ffn_gate", "ffn_up", "ffn_down"};

static int bind_site(struct model *m, const struct model_file *f, int layer, enum adapter_site site, struct err *e)
{
    char name[64];
    size_t n_out, n_in;
    model_site_shape(&m->params, site, &n_out, &n_in);
    snprintf(name, sizeof(name), "blk.%d.%s.weight", layer, site_tensor[site]);
    int rc = bind_mat(m, f, name, n_out, n_in, &m->layer[layer].w[site], e);
    if (rc) {
        return rc;
    }
    snprintf(name, sizeof(name), "blk.%d.%s.bias", layer, site_tensor[site]);
    return bind_vec(m, f, name, n_out, false, &m->layer[layer].bias[site], e);
}

static int bind_layer(struct model *m, const struct model_file *f, int layer, struct err *e)
{
    char name[64];
    size_t n_embd = (size_t)m->params.n_embd;
    snprintf(name, sizeof(name), "blk.%d.attn_norm.weight", layer);
    int rc = bind_vec(m, f, name, n_embd, true, &m->layer[layer].attn_norm, e);
    if (!rc) {
        snprintf(name, sizeof(name), "blk.%d.ffn_norm.weight", layer);
        rc = bind_vec(m, f, name, n_embd, true, &m->layer[layer].ffn_norm, e);
    }
    for (int s = 0; !rc && s < SITE_COUNT; s++) {
        rc = bind_site(m, f, layer, (enum adapter_site)s, e);
    }
    return rc;
}

static int bind(struct model *m, const struct model_file *f, struct err *e)
{
    size_t n_embd = (size_t)m->params.n_embd, n_vocab = (size_t)m->params.n_vocab;
    int rc = bind_mat(m, f, "token_embd.weight", n_vocab, n_embd, &m->embedding, e);
    if (!rc) {
        rc = bind_vec(m, f, "output_norm.weight", n_embd, true, &m->output_norm, e);
    }
    if (!rc && !m->params.tied_head) {
        rc = bind_mat(m, f, "output.weight", n_vocab, n_embd, &m->head, e);
    }
    for (int i = 0; !rc && i < m->params.n_layer; i++) {
        rc = bind_layer(m, f, i, e);
    }
    return rc;
}

/* The second half of a layer; under a tap in two steps, so that the input of the last matrix can be seen. */
static void ffn(struct model *m, const struct model_batch *b, const struct dev_batch *rows, const struct layer_ops *ops,
                int layer)
{
    struct model_space *s = &m->space;
    if (!b->tap) {
        dev_ffn(m->dev, rows, &ops->gate_up, &ops->down, s->act, s->x);
        return;
    }
    model_tap_normed(m, b, layer, SITE_GATE, s->x, m->layer[layer].ffn_norm);
    dev_gate_up(m->dev, rows, &ops->gate_up, s->x, s->act, NULL, NULL, NULL);
    model_tap_rows(m, b, layer, SITE_DOWN, s->act, (size_t)m->params.n_ff);
    dev_linear_add(m->dev, rows, &ops->down, s->act, s->x);
}

static struct dev_batch layers(struct model *m, const struct model_batch *b, struct dev_kv *kv)
{
    struct model_space *s = &m->space;
    size_t n_q = (size_t)m->params.n_head * (size_t)m->params.d_head;
    struct dev_batch rows = b->dev;
    struct layer_ops ops;
    for (int i = 0; i < m->params.n_layer; i++) {
        model_layer_ops(m, i, b->adapter, b->n_adapter, &ops);
        model_tap_normed(m, b, i, SITE_Q, s->x, m->layer[i].attn_norm);
        dev_attention_in(m->dev, &rows, &ops.in, s->x, s->q, NULL, kv, i);
        if (i == m->params.n_layer - 1 && !b->tap) {
            rows = model_take_wanted(m, b);
        }
        if (rows.n_tok == 0) {
            break;
        }
        dev_attention(m->dev, &rows, &ops.attn, s->q, s->att, NULL, kv, i);
        model_tap_rows(m, b, i, SITE_O, s->att, n_q);
        dev_linear_add(m->dev, &rows, &ops.o, s->att, s->x);
        ffn(m, b, &rows, &ops, i);
    }
    if (b->tap) { /* it sees the last layer of every token, wanted or not */
        model_tap_normed(m, b, MODEL_TAP_HEAD, SITE_COUNT, s->x, m->output_norm);
        rows = model_take_wanted(m, b);
    }
    return rows;
}

const struct model_family family_llama = {"llama", bind, layers, llama_tape_forward, llama_tape_backward};
const struct model_family family_qwen2 = {"qwen2", bind, layers, llama_tape_forward, llama_tape_backward};
