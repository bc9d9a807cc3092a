/* Models: load, numbers, one step. Knows no family beyond the table of them. */
#include <math.h>
#include <string.h>

#include "compute/kernels/kmath.h"
#include "compute/model/deepseek2.h"
#include "compute/model/experts.h"
#include "compute/model/model_int.h"
#include "compute/model/packed_file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

static const struct model_family *const families[] = {
    &family_llama,    &family_qwen2,     &family_qwen3,   &family_gemma2,  &family_gemma3,
    &family_phi3,     &family_olmo2,     &family_granite, &family_smollm3, &family_qwen2moe,
    &family_qwen3moe, &family_deepseek2, &family_llama4};

void model_site_shape(const struct model_params *p, enum adapter_site site, size_t *n_out, size_t *n_in)
{
    size_t n_embd = (size_t)p->n_embd, n_ff = (size_t)p->n_ff;
    size_t n_q = (size_t)p->n_head * (size_t)p->d_head, n_kv = (size_t)p->n_kv_head * (size_t)p->d_head;
    *n_in = site == SITE_O ? n_q : site == SITE_DOWN ? n_ff : n_embd;
    *n_out = site == SITE_Q                         ? n_q
             : site == SITE_K || site == SITE_V     ? n_kv
             : site == SITE_GATE || site == SITE_UP ? n_ff
                                                    : n_embd;
}

/* As Hugging Face: theta^(2i/n) and its reciprocal are float32, then the scaling of the file. */
static void init_rope(struct model *m, int idx, int n_ctx)
{
    const struct model_params *p = &m->params;
    const struct model_rope *r = &p->rope[idx];
    const float *factor = r->n_ctx_short > 0 && n_ctx > r->n_ctx_short ? r->long_factor : r->factor;
    float *inv_freq = m->inv_freq[idx];
    for (int i = 0; i < p->n_rot / 2; i++) {
        float exponent = (float)(2 * i) / (float)p->n_rot;
        float power = (float)kmath_pow(r->theta, (double)exponent);
        inv_freq[i] = 1.0f / power / factor[i];
    }
    m->rope[idx] =
        (struct dev_rope){.n_rot = p->n_rot, .halves = p->rope_halves, .inv_freq = inv_freq, .magnitude = r->magnitude};
}

void model_set_context(struct model *m, int n_ctx)
{
    for (int i = 0; i < m->params.n_rope; i++) {
        init_rope(m, i, n_ctx);
    }
}

static const struct model_family *find_family(const char *architecture)
{
    for (size_t i = 0; i < N_ELEM(families); i++) {
        if (str_eq(families[i]->architecture, architecture)) {
            return families[i];
        }
    }
    return NULL;
}

/* What stands before and after the layers, then each layer as its family binds it. */
static int bind_all(struct model *m, const struct model_file *f, struct err *e)
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
        rc = m->family->bind_layer(&(struct binder){m, f, i, e});
    }
    return rc;
}

/* What attention needs besides weights. */
static int prepare_attention(struct model *m, struct err *e)
{
    const struct model_params *p = &m->params;
    const struct dev_latent_shape shape = {.n_embd = p->n_embd,
                                           .q_rank = p->latent.q_rank,
                                           .n_head = p->n_head,
                                           .d_nope = p->latent.d_nope,
                                           .n_rot = p->n_rot,
                                           .n_latent = p->latent.n_latent,
                                           .d_value = p->latent.d_value};
    float one[2 * MODEL_MAX_FREQ];
    int rc = p->latent.n_latent ? dev_latent_reserve(m->dev, &shape, e) : 0;
    if (rc || p->qk_norm != QK_NORM_ROTATED) {
        return rc;
    }
    for (int i = 0; i < p->d_head; i++) {
        one[i] = 1;
    }
    rc = dev_alloc(m->dev, &m->ones, (size_t)p->d_head, e);
    if (!rc) {
        dev_write(m->dev, m->ones, one, (size_t)p->d_head);
    }
    return rc;
}

