/* Answers are sampled. Owns the engine while a step samples. What always holds: which answers share a batch depends on
 * the step alone, never on the clock, so that a run is the same when it is repeated or resumed.
 *
 * Prompts are computed once: first alone, so that their full pages are known, then the whole group of answers begins
 * behind them, together. */
#include <stdio.h>
#include <string.h>

#include "compute/engine/engine.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "lifecycle/train/policy.h"

enum { WAVE_MAX = 256, ROLLOUT_STREAM = 0x4f4c4c }; /* answers sampled at once */

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, NULL, "cannot sample answers: out of memory");
}

/* --- what was sampled, kept --- */

static int grow(float **array, size_t n)
{
    float *p = mem_try_realloc(*array, n * sizeof(*p));
    if (p == NULL) return -ERR_NOMEM;
    *array = p;
    return 0;
}

static int reserve_tokens(struct policy *p, size_t n)
{
    if (p->token.n + n <= p->token.cap) return 0;
    size_t cap = 2 * (p->token.n + n);
    if (grow(&p->token.sampled, cap) != 0 || grow(&p->token.entropy, cap) != 0 || grow(&p->token.old, cap) != 0 ||
        grow(&p->token.reference, cap) != 0)
        return -ERR_NOMEM;
    p->token.cap = cap;
    return 0;
}

/* The answer as a training row: the prompt given, the answer trained. */
static int add_row(struct policy *p, const struct trainer *t, uint32_t prompt, const struct sequence_result *r)
{
    const struct train_rows *from = &t->rows;
    size_t n_prompt = train_row_len(from, prompt), n = n_prompt + r->n_id;
    struct token_row row = {0};
    int rc = token_row_reserve(&row, n);
    if (rc == 0) {
        memcpy(row.ids, from->ids + from->start[prompt], n_prompt * sizeof(*row.ids));
        memcpy(row.ids + n_prompt, r->ids, r->n_id * sizeof(*row.ids));
        for (size_t i = 0; i < n; i++) row.labels[i] = i < n_prompt ? LABEL_NONE : row.ids[i];
        rc = train_rows_add(&p->rows, row.ids, row.labels, n, from->line[prompt]);
    }
    token_row_deinit(&row);
    return rc;
}

static int keep_answer(struct policy *p, const struct trainer *t, uint32_t prompt, const struct sequence *s,
                       struct err *e)
{
    struct sequence_result r;
    sequence_get(s, &r);
    struct answer *a = &p->answer[p->n_answer];
    if (r.reason == FINISH_ERROR || r.n_id == 0)
        return err_set(e, ERR_INPUT, "rollout",
                       "cannot go on tuning: an answer to line %u of the data could not be sampled (no logit is a "
                       "finite number)",
                       (unsigned)t->rows.line[prompt]);
    if (reserve_tokens(p, r.n_id) != 0 || add_row(p, t, prompt, &r) != 0) return no_memory(e);
    *a = (struct answer){.first_token = p->token.n, .n_token = r.n_id, .truncated = r.reason == FINISH_LENGTH};
    a->text = mem_strndup(r.text != NULL ? r.text : "", r.text_len);
    memcpy(p->token.sampled + p->token.n, r.logp, r.n_id * sizeof(float));
    memcpy(p->token.entropy + p->token.n, r.entropy, r.n_id * sizeof(float));
    p->token.n += r.n_id;
    p->n_answer++;
    return 0;
}

/* --- a wave of answers --- */

struct wave {
    struct trainer *t;
    const uint32_t *prompt;
    size_t first, n; /* answers, by their number in the step */
    uint64_t step;
    struct engine *engine;
    int adapter;
    struct sequence *sequence[WAVE_MAX];
};

static uint32_t prompt_of(const struct wave *w, size_t answer)
{
    return w->prompt[answer / (size_t)w->t->policy->opt->group_size];
}

static int submit(struct wave *w, size_t answer, int max_tokens, struct sequence **out, struct err *e)
{
    const struct policy_options *o = w->t->policy->opt;
    const struct train_rows *r = &w->t->rows;
    uint32_t row = prompt_of(w, answer);
    struct sequence_request rq = {.ids = r->ids + r->start[row],
                                  .n_id = train_row_len(r, row),
                                  .max_tokens = max_tokens,
                                  .keep_logp = true,
                                  .adapter = w->adapter,
                                  .sampling = {.temperature = o->temperature, .top_p = 1, .repetition_penalty = 1}};
    rq.sampling.seed = rng_u64(w->t->cfg->seed ^ ROLLOUT_STREAM, w->step, answer);
    return engine_submit(w->engine, &rq, out, e);
}

