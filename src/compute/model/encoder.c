/* BERT (Devlin et al. 2019): the sum of token, position and type embeddings, normed; layers of attention and
 * feed-forward, each joined by addition and then normed. */
#include "compute/model/encoder.h"

#include <math.h>
#include <stdio.h>

#include "compute/model/model_int.h"
#include "ground/base/mem.h"

/* A matrix with its bias, and a norm with its. */
struct affine {
    struct dev_mat *w;
    float *bias;
};
struct norm {
    float *w, *bias;
};
struct encoder_layer {
    struct affine q, k, v, o, up, down;
    struct norm after_attention, after_ffn;
};

struct encoder {
    struct model base; /* what binding tensors needs of a model: the device, and the count of bytes */
    struct encoder_params params;
    struct dev_mat *token, *position, *type; /* type: NULL where there is none */
    struct norm embedding;
    struct encoder_layer *layer;
    int max_tok, max_pos; /* what is reserved */
    float *x, *y, *q, *k, *v, *act;
};

static int bind_norm_of(struct encoder *m, const struct model_file *f, const char *name, struct norm *n, struct err *e)
{
    char text[96];
    snprintf(text, sizeof text, "%s.weight", name);
    int rc = bind_vec(&m->base, f, text, (size_t)m->params.n_embd, true, &n->w, e);
    snprintf(text, sizeof text, "%s.bias", name);
    return rc ? rc : bind_vec(&m->base, f, text, (size_t)m->params.n_embd, true, &n->bias, e);
}

static int bind_affine(struct encoder *m, const struct model_file *f, int layer, const char *part, int n_out, int n_in,
                       struct affine *a, struct err *e)
{
    char text[96];
    snprintf(text, sizeof text, "blk.%d.%s.weight", layer, part);
    int rc = bind_mat(&m->base, f, text, (size_t)n_out, (size_t)n_in, &a->w, e);
    snprintf(text, sizeof text, "blk.%d.%s.bias", layer, part);
    return rc ? rc : bind_vec(&m->base, f, text, (size_t)n_out, true, &a->bias, e);
}

static int bind_encoder_layer(struct encoder *m, const struct model_file *f, int i, struct err *e)
{
    struct encoder_layer *l = &m->layer[i];
    int n = m->params.n_embd, n_ff = m->params.n_ff;
    char name[96];
    const struct {
        const char *part;
        struct affine *a;
        int n_out, n_in;
    } part[] = {{"attn_q", &l->q, n, n},      {"attn_k", &l->k, n, n},     {"attn_v", &l->v, n, n},
                {"attn_output", &l->o, n, n}, {"ffn_up", &l->up, n_ff, n}, {"ffn_down", &l->down, n, n_ff}};
    int rc = 0;
    for (size_t k = 0; !rc && k < N_ELEM(part); k++) {
        rc = bind_affine(m, f, i, part[k].part, part[k].n_out, part[k].n_in, part[k].a, e);
    }
    snprintf(name, sizeof name, "blk.%d.attn_output_norm", i);
    rc = rc ? rc : bind_norm_of(m, f, name, &l->after_attention, e);
    snprintf(name, sizeof name, "blk.%d.layer_output_norm", i);
    return rc ? rc : bind_norm_of(m, f, name, &l->after_ffn, e);
}

static int bind_encoder(struct encoder *m, const struct model_file *f, struct err *e)
{
    const struct encoder_params *p = &m->params;
    size_t n = (size_t)p->n_embd;
    int rc = bind_mat(&m->base, f, "token_embd.weight", (size_t)p->n_vocab, n, &m->token, e);
    rc = rc ? rc : bind_mat(&m->base, f, "position_embd.weight", (size_t)p->n_ctx, n, &m->position, e);
    if (!rc && p->n_token_type > 0) {
        rc = bind_mat(&m->base, f, "token_types.weight", (size_t)p->n_token_type, n, &m->type, e);
    }
    rc = rc ? rc : bind_norm_of(m, f, "token_embd_norm", &m->embedding, e);
    for (int i = 0; !rc && i < p->n_layer; i++) {
        rc = bind_encoder_layer(m, f, i, e);
    }
    return rc;
}

