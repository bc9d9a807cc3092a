/* The tape: memory of a step, its segments and pages, and the order of forward, loss and backward. Families provide the
 * layers. What always holds: a page belongs to one segment; a child's blocks begin with its parent's. */
#include "compute/device/noise.h"
#include "compute/model/tape_int.h"

#include <string.h>

#include "ground/base/mem.h"

/* --- memory: one list of arrays, walked to count and to allocate --- */

typedef int (*array_fn)(void *arg, float **p, size_t n, struct err *e);

static int each(array_fn fn, void *arg, float **p, size_t n_tok, size_t width, struct err *e)
{
    return width == 0 ? 0 : fn(arg, p, n_tok * width, e);
}

/* What a layer keeps beside its input. */
static int layer_arrays(const struct model_params *p, const struct tape_options *opt, struct tape_layer *k, array_fn fn,
                        void *arg, struct err *e)
{
    size_t n_tok = (size_t)opt->max_tok;
    size_t n_q = (size_t)p->n_head * (size_t)p->d_head, n_kv = (size_t)p->n_kv_head * (size_t)p->d_head;
    size_t n_branch = model_has_join(p) ? (size_t)p->n_embd : 0;
    bool normed = p->qk_norm != QK_NORM_NONE;
    const struct {
        float **p;
        size_t width;
    } part[] = {{&k->x_mid, (size_t)p->n_embd},
                {&k->inv_rms, 1},
                {&k->inv_rms_mid, 1},
                {&k->q, n_q},
                {&k->att, n_q},
                {&k->lse, (size_t)p->n_head},
                {&k->gate, (size_t)p->n_ff},
                {&k->up, (size_t)p->n_ff},
                {&k->q_raw, normed ? n_q : 0},
                {&k->k_raw, normed ? n_kv : 0},
                {&k->y_attn, n_branch},
                {&k->y_ffn, n_branch}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ELEM(part); i++) rc = each(fn, arg, part[i].p, n_tok, part[i].width, e);
    for (int s = 0; rc == 0 && s < SITE_COUNT; s++) {
        size_t n_out, n_in;
        model_site_shape(p, (enum adapter_site)s, &n_out, &n_in);
        rc = each(fn, arg, &k->u[s], n_tok, (size_t)opt->rank, e);
        if (rc == 0) rc = each(fn, arg, &k->y[s], n_tok, opt->magnitudes ? n_out : 0, e);
    }
    return rc;
}

/* Layers that have no set of their own: one is nothing to share. */
static int shared_layers(const struct model_params *p, const struct tape_options *opt)
{
    int n = opt->n_frozen, left = p->n_layer - opt->n_frozen;
    n += opt->n_recompute < left ? opt->n_recompute : left;
    return n > 1 ? n : 0;
}

/* Arrays of a tape; of the layers that share a set, layer[0] has it. */
static int all_arrays(const struct model_params *p, const struct tape_options *opt, struct tape *t, array_fn fn,
                      void *arg, struct err *e)
{
    size_t n_tok = (size_t)opt->max_tok, n_q = (size_t)p->n_head * (size_t)p->d_head, n_ff = (size_t)p->n_ff;
    size_t n_wide = n_ff > n_q ? n_ff : n_q;
    int n_shared = shared_layers(p, opt);
    const struct {
        float **p;
        size_t width;
    } part[] = {{&t->x_out, (size_t)p->n_embd},
                {&t->dx, (size_t)p->n_embd},
                {&t->act, n_wide},
                {&t->dact, n_wide},
                {&t->dbranch, model_has_join(p) ? (size_t)p->n_embd : 0}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < N_ELEM(part); i++) rc = each(fn, arg, part[i].p, n_tok, part[i].width, e);
    for (int l = 0; rc == 0 && l < p->n_layer; l++) {
        rc = each(fn, arg, &t->layer[l].x, n_tok, (size_t)p->n_embd, e);
        if (rc == 0 && (l == 0 || l >= n_shared)) rc = layer_arrays(p, opt, &t->layer[l], fn, arg, e);
    }
    return rc;
}