int model_load(struct model **out, struct dev *d, const struct model_file *f, struct err *e)
{
    return model_load_packed(out, d, f, NULL, e);
}

int model_load_packed(struct model **out, struct dev *d, const struct model_file *f, struct packed_file *packed,
                      struct err *e)
{
    *out = NULL;
    struct model *m = mem_try_alloc(sizeof(*m));
    if (!m) {
        packed_file_close(packed);
        return err_set(e, ERR_NOMEM, NULL, "cannot load a model: out of memory");
    }
    m->dev = d;
    m->packed = packed;
    int rc = model_file_params(f, &m->params, e);
    if (rc) {
        goto out;
    }
    m->family = find_family(m->params.architecture);
    if (!m->family) {
        rc = err_set(e, ERR_INTERNAL, m->params.architecture,
                     "cannot compute architecture \"%s\": it has no forward pass", m->params.architecture);
        goto out;
    }
    rc = model_check_memory(d, f, e);
    if (rc) {
        goto out;
    }
    m->layer = mem_try_array((size_t)m->params.n_layer, sizeof(m->layer[0]));
    if (!m->layer) {
        rc = err_set(e, ERR_NOMEM, NULL, "cannot load a model: no memory for %d layers", m->params.n_layer);
        goto out;
    }
    model_set_context(m, 0);
    rc = bind_all(m, f, e);
    if (!rc) {
        rc = prepare_attention(m, e);
    }
    if (rc) {
        goto out;
    }
    *out = m;
    m = NULL;
out:
    model_free(m);
    return rc;
}

static void free_layer(struct dev *d, struct model_layer *l)
{
    float *const vectors[] = {l->attn_norm, l->ffn_norm, l->post_attn_norm, l->post_ffn_norm, l->q_norm, l->k_norm};
    for (size_t i = 0; i < N_ELEM(vectors); i++) {
        dev_release(d, vectors[i]);
    }
    for (int s = 0; s < SITE_COUNT; s++) {
        dev_mat_free(l->w[s]);
        dev_release(d, l->bias[s]);
    }
    layer_experts_free(d, l->experts);
    layer_latent_free(d, l->latent);
}

static void free_space(struct dev *d, struct model_space *s)
{
    dev_release(d, s->x);
    dev_release(d, s->q);
    dev_release(d, s->att);
    dev_release(d, s->act);
    dev_release(d, s->branch);
    dev_experts_space_free(s->experts);
    mem_free(s->wanted);
    *s = (struct model_space){0};
}

void model_free(struct model *m)
{
    if (!m) {
        return;
    }
    for (int i = 0; m->layer && i < m->params.n_layer; i++) {
        free_layer(m->dev, &m->layer[i]);
    }
    free_space(m->dev, &m->space);
    dev_mat_free(m->embedding);
    dev_mat_free(m->head);
    dev_release(m->dev, m->output_norm);
    forget_bound(m);
    packed_file_close(m->packed);
    dev_release(m->dev, m->ones);
    mem_free(m->layer);
    mem_free(m);
}

const struct model_params *model_params(const struct model *m)
{
    return &m->params;
}
struct dev *model_dev(const struct model *m)
{
    return m->dev;
}

/* Most of a dense model are matrices like `down`. Experts share the rows of a step: each has a few, whatever their
 * number. */
const struct kern_slow *model_slow_rows(const struct model *m)
{
    static const struct kern_slow none[1];
    if (m->params.experts.n_expert) {
        return none;
    }
    return dev_slow_rows(m->dev, dev_mat_type(m->layer[0].w[SITE_DOWN]), model_fine(m, SITE_DOWN));
}

/* Bytes of the matrices of a layer outside its mixture. */
static uint64_t plain_bytes(const struct model_layer *l)
{
    uint64_t n = l->latent ? layer_latent_bytes(l->latent) : 0;
    for (int s = 0; s < SITE_COUNT; s++) {
        n += l->w[s] ? dev_mat_bytes(l->w[s]) : 0;
    }
    return n;
}