static int run_all(struct wave *w, struct err *e)
{
    int alive;
    do {
        alive = engine_step(w->engine, e);
        if (alive > 0 && trainer_interrupted(w->t))
            return err_set(e, ERR_INTERRUPTED, w->t->cfg->output,
                           "tuning was interrupted while answers were sampled (--resume %s goes on)",
                           w->t->cfg->output);
    } while (alive > 0);
    return alive;
}

static void release_all(struct wave *w)
{
    for (size_t i = 0; i < WAVE_MAX; i++) {
        sequence_release(w->engine, w->sequence[i]);
        w->sequence[i] = NULL;
    }
}

/* Prompts that fill a page are computed alone: one token of an answer to each, which is thrown away. */
static int compute_prompts(struct wave *w, struct err *e)
{
    size_t group = (size_t)w->t->policy->opt->group_size, k = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < w->n; i += group - (w->first + i) % group)
        if (train_row_len(&w->t->rows, prompt_of(w, w->first + i)) > DEV_PAGE)
            rc = submit(w, w->first + i, 1, &w->sequence[k++], e);
    if (rc == 0) rc = run_all(w, e);
    release_all(w);
    return rc;
}

static int sample_wave(struct wave *w, struct err *e)
{
    struct policy *p = w->t->policy;
    int rc = compute_prompts(w, e);
    for (size_t i = 0; rc == 0 && i < w->n; i++)
        rc = submit(w, w->first + i, p->opt->max_new_tokens, &w->sequence[i], e);
    if (rc == 0) rc = run_all(w, e);
    for (size_t i = 0; rc == 0 && i < w->n; i++)
        rc = keep_answer(p, w->t, prompt_of(w, w->first + i), w->sequence[i], e);
    release_all(w);
    return rc;
}

/* Enough room that nothing waits and nothing is put back: then steps are the same whatever the clock says. */
static struct engine_options engine_room(const struct trainer *t, size_t n_answer)
{
    size_t most = n_answer < WAVE_MAX ? n_answer : WAVE_MAX;
    size_t page_tok = (size_t)DEV_PAGE;
    struct engine_options o = {.n_ctx = (int)(t->rows.longest + (size_t)t->policy->opt->max_new_tokens + 1),
                               .max_batch = (int)most,
                               .prefix_cache = true};
    size_t pages = ((size_t)o.n_ctx + page_tok - 1) / page_tok;
    o.n_page = (int)((most + most / (size_t)t->policy->opt->group_size + 1) * pages);
    o.chunk_tok = (int)(most * t->rows.longest);
    if (o.chunk_tok > t->cfg->token_budget) o.chunk_tok = t->cfg->token_budget;
    return o;
}

/* Keys and values, and a row of logits for each answer. */
uint64_t policy_engine_bytes(const struct trainer *t)
{
    const struct engine_options o = engine_room(t, t->policy->cap_answer);
    uint64_t logits = (uint64_t)model_params(t->rq->model)->n_vocab * sizeof(float);
    return (uint64_t)o.n_page * model_kv_page_bytes(t->rq->model) + (uint64_t)o.max_batch * logits;
}

/* A new engine every step: keys and values of an older adapter are worth nothing. */
static int open_engine(struct wave *w, size_t n_answer, struct err *e)
{
    struct trainer *t = w->t;
    struct engine_options o = engine_room(t, n_answer);
    int rc = engine_new(&w->engine, t->rq->model, t->rq->tok, &o, e);
    w->adapter = -1;
    if (rc == 0 && t->adapter != NULL && t->absorber == NULL) {
        w->adapter = engine_add_adapter(w->engine, t->adapter, e);
        if (w->adapter < 0) rc = w->adapter;
    }
    return rc;
}

static void forget(struct policy *p)
{
    for (size_t i = 0; i < p->n_answer; i++) mem_free(p->answer[i].text);
    p->n_answer = 0;
    p->token.n = 0;
    packer_deinit(&p->pack);
    train_rows_deinit(&p->rows);
    p->rows.unit = 1;
}

int policy_rollout(struct trainer *t, const uint32_t *prompt, size_t n, uint64_t step, struct err *e)
{
    struct wave w = {.t = t, .prompt = prompt, .step = step};
    size_t n_answer = n * (size_t)t->policy->opt->group_size;
    forget(t->policy);
    int rc = open_engine(&w, n_answer, e);
    for (; rc == 0 && w.first < n_answer; w.first += w.n) {
        w.n = n_answer - w.first < WAVE_MAX ? n_answer - w.first : WAVE_MAX;
        rc = sample_wave(&w, e);
    }
    engine_free(w.engine);
    return rc;
}