static int count_array(void *arg, float **p, size_t n, struct err *e)
{
    (void)p, (void)e;
    *(size_t *)arg += round_up(n * sizeof(float), 64);
    return 0;
}

static int alloc_array(void *arg, float **p, size_t n, struct err *e)
{
    return dev_alloc(arg, p, n, e);
}

static int free_array(void *arg, float **p, size_t n, struct err *e)
{
    (void)n, (void)e;
    dev_release(arg, *p);
    *p = NULL;
    return 0;
}

static int page_count(const struct tape_options *opt)
{
    return opt->max_tok / DEV_PAGE + opt->max_segment;
}

static struct dev_train_shape train_shape(const struct model *m, const struct tape_options *opt)
{
    const struct model_params *p = &m->params;
    return (struct dev_train_shape){.max_tok = opt->max_tok,
                                    .max_segment = opt->max_segment,
                                    .n_page = page_count(opt),
                                    .n_embd = p->n_embd,
                                    .n_head = p->n_head,
                                    .n_kv_head = p->n_kv_head,
                                    .d_head = p->d_head,
                                    .n_ff = p->n_ff,
                                    .n_vocab = p->n_vocab,
                                    .rank = opt->rank,
                                    .magnitudes = opt->magnitudes};
}

static int kv_layers_of(const struct model_params *p, const struct tape_options *opt)
{
    int n_shared = shared_layers(p, opt);
    return p->n_layer - n_shared + (n_shared > 0);
}

size_t tape_bytes(const struct model *m, const struct tape_options *opt)
{
    const struct model_params *p = &m->params;
    struct tape_layer *layer = mem_alloc((size_t)p->n_layer * sizeof(*layer));
    struct tape t = {.layer = layer};
    struct dev_train_shape shape = train_shape(m, opt);
    size_t bytes = 0, page = 2 * (size_t)(p->n_kv_head * p->d_head) * DEV_PAGE * sizeof(float);
    if (all_arrays(p, opt, &t, count_array, &bytes, NULL) != 0) bytes = SIZE_MAX;
    mem_free(layer);
    size_t kv_layers = (size_t)kv_layers_of(p, opt) + 1;
    return bytes + page * (size_t)page_count(opt) * kv_layers + dev_train_bytes(m->dev, &shape);
}

int tape_recompute_that_fits(const struct model *m, const struct tape_options *opt)
{
    struct tape_options o = *opt;
    int most = m->params.n_layer - opt->n_frozen;
    for (o.n_recompute = 0; o.n_recompute < most; o.n_recompute++)
        if (tape_bytes(m, &o) <= opt->max_bytes) break;
    return o.n_recompute;
}

int tape_tokens_that_fit(const struct model *m, const struct tape_options *opt)
{
    int lo = 0, hi = opt->max_tok;
    while (lo < hi) {
        struct tape_options o = *opt;
        o.max_tok = lo + (hi - lo + 1) / 2;
        if (tape_bytes(m, &o) <= opt->max_bytes)
            lo = o.max_tok;
        else
            hi = o.max_tok - 1;
    }
    return lo;
}

static int check_memory(const struct model *m, const struct tape_options *opt, struct err *e)
{
    size_t need = tape_bytes(m, opt);
    if (opt->max_bytes == 0 || need <= opt->max_bytes) return 0;
    struct tape_options again = *opt;
    again.n_recompute = TAPE_ALL_LAYERS;
    int fit = tape_tokens_that_fit(m, opt);
    if (tape_bytes(m, &again) <= opt->max_bytes)
        return err_set(
            e, ERR_LIMIT, NULL,
            "cannot train on %d tokens at once: %zu bytes are needed, %zu are allowed; with recompute it takes "
            "%zu, as it is %d tokens fit",
            opt->max_tok, need, opt->max_bytes, tape_bytes(m, &again), fit);
    return err_set(e, ERR_LIMIT, NULL,
                   "cannot train on %d tokens at once: %zu bytes are needed, %zu are allowed; %d tokens fit",
                   opt->max_tok, need, opt->max_bytes, fit);
}

