/* Logits of given tokens: perplexity and logits files. Owns one block of logits, made at the first call; pages come
 * from the engine's pool and go back when the pass is over. Nothing is published in the prefix index: a pass measures
 * what the model computes. */
#include "compute/engine/engine_int.h"
#include "ground/base/mem.h"

enum { PASS_MAX_ROWS = 256, PASS_BYTES = 32 << 20 };

static int make_block(struct engine *g, struct err *e)
{
    if (g->pass_logits) return 0;
    int rows = (int)(PASS_BYTES / sizeof(float) / (size_t)g->n_vocab);
    rows = rows > PASS_MAX_ROWS ? PASS_MAX_ROWS : rows < 1 ? 1 : rows;
    rows = rows > g->chunk_tok + g->max_batch ? g->chunk_tok + g->max_batch : rows;
    g->pass_logits = mem_try_aligned((size_t)rows * (size_t)g->n_vocab * sizeof(float));
    if (!g->pass_logits) return err_set(e, ERR_NOMEM, NULL, "cannot hold %d rows of logits: out of memory", rows);
    g->pass_rows = rows;
    return 0;
}

/* One chunk [pos, pos + n) of the pass. */
static int pass_chunk(struct engine *g, const int32_t *ids, size_t pos, int n, struct dev_block *block, int adapter,
                      const int32_t *rows, struct err *e)
{
    size_t end = pos + (size_t)n;
    int n_block = (int)((end + DEV_PAGE - 1) / DEV_PAGE);
    for (int i = 0; i < n_block; i++) block[i].n_tok = DEV_PAGE;
    block[n_block - 1].n_tok = (int32_t)(end - (size_t)(n_block - 1) * DEV_PAGE);
    struct dev_segment segment = {
        .n_tok = n, .first_pos = (int)pos, .block = block, .n_block = n_block, .adapter = adapter};
    struct model_batch b = {.dev = {.mode = DEV_SERVE, .n_tok = n, .segment = &segment, .n_segment = 1},
                            .ids = ids + pos,
                            .out_row = rows,
                            .n_out = n,
                            .adapter = g->adapter,
                            .n_adapter = g->n_adapter};
    return model_forward(g->model, &b, g->kv, g->pass_logits, e);
}

static int check_pass(const struct engine *g, size_t n, int adapter, struct err *e)
{
    if (!n) return err_set(e, ERR_INPUT, "ids", "cannot compute logits of no tokens");
    if (n > (size_t)g->n_ctx)
        return err_set(e, ERR_LIMIT, "ids", "cannot compute logits of %zu tokens: the context is %d tokens", n,
                       g->n_ctx);
    if (adapter < -1 || adapter >= g->n_adapter)
        return err_set(e, ERR_INPUT, "adapter", "cannot use adapter %d: there are %d", adapter, g->n_adapter);
    size_t n_page = (n + DEV_PAGE - 1) / DEV_PAGE;
    if (n_page > (size_t)page_pool_available(&g->pages))
        return err_set(e, ERR_LIMIT, "ids", "cannot compute logits of %zu tokens now: %d of %zu KV pages are free", n,
                       page_pool_available(&g->pages), n_page);
    return 0;
}

/* The pages of a pass: the first n are taken, and of these the first n_far are read no more in layers with a window. */
struct pass_pages {
    struct dev_block *block;
    int n, n_far;
};

/* Pages up to position end. */
static int take_pages(struct engine *g, struct pass_pages *x, size_t end, struct err *e)
{
    for (; (size_t)x->n * DEV_PAGE < end; x->n++) {
        int page = engine_take_page(g);
        if (page < 0)
            return err_set(e, ERR_LIMIT, "ids", "cannot compute logits of %zu tokens now: no KV page is free", end);
        x->block[x->n].page = page;
    }
    return 0;
}

static void leave_behind(struct engine *g, struct pass_pages *x, int first)
{
    for (; x->n_far < first && x->n_far < x->n; x->n_far++) near_unref(&g->near, x->block[x->n_far].page);
}

static int run_pass(struct engine *g, const int32_t *ids, size_t n, struct pass_pages *x, int adapter, logits_fn fn,
                    void *arg, struct err *e)
{
    int32_t rows[PASS_MAX_ROWS];
    for (int i = 0; i < PASS_MAX_ROWS; i++) rows[i] = i;
    int rc = 0;
    for (size_t pos = 0; pos < n && !rc;) {
        int n_row = n - pos < (size_t)g->pass_rows ? (int)(n - pos) : g->pass_rows;
        rc = take_pages(g, x, pos + (size_t)n_row, e);
        if (!rc) rc = pass_chunk(g, ids, pos, n_row, x->block, adapter, rows, e);
        if (!rc) rc = fn(arg, (int)pos, n_row, g->pass_logits, e);
        pos += (size_t)n_row;
        leave_behind(g, x, near_first(&g->near, pos));
    }
    return rc;
}

int engine_logits(struct engine *g, const int32_t *ids, size_t n, int adapter, logits_fn fn, void *arg, struct err *e)
{
    int rc = check_pass(g, n, adapter, e);
    if (!rc) rc = make_block(g, e);
    if (rc) return rc;
    struct pass_pages x = {.block = mem_try_array((n + DEV_PAGE - 1) / DEV_PAGE, sizeof(*x.block))};
    if (!x.block) return err_set(e, ERR_NOMEM, NULL, "cannot compute logits of %zu tokens: out of memory", n);
    rc = run_pass(g, ids, n, &x, adapter, fn, arg, e);
    leave_behind(g, &x, x.n);
    for (int i = 0; i < x.n; i++) engine_drop_page(g, x.block[i].page);
    mem_free(x.block);
    return rc;
}
