/* The engine itself: making and freeing it, the step, waiting for work, counters. Owns the memory that steps use, all
 * of it taken when the engine is made. Scheduling, sampling and the life of sequences are in their own files. */
#include "compute/engine/engine_int.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"

enum { DEFAULT_MAX_CTX = 8192 };

static size_t longest_token(const struct tokenizer *t)
{
    size_t longest = 1;
    for (size_t i = 0; t && i < tokenizer_n_vocab(t); i++) {
        const char *bytes;
        size_t n;
        if (!tokenizer_token(t, (int32_t)i, true, &bytes, &n) && n > longest) longest = n;
    }
    return longest;
}

static int check_options(const struct engine_options *o, const struct model_params *p, struct err *e)
{
    if (o->max_batch < 1 || o->max_batch > ENGINE_MAX_BATCH)
        return err_set(e, ERR_INPUT, "max_batch", "cannot run %d sequences a step: it must be 1 to %d", o->max_batch,
                       ENGINE_MAX_BATCH);
    if (o->n_ctx < 0 || o->n_ctx == 1 || (p->n_ctx_train > 0 && o->n_ctx > p->n_ctx_train))
        return err_set(e, ERR_INPUT, "n_ctx", "cannot use a context of %d tokens: the model was trained for 2 to %d",
                       o->n_ctx, p->n_ctx_train);
    if (o->chunk_tok < 0 || o->n_page < 0)
        return err_set(e, ERR_INPUT, NULL, "cannot use chunk_tok %d, n_page %d: they must be at least 0", o->chunk_tok,
                       o->n_page);
    return 0;
}

/* Pages of layers with a window: for every sequence and one pass of logits what their windows span and the block that
 * grows, for a step its prompt tokens, and an eighth of the cache for prefixes that come again. */
static int near_wanted(const struct engine *g, int n_page)
{
    int span = model_near_span(g->model);
    int64_t n = (int64_t)(g->max_batch + 1) * (span / DEV_PAGE + 3) + (g->chunk_tok + g->max_batch) / DEV_PAGE + 2;
    n += n_page / 8;
    return span > 0 && n < n_page ? (int)n : 0;
}

/* Pages whose cache takes at most so many bytes. */
static uint64_t pages_within(const struct engine *g, int n_page, uint64_t bytes)
{
    int low = 0; /* fits */
    for (int high = n_page; low < high;) {
        int mid = low + (high - low + 1) / 2;
        if (model_kv_bytes(g->model, mid, near_wanted(g, mid)) <= bytes)
            low = mid;
        else
            high = mid - 1;
    }
    return (uint64_t)low;
}

/* Limits of the engine; a pool of pages smaller than one context shortens the context. */
static void set_limits(struct engine *g, const struct engine_options *o, const struct model_params *p, int *n_page)
{
    int trained = p->n_ctx_train > 1 ? p->n_ctx_train : DEFAULT_MAX_CTX;
    g->n_ctx = o->n_ctx ? o->n_ctx : (trained < DEFAULT_MAX_CTX ? trained : DEFAULT_MAX_CTX);
    g->max_batch = o->max_batch;
    g->chunk_tok = o->chunk_tok ? o->chunk_tok : ENGINE_CHUNK_TOK;
    g->n_vocab = p->n_vocab;
    g->slow = model_slow_rows(g->model);
    int per_sequence = (g->n_ctx + DEV_PAGE - 1) / DEV_PAGE;
    *n_page = o->n_page ? o->n_page : per_sequence * g->max_batch;
    if (!o->n_page && o->max_kv_bytes) *n_page = (int)pages_within(g, *n_page, o->max_kv_bytes);
    if (!o->n_page && *n_page < per_sequence) *n_page = per_sequence;
    if (*n_page < per_sequence) g->n_ctx = *n_page * DEV_PAGE;
}

static int make_buffers(struct engine *g, struct err *e)
{
    size_t n_batch = (size_t)g->max_batch, n_tok = n_batch + (size_t)g->chunk_tok;
    size_t n_logit;
    g->run = mem_try_array(n_batch, sizeof(*g->run));
    g->owner = mem_try_array(n_batch, sizeof(*g->owner));
    g->segment = mem_try_array(n_batch, sizeof(*g->segment));
    g->out_row = mem_try_array(n_batch, sizeof(*g->out_row));
    g->step_ids = mem_try_array(n_tok, sizeof(*g->step_ids));
    if (mul_size((n_batch + 1) * sizeof(float), (size_t)g->n_vocab, &n_logit)) g->logits = mem_try_aligned(n_logit);
    if (!g->run || !g->owner || !g->segment || !g->out_row || !g->step_ids || !g->logits)
        return err_set(e, ERR_NOMEM, NULL, "cannot make an engine for %d sequences: out of memory", g->max_batch);
    buf_init(&g->piece, 3 * g->token_bytes + 16);
    for (size_t i = 0; i < g->piece.max; i++) /* room for the longest token, now */
        if (buf_add_char(&g->piece, ' '))
            return err_set(e, ERR_NOMEM, NULL, "cannot hold a token of %zu bytes: out of memory", g->token_bytes);
    return model_reserve(g->model, (int)n_tok, e);
}

