/* Weights as one flat array: which there are, where each lies, and the way between masters and the model. */
#include "compute/model/weights_int.h"

#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { PER_LAYER = 2 * SITE_COUNT + NORM_COUNT, OF_MODEL = 3, NAME_BYTES = 96 };

static const char *const norm_part[NORM_COUNT] = {"attn_norm",     "ffn_norm",    "post_attention_norm",
                                                  "post_ffw_norm", "attn_q_norm", "attn_k_norm"};

/* --- which there are --- */

struct site_place model_site_place(const struct model_params *p, enum adapter_site site)
{
    static const char *const own[SITE_COUNT] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                "ffn_gate", "ffn_up", "ffn_down"};
    struct site_place at = {own[site], 0};
    enum adapter_site first = site <= SITE_V ? SITE_Q : SITE_GATE;
    if (!p->fused || site == SITE_O || site == SITE_DOWN) return at;
    at.part = first == SITE_Q ? "attn_qkv" : "ffn_up";
    for (int s = (int)first; s < (int)site; s++) {
        size_t n_out, n_in;
        model_site_shape(p, (enum adapter_site)s, &n_out, &n_in);
        at.row0 += n_out;
    }
    return at;
}

static struct weight *add(struct weights *w, const struct weight *x)
{
    struct weight *to = &w->weight[w->n_weight++];
    *to = *x;
    to->at = w->n_param;
    w->n_param += to->n_out * (to->mat != NULL ? to->n_in : 1);
    return to;
}

static struct weight *add_mat(struct weights *w, int layer, struct site_place at, struct dev_mat *mat)
{
    return add(w, &(struct weight){.part = at.part,
                                   .layer = layer,
                                   .row0 = at.row0,
                                   .n_out = dev_mat_n_out(mat),
                                   .n_in = dev_mat_n_in(mat),
                                   .mat = mat});
}

static struct weight *add_vec(struct weights *w, int layer, struct site_place at, bool is_bias, float *vec, size_t n)
{
    if (vec == NULL) return NULL;
    return add(
        w,
        &(struct weight){
            .part = at.part, .is_bias = is_bias, .layer = layer, .row0 = at.row0, .n_out = n, .n_in = 1, .vec = vec});
}

static size_t norm_len(const struct model_params *p, enum weight_norm i)
{
    if (i != NORM_Q && i != NORM_K) return (size_t)p->n_embd;
    if (p->qk_norm != QK_NORM_FULL) return (size_t)p->d_head;
    return (size_t)p->d_head * (size_t)(i == NORM_Q ? p->n_head : p->n_kv_head);
}

static void add_layer(struct weights *w, int layer)
{
    const struct model_params *p = &w->m->params;
    const struct model_layer *l = &w->m->layer[layer];
    struct layer_weights *to = &w->layer[layer];
    float *const norm[NORM_COUNT] = {l->attn_norm,     l->ffn_norm, l->post_attn_norm,
                                     l->post_ffn_norm, l->q_norm,   l->k_norm};
    for (int s = 0; s < SITE_COUNT; s++) {
        struct site_place at = model_site_place(p, (enum adapter_site)s);
        to->w[s] = add_mat(w, layer, at, l->w[s]);
        to->bias[s] = add_vec(w, layer, at, true, l->bias[s], dev_mat_n_out(l->w[s]));
    }
    for (int i = 0; i < NORM_COUNT; i++)
        to->norm[i] =
            add_vec(w, layer, (struct site_place){norm_part[i], 0}, false, norm[i], norm_len(p, (enum weight_norm)i));
}

static void add_all(struct weights *w)
{
    struct model *m = w->m;
    w->embedding = add_mat(w, -1, (struct site_place){"token_embd", 0}, m->embedding);
    for (int i = 0; i < m->params.n_layer; i++) add_layer(w, i);
    w->output_norm =
        add_vec(w, -1, (struct site_place){"output_norm", 0}, false, m->output_norm, (size_t)m->params.n_embd);
    if (m->head != NULL) w->head = add_mat(w, -1, (struct site_place){"output", 0}, m->head);
}

