/* The collector: sums an input site of a layer, in double; pages for one context. */
#include "compute/convert/imatrix.h"

#include <math.h>
#include <stdio.h>

#include "compute/formats/imatrix_file.h"
#include "compute/model/tap.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

enum { STEP_TOK = 256, INPUT_COUNT = 4 /* inputs of a layer that differ */ };

/* Sites that the tap names. */
static const enum adapter_site inputs[INPUT_COUNT] = {SITE_Q, SITE_O, SITE_GATE, SITE_DOWN};

enum { MAX_TENSOR = 4 };
/* The tensors of a layer that have an input: n names. What goes into the last matrix of an expert is not seen; those
 * before it are given the input of all tokens, chosen or not. */
static int tensors_of(const struct model_params *p, int layer, enum adapter_site site, const char *name[MAX_TENSOR])
{
    static const char *const plain[INPUT_COUNT][MAX_TENSOR] = {
        {"attn_q", "attn_k", "attn_v"}, {"attn_output"}, {"ffn_gate", "ffn_up"}, {"ffn_down"}};
    static const char *const fused[INPUT_COUNT][MAX_TENSOR] = {{"attn_qkv"}, {"attn_output"}, {"ffn_up"}, {"ffn_down"}};
    static const char *const latent[MAX_TENSOR] = {"attn_q", "attn_kv_a_mqa"},
                             *const latent_q_a[MAX_TENSOR] = {"attn_q_a", "attn_kv_a_mqa"},
                             *const experts[MAX_TENSOR] = {"ffn_gate_exps", "ffn_up_exps", "ffn_gate_shexp",
                                                           "ffn_up_shexp"};
    int i = site == SITE_Q ? 0 : site == SITE_O ? 1 : site == SITE_GATE ? 2 : 3, n = 0;
    bool mixture = p->layer[layer].experts;
    const char *const *from = p->fused ? fused[i] : plain[i];
    from = i == 0 && p->latent.n_latent ? p->latent.q_rank ? latent_q_a : latent : from;
    from = i == 2 && mixture ? experts : from;
    int most = i == 3 && mixture ? 0 : i == 2 && mixture && p->experts.n_shared == 0 ? 2 : MAX_TENSOR;
    while (n < most && from[n]) {
        name[n] = from[n];
        n++;
    }
    return n;
}

struct input {
    double *sum;
    size_t n_in;
};

struct imatrix_collector {
    struct model *model;
    struct dev_kv *kv;
    int n_ctx, n_layer;
    struct dev_block *block; /* all pages, in order */
    struct input *input;     /* [n_layer][INPUT_COUNT], then the head */
    uint64_t n_tok;
    struct model_tap tap;
};

static struct input *input_of(struct imatrix_collector *c, int layer, enum adapter_site site)
{
    for (int i = 0; layer >= 0 && i < INPUT_COUNT; i++) {
        if (inputs[i] == site) {
            return &c->input[layer * INPUT_COUNT + i];
        }
    }
    return &c->input[c->n_layer * INPUT_COUNT];
}

static void add_row(void *arg, int layer, enum adapter_site site, const float *x, size_t n_in)
{
    struct input *in = input_of(arg, layer, site);
    for (size_t i = 0; i < n_in && i < in->n_in; i++) {
        in->sum[i] += (double)x[i] * (double)x[i];
    }
}

static int alloc_inputs(struct imatrix_collector *c, struct err *e)
{
    const struct model_params *p = model_params(c->model);
    size_t d_value = (size_t)(p->latent.n_latent ? p->latent.d_value : p->d_head);
    const size_t n_in[INPUT_COUNT] = {(size_t)p->n_embd, (size_t)p->n_head * d_value, (size_t)p->n_embd,
                                      (size_t)p->n_ff};
    size_t n = (size_t)c->n_layer * INPUT_COUNT + 1;
    c->input = mem_try_array(n, sizeof *c->input);
    for (size_t i = 0; c->input && i < n; i++) {
        c->input[i].n_in = i + 1 < n ? n_in[i % INPUT_COUNT] : (size_t)p->n_embd;
        c->input[i].sum = mem_try_array(c->input[i].n_in, sizeof(double));
        if (!c->input[i].sum) {
            return err_set(e, ERR_NOMEM, NULL, "cannot collect an importance matrix: out of memory");
        }
    }
    return c->input ? 0 : err_set(e, ERR_NOMEM, NULL, "cannot collect an importance matrix: out of memory");
}

int imatrix_collector_new(struct imatrix_collector **out, struct model *m, int n_ctx, struct err *e)
{
    struct imatrix_collector *c = mem_alloc(sizeof *c);
    int n_page = (n_ctx + DEV_PAGE - 1) / DEV_PAGE;
    c->model = m;
    c->n_ctx = n_ctx;
    model_set_context(m, n_ctx);
    c->n_layer = model_params(m)->n_layer;
    c->tap = (struct model_tap){add_row, c};
    c->block = mem_try_array((size_t)n_page, sizeof *c->block);
    int rc = c->block ? alloc_inputs(c, e)
                      : err_set(e, ERR_NOMEM, NULL, "cannot hold a context of %d tokens: out of memory", n_ctx);
    rc = rc ? rc : model_kv_new(m, &c->kv, n_page, e);
    rc = rc ? rc : model_reserve(m, STEP_TOK, e);
    for (int i = 0; !rc && i < n_page; i++) {
        c->block[i] = (struct dev_block){.page = i, .n_tok = DEV_PAGE};
    }
    *out = rc ? NULL : c;
    if (rc) {
        imatrix_collector_free(c);
    }
    return rc;
}

