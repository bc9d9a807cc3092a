/* The collector: sums an input site of a layer, in double; pages for one context. */
#include "compute/convert/imatrix.h"

#include <math.h>
#include <stdio.h>

#include "compute/formats/imatrix_file.h"
#include "compute/model/tap.h"
#include "ground/base/mem.h"

enum { STEP_TOK = 256, INPUT_COUNT = 4 /* inputs of a layer that differ */ };

/* Sites that the tap names, and the tensors that have this input; fused: the one that holds them all, where it does. */
static const struct {
    enum adapter_site site;
    const char *tensor[3], *fused;
} inputs[INPUT_COUNT] = {{SITE_Q, {"attn_q", "attn_k", "attn_v"}, "attn_qkv"},
                         {SITE_O, {"attn_output"}, NULL},
                         {SITE_GATE, {"ffn_gate", "ffn_up"}, "ffn_up"},
                         {SITE_DOWN, {"ffn_down"}, NULL}};

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
        if (inputs[i].site == site) {
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
    const size_t n_in[INPUT_COUNT] = {(size_t)p->n_embd, (size_t)p->n_head * (size_t)p->d_head, (size_t)p->n_embd,
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

static void add_sum(struct names *s, const struct imatrix_collector *c, const char *name, const struct input *in)
{
    snprintf(s->name[s->n], sizeof s->name[0], "%s", name);
    s->sum[s->n] = (struct imatrix_sum){.tensor = s->name[s->n], .sum = in->sum, .n_in = in->n_in, .count = c->n_tok};
    s->n++;
}

static void list_sums(struct names *s, const struct imatrix_collector *c)
{
    char name[64];
    bool fused = model_params(c->model)->fused;
    for (int layer = 0; layer < c->n_layer; layer++) {
        for (int i = 0; i < INPUT_COUNT; i++) {
            const char *one[] = {inputs[i].fused, NULL, NULL};
            const char *const *tensor = fused && inputs[i].fused ? one : inputs[i].tensor;
            for (int k = 0; k < 3 && tensor[k]; k++) {
                snprintf(name, sizeof name, "blk.%d.%s.weight", layer, tensor[k]);
                add_sum(s, c, name, &c->input[layer * INPUT_COUNT + i]);
            }
        }
    }
    bool tied = model_params(c->model)->tied_head;
    add_sum(s, c, tied ? "token_embd.weight" : "output.weight", &c->input[c->n_layer * INPUT_COUNT]);
}

int imatrix_collector_save(const struct imatrix_collector *c, const char *path, const char *dataset, struct err *e)
{
    size_t cap = (size_t)c->n_layer * SITE_COUNT + 1;
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