/* --- whether they can be trained --- */

static int check_mat(const struct model *m, const char *name, const struct dev_mat *mat, struct err *e)
{
    const struct quant *q = quants[dev_mat_type(mat)];
    if (q->block_len == 1 && m->packed == NULL) return 0;
    if (q->block_len == 1)
        return err_set(e, ERR_UNSUPPORTED, name,
                       "cannot tune in full: the weights come from a packed file, which is "
                       "only read");
    return err_set(
        e, ERR_UNSUPPORTED, name,
        "cannot tune in full: matrix \"%s\" is %s, and a quantized weight has no room for a small step; F32, "
        "F16 or BF16 weights would be right, or an adapter (lora, qlora, dora)",
        name, q->name);
}

static int check(const struct model *m, struct err *e)
{
    int rc = check_mat(m, "token_embd.weight", m->embedding, e);
    if (rc == 0 && m->head != NULL) rc = check_mat(m, "output.weight", m->head, e);
    for (int i = 0; rc == 0 && i < m->params.n_layer; i++) {
        for (int s = 0; rc == 0 && s < SITE_COUNT; s++) {
            char name[NAME_BYTES];
            const struct model_layer *l = &m->layer[i];
            snprintf(name, sizeof(name), "blk.%d.%s.weight", i,
                     model_site_place(&m->params, (enum adapter_site)s).part);
            if (l->w[s] == NULL || l->latent != NULL || l->experts != NULL)
                return err_set(e, ERR_UNSUPPORTED, m->params.architecture,
                               "cannot tune a %s model in full: layer %d is not a dense one", m->params.architecture,
                               i);
            rc = check_mat(m, name, l->w[s], e);
        }
    }
    return rc;
}

/* --- masters --- */

static void read_masters(struct weights *w)
{
    struct dev *d = w->m->dev;
    for (size_t i = 0; i < w->n_weight; i++) {
        const struct weight *x = &w->weight[i];
        if (x->mat != NULL)
            dev_mat_get(d, x->mat, w->param + x->at);
        else
            dev_copy(d, w->param + x->at, x->vec, x->n_out);
    }
}

void weights_update(struct weights *w)
{
    struct dev *d = w->m->dev;
    for (size_t i = 0; i < w->n_weight; i++) {
        const struct weight *x = &w->weight[i];
        if (x->mat != NULL)
            dev_mat_set(d, x->mat, w->param + x->at);
        else
            dev_copy(d, x->vec, w->param + x->at, x->n_out);
    }
}

size_t weights_bytes(const struct model *m)
{
    size_t n = 2 * (size_t)(model_n_layer_param(m) + model_n_head_param(m) * (m->head != NULL ? 2 : 1));
    return n * sizeof(float);
}

