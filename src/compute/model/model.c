/* Models: load, numbers, one step. Knows no family beyond the table of them. */
#include <math.h>
#include <string.h>

#include "compute/kernels/kmath.h"
#include "compute/model/model_int.h"
#include "compute/model/packed_file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { FINE_MAX_PARAM = 400 * 1000 * 1000 };

static const struct model_family *const families[] = {&family_llama, &family_qwen2};

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
static void init_rope(struct model *m)
{
    const struct model_params *p = &m->params;
    for (int i = 0; i < p->n_rot / 2; i++) {
        float exponent = (float)(2 * i) / (float)p->n_rot;
        float power = (float)kmath_pow(p->rope_theta, (double)exponent);
        m->inv_freq[i] = 1.0f / power / p->rope_factor[i];
    }
    m->rope = (struct dev_rope){.n_rot = p->n_rot, .halves = p->rope_halves, .inv_freq = m->inv_freq};
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
        rc = err_set(e, ERR_UNSUPPORTED, m->params.architecture,
                     "cannot compute architecture \"%s\": llama and qwen2 can be computed", m->params.architecture);
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
    init_rope(m);
    rc = m->family->bind(m, f, e);
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
    dev_release(d, l->attn_norm);
    dev_release(d, l->ffn_norm);
    for (int s = 0; s < SITE_COUNT; s++) {
        dev_mat_free(l->w[s]);
        dev_release(d, l->bias[s]);
    }
}

static void free_space(struct dev *d, struct model_space *s)
{
    dev_release(d, s->x);
    dev_release(d, s->q);
    dev_release(d, s->att);
    dev_release(d, s->act);
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
    for (size_t i = 0; i < m->n_bound; i++) {
        mem_free(m->bound[i].name);
    }
    mem_free(m->bound);
    packed_file_close(m->packed);
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

static uint64_t layer_bytes(const struct model *m)
{
    uint64_t n = 0;
    for (int i = 0; i < m->params.n_layer; i++) {
        for (int s = 0; s < SITE_COUNT; s++) {
            n += dev_mat_bytes(m->layer[i].w[s]);
        }
    }
    return n;
}

uint64_t model_weight_bytes(const struct model *m)
{
    return layer_bytes(m) + m->vector_bytes + dev_mat_bytes(m->embedding) + (m->head ? dev_mat_bytes(m->head) : 0);
}

uint64_t model_step_bytes(const struct model *m)
{
    uint64_t head = dev_mat_bytes(m->head ? m->head : m->embedding);
    return layer_bytes(m) + m->vector_bytes + head + dev_mat_bytes(m->embedding) / (uint64_t)m->params.n_vocab;
}

uint64_t model_n_layer_param(const struct model *m)
{
    uint64_t n = 0;
    for (int s = 0; s < SITE_COUNT; s++) {
        size_t n_out, n_in;
        model_site_shape(&m->params, (enum adapter_site)s, &n_out, &n_in);
        n += (uint64_t)n_out * n_in;
    }
    return n * (uint64_t)m->params.n_layer;
}

uint64_t model_n_head_param(const struct model *m)
{
    return (uint64_t)m->params.n_vocab * (uint64_t)m->params.n_embd;
}

static struct dev_kv_shape kv_shape(const struct model *m)
{
    return (struct dev_kv_shape){m->params.n_layer, m->params.n_kv_head, m->params.d_head};
}

int model_kv_new(const struct model *m, struct dev_kv **out, int n_page, struct err *e)
{
    struct dev_kv_shape shape = kv_shape(m);
    return dev_kv_new(m->dev, out, &shape, DEV_SERVE, n_page, e);
}

size_t model_kv_page_bytes(const struct model *m)
{
    struct dev_kv_shape shape = kv_shape(m);
    return dev_kv_plan_page_bytes(m->dev, &shape, DEV_SERVE);
}

/* Where 16 bits of an input are kept in small models. Rounding one kind of input to 8 bits moves the answers of SmolLM2
 * (106 M parameters in layers) to short chat prompts by a mean KL divergence, in 1e-4, of: v 22, down 16, up 11, head
 * 8, gate 5, q 3, k 3, attention output 3; what bfloat16 does beside it is 4, the bound is 20. Gate and the attention
 * output are a third of the work. Larger models are less sensitive. */
static bool needs_fine(const struct model *m, enum adapter_site site)
{
    return site != SITE_O && site != SITE_GATE && model_n_layer_param(m) < FINE_MAX_PARAM;
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
        .w = l->w[site], .bias = l->bias[site], .lora = ops->lora[site], .n_lora = n, .fine = needs_fine(m, site)};
}