uint64_t model_weight_bytes(const struct model *m)
{
    uint64_t n = m->vector_bytes + dev_mat_bytes(m->embedding) + (m->head ? dev_mat_bytes(m->head) : 0);
    for (int i = 0; i < m->params.n_layer; i++) {
        const struct layer_experts *x = m->layer[i].experts;
        n += plain_bytes(&m->layer[i]) + (x ? layer_experts_bytes(x) : 0);
    }
    return n;
}

/* Of a step in which n_read experts of every mixture are read. */
static uint64_t step_bytes(const struct model *m, int n_read)
{
    uint64_t n = m->vector_bytes + dev_mat_bytes(m->head ? m->head : m->embedding) +
                 dev_mat_bytes(m->embedding) / (uint64_t)m->params.n_vocab;
    for (int i = 0; i < m->params.n_layer; i++) {
        const struct layer_experts *x = m->layer[i].experts;
        n += plain_bytes(&m->layer[i]) + (x ? layer_experts_step_bytes(x, n_read) : 0);
    }
    return n;
}

uint64_t model_step_bytes(const struct model *m)
{
    return step_bytes(m, m->params.experts.n_used);
}

uint64_t model_common_step_bytes(const struct model *m)
{
    return step_bytes(m, 0);
}

uint64_t model_expert_bytes_read(const struct model *m)
{
    return m->expert_bytes_read;
}

static uint64_t attention_params(const struct model_params *p)
{
    uint64_t n_embd = (uint64_t)p->n_embd, n_head = (uint64_t)p->n_head, d_head = (uint64_t)p->d_head;
    uint64_t n_latent = (uint64_t)p->latent.n_latent, rank = (uint64_t)p->latent.q_rank;
    uint64_t d_nope = (uint64_t)p->latent.d_nope, d_value = (uint64_t)p->latent.d_value;
    if (n_latent == 0) {
        return 2 * n_embd * d_head * (n_head + (uint64_t)p->n_kv_head);
    }
    uint64_t query = rank ? rank * (n_embd + n_head * d_head) : n_embd * n_head * d_head;
    return query + n_embd * (n_latent + (uint64_t)p->n_rot) + n_head * n_latent * (d_nope + d_value) +
           n_embd * n_head * d_value;
}

uint64_t model_n_layer_param(const struct model *m)
{
    const struct model_params *p = &m->params;
    const struct model_experts *x = &p->experts;
    uint64_t n_embd = (uint64_t)p->n_embd, n = 0;
    for (int i = 0; i < p->n_layer; i++) {
        uint64_t width = (uint64_t)x->n_used * (uint64_t)x->n_ff + (uint64_t)x->n_shared;
        uint64_t experts = n_embd * (3 * width + (uint64_t)x->n_expert);
        n += attention_params(p) + (p->layer[i].experts ? experts : 3 * n_embd * (uint64_t)p->n_ff);
    }
    return n;
}

uint64_t model_n_head_param(const struct model *m)
{
    return (uint64_t)m->params.n_vocab * (uint64_t)m->params.n_embd;
}

size_t model_query_len(const struct model_params *p)
{
    return (size_t)(p->latent.n_latent ? p->latent.n_latent + p->n_rot : p->d_head);
}

size_t model_attended_len(const struct model_params *p)
{
    return (size_t)(p->latent.n_latent ? p->latent.n_latent : p->d_head);
}

static struct dev_kv_shape kv_shape(const struct model *m)
{
    return (struct dev_kv_shape){.n_layer = m->params.n_layer,
                                 .n_kv_head = m->params.n_kv_head,
                                 .d_head = (int)model_query_len(&m->params),
                                 .n_latent = m->params.latent.n_latent};
}

int model_kv_new(const struct model *m, struct dev_kv **out, int n_page, struct err *e)
{
    return model_kv_new_near(m, out, n_page, 0, e);
}