int weights_new(struct weights **out, struct model *m, struct err *e)
{
    *out = NULL;
    int rc = check(m, e);
    if (rc != 0) return rc;
    size_t n_layer = (size_t)m->params.n_layer;
    struct weights *w = mem_try_alloc(sizeof(*w));
    if (w == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot tune in full: out of memory");
    w->m = m;
    w->weight = mem_try_array(n_layer * PER_LAYER + OF_MODEL, sizeof(*w->weight));
    w->layer = mem_try_array(n_layer, sizeof(*w->layer));
    rc = w->weight == NULL || w->layer == NULL ? err_set(e, ERR_NOMEM, NULL, "cannot tune in full: out of memory") : 0;
    if (rc == 0) {
        add_all(w);
        rc = dev_alloc(m->dev, &w->param, w->n_param, e);
    }
    if (rc != 0) {
        weights_free(w);
        return rc;
    }
    read_masters(w);
    *out = w;
    return 0;
}

void weights_free(struct weights *w)
{
    if (w == NULL) return;
    dev_release(w->m->dev, w->param);
    dev_release(w->m->dev, w->grad);
    mem_free(w->weight);
    mem_free(w->layer);
    mem_free(w);
}

size_t weights_n_tensor(const struct weights *w)
{
    return w->n_weight;
}

struct weight_shape weights_shape(const struct weights *w, size_t idx)
{
    const struct weight *x = &w->weight[idx];
    return (struct weight_shape){x->at, x->n_out, x->n_in};
}

size_t weights_n_param(const struct weights *w)
{
    return w->n_param;
}

float *weights_params(struct weights *w)
{
    return w->param;
}

int weights_grads(struct weights *w, float **out, struct err *e)
{
    int rc = w->grad != NULL ? 0 : dev_alloc(w->m->dev, &w->grad, w->n_param, e);
    *out = w->grad;
    return rc;
}

void weights_drop_grads(struct weights *w)
{
    dev_release(w->m->dev, w->grad);
    w->grad = NULL;
}

/* --- gradients --- */

static float *grad_of(const struct weights *w, const struct weight *x)
{
    return x != NULL && w->grad != NULL ? w->grad + x->at : NULL;
}

struct dev_proj_grad weights_proj_grad(const struct weights *w, int layer, enum adapter_site site)
{
    const struct layer_weights *l = &w->layer[layer];
    return (struct dev_proj_grad){.dw = grad_of(w, l->w[site]), .dbias = grad_of(w, l->bias[site])};
}

struct layer_norm_grads weights_norm_grads(const struct weights *w, int layer)
{
    struct weight *const *n = w->layer[layer].norm;
    return (struct layer_norm_grads){
        .in = {.dnorm = grad_of(w, n[NORM_ATTN]), .dq_norm = grad_of(w, n[NORM_Q]), .dk_norm = grad_of(w, n[NORM_K])},
        .ffn = grad_of(w, n[NORM_FFN]),
        .post_attn = grad_of(w, n[NORM_POST_ATTN]),
        .post_ffn = grad_of(w, n[NORM_POST_FFN])};
}

struct dev_head_grad weights_head_grad(const struct weights *w)
{
    return (struct dev_head_grad){.dw = grad_of(w, w->head != NULL ? w->head : w->embedding),
                                  .dnorm = grad_of(w, w->output_norm)};
}

float *weights_embedding_grad(const struct weights *w)
{
    return grad_of(w, w->embedding);
}

/* --- by name --- */

static bool is_named(const struct weight *x, const char *name)
{
    char own[NAME_BYTES];
    if (x->layer < 0)
        snprintf(own, sizeof(own), "%s.weight", x->part);
    else
        snprintf(own, sizeof(own), "blk.%d.%s.%s", x->layer, x->part, x->is_bias ? "bias" : "weight");
    return str_eq(own, name);
}

/* The rows of x among those of the tensor, as the model has them. */
static int read_weight(const struct weights *w, const struct weight *x, float *out, size_t n, struct err *e)
{
    struct dev *d = w->m->dev;
    size_t n_value = x->n_out * x->n_in, at = x->row0 * x->n_in;
    float *tmp;
    if (at + n_value > n)
        return err_set(e, ERR_INTERNAL, x->part, "cannot read tensor \"%s\": it has %zu values, not %zu", x->part,
                       at + n_value, n);
    if (x->mat == NULL) {
        dev_read(d, out + at, x->vec, n_value);
        return 0;
    }
    int rc = dev_alloc(d, &tmp, n_value, e);
    if (rc != 0) return rc;
    dev_mat_get(d, x->mat, tmp);
    dev_read(d, out + at, tmp, n_value);
    dev_release(d, tmp);
    return 0;
}

int weights_read(const struct weights *w, const char *name, float *out, size_t n, struct err *e)
{
    bool found = false;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->n_weight; i++) {
        if (!is_named(&w->weight[i], name)) continue;
        found = true;
        rc = read_weight(w, &w->weight[i], out, n, e);
    }
    return rc != 0 || found ? rc : err_set(e, ERR_NOT_FOUND, name, "cannot read tensor \"%s\": no weight has it", name);
}