void imatrix_collector_free(struct imatrix_collector *c)
{
    if (!c) {
        return;
    }
    for (int i = 0; c->input && i <= c->n_layer * INPUT_COUNT; i++) {
        mem_free(c->input[i].sum);
    }
    mem_free(c->input);
    mem_free(c->block);
    dev_kv_free(c->kv);
    mem_free(c);
}

/* Tokens [pos, pos + n) of a text. */
static int step(struct imatrix_collector *c, const int32_t *ids, size_t pos, size_t n, struct err *e)
{
    size_t end = pos + n, n_block = (end + DEV_PAGE - 1) / DEV_PAGE;
    struct dev_block last = c->block[n_block - 1];
    c->block[n_block - 1].n_tok = (int32_t)(end - (n_block - 1) * DEV_PAGE);
    struct dev_segment segment = {
        .n_tok = (int)n, .first_pos = (int)pos, .block = c->block, .n_block = (int)n_block, .adapter = -1};
    struct model_batch b = {.dev = {.mode = DEV_SERVE, .n_tok = (int)n, .segment = &segment, .n_segment = 1},
                            .ids = ids + pos,
                            .tap = &c->tap};
    int rc = model_forward(c->model, &b, c->kv, NULL, e);
    c->block[n_block - 1] = last;
    return rc;
}

/* One sum that is not finite shows every activation that was not. */
static int check_sums(const struct imatrix_collector *c, struct err *e)
{
    for (int i = 0; i <= c->n_layer * INPUT_COUNT; i++) {
        for (size_t k = 0; k < c->input[i].n_in; k++) {
            if (!isfinite(c->input[i].sum[k])) {
                return err_set(e, ERR_INPUT, NULL,
                               "cannot collect an importance matrix: an activation of layer %d is not finite",
                               i / INPUT_COUNT);
            }
        }
    }
    return 0;
}

int imatrix_collector_add(struct imatrix_collector *c, const int32_t *ids, size_t n, struct err *e)
{
    int rc = 0;
    if (n > (size_t)c->n_ctx) {
        return err_set(e, ERR_LIMIT, NULL, "cannot use a text of %zu tokens: the context is %d tokens", n, c->n_ctx);
    }
    for (size_t pos = 0; !rc && pos < n; pos += STEP_TOK) {
        rc = step(c, ids, pos, n - pos < STEP_TOK ? n - pos : STEP_TOK, e);
    }
    c->n_tok += rc ? 0 : n;
    return rc ? rc : check_sums(c, e);
}

uint64_t imatrix_collector_n_tok(const struct imatrix_collector *c)
{
    return c->n_tok;
}

struct names {
    struct imatrix_sum *sum;
    size_t n;
    char (*name)[64];
};

static void add_sum(struct names *s, const struct imatrix_collector *c, const char *name, const struct input *in,
                    size_t n_mat)
{
    snprintf(s->name[s->n], sizeof s->name[0], "%s", name);
    s->sum[s->n] = (struct imatrix_sum){
        .tensor = s->name[s->n], .sum = in->sum, .n_in = in->n_in, .n_mat = n_mat, .count = c->n_tok};
    s->n++;
}

static void list_sums(struct names *s, const struct imatrix_collector *c)
{
    const struct model_params *p = model_params(c->model);
    char name[64];
    for (int layer = 0; layer < c->n_layer; layer++) {
        for (int i = 0; i < INPUT_COUNT; i++) {
            const char *part[MAX_TENSOR];
            int n = tensors_of(p, layer, inputs[i], part);
            for (int k = 0; k < n; k++) {
                bool stack = str_ends(part[k], "_exps");
                snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part[k]);
                add_sum(s, c, name, &c->input[layer * INPUT_COUNT + i], stack ? (size_t)p->experts.n_expert : 1);
            }
        }
    }
    add_sum(s, c, p->tied_head ? "token_embd.weight" : "output.weight", &c->input[c->n_layer * INPUT_COUNT], 1);
}

int imatrix_collector_save(const struct imatrix_collector *c, const char *path, const char *dataset, struct err *e)
{
    size_t cap = (size_t)c->n_layer * INPUT_COUNT * MAX_TENSOR + 1;
    if (c->n_tok == 0) {
        return err_set(e, ERR_INPUT, dataset, "cannot write an importance matrix: \"%s\" has no text", dataset);
    }
    struct names s = {.sum = mem_try_array(cap, sizeof *s.sum), .name = mem_try_array(cap, sizeof *s.name)};
    int rc = -ERR_NOMEM;
    if (s.sum && s.name) {
        list_sums(&s, c);
        uint32_t n_chunk = (uint32_t)((c->n_tok + STEP_TOK - 1) / STEP_TOK);
        rc = imatrix_save(path, s.sum, s.n, dataset, n_chunk, STEP_TOK, e);
    } else {
        err_set(e, ERR_NOMEM, path, "cannot write \"%s\": out of memory", path);
    }
    mem_free(s.sum);
    mem_free(s.name);
    return rc;
}