/* Positions that a token sees in a layer; 0: all before it. */
static int layer_span(const struct model_layer_params *l)
{
    return l->window > 0 && l->chunk > 0 ? (l->window < l->chunk ? l->window : l->chunk) : l->window + l->chunk;
}

int model_near_span(const struct model *m)
{
    int span = 0;
    for (int i = 0; i < m->params.n_layer; i++) {
        int n = layer_span(&m->params.layer[i]);
        span = n > span ? n : span;
    }
    return span;
}

static struct dev_kv_shape near_shape(const struct model *m, int n_near, bool is_near[MODEL_MAX_LAYER])
{
    struct dev_kv_shape shape = kv_shape(m);
    for (int i = 0; i < m->params.n_layer; i++) {
        is_near[i] = layer_span(&m->params.layer[i]) > 0;
    }
    shape.n_near = n_near;
    shape.is_near = is_near;
    return shape;
}

int model_kv_new_near(const struct model *m, struct dev_kv **out, int n_page, int n_near, struct err *e)
{
    bool is_near[MODEL_MAX_LAYER];
    struct dev_kv_shape shape = near_shape(m, n_near, is_near);
    return dev_kv_new(m->dev, out, &shape, DEV_SERVE, n_page, e);
}

uint64_t model_kv_bytes(const struct model *m, int n_page, int n_near)
{
    bool is_near[MODEL_MAX_LAYER];
    struct dev_kv_shape shape = near_shape(m, n_near, is_near);
    return dev_kv_plan_bytes(m->dev, &shape, DEV_SERVE, n_page);
}

size_t model_kv_page_bytes(const struct model *m)
{
    struct dev_kv_shape shape = kv_shape(m);
    return dev_kv_plan_page_bytes(m->dev, &shape, DEV_SERVE);
}

/* Projection at a site with the adapters of a batch. */
static struct dev_proj site_proj(const struct model *m, int layer, enum adapter_site site,
                                 const struct adapter *const *adapter, int n_adapter, struct layer_ops *ops)
{
    const struct model_layer *l = &m->layer[layer];
    int n = 0;
    for (int i = 0; i < n_adapter; i++) {
        ops->lora[site][i] = adapter[i] ? adapter_lora(adapter[i], layer, site) : NULL;
        n = ops->lora[site][i] ? n_adapter : n;
    }
    return (struct dev_proj){
        .w = l->w[site], .bias = l->bias[site], .lora = ops->lora[site], .n_lora = n, .fine = model_fine(m, site)};
}

bool model_has_join(const struct model_params *p)
{
    return p->norm_after || p->residual_scale != 1.0f;
}

static struct dev_join *set_join(const struct model *m, const float *norm, struct dev_join *j)
{
    const struct model_params *p = &m->params;
    *j = (struct dev_join){.norm = norm, .eps = p->rms_eps, .scale = p->residual_scale, .y = m->space.branch};
    return model_has_join(p) ? j : NULL;
}