static int take_memory(struct tape *t, struct err *e)
{
    const struct model_params *p = &t->m->params;
    struct dev *d = t->m->dev;
    t->layer = mem_try_array((size_t)p->n_layer, sizeof(*t->layer));
    t->segment = mem_try_array((size_t)t->opt.max_segment, sizeof(*t->segment));
    t->n_pos = mem_try_array((size_t)t->opt.max_segment, sizeof(*t->n_pos));
    if (t->layer == NULL || t->segment == NULL || t->n_pos == NULL)
        return err_set(e, ERR_NOMEM, NULL, "cannot make a tape: out of memory");
    int rc = all_arrays(p, &t->opt, t, alloc_array, d, e);
    t->datt = t->act;
    t->dq = t->dact;
    struct dev_kv_shape shape = {.n_layer = kv_layers_of(p, &t->opt), .n_kv_head = p->n_kv_head, .d_head = p->d_head};
    if (rc == 0) rc = dev_kv_new(d, &t->kv, &shape, DEV_TRAIN, t->n_page, e);
    shape.n_layer = 1;
    if (rc == 0) rc = dev_kv_new(d, &t->dkv, &shape, DEV_TRAIN, t->n_page, e);
    if (rc != 0) return rc;
    dev_kv_zero(d, t->kv);
    dev_kv_zero(d, t->dkv);
    struct dev_train_shape train = train_shape(t->m, &t->opt);
    return dev_train_reserve(d, &train, e);
}

