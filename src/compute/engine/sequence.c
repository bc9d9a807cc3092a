/* The life of a sequence outside steps: submit, cancel, resume, result, end. Owns checks of requests and memory of
 * sequences. What always holds: all memory that an answer can need is taken at submit; a sequence is freed when the
 * engine has ended it and its caller has released it, in whichever order these come. */
#include <string.h>

#include "compute/engine/engine_int.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"

enum { TEXT_MAX_BYTES = 1 << 26 }; /* of one answer */

static int check_ids(const struct engine *g, const struct sequence_request *r, struct err *e)
{
    if (!r->n_id) return err_set(e, ERR_INPUT, "prompt", "cannot answer an empty prompt");
    if (r->n_id >= (size_t)g->n_ctx)
        return err_set(
            e, ERR_LIMIT, "prompt",
            "cannot take a prompt of %zu tokens: the context is %d tokens, of which one is left for the answer",
            r->n_id, g->n_ctx);
    for (size_t i = 0; i < r->n_id; i++)
        if (r->ids[i] < 0 || r->ids[i] >= g->n_vocab)
            return err_set(e, ERR_INPUT, "prompt",
                           "cannot use token id %d at position %zu: the vocabulary has %d tokens", (int)r->ids[i], i,
                           g->n_vocab);
    return 0;
}

static int check_request(const struct engine *g, const struct sequence_request *r, struct err *e)
{
    int rc = check_ids(g, r, e);
    if (!rc) rc = sampling_check(&r->sampling, e);
    if (!rc && r->max_tokens < 0)
        rc = err_set(e, ERR_INPUT, "max_tokens", "cannot use max_tokens %d: it must be at least 0", r->max_tokens);
    if (!rc && (r->adapter < -1 || r->adapter >= g->n_adapter))
        rc = err_set(e, ERR_INPUT, "adapter", "cannot use adapter %d: there are %d", r->adapter, g->n_adapter);
    return rc;
}

static int make_memory(struct engine *g, struct sequence *s, const struct sequence_request *r, struct err *e)
{
    size_t n_answer = s->n_limit - s->n_prompt, cap;
    if (!mul_size(n_answer, 3 * g->token_bytes, &cap) || cap > TEXT_MAX_BYTES) /* x 3: a bad byte becomes U+FFFD */
        cap = TEXT_MAX_BYTES;
    s->max_block = (int)((s->n_limit + DEV_PAGE - 1) / DEV_PAGE);
    s->ids = mem_try_array(s->n_limit, sizeof(*s->ids));
    s->block = mem_try_array((size_t)s->max_block, sizeof(*s->block));
    s->option = mem_try_array(r->choices ? choice_max_option(r->choices) : 1, sizeof(*s->option));
    if (!s->ids || !s->block || !s->option)
        return err_set(e, ERR_NOMEM, NULL, "cannot keep a sequence of %zu tokens: out of memory", s->n_limit);
    memcpy(s->ids, r->ids, r->n_id * sizeof(*s->ids));
    int rc = answer_text_init(&s->text, g->tok, cap + 4, r->stop, r->n_stop, e);
    if (!rc && g->tok && r->n_id > 0) detokenizer_follow(&s->text.detok, r->ids[r->n_id - 1]);
    return rc;
}