void model_layer_ops(const struct model *m, int layer, const struct adapter *const *adapter, int n_adapter,
                     struct layer_ops *ops)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layer[layer];
    const struct model_layer_params *lp = &p->layer[layer];
    ops->in = (struct dev_attn_in){.norm = l->attn_norm,
                                   .eps = p->rms_eps,
                                   .q = site_proj(m, layer, SITE_Q, adapter, n_adapter, ops),
                                   .k = site_proj(m, layer, SITE_K, adapter, n_adapter, ops),
                                   .v = site_proj(m, layer, SITE_V, adapter, n_adapter, ops),
                                   .q_norm = l->q_norm,
                                   .k_norm = l->k_norm,
                                   .full_norm = p->qk_norm == QK_NORM_FULL,
                                   .rotated_norm = lp->rope >= 0 ? m->ones : NULL,
                                   .temperature_floor = lp->rope < 0 ? p->temperature_floor : 0,
                                   .temperature_scale = p->temperature_scale,
                                   .rope = lp->rope >= 0 ? &m->rope[lp->rope] : NULL,
                                   .n_head = p->n_head,
                                   .n_kv_head = p->n_kv_head,
                                   .d_head = p->d_head};
    ops->attn = (struct dev_attn){.n_head = p->n_head,
                                  .n_kv_head = p->n_kv_head,
                                  .d_head = p->d_head,
                                  .window = lp->window,
                                  .chunk = lp->chunk,
                                  .scale = p->attn_scale,
                                  .softcap = p->attn_softcap};
    ops->o = site_proj(m, layer, SITE_O, adapter, n_adapter, ops);
    ops->gate_up = (struct dev_gate_up){.norm = l->ffn_norm,
                                        .eps = p->rms_eps,
                                        .gelu = p->activation == ACTIVATION_GELU_TANH,
                                        .gate = site_proj(m, layer, SITE_GATE, adapter, n_adapter, ops),
                                        .up = site_proj(m, layer, SITE_UP, adapter, n_adapter, ops)};
    ops->down = site_proj(m, layer, SITE_DOWN, adapter, n_adapter, ops);
    ops->attn_join = set_join(m, l->post_attn_norm, &ops->join[0]);
    ops->ffn_join = set_join(m, l->post_ffn_norm, &ops->join[1]);
}

struct dev_head model_head(const struct model *m)
{
    return (struct dev_head){.norm = m->output_norm,
                             .eps = m->params.rms_eps,
                             .out = {.w = m->head ? m->head : m->embedding, .fine = FINE_ALL},
                             .scale = m->params.logit_scale,
                             .softcap = m->params.logit_softcap};
}

static int reserve_experts(struct model *m, int max_tok, struct err *e)
{
    const struct model_params *p = &m->params;
    const struct dev_experts_shape shape = {.max_tok = max_tok,
                                            .n_embd = p->n_embd,
                                            .n_expert = p->experts.n_expert,
                                            .n_used = p->experts.n_used,
                                            .n_ff = p->experts.n_ff,
                                            .n_shared = p->experts.n_shared};
    return p->experts.n_expert ? dev_experts_space_new(m->dev, &m->space.experts, &shape, e) : 0;
}

size_t model_reserve_bytes(const struct model *m, int max_tok)
{
    const struct model_params *p = &m->params;
    size_t heads = (size_t)p->n_head * (model_query_len(p) + model_attended_len(p));
    size_t width = (model_has_join(p) ? 2 : 1) * (size_t)p->n_embd + heads + (size_t)p->n_ff;
    return (size_t)max_tok * (width * sizeof(float) + sizeof(struct dev_segment));
}

int model_reserve(struct model *m, int max_tok, struct err *e)
{
    struct model_space *s = &m->space;
    if (max_tok <= s->max_tok) {
        return 0;
    }
    free_space(m->dev, s);
    size_t n = (size_t)max_tok, n_head = (size_t)m->params.n_head;
    const struct {
        float **p;
        size_t width;
    } part[] = {{&s->x, (size_t)m->params.n_embd},
                {&s->q, n_head * model_query_len(&m->params)},
                {&s->att, n_head * model_attended_len(&m->params)},
                {&s->act, (size_t)m->params.n_ff},
                {&s->branch, model_has_join(&m->params) ? (size_t)m->params.n_embd : 0}};
    for (size_t i = 0; i < N_ELEM(part); i++) {
        int rc = dev_alloc(m->dev, part[i].p, n * part[i].width, e);
        if (rc) {
            free_space(m->dev, s);
            return err_wrap(e, rc, "cannot reserve a step of %d tokens", max_tok);
        }
    }
    int rc = reserve_experts(m, max_tok, e);
    if (rc) {
        free_space(m->dev, s);
        return rc;
    }
    s->wanted = mem_try_array(n, sizeof(s->wanted[0]));
    if (!s->wanted) {
        free_space(m->dev, s);
        return err_set(e, ERR_NOMEM, NULL, "cannot reserve a step of %d tokens: out of memory", max_tok);
    }
    s->max_tok = max_tok;
    return 0;
}

