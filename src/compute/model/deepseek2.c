/* DeepSeek V2 and V3: attention with a compressed cache, and a mixture of experts behind a few dense layers. */
#include "compute/model/deepseek2.h"

#include <stdio.h>

#include "compute/model/experts.h"
#include "ground/base/mem.h"

void layer_latent_free(struct dev *d, struct layer_latent *l)
{
    if (l) {
        dev_mat_free(l->q_a);
        dev_mat_free(l->q);
        dev_mat_free(l->kv_a);
        dev_release(d, l->q_a_bias);
        dev_release(d, l->q_bias);
        dev_release(d, l->kv_a_bias);
        dev_release(d, l->q_norm);
        dev_release(d, l->kv_norm);
        dev_stack_free(l->k_b);
        dev_stack_free(l->v_b);
        mem_free(l);
    }
}

uint64_t layer_latent_bytes(const struct layer_latent *l)
{
    return (l->q_a ? dev_mat_bytes(l->q_a) : 0) + dev_mat_bytes(l->q) + dev_mat_bytes(l->kv_a) +
           dev_stack_bytes(l->k_b) + dev_stack_bytes(l->v_b);
}

/* --- binding --- */

/* A matrix "blk.N.PART.weight" with its bias, if there is one. */
static int bind_biased(const struct binder *b, const char *part, size_t n_out, size_t n_in, struct dev_mat **w,
                       float **bias)
{
    char name[MODEL_TENSOR_NAME];
    snprintf(name, sizeof(name), "blk.%d.%s.weight", b->layer, part);
    int rc = bind_mat(b->m, b->f, name, n_out, n_in, w, b->e);
    snprintf(name, sizeof(name), "blk.%d.%s.bias", b->layer, part);
    return rc ? rc : bind_vec(b->m, b->f, name, n_out, false, bias, b->e);
}

static int bind_heads(const struct binder *b, const char *part, size_t n_out, size_t n_in, struct dev_stack **out)
{
    char name[MODEL_TENSOR_NAME];
    snprintf(name, sizeof(name), "blk.%d.%s.weight", b->layer, part);
    return bind_stack(b->m, b->f, name, (size_t)b->m->params.n_head, n_out, n_in, out, b->e);
}

static int bind_queries(const struct binder *b, struct layer_latent *l)
{
    const struct model_params *p = &b->m->params;
    size_t n_embd = (size_t)p->n_embd, rank = (size_t)p->latent.q_rank, n_q = (size_t)(p->n_head * p->d_head);
    if (rank == 0) {
        return bind_biased(b, "attn_q", n_q, n_embd, &l->q, &l->q_bias);
    }
    int rc = bind_biased(b, "attn_q_a", rank, n_embd, &l->q_a, &l->q_a_bias);
    rc = rc ? rc : bind_norm(b, "attn_q_a_norm", rank, &l->q_norm);
    return rc ? rc : bind_biased(b, "attn_q_b", n_q, rank, &l->q, &l->q_bias);
}

static int bind_latent(const struct binder *b)
{
    const struct model_params *p = &b->m->params;
    size_t n_embd = (size_t)p->n_embd, n_latent = (size_t)p->latent.n_latent, d_nope = (size_t)p->latent.d_nope,
           d_value = (size_t)p->latent.d_value, n_value = (size_t)p->n_head * d_value;
    struct model_layer *layer = &b->m->layer[b->layer];
    struct layer_latent *l = layer->latent = mem_try_alloc(sizeof(*l));
    if (!l) {
        return err_set(b->e, ERR_NOMEM, NULL, "cannot load a model: out of memory");
    }
    int rc = bind_queries(b, l);
    rc = rc ? rc : bind_biased(b, "attn_kv_a_mqa", n_latent + (size_t)p->n_rot, n_embd, &l->kv_a, &l->kv_a_bias);
    rc = rc ? rc : bind_norm(b, "attn_kv_a_norm", n_latent, &l->kv_norm);
    rc = rc ? rc : bind_heads(b, "attn_k_b", n_latent, d_nope, &l->k_b);
    rc = rc ? rc : bind_heads(b, "attn_v_b", d_value, n_latent, &l->v_b);
    return rc ? rc : bind_biased(b, "attn_output", n_embd, n_value, &layer->w[SITE_O], &layer->bias[SITE_O]);
}

static int bind_layer(const struct binder *b)
{
    int rc = bind_norms(b);
    rc = rc ? rc : bind_latent(b);
    return rc ? rc : bind_ffn_or_experts(b);
}

/* --- the forward pass --- */

static void attention(struct step *s, int layer)
{
    struct model *m = s->m;
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layer[layer];
    const struct layer_latent *c = l->latent;
    struct model_space *space = &m->space;
    int fine = model_is_small(m) ? FINE_ALL : FINE_NONE;
    bool takes = layer == p->n_layer - 1 && !s->b->tap;
    const struct dev_latent_heads heads = {c->k_b, c->v_b};
    const struct dev_latent_heads *expand = takes ? NULL : &heads; /* else rows leave between the operations */
    struct dev_latent_in in = {.norm = l->attn_norm,
                               .eps = p->rms_eps,
                               .q_a = {.w = c->q_a, .bias = c->q_a_bias, .fine = fine},
                               .q_norm = c->q_norm,
                               .q = {.w = c->q, .bias = c->q_bias, .fine = fine},
                               .kv_a = {.w = c->kv_a, .bias = c->kv_a_bias, .fine = fine},
                               .kv_norm = c->kv_norm,
                               .k_b = c->k_b,
                               .rope = &m->rope[0],
                               .expand = expand};
    struct dev_attn attn = {.n_head = p->n_head,
                            .n_kv_head = 1,
                            .d_head = p->latent.n_latent + p->n_rot,
                            .scale = p->attn_scale,
                            .expand = expand};
    struct dev_proj o = {.w = l->w[SITE_O], .bias = l->bias[SITE_O], .fine = model_fine(m, SITE_O)};
    model_tap_normed(m, s->b, layer, SITE_Q, space->x, l->attn_norm);
    dev_latent_in(m->dev, &s->rows, &in, space->x, space->q, s->kv, layer);
    step_take_wanted(s, layer);
    if (s->rows.n_tok == 0) {
        return;
    }
    dev_attention(m->dev, &s->rows, &attn, space->q, space->att, NULL, s->kv, layer);
    dev_latent_out(m->dev, &s->rows, c->v_b, expand, space->att, space->q); /* the queries are of no more use */
    model_tap_rows(m, s->b, layer, SITE_O, space->q, (size_t)(p->n_head * p->latent.d_value));
    dev_linear_add(m->dev, &s->rows, &o, NULL, space->q, space->x);
}

const struct model_family family_deepseek2 = {
    .architecture = "deepseek2", .bind_layer = bind_layer, .attention = attention, .ffn = experts_ffn};
