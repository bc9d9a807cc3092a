/* The way of a text: ids with the ends that the model adds, a forward pass with other texts of about its length (an
 * encoder), the vectors of its tokens pooled. Owns scratch only. A vector depends on its text alone: encoders compute
 * rows independently of what else is in a step, and generating models take one text a step. */
#include "compute/engine/embedder.h"

#include <math.h>
#include <string.h>

#include "compute/model/tap.h"
#include "ground/base/mem.h"

enum { STEP_TOKENS = 2048, STEP_TEXTS = 64, DECODER_CONTEXT = 8192 };

struct embedder {
    struct embedder_source s;
    int n_embd, max_tok;
    struct dev_kv *kv; /* of a generating model */
    struct dev_block *block;
};

int embedder_new(struct embedder **out, const struct embedder_source *s, struct err *e)
{
    *out = NULL;
    if (!s->tok) {
        return err_set(e, ERR_UNSUPPORTED, NULL, "cannot embed texts: the model has no tokenizer");
    }
    if (s->params.pooling == POOLING_NONE) {
        return err_set(
            e, ERR_UNSUPPORTED, "pooling",
            "cannot embed texts: the model does not say how its vectors are pooled, mean, cls or last must be "
            "chosen");
    }
    struct embedder *m = mem_try_alloc(sizeof *m);
    if (!m) {
        return err_set(e, ERR_NOMEM, NULL, "cannot embed texts: out of memory");
    }
    m->s = *s;
    m->n_embd = s->encoder ? encoder_params(s->encoder)->n_embd : model_params(s->model)->n_embd;
    int n_ctx = s->encoder ? encoder_params(s->encoder)->n_ctx : model_params(s->model)->n_ctx_train;
    n_ctx = s->encoder ? n_ctx : n_ctx < 1 || n_ctx > DECODER_CONTEXT ? DECODER_CONTEXT : n_ctx;
    m->max_tok = s->params.max_tok > 0 && s->params.max_tok < n_ctx ? s->params.max_tok : n_ctx;
    *out = m;
    return 0;
}

void embedder_free(struct embedder *m)
{
    if (m) {
        dev_kv_free(m->kv);
        mem_free(m->block);
        mem_free(m);
    }
}

int embedder_n_embd(const struct embedder *m)
{
    return m->n_embd;
}

int embedder_max_tok(const struct embedder *m)
{
    return m->max_tok;
}

/* --- vectors of tokens to one --- */

static void pool(const struct embedder *m, const float *hidden, int n_tok, float *out)
{
    size_t n = (size_t)m->n_embd;
    if (m->s.params.pooling != POOLING_MEAN) {
        size_t row = m->s.params.pooling == POOLING_LAST ? (size_t)n_tok - 1 : 0;
        memcpy(out, hidden + row * n, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int t = 0; t < n_tok; t++) {
            sum += (double)hidden[(size_t)t * n + i];
        }
        out[i] = (float)(sum / n_tok);
    }
}

static void normalize_vector(float *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    double inv = sum > 0 ? 1.0 / sqrt(sum) : 0.0;
    for (int i = 0; i < n; i++) {
        x[i] = (float)((double)x[i] * inv);
    }
}

/* --- the forward pass --- */

/* Where a tap on a generating model puts the rows that it sees. */
struct rows {
    float *hidden;
    size_t n;
};

static void take_row(void *arg, int layer, enum adapter_site site, const float *x, size_t n_in)
{
    struct rows *r = arg;
    (void)site;
    if (layer == MODEL_TAP_HEAD) {
        memcpy(r->hidden + r->n * n_in, x, n_in * sizeof *x);
        r->n++;
    }
}

static int reserve_cache(struct embedder *m, struct err *e)
{
    int n_page = (m->max_tok + DEV_PAGE - 1) / DEV_PAGE;
    if (m->kv) {
        return 0;
    }
    m->block = mem_try_array((size_t)n_page, sizeof *m->block);
    if (!m->block) {
        return err_set(e, ERR_NOMEM, NULL, "cannot embed texts: out of memory");
    }
    return model_kv_new(m->s.model, &m->kv, n_page, e);
}