/* The part of s from batch row `row` on, as row `at` of another batch. */
static struct dev_segment segment_at(const struct dev_segment *s, int row, int at)
{
    struct dev_segment part = *s;
    part.first_pos += row - s->first_tok;
    part.first_tok = at;
    part.n_tok = 1;
    return part;
}

static struct dev_batch take_wanted(struct model *m, const struct model_batch *b)
{
    struct model_space *space = &m->space;
    if (b->n_out == b->dev.n_tok) {
        return b->dev;
    }
    struct dev_batch wanted = {.mode = b->dev.mode, .n_tok = b->n_out, .segment = space->wanted};
    const struct dev_segment *s = b->dev.segment;
    for (int i = 0; i < b->n_out; i++) {
        int row = b->out_row[i];
        bool goes_on = i > 0 && row == b->out_row[i - 1] + 1 && row < s->first_tok + s->n_tok;
        while (row >= s->first_tok + s->n_tok) {
            s++;
        }
        if (goes_on) {
            space->wanted[wanted.n_segment - 1].n_tok++;
        } else {
            space->wanted[wanted.n_segment++] = segment_at(s, row, i);
        }
    }
    dev_take_rows(m->dev, space->x, (size_t)m->params.n_embd, b->out_row, b->n_out);
    dev_take_rows(m->dev, space->q, (size_t)m->params.n_head * model_query_len(&m->params), b->out_row, b->n_out);
    return wanted;
}

void step_take_wanted(struct step *s, int layer)
{
    if (layer == s->m->params.n_layer - 1 && !s->b->tap) {
        s->rows = take_wanted(s->m, s->b);
    }
}

/* All layers of a checked batch; x holds embeddings on entry. On return its first rows are those whose logits are
 * wanted, and s->rows the batch that they are. */
static void run_layers(struct step *s)
{
    const struct model_family *f = s->m->family;
    for (int i = 0; i < s->m->params.n_layer; i++) {
        model_layer_ops(s->m, i, s->b->adapter, s->b->n_adapter, &s->ops);
        f->attention(s, i);
        if (s->rows.n_tok > 0) {
            f->ffn(s, i);
        }
    }
    if (s->b->tap) { /* it sees the last layer of every token, wanted or not */
        model_tap_normed(s->m, s->b, MODEL_TAP_HEAD, SITE_COUNT, s->m->space.x, s->m->output_norm);
        s->rows = take_wanted(s->m, s->b);
    }
}

static int check_batch(const struct model *m, const struct model_batch *b, struct err *e)
{
    for (int i = 0; i < b->dev.n_tok; i++) {
        if (b->ids[i] < 0 || b->ids[i] >= m->params.n_vocab) {
            return err_set(e, ERR_INPUT, "ids", "cannot compute token %d: id %d is outside the vocabulary, 0 to %d", i,
                           (int)b->ids[i], m->params.n_vocab - 1);
        }
    }
    if (b->n_adapter > MODEL_MAX_ADAPTER) {
        return err_set(e, ERR_LIMIT, "adapters", "cannot compute a batch with %d adapters: at most %d", b->n_adapter,
                       MODEL_MAX_ADAPTER);
    }
    return 0;
}

int model_forward(struct model *m, const struct model_batch *b, struct dev_kv *kv, float *logits, struct err *e)
{
    int rc = check_batch(m, b, e);
    if (!rc) {
        rc = model_reserve(m, b->dev.n_tok, e);
    }
    if (rc || b->dev.n_tok == 0) {
        return rc;
    }
    struct step s = {.m = m, .b = b, .kv = kv, .rows = b->dev};
    dev_embed(m->dev, m->space.x, m->embedding, b->ids, b->dev.n_tok, m->params.embedding_scale);
    run_layers(&s);
    if (s.rows.n_tok > 0) {
        struct dev_head head = model_head(m);
        dev_head(m->dev, &s.rows, &head, m->space.x, NULL, s.rows.n_tok, logits);
    }
    return 0;
}