/* What the engine takes beside keys and values. */
static uint64_t step_bytes(const struct engine *g)
{
    int n_tok = g->max_batch + g->chunk_tok;
    return model_reserve_bytes(g->model, n_tok) + ((uint64_t)g->max_batch + 1) * (uint64_t)g->n_vocab * sizeof(float);
}

/* What the advice leaves free: what a process holds differs by a few large pages from one run to the next. */
enum { SPARE_BYTES = 4 << 20 };

/* The pages are the larger part: what would fit is a shorter context. */
static int check_memory(const struct engine *g, const struct engine_options *o, int n_page, struct err *e)
{
    struct dev *d = model_dev(g->model);
    uint64_t step = step_bytes(g), free_bytes = dev_memory_free(d);
    uint64_t need = model_kv_bytes(g->model, n_page, near_wanted(g, n_page)) + step;
    if (need <= free_bytes) return 0;
    char what[128], advice[128];
    uint64_t taken = step + SPARE_BYTES, pages = free_bytes > taken ? pages_within(g, n_page, free_bytes - taken) : 0;
    uint64_t fits = (o->n_page || o->max_kv_bytes ? pages : pages / (uint64_t)g->max_batch) * DEV_PAGE;
    snprintf(what, sizeof(what), "cannot hold the keys and values of %d tokens", n_page * DEV_PAGE);
    if (fits)
        snprintf(advice, sizeof(advice), "a context of %llu tokens fits", (unsigned long long)fits);
    else if (pages)
        snprintf(advice, sizeof(advice), "one sequence at a time with a context of %llu tokens fits",
                 (unsigned long long)(pages * DEV_PAGE));
    else
        snprintf(advice, sizeof(advice), "no context fits, a model of fewer bytes is needed");
    return dev_memory_lack(d, need, what, advice, e);
}

static int make_cache(struct engine *g, int n_page, struct err *e)
{
    int n_near = near_wanted(g, n_page);
    int rc = model_kv_new_near(g->model, &g->kv, n_page, n_near, e);
    return rc ? rc : near_init(&g->near, g->kv, n_page, n_near, n_near ? model_near_span(g->model) : 0, e);
}