int tape_new(struct tape **out, struct model *m, const struct tape_options *opt, struct err *e)
{
    *out = NULL;
    if (m->family->tape_backward == NULL)
        return err_set(e, ERR_UNSUPPORTED, m->params.architecture,
                       "cannot train architecture \"%s\": it has no backward pass", m->params.architecture);
    if (m->params.experts.n_expert > 0)
        return err_set(e, ERR_UNSUPPORTED, m->params.architecture,
                       "cannot train a model with %d experts a layer: mixtures of experts have no backward pass",
                       m->params.experts.n_expert);
    int rc = check_memory(m, opt, e);
    if (rc != 0) return rc;
    struct tape *t = mem_try_alloc(sizeof(*t));
    if (t == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot make a tape: out of memory");
    t->m = m;
    t->opt = *opt;
    t->rank = opt->rank;
    t->n_page = page_count(opt);
    t->n_shared = shared_layers(&m->params, opt);
    rc = take_memory(t, e);
    if (rc == 0)
        *out = t;
    else
        tape_free(t);
    return rc;
}

void tape_free(struct tape *t)
{
    if (t == NULL) return;
    struct dev *d = t->m->dev;
    if (t->layer != NULL && all_arrays(&t->m->params, &t->opt, t, free_array, d, NULL) != 0) return;
    dev_kv_free(t->kv);
    dev_kv_free(t->dkv);
    mem_free(t->layer);
    mem_free(t->segment);
    mem_free(t->n_pos);
    mem_free(t->block);
    mem_free(t);
}

/* --- a step --- */

static int check_batch(const struct tape *t, const struct tape_batch *b, struct err *e)
{
    if (b->n_tok < 1 || b->n_tok > t->opt.max_tok || b->n_segment < 1 || b->n_segment > t->opt.max_segment)
        return err_set(e, ERR_LIMIT, NULL, "cannot train on %d tokens in %d segments: the tape has room for %d in %d",
                       b->n_tok, b->n_segment, t->opt.max_tok, t->opt.max_segment);
    int n_vocab = t->m->params.n_vocab;
    for (int i = 0; i < b->n_tok; i++)
        if (b->ids[i] < 0 || b->ids[i] >= n_vocab)
            return err_set(e, ERR_INPUT, "ids", "cannot train on token %d: id %d is outside the vocabulary, 0 to %d", i,
                           (int)b->ids[i], n_vocab - 1);
    for (int i = 0; i < b->n_target; i++)
        if (b->row[i] < 0 || b->row[i] >= b->n_tok || b->target[i] < 0 || b->target[i] >= n_vocab ||
            (i > 0 && b->row[i] < b->row[i - 1]))
            return err_set(e, ERR_INPUT, "target",
                           "cannot train target %d: id %d at row %d, of %d ids and %d rows in order", i,
                           (int)b->target[i], (int)b->row[i], n_vocab, b->n_tok);
    return 0;
}

static int reserve_blocks(struct tape *t, size_t n, struct err *e)
{
    if (n <= t->cap_block) return 0;
    mem_free(t->block);
    t->block = mem_try_array(n, sizeof(*t->block));
    t->cap_block = t->block == NULL ? 0 : n;
    return t->block != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot train on %zu blocks: out of memory", n);
}

/* Blocks of segment i: its parent's, then its own on pages from *page on. */
static void lay_segment(struct tape *t, const struct tape_batch *b, int i, int *page)
{
    struct dev_segment *s = &t->segment[i];
    const struct tape_segment *in = &b->segment[i];
    struct dev_block *block = t->block + t->n_block;
    const struct dev_segment *parent = in->parent >= 0 ? &t->segment[in->parent] : NULL;
    s->block = block;
    s->n_block = parent == NULL ? 0 : parent->n_block;
    if (parent != NULL) memcpy(block, parent->block, (size_t)parent->n_block * sizeof(*block));
    for (int at = 0; at < in->n_tok; at += DEV_PAGE)
        block[s->n_block++] = (struct dev_block){(*page)++, in->n_tok - at < DEV_PAGE ? in->n_tok - at : DEV_PAGE};
    t->n_block += (size_t)s->n_block;
}

static int lay_segments(struct tape *t, const struct tape_batch *b, struct err *e)
{
    int page = 0, tok = 0;
    size_t n_block = 0;
    for (int i = 0; i < b->n_segment; i++) {
        const struct tape_segment *in = &b->segment[i];
        if (in->n_tok < 1 || in->parent >= i || in->parent < -1 || tok + in->n_tok > b->n_tok)
            return err_set(e, ERR_INPUT, "segment", "cannot train on segment %d: %d tokens, parent %d", i, in->n_tok,
                           in->parent);
        struct dev_segment *s = &t->segment[i];
        *s = (struct dev_segment){.first_tok = tok, .n_tok = in->n_tok, .adapter = t->adapter != NULL ? 0 : -1};
        s->first_pos = in->parent >= 0 ? t->n_pos[in->parent] : 0;
        t->n_pos[i] = s->first_pos + s->n_tok;
        s->n_block = (in->n_tok + DEV_PAGE - 1) / DEV_PAGE + (in->parent >= 0 ? t->segment[in->parent].n_block : 0);
        n_block += (size_t)s->n_block;
        tok += in->n_tok;
    }
    if (tok != b->n_tok)
        return err_set(e, ERR_INPUT, "segment", "cannot train: segments hold %d of %d tokens", tok, b->n_tok);
    int rc = reserve_blocks(t, n_block, e);
    if (rc != 0) return rc;
    t->n_block = 0;
    for (int i = 0; i < b->n_segment; i++) lay_segment(t, b, i, &page);
    t->batch = (struct dev_batch){.mode = DEV_TRAIN, .n_tok = tok, .segment = t->segment, .n_segment = b->n_segment};
    return 0;
}

void tape_layer_ops(const struct tape *t, int layer, struct layer_ops *ops)
{
    const struct adapter *a = t->adapter;
    const struct tape_layer *k = &t->layer[layer];
    model_layer_ops(t->m, layer, &a, a != NULL ? 1 : 0, ops);
    struct dev_proj *const at[SITE_COUNT] = {&ops->in.q,         &ops->in.k,       &ops->in.v, &ops->o,
                                             &ops->gate_up.gate, &ops->gate_up.up, &ops->down};
    for (int s = 0; s < SITE_COUNT; s++) {
        at[s]->u = at[s]->n_lora > 0 ? k->u[s] : NULL;
        at[s]->y = at[s]->n_lora > 0 ? k->y[s] : NULL;
    }
    ops->in.q_raw = k->q_raw;
    ops->in.k_raw = k->k_raw;
    ops->join[0].y = k->y_attn;
    ops->join[1].y = k->y_ffn;
}

/* Layers without memory of their own use that of the first. */
static void share_layers(struct tape *t)
{
    for (int l = 1; l < t->n_shared; l++) {
        float *x = t->layer[l].x;
        t->layer[l] = t->layer[0];
        t->layer[l].x = x;
    }
}

static void backward(struct tape *t)
{
    const struct model_family *f = t->m->family;
    for (int l = t->m->params.n_layer - 1; l >= t->opt.n_frozen; l--) {
        /* the last of them left its values there; the output of another, already used, is written again */
        if (l < t->n_shared - 1) f->tape_forward(t, l);
        f->tape_backward(t, l);
    }
}

void tape_train_weights(struct tape *t, struct weights *w)
{
    t->weights = w;
}

int tape_step(struct tape *t, const struct tape_batch *b, struct adapter *a, bool back, float *loss, uint8_t *correct,
              struct err *e)
{
    struct dev *d = t->m->dev;
    int rc = check_batch(t, b, e);
    t->adapter = a;
    if (rc == 0 && a != NULL && adapter_max_rank(a) > t->rank)
        rc = err_set(e, ERR_LIMIT, NULL, "cannot train an adapter of rank %d: the tape has room for %d",
                     adapter_max_rank(a), t->rank);
    if (rc == 0 && a != NULL && back && adapter_get_options(a)->use_dora && !t->opt.magnitudes)
        rc = err_set(e, ERR_LIMIT, NULL, "cannot train magnitudes: the tape has no room for them");
    if (rc == 0) rc = lay_segments(t, b, e);
    if (rc != 0) return rc;
    share_layers(t);
    dev_embed(d, t->layer[0].x, t->m->embedding, b->ids, b->n_tok, t->m->params.embedding_scale);
    if (b->noise > 0)
        dev_embed_noise(d, &t->batch, t->layer[0].x, (size_t)t->m->params.n_embd, b->noise, b->noise_seed,
                        b->noise_key);
    for (int l = 0; l < t->m->params.n_layer; l++) t->m->family->tape_forward(t, l);
    struct dev_head head = model_head(t->m);
    head.temperature = b->temperature;
    const struct dev_head_grad g = t->weights != NULL ? weights_head_grad(t->weights) : (struct dev_head_grad){0};
    if (back) dev_zero(d, t->dx, (size_t)b->n_tok * (size_t)t->m->params.n_embd);
    const struct dev_head_grad none = {0};
    if (b->n_target > 0 && back && b->weigh != NULL) {
        dev_head_loss(d, &t->batch, &head, t->x_out, b->row, b->target, NULL, b->n_target, loss, NULL, NULL, &none);
        b->weigh(b->weigh_arg, loss);
    }
    if (b->n_target > 0)
        dev_head_loss(d, &t->batch, &head, t->x_out, b->row, b->target, b->weight, b->n_target, loss, correct,
                      back ? t->dx : NULL, &g);
    if (back && b->n_target > 0) backward(t);
    if (back && b->n_target > 0 && t->weights != NULL)
        dev_embed_backward(d, weights_embedding_grad(t->weights), b->ids, b->n_tok, (size_t)t->m->params.n_embd,
                           t->m->params.embedding_scale, t->dx);
    return 0;
}