/* One text of a generating model: what its output matrix would be multiplied with, at every position. */
static int run_model(struct embedder *m, const int32_t *ids, int n_tok, float *hidden, struct err *e)
{
    struct rows rows = {.hidden = hidden};
    int rc = reserve_cache(m, e);
    if (rc) {
        return rc;
    }
    int n_block = (n_tok + DEV_PAGE - 1) / DEV_PAGE;
    for (int i = 0; i < n_block; i++) {
        int left = n_tok - i * DEV_PAGE;
        m->block[i] = (struct dev_block){.page = i, .n_tok = left < DEV_PAGE ? left : DEV_PAGE};
    }
    const struct dev_segment segment = {.n_tok = n_tok, .block = m->block, .n_block = n_block, .adapter = -1};
    const struct model_tap tap = {.fn = take_row, .arg = &rows};
    const struct model_batch b = {
        .dev = {.mode = DEV_SERVE, .n_tok = n_tok, .segment = &segment, .n_segment = 1}, .ids = ids, .tap = &tap};
    return model_forward(m->s.model, &b, m->kv, NULL, e);
}

/* Texts whose ids stand one after the other. */
static int run_step(struct embedder *m, const int32_t *ids, const int *n_tok, int n_text, float *out, struct err *e)
{
    size_t total = 0, n = (size_t)m->n_embd;
    for (int i = 0; i < n_text; i++) {
        total += (size_t)n_tok[i];
    }
    float *hidden = mem_try_array(total * n, sizeof *hidden);
    if (!hidden) {
        return err_set(e, ERR_NOMEM, NULL, "cannot embed %zu tokens: out of memory", total);
    }
    int rc = m->s.encoder ? encoder_forward(m->s.encoder, ids, n_tok, n_text, hidden, e)
                          : run_model(m, ids, n_tok[0], hidden, e);
    for (size_t i = 0, at = 0; !rc && i < (size_t)n_text; at += (size_t)n_tok[i++]) {
        pool(m, hidden + at * n, n_tok[i], out + i * n);
    }
    mem_free(hidden);
    return rc;
}

/* --- texts --- */

/* The ids of a text appended; the ends that the model adds stay when the middle is cut. */
static int add_text(const struct embedder *m, const struct embedder_text *t, size_t number, bool truncate,
                    struct token_list *ids, int *n_tok, struct err *e)
{
    size_t begin = ids->n;
    int rc = tokenizer_encode(m->s.tok, t->text, t->n, TOKENIZE_ENDS, ids, e);
    if (rc) {
        return rc;
    }
    size_t n = ids->n - begin, max = (size_t)m->max_tok;
    if (n == 0) {
        return err_set(e, ERR_INPUT, "text", "cannot embed text %zu: it is empty, and the model adds no tokens to it",
                       number);
    }
    if (n > max && !truncate) {
        return err_set(e, ERR_INPUT, "text", "cannot embed text %zu: it has %zu tokens, the model takes %d", number, n,
                       m->max_tok);
    }
    if (n > max) {
        int32_t last = ids->ids[ids->n - 1];
        ids->n = begin + max;
        if (last == tokenizer_eos(m->s.tok)) {
            ids->ids[ids->n - 1] = last;
        }
    }
    *n_tok = (int)(ids->n - begin);
    return 0;
}

static void cut(const struct embedder *m, size_t n_text, int n_embd, float *out)
{
    for (size_t i = 0; i < n_text; i++) {
        float *x = out + i * (size_t)m->n_embd;
        if (m->s.params.normalize) {
            normalize_vector(x, n_embd);
        }
        memmove(out + i * (size_t)n_embd, x, (size_t)n_embd * sizeof *out);
    }
}

int embedder_run(struct embedder *m, const struct embedder_text *text, size_t n_text, bool truncate, int n_embd,
                 float *out, size_t *n_tok, struct err *e)
{
    struct token_list ids = {0};
    int count[STEP_TEXTS], n = 0, rc = 0;
    size_t done = 0, total = 0, max_text = m->s.encoder ? STEP_TEXTS : 1;
    if (n_embd < 0 || n_embd > m->n_embd) {
        return err_set(e, ERR_INPUT, "dimensions", "cannot make vectors of %d values: the model has %d", n_embd,
                       m->n_embd);
    }
    for (size_t i = 0; !rc && i < n_text; i++) {
        rc = add_text(m, &text[i], i, truncate, &ids, &count[n], e);
        n += !rc;
        if (!rc && ((size_t)n == max_text || ids.n >= STEP_TOKENS || i + 1 == n_text)) {
            rc = run_step(m, ids.ids, count, n, out + done * (size_t)m->n_embd, e);
            done += (size_t)n;
            total += ids.n;
            ids.n = 0;
            n = 0;
        }
    }
    token_list_deinit(&ids);
    if (!rc) {
        cut(m, n_text, n_embd ? n_embd : m->n_embd, out);
    }
    if (n_tok) {
        *n_tok = total;
    }
    return rc;
}