static int init_lock(struct engine *g)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_mutex_init(&g->lock, NULL);
    if (!rc) rc = pthread_cond_init(&g->changed, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

int engine_new(struct engine **out, struct model *m, const struct tokenizer *tok, const struct engine_options *opt,
               struct err *e)
{
    *out = NULL;
    const struct model_params *p = model_params(m);
    int rc = check_options(opt, p, e), n_page = 0;
    if (rc) return rc;
    struct engine *g = mem_alloc(sizeof(*g));
    g->model = m;
    g->tok = tok;
    g->token_bytes = longest_token(tok);
    set_limits(g, opt, p, &n_page);
    model_set_context(m, g->n_ctx);
    rc = init_lock(g) ? err_set(e, ERR_INTERNAL, NULL, "cannot make a lock for the engine") : 0;
    if (!rc) rc = check_memory(g, opt, n_page, e);
    if (!rc) rc = page_pool_init(&g->pages, n_page, opt->prefix_cache, e);
    if (!rc) rc = sampler_init(&g->sampler, (size_t)g->n_vocab, e);
    if (!rc) rc = make_cache(g, n_page, e);
    if (!rc) rc = make_buffers(g, e);
    if (rc) {
        engine_free(g);
        return rc;
    }
    atomic_store(&g->stat_free, page_pool_available(&g->pages));
    *out = g;
    return 0;
}

/* Sequences that are still there end as cancelled; released ones are freed. */
static void end_all(struct engine *g)
{
    while (g->n_run > 0) {
        struct sequence *s = g->run[--g->n_run];
        sequence_end(g, s, FINISH_CANCELLED);
    }
    while (g->waiting_first) {
        struct sequence *s = g->waiting_first;
        g->waiting_first = s->next;
        sequence_end(g, s, FINISH_CANCELLED);
    }
}

void engine_free(struct engine *g)
{
    if (!g) return;
    end_all(g);
    dev_kv_free(g->kv);
    page_pool_deinit(&g->pages);
    near_deinit(&g->near);
    sampler_deinit(&g->sampler);
    buf_deinit(&g->piece);
    mem_free(g->run);
    mem_free(g->owner);
    mem_free(g->segment);
    mem_free(g->out_row);
    mem_free(g->step_ids);
    mem_free(g->logits);
    mem_free(g->pass_logits);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
}

int engine_n_ctx(const struct engine *g)
{
    return g->n_ctx;
}

int engine_add_adapter(struct engine *g, const struct adapter *a, struct err *e)
{
    if (g->n_adapter == ENGINE_MAX_ADAPTER)
        return err_set(e, ERR_LIMIT, "adapter", "cannot serve more than %d adapters of one model", ENGINE_MAX_ADAPTER);
    g->adapter[g->n_adapter] = a;
    return g->n_adapter++;
}

/* Running means that follow changes of the machine within a few steps. */
static void learn_speed(struct engine *g, double seconds)
{
    if (g->n_tok == g->n_segment) {
        g->decode_s = g->decode_s > 0 ? 0.8 * g->decode_s + 0.2 * seconds : seconds;
        return;
    }
    double prompt_s = (seconds > g->decode_s ? seconds - g->decode_s : seconds / 2) / (g->n_tok - g->n_segment + 1);
    g->prefill_tok_s = g->prefill_tok_s > 0 ? 0.7 * g->prefill_tok_s + 0.3 * prompt_s : prompt_s;
}

static int run_step(struct engine *g, struct err *e)
{
    struct model_batch b = {
        .dev = {.mode = DEV_SERVE, .n_tok = g->n_tok, .segment = g->segment, .n_segment = g->n_segment},
        .ids = g->step_ids,
        .out_row = g->out_row,
        .n_out = g->n_out,
        .adapter = g->adapter,
        .n_adapter = g->n_adapter};
    double begin = clock_s();
    int rc = model_forward(g->model, &b, g->kv, g->logits, e);
    if (!rc) learn_speed(g, clock_s() - begin);
    return rc;
}

/* The step could not be computed: everything in it ends, so that the next step can be another. */
static void fail_step(struct engine *g)
{
    for (int i = 0; i < g->n_segment; i++) {
        schedule_remove(g, g->owner[i]);
        sequence_end(g, g->owner[i], FINISH_ERROR);
    }
}

static int n_alive(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    int n = g->n_run + g->n_waiting;
    pthread_mutex_unlock(&g->lock);
    atomic_store_explicit(&g->stat_run, g->n_run, memory_order_relaxed);
    atomic_store_explicit(&g->stat_free, page_pool_available(&g->pages), memory_order_relaxed);
    return n;
}

int engine_step(struct engine *g, struct err *e)
{
    schedule_sweep(g);
    schedule_admit(g);
    schedule_build(g);
    g->idle = !g->n_segment;
    if (g->idle) return n_alive(g);
    int rc = run_step(g, e);
    if (rc) {
        fail_step(g);
        (void)n_alive(g);
        return rc;
    }
    atomic_fetch_add_explicit(&g->n_step_done, 1, memory_order_relaxed);
    int row = 0;
    for (int i = 0; i < g->n_segment; i++) {
        struct sequence *s = g->owner[i];
        deliver_progress(g, s);
        if (s->n_done == s->n_id) deliver_token(g, s, g->logits + (size_t)row++ * (size_t)g->n_vocab);
    }
    return n_alive(g);
}

/* Is there something that a step could do? Called with the lock held, by the stepping thread. */
static bool has_work(const struct engine *g)
{
    for (int i = 0; i < g->n_run; i++) {
        const struct sequence *s = g->run[i];
        if (!s->paused || atomic_load(&s->resumed) || atomic_load(&s->cancelled)) return true;
    }
    return g->waiting_first && g->n_run < g->max_batch;
}

void engine_wait(struct engine *g, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&g->lock);
    int rc = 0;
    while (!g->woken && (g->idle || !has_work(g)) && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&g->changed, &g->lock, &until);
    g->woken = g->idle = false;
    pthread_mutex_unlock(&g->lock);
}

void engine_wake(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    g->woken = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void engine_get_stats(const struct engine *g, struct engine_stats *s)
{
    *s = (struct engine_stats){
        .n_step = atomic_load_explicit(&g->n_step_done, memory_order_relaxed),
        .n_prompt_tok = atomic_load_explicit(&g->n_prompt_tok, memory_order_relaxed),
        .n_cached_tok = atomic_load_explicit(&g->n_cached_tok, memory_order_relaxed),
        .n_answer_tok = atomic_load_explicit(&g->n_answer_tok, memory_order_relaxed),
        .n_preempted = atomic_load_explicit(&g->n_preempted, memory_order_relaxed),
        .n_waiting = atomic_load_explicit(&g->n_waiting, memory_order_relaxed),
        .n_running = atomic_load_explicit(&g->stat_run, memory_order_relaxed),
        .n_page = g->pages.n_page,
        .kv_bytes = model_kv_bytes(g->model, g->pages.n_page, g->near.n_slot),
        .n_page_free = atomic_load_explicit(&g->stat_free, memory_order_relaxed),
    };
}

int engine_generate(struct engine *g, const struct sequence_request *r, struct sequence **out, struct err *e)
{
    int rc = engine_submit(g, r, out, e);
    while (!rc && (*out)->reason == FINISH_NONE) {
        rc = engine_step(g, e);
        if (rc > 0) {
            engine_wait(g, 100); /* returns at once unless all are paused */
            rc = 0;
        }
    }
    if (rc) {
        sequence_release(g, *out);
        *out = NULL;
    }
    return rc;
}