int encoder_load(struct encoder **out, struct dev *d, const struct model_file *f, struct err *e)
{
    *out = NULL;
    struct encoder *m = mem_try_alloc(sizeof *m);
    if (!m) {
        return err_set(e, ERR_NOMEM, NULL, "cannot load a model: out of memory");
    }
    m->base.dev = d;
    int rc = model_file_encoder(f, &m->params, e);
    if (!rc) {
        m->layer = mem_try_array((size_t)m->params.n_layer, sizeof *m->layer);
        rc = m->layer ? bind_encoder(m, f, e) : err_set(e, ERR_NOMEM, NULL, "cannot load a model: out of memory");
    }
    if (rc) {
        encoder_free(m);
        return rc;
    }
    *out = m;
    return 0;
}

static void free_affine(struct dev *d, struct affine *a)
{
    dev_mat_free(a->w);
    dev_release(d, a->bias);
}

static void free_norm(struct dev *d, struct norm *n)
{
    dev_release(d, n->w);
    dev_release(d, n->bias);
}

static void free_scratch(struct encoder *m)
{
    float **part[] = {&m->x, &m->y, &m->q, &m->k, &m->v, &m->act};
    for (size_t i = 0; i < N_ELEM(part); i++) {
        dev_release(m->base.dev, *part[i]);
        *part[i] = NULL;
    }
    m->max_tok = 0;
}

void encoder_free(struct encoder *m)
{
    if (!m) {
        return;
    }
    struct dev *d = m->base.dev;
    for (int i = 0; m->layer && i < m->params.n_layer; i++) {
        struct encoder_layer *l = &m->layer[i];
        struct affine *const affine[] = {&l->q, &l->k, &l->v, &l->o, &l->up, &l->down};
        for (size_t k = 0; k < N_ELEM(affine); k++) {
            free_affine(d, affine[k]);
        }
        free_norm(d, &l->after_attention);
        free_norm(d, &l->after_ffn);
    }
    forget_bound(&m->base);
    free_norm(d, &m->embedding);
    dev_mat_free(m->token);
    dev_mat_free(m->position);
    dev_mat_free(m->type);
    free_scratch(m);
    mem_free(m->layer);
    mem_free(m);
}

const struct encoder_params *encoder_params(const struct encoder *m)
{
    return &m->params;
}

static int reserve(struct encoder *m, int n_tok, int n_pos, struct err *e)
{
    const struct encoder_params *p = &m->params;
    int rc = 0;
    if (n_pos > m->max_pos) {
        rc = dev_encoder_reserve(m->base.dev, n_pos, p->n_embd / p->n_head, e);
        m->max_pos = rc ? m->max_pos : n_pos;
    }
    if (rc || n_tok <= m->max_tok) {
        return rc;
    }
    free_scratch(m);
    const struct {
        float **p;
        int width;
    } part[] = {{&m->x, p->n_embd}, {&m->y, p->n_embd}, {&m->q, p->n_embd},
                {&m->k, p->n_embd}, {&m->v, p->n_embd}, {&m->act, p->n_ff}};
    for (size_t i = 0; !rc && i < N_ELEM(part); i++) {
        rc = dev_alloc(m->base.dev, part[i].p, (size_t)n_tok * (size_t)part[i].width, e);
    }
    if (rc) {
        free_scratch(m);
        return rc;
    }
    m->max_tok = n_tok;
    return 0;
}

/* y = W x + bias, or y += with add. */
static void apply(struct encoder *m, const struct dev_batch *b, const struct affine *a, bool add, const float *x,
                  float *y)
{
    const struct dev_proj proj = {.w = a->w, .bias = a->bias, .fine = FINE_ALL};
    if (!add) {
        dev_zero(m->base.dev, y, (size_t)b->n_tok * dev_mat_n_out(a->w));
    }
    dev_linear_add(m->base.dev, b, &proj, NULL, x, y);
}