static int make(struct engine *g, const struct sequence_request *r, struct sequence **out, struct err *e)
{
    struct sequence *s = mem_try_alloc(sizeof(*s));
    if (!s) return err_set(e, ERR_NOMEM, NULL, "cannot start a sequence: out of memory");
    size_t room = (size_t)g->n_ctx - r->n_id;
    size_t n_answer = r->max_tokens && (size_t)r->max_tokens < room ? (size_t)r->max_tokens : room;
    s->n_prompt = s->n_id = r->n_id;
    s->n_limit = r->n_id + n_answer;
    s->sampling = r->sampling;
    s->choices = r->choices;
    s->ignore_eos = r->ignore_eos;
    s->adapter = r->adapter;
    s->fn = r->fn;
    s->arg = r->arg;
    s->serial = page_root(r->adapter);
    s->owned = true;
    int rc = make_memory(g, s, r, e);
    if (rc) {
        sequence_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

int engine_submit(struct engine *g, const struct sequence_request *r, struct sequence **out, struct err *e)
{
    *out = NULL;
    struct sequence *s = NULL;
    int rc = check_request(g, r, e);
    if (!rc) rc = make(g, r, &s, e);
    if (rc) return rc;
    s->submit_s = clock_s();
    pthread_mutex_lock(&g->lock);
    *out = s; /* before the stepping thread can call back */
    if (g->waiting_last)
        g->waiting_last->next = s;
    else
        g->waiting_first = s;
    g->waiting_last = s;
    g->n_waiting++;
    g->woken = true;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

void engine_cancel(struct engine *g, struct sequence *s)
{
    atomic_store(&s->cancelled, true);
    engine_wake(g);
}

void engine_cancel_all(struct engine *g)
{
    atomic_store(&g->cancel_all, true);
    engine_wake(g);
}

void engine_resume(struct engine *g, struct sequence *s)
{
    atomic_store(&s->resumed, true);
    engine_wake(g);
}

void sequence_free(struct sequence *s)
{
    mem_free(s->ids);
    mem_free(s->block);
    mem_free(s->option);
    answer_text_deinit(&s->text);
    mem_free(s);
}

void sequence_release(struct engine *g, struct sequence *s)
{
    if (!s) return;
    pthread_mutex_lock(&g->lock);
    bool owned = s->owned;
    s->released = true;
    if (owned) atomic_store(&s->cancelled, true);
    pthread_mutex_unlock(&g->lock);
    if (owned)
        engine_wake(g);
    else
        sequence_free(s);
}

int engine_take_page(struct engine *g)
{
    int page = page_take(&g->pages);
    if (page < 0 || near_take(&g->near, page)) return page;
    page_unref(&g->pages, page);
    return -1;
}

void engine_drop_page(struct engine *g, int page)
{
    page_unref(&g->pages, page);
    const struct page *p = &g->pages.page[page];
    if (p->n_ref == 0 && !p->serial) near_forget(&g->near, page);
}

/* The youngest pages first: leaves of the prefix tree are then evicted before what they grow from. */
void sequence_drop_pages(struct engine *g, struct sequence *s)
{
    while (s->n_block > 0) {
        int page = s->block[--s->n_block].page;
        if (s->n_block >= s->n_far) near_unref(&g->near, page);
        engine_drop_page(g, page);
    }
    s->n_done = 0;
    s->n_published = s->n_far = 0;
    s->serial = page_root(s->adapter);
}

void sequence_end(struct engine *g, struct sequence *s, enum finish_reason reason)
{
    sequence_drop_pages(g, s);
    s->reason = reason;
    s->end_s = clock_s();
    if (s->fn) s->fn(s->arg, s, -1, reason);
    pthread_mutex_lock(&g->lock);
    s->owned = false;
    bool released = s->released;
    pthread_mutex_unlock(&g->lock);
    if (released) sequence_free(s);
}

const char *finish_reason_name(enum finish_reason r)
{
    static const char *const name[] = {NULL, "stop", "length", "cancelled", "error"};
    return name[r];
}

void sequence_get(const struct sequence *s, struct sequence_result *r)
{
    double end = s->end_s > 0 ? s->end_s : clock_s();
    double start = s->start_s > 0 ? s->start_s : end, first = s->first_s > 0 ? s->first_s : end;
    *r = (struct sequence_result){
        .ids = s->ids + s->n_prompt,
        .n_id = s->n_id - s->n_prompt,
        .text = s->text.data,
        .text_len = s->text.n_visible,
        .reason = s->reason,
        .n_prompt = s->n_prompt,
        .n_cached = s->n_cached,
        .n_decoded = s->n_sampled ? s->n_sampled - 1 : 0,
        .queue_s = start - s->submit_s,
        .prefill_s = first - start,
        .decode_s = end - first,
        .ttft_s = first - s->submit_s,
    };
}