void model_layer_ops(const struct model *m, int layer, const struct adapter *const *adapter, int n_adapter,
                     struct layer_ops *ops)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layer[layer];
    ops->in = (struct dev_attn_in){.norm = l->attn_norm,
                                   .eps = p->rms_eps,
                                   .q = site_proj(m, layer, SITE_Q, adapter, n_adapter, ops),
                                   .k = site_proj(m, layer, SITE_K, adapter, n_adapter, ops),
                                   .v = site_proj(m, layer, SITE_V, adapter, n_adapter, ops),
                                   .rope = &m->rope,
                                   .n_head = p->n_head,
                                   .n_kv_head = p->n_kv_head,
                                   .d_head = p->d_head};
    ops->attn = (struct dev_attn){.n_head = p->n_head,
                                  .n_kv_head = p->n_kv_head,
                                  .d_head = p->d_head,
                                  .window = p->sliding_window,
                                  .scale = 1.0f / sqrtf((float)p->d_head)};
    ops->o = site_proj(m, layer, SITE_O, adapter, n_adapter, ops);
    ops->gate_up = (struct dev_gate_up){.norm = l->ffn_norm,
                                        .eps = p->rms_eps,
                                        .gate = site_proj(m, layer, SITE_GATE, adapter, n_adapter, ops),
                                        .up = site_proj(m, layer, SITE_UP, adapter, n_adapter, ops)};
    ops->down = site_proj(m, layer, SITE_DOWN, adapter, n_adapter, ops);
}

struct dev_head model_head(const struct model *m)
{
    return (struct dev_head){
        .norm = m->output_norm, .eps = m->params.rms_eps, .out = {.w = m->head ? m->head : m->embedding, .fine = true}};
}

size_t model_reserve_bytes(const struct model *m, int max_tok)
{
    const struct model_params *p = &m->params;
    size_t width = (size_t)p->n_embd + 2 * (size_t)p->n_head * (size_t)p->d_head + (size_t)p->n_ff;
    return (size_t)max_tok * (width * sizeof(float) + sizeof(struct dev_segment));
}

int model_reserve(struct model *m, int max_tok, struct err *e)
{
    struct model_space *s = &m->space;
    if (max_tok <= s->max_tok) {
        return 0;
    }
    free_space(m->dev, s);
    size_t n = (size_t)max_tok, n_q = (size_t)m->params.n_head * (size_t)m->params.d_head;
    const struct {
        float **p;
        size_t width;
    } part[] = {{&s->x, (size_t)m->params.n_embd}, {&s->q, n_q}, {&s->att, n_q}, {&s->act, (size_t)m->params.n_ff}};
    for (size_t i = 0; i < N_ELEM(part); i++) {
        int rc = dev_alloc(m->dev, part[i].p, n * part[i].width, e);
        if (rc) {
            free_space(m->dev, s);
            return err_wrap(e, rc, "cannot reserve a step of %d tokens", max_tok);
        }
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

struct dev_batch model_take_wanted(struct model *m, const struct model_batch *b)
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
    dev_take_rows(m->dev, space->q, (size_t)m->params.n_head * (size_t)m->params.d_head, b->out_row, b->n_out);
    return wanted;
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
    dev_embed(m->dev, m->space.x, m->embedding, b->ids, b->dev.n_tok);
    struct dev_batch wanted = m->family->layers(m, b, kv);
    if (wanted.n_tok > 0) {
        struct dev_head head = model_head(m);
        dev_head(m->dev, &wanted, &head, m->space.x, NULL, wanted.n_tok, logits);
    }
    return 0;
}