static void run_layer(struct encoder *m, const struct dev_batch *b, const struct encoder_layer *l)
{
    const struct encoder_params *p = &m->params;
    struct dev *d = m->base.dev;
    size_t n_tok = (size_t)b->n_tok, n = (size_t)p->n_embd;
    int d_head = p->n_embd / p->n_head;
    apply(m, b, &l->q, false, m->x, m->q);
    apply(m, b, &l->k, false, m->x, m->k);
    apply(m, b, &l->v, false, m->x, m->v);
    dev_attention_all(d, b, p->n_head, d_head, 1.0f / sqrtf((float)d_head), m->q, m->k, m->v, m->y);
    apply(m, b, &l->o, true, m->y, m->x);
    dev_layer_norm(d, m->x, l->after_attention.w, l->after_attention.bias, n_tok, n, p->norm_eps);
    apply(m, b, &l->up, false, m->x, m->act);
    dev_gelu(d, m->act, n_tok * (size_t)p->n_ff);
    apply(m, b, &l->down, true, m->act, m->x);
    dev_layer_norm(d, m->x, l->after_ffn.w, l->after_ffn.bias, n_tok, n, p->norm_eps);
}

/* Token + position + type 0, normed. place: [n_tok] scratch. */
static void embed(struct encoder *m, const struct dev_batch *b, const int32_t *ids, int32_t *place)
{
    struct dev *d = m->base.dev;
    size_t n = (size_t)b->n_tok * (size_t)m->params.n_embd;
    dev_embed(d, m->x, m->token, ids, b->n_tok, 1.0f);
    for (int s = 0; s < b->n_segment; s++) {
        for (int i = 0; i < b->segment[s].n_tok; i++) {
            place[b->segment[s].first_tok + i] = i;
        }
    }
    dev_embed(d, m->y, m->position, place, b->n_tok, 1.0f);
    dev_add(d, m->x, m->y, n);
    if (m->type) {
        for (int i = 0; i < b->n_tok; i++) {
            place[i] = 0;
        }
        dev_embed(d, m->y, m->type, place, b->n_tok, 1.0f);
        dev_add(d, m->x, m->y, n);
    }
    dev_layer_norm(d, m->x, m->embedding.w, m->embedding.bias, (size_t)b->n_tok, (size_t)m->params.n_embd,
                   m->params.norm_eps);
}

static int check_ids(const struct encoder *m, const int32_t *ids, int n_tok, struct err *e)
{
    for (int i = 0; i < n_tok; i++) {
        if (ids[i] < 0 || ids[i] >= m->params.n_vocab) {
            return err_set(e, ERR_INPUT, "ids", "cannot compute token %d: id %d is outside the vocabulary, 0 to %d", i,
                           (int)ids[i], m->params.n_vocab - 1);
        }
    }
    return 0;
}

/* Segments of the sequences; the longest, or an error. */
static int place_segments(const struct encoder *m, const int *n_tok, int n_seq, struct dev_segment *segment,
                          int *longest, int *total, struct err *e)
{
    *longest = *total = 0;
    for (int s = 0; s < n_seq; s++) {
        if (n_tok[s] < 1 || n_tok[s] > m->params.n_ctx) {
            return err_set(e, ERR_INPUT, "text", "cannot compute a text of %d tokens: the model takes 1 to %d",
                           n_tok[s], m->params.n_ctx);
        }
        segment[s] = (struct dev_segment){.first_tok = *total, .n_tok = n_tok[s], .adapter = -1};
        *longest = n_tok[s] > *longest ? n_tok[s] : *longest;
        *total += n_tok[s];
    }
    return 0;
}

int encoder_forward(struct encoder *m, const int32_t *ids, const int *n_tok, int n_seq, float *hidden, struct err *e)
{
    int longest, total;
    struct dev_segment *segment = mem_try_array((size_t)n_seq, sizeof *segment);
    int32_t *place = NULL;
    if (!segment) {
        return err_set(e, ERR_NOMEM, NULL, "cannot compute %d texts: out of memory", n_seq);
    }
    int rc = place_segments(m, n_tok, n_seq, segment, &longest, &total, e);
    rc = rc ? rc : check_ids(m, ids, total, e);
    rc = rc ? rc : reserve(m, total, longest, e);
    if (!rc) {
        place = mem_try_array((size_t)total, sizeof *place);
        rc = place ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot compute %d tokens: out of memory", total);
    }
    if (!rc) {
        const struct dev_batch b = {.mode = DEV_SERVE, .n_tok = total, .segment = segment, .n_segment = n_seq};
        embed(m, &b, ids, place);
        for (int i = 0; i < m->params.n_layer; i++) {
            run_layer(m, &b, &m->layer[i]);
        }
        dev_read(m->base.dev, hidden, m->x, (size_t)total * (size_t)m->params.n_embd);
    }
    mem_free(place);
    mem_free(segment);
    return rc;
}
