/* A mixture of experts as a part of a layer. Which layers have one, and how their router chooses, is in the
 * hyper-parameters. */
#include "compute/model/experts.h"

#include <stdio.h>

#include "ground/base/mem.h"

void layer_experts_free(struct dev *d, struct layer_experts *x)
{
    if (x) {
        dev_mat_free(x->router);
        dev_release(d, x->bias);
        dev_stack_free(x->gate);
        dev_stack_free(x->up);
        dev_stack_free(x->down);
        dev_mat_free(x->shared_gate);
        dev_mat_free(x->shared_up);
        dev_mat_free(x->shared_down);
        dev_release(d, x->shared_weight);
        mem_free(x);
    }
}

static uint64_t outside_bytes(const struct layer_experts *x)
{
    uint64_t shared = x->shared_gate
                          ? dev_mat_bytes(x->shared_gate) + dev_mat_bytes(x->shared_up) + dev_mat_bytes(x->shared_down)
                          : 0;
    return dev_mat_bytes(x->router) + shared;
}

uint64_t layer_experts_bytes(const struct layer_experts *x)
{
    return outside_bytes(x) + dev_stack_bytes(x->gate) + dev_stack_bytes(x->up) + dev_stack_bytes(x->down);
}

uint64_t layer_experts_step_bytes(const struct layer_experts *x, int n_read)
{
    uint64_t all = dev_stack_bytes(x->gate) + dev_stack_bytes(x->up) + dev_stack_bytes(x->down);
    return outside_bytes(x) + all / dev_stack_n(x->gate) * (uint64_t)n_read;
}

/* --- binding --- */

static const char *name_of(const struct binder *b, const char *part, char name[MODEL_TENSOR_NAME])
{
    snprintf(name, MODEL_TENSOR_NAME, "blk.%d.%s", b->layer, part);
    return name;
}

static int bind_part(const struct binder *b, const char *part, size_t n_out, size_t n_in, struct dev_mat **out)
{
    char name[MODEL_TENSOR_NAME];
    return bind_mat(b->m, b->f, name_of(b, part, name), n_out, n_in, out, b->e);
}

static int bind_stack_part(const struct binder *b, const char *part, size_t n_out, size_t n_in, struct dev_stack **out)
{
    char name[MODEL_TENSOR_NAME];
    size_t n = (size_t)b->m->params.experts.n_expert;
    return bind_stack(b->m, b->f, name_of(b, part, name), n, n_out, n_in, out, b->e);
}

static int bind_shared(const struct binder *b, struct layer_experts *x)
{
    char name[MODEL_TENSOR_NAME];
    const struct model_params *p = &b->m->params;
    size_t n_embd = (size_t)p->n_embd, n = (size_t)p->experts.n_shared;
    int rc = bind_part(b, "ffn_gate_shexp.weight", n, n_embd, &x->shared_gate);
    rc = rc ? rc : bind_part(b, "ffn_up_shexp.weight", n, n_embd, &x->shared_up);
    rc = rc ? rc : bind_part(b, "ffn_down_shexp.weight", n_embd, n, &x->shared_down);
    if (rc || !p->experts.shared_gate) {
        return rc;
    }
    return bind_row(b->m, b->f, name_of(b, "ffn_gate_inp_shexp.weight", name), n_embd, &x->shared_weight, b->e);
}

static int bind_mixture(const struct binder *b)
{
    char name[MODEL_TENSOR_NAME];
    const struct model_experts *p = &b->m->params.experts;
    size_t n_embd = (size_t)b->m->params.n_embd, n_ff = (size_t)p->n_ff, n = (size_t)p->n_expert;
    struct layer_experts *x = b->m->layer[b->layer].experts = mem_try_alloc(sizeof(*x));
    if (!x) {
        return err_set(b->e, ERR_NOMEM, NULL, "cannot load a model: out of memory");
    }
    int rc = bind_mat_f32(b->m, b->f, name_of(b, "ffn_gate_inp.weight", name), n, n_embd, &x->router, b->e);
    if (!rc && p->has_bias) {
        rc = bind_vec(b->m, b->f, name_of(b, "exp_probs_b.bias", name), n, true, &x->bias, b->e);
    }
    rc = rc ? rc : bind_stack_part(b, "ffn_gate_exps.weight", n_ff, n_embd, &x->gate);
    rc = rc ? rc : bind_stack_part(b, "ffn_up_exps.weight", n_ff, n_embd, &x->up);
    rc = rc ? rc : bind_stack_part(b, "ffn_down_exps.weight", n_embd, n_ff, &x->down);
    return rc || p->n_shared == 0 ? rc : bind_shared(b, x);
}

int bind_ffn_or_experts(const struct binder *b)
{
    return b->m->params.layer[b->layer].experts ? bind_mixture(b) : bind_ffn(b);
}

int experts_bind(const struct binder *b)
{
    int rc = bind_norms(b);
    rc = rc ? rc : bind_attention(b);
    return rc ? rc : bind_ffn_or_experts(b);
}

/* --- the forward pass --- */

static struct dev_experts operation(const struct model *m, int layer)
{
    const struct model_experts *p = &m->params.experts;
    const struct model_layer *l = &m->layer[layer];
    const struct layer_experts *x = l->experts;
    return (struct dev_experts){.norm = l->ffn_norm,
                                .eps = m->params.rms_eps,
                                .router = {.w = x->router,
                                           .bias = x->bias,
                                           .sigmoid = p->sigmoid,
                                           .n_used = p->n_used,
                                           .n_group = p->n_group,
                                           .n_group_used = p->n_group_used,
                                           .renormalize = p->renormalize,
                                           .scale = p->scale,
                                           .weighs_input = p->weighs_input},
                                .gate = x->gate,
                                .up = x->up,
                                .down = x->down,
                                .shared_gate = x->shared_gate,
                                .shared_up = x->shared_up,
                                .shared_down = x->shared_down,
                                .shared_weight = x->shared_weight,
                                .fine = model_is_small(m) ? FINE_ALL : FINE_NONE};
}

void experts_ffn(struct step *s, int layer)
{
    struct model *m = s->m;
    if (!m->layer[layer].experts) {
        dense_ffn(s, layer);
        return;
    }
    struct dev_experts op = operation(m, layer);
    model_tap_normed(m, s->b, layer, SITE_GATE, m->space.x, m->layer[layer].ffn_norm);
    dev_experts(m->dev, &s->rows, &op, m->space.x, m->space.experts);
    const struct layer_experts *x = m->layer[layer].experts;
    m->expert_bytes_read +=
        layer_experts_step_bytes(x, dev_experts_n_read(m->space.experts)) - layer_experts_step_bytes(x, 0);
}
