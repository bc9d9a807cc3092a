/* Puts a run together in memory: rows, what is trained, optimizer state, tape. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/sys/machine.h"
#include "lifecycle/train/policy.h"
#include "lifecycle/train/preference.h"

/* --- rows --- */

static enum example_kind example_kind_of(const struct train_config *c)
{
    static const enum example_kind kind[] = {[METHOD_SFT] = EXAMPLE_ANSWER,
                                             [METHOD_DPO] = EXAMPLE_PAIR,
                                             [METHOD_ORPO] = EXAMPLE_PAIR,
                                             [METHOD_KTO] = EXAMPLE_JUDGED,
                                             [METHOD_GRPO] = EXAMPLE_PROMPT};
    return kind[c->method.kind];
}

static int load_rows(struct trainer *t, const char *path, struct train_rows *out, struct err *e)
{
    const struct train_config *c = t->cfg;
    const struct model_params *p = model_params(t->rq->model);
    struct train_rows_source s = {.path = path,
                                  .is_chat = c->is_chat,
                                  .form = c->form,
                                  .kind = example_kind_of(c),
                                  .n_vocab = p->n_vocab,
                                  .too_long = c->too_long,
                                  .drop_duplicates = c->drop_duplicates,
                                  .strict = c->strict};
    conversation_renderer_init(&s.renderer, t->rq->tmpl, t->rq->tok);
    s.max_length = (size_t)(c->max_length > 0 ? c->max_length : p->n_ctx_train);
    model_set_context(t->rq->model, (int)s.max_length);
    if (c->method.kind == METHOD_GRPO && s.max_length <= (size_t)c->policy.max_new_tokens)
        return err_set(e, ERR_USAGE, "max_new_tokens",
                       "cannot tune with max_new_tokens %d: max_length %zu leaves nothing for the prompt",
                       c->policy.max_new_tokens, s.max_length);
    if (c->method.kind == METHOD_GRPO) s.max_length -= (size_t)c->policy.max_new_tokens;
    if (s.is_chat && (t->rq->tok == NULL || t->rq->tmpl == NULL))
        return err_set(e, ERR_UNSUPPORTED, c->base, "cannot tune \"%s\" with data_format chat: it has no %s", c->base,
                       t->rq->tok == NULL ? "tokenizer" : "chat template");
    return train_rows_load(out, &s, e);
}

static int load_data(struct trainer *t, struct err *e)
{
    int rc = load_rows(t, t->cfg->data, &t->rows, e);
    if (rc == 0 && t->cfg->eval_data != NULL) rc = load_rows(t, t->cfg->eval_data, &t->eval_rows, e);
    if (rc != 0) return rc;
    train_plan_make(&t->plan, t->cfg, t->rows.n_row / t->rows.unit);
    t->epoch = UINT64_MAX;
    t->order = mem_try_array(t->rows.n_row, sizeof(*t->order));
    if (t->order == NULL) return err_set(e, ERR_NOMEM, NULL, "cannot tune with %zu rows: out of memory", t->rows.n_row);
    if (t->cfg->method.kind == METHOD_GRPO) return policy_setup(t, e);
    size_t batch = (size_t)t->cfg->batch_size, budget = (size_t)t->cfg->token_budget;
    rc = packer_init(&t->pack, &t->rows, batch, budget, t->cfg->packing, e);
    if (rc == 0 && t->cfg->eval_data != NULL)
        rc = packer_init(&t->eval_pack, &t->eval_rows, batch, budget, t->cfg->packing, e);
    return rc == 0 && t->cfg->method.kind != METHOD_SFT ? preference_setup(t, e) : rc;
}

/* --- tape --- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

enum { SURVEY_ROWS = 2000000 };

/* The largest part so far. */
struct extent {
    size_t tok, segment;
};

static void lay_out(struct packer *p, const uint32_t *row, size_t n, struct extent *x)
{
    packer_begin(p, row, n);
    while (packer_next(p, 1)) {
        x->tok = larger(x->tok, p->n_id);
        x->segment = larger(x->segment, p->n_segment);
    }
}

/* Every micro-batch of the run is laid out once. Runs of too many rows take what packing guarantees. */
static void survey_steps(struct trainer *t, struct extent *x)
{
    size_t micro = (size_t)t->cfg->batch_size;
    uint64_t n_step = t->cfg->shuffle || t->plan.n_step < t->plan.epoch_steps ? t->plan.n_step : t->plan.epoch_steps;
    if (n_step > SURVEY_ROWS / t->plan.step_rows) {
        *x = (struct extent){t->pack.cap_id, t->pack.cap_segment};
        return;
    }
    for (uint64_t step = 0; step < n_step; step++) {
        uint64_t epoch;
        size_t begin, end;
        train_step_rows(&t->plan, step, &epoch, &begin, &end);
        if (epoch != t->epoch) train_order(t->cfg, epoch, t->order, t->plan.n_row);
        t->epoch = epoch;
        for (size_t i = begin; i < end; i += micro)
            lay_out(&t->pack, t->order + i, end - i < micro ? end - i : micro, x);
    }
    t->epoch = UINT64_MAX;
}

static void survey_eval(struct trainer *t, struct extent *x)
{
    struct packer *p = &t->eval_pack;
    for (size_t i = 0, n; t->eval_rows.n_row > 0 && i < t->eval_rows.n_row / t->eval_rows.unit; i += n) {
        n = trainer_eval_rows(t, i, p->order);
        lay_out(p, p->order, n, x);
    }
}

/* Comparing steps lay rows out in more than one way: they take what packing guarantees. */
static void survey(struct trainer *t, struct extent *x)
{
    size_t n_target;
    if (t->policy != NULL) {
        policy_extent(t, &x->tok, &x->segment, &n_target);
        return;
    }
    if (t->preference != NULL) {
        preference_extent(t, &x->tok, &x->segment, &n_target);
        return;
    }
    survey_steps(t, x);
    survey_eval(t, x);
}

/* What the default spares has a price: how to have it otherwise. */
static void note_faster(const struct trainer *t, const struct tape_options *opt)
{
    char more[32], line[160];
    struct tape_options o = *opt;
    o.n_recompute = 0;
    str_format_bytes(tape_bytes(t->rq->model, &o) - tape_bytes(t->rq->model, opt), more, sizeof(more));
    snprintf(line, sizeof(line), "recompute off would be faster and take %s more memory", more);
    t->rq->note(t->rq->arg, line);
}

static void note_memory(const struct trainer *t, const struct tape_options *opt)
{
    char need[32], line[160];
    if (t->rq->note == NULL) return;
    int n_layer = model_params(t->rq->model)->n_layer - opt->n_frozen;
    str_format_bytes(tape_bytes(t->rq->model, opt), need, sizeof(need));
    if (opt->n_recompute > 0)
        snprintf(line, sizeof(line),
                 "up to %d tokens at once, %s for the backward pass (%d of %d layers are computed again)", opt->max_tok,
                 need, opt->n_recompute < n_layer ? opt->n_recompute : n_layer, n_layer);
    else
        snprintf(line, sizeof(line), "up to %d tokens at once, %s for the backward pass", opt->max_tok, need);
    t->rq->note(t->rq->arg, line);
    if (opt->n_recompute > 0 && t->cfg->recompute == RECOMPUTE_AUTO && t->cfg->memory_limit_bytes == 0)
        note_faster(t, opt);
}

/* What would fit in place of a tape that does not: computing layers again, fewer tokens at once, or nothing, because
 * even a row alone takes more. */
static void advise(const struct trainer *t, const struct tape_options *opt, char *out, size_t size)
{
    const struct model *m = t->rq->model;
    size_t longest = larger(train_rows_longest_unit(&t->rows), train_rows_longest_unit(&t->eval_rows));
    bool has_all = t->cfg->recompute != RECOMPUTE_OFF;
    const char *with = has_all ? "" : "with recompute ";
    char need[32];
    struct tape_options o = *opt;
    o.n_recompute = TAPE_ALL_LAYERS;
    size_t bytes = tape_bytes(m, &o);
    int fit = tape_tokens_that_fit(m, &o);
    str_format_bytes(bytes, need, sizeof(need));
    if (!has_all && bytes <= opt->max_bytes) {
        snprintf(out, size, "with recompute they take %s, which fits", need);
    } else if (fit > 0 && (size_t)fit >= longest) {
        snprintf(out, size, "%stoken_budget %d fits", with, fit);
    } else {
        o.max_tok = (int)longest;
        o.max_segment = (int)t->rows.unit;
        str_format_bytes(tape_bytes(m, &o), need, sizeof(need));
        snprintf(out, size,
                 "%sthe longest row alone, %zu tokens, takes %s: a higher memory_limit or a lower max_length is needed",
                 with, longest, need);
    }
}

/* What is resident now, and what is taken later beside the tape: by answers that are sampled, and here and there in a
 * process that grows to `whole` bytes. */
static uint64_t taken_bytes(const struct trainer *t, uint64_t whole)
{
    enum { SMALL_BYTES = 8 << 20 };
    return machine_rss_bytes() + t->rest_bytes + (whole / 64 < SMALL_BYTES ? whole / 64 : SMALL_BYTES);
}

static int check_memory(const struct trainer *t, const struct tape_options *opt, struct err *e)
{
    char advice[200], limit[64], size[32], need[32], rest[32];
    size_t bytes = tape_bytes(t->rq->model, opt);
    bool given = t->cfg->memory_limit_bytes > 0;
    if (opt->max_bytes == 0 || bytes <= opt->max_bytes) return 0;
    advise(t, opt, advice, sizeof(advice));
    str_format_bytes(given ? t->cfg->memory_limit_bytes : opt->max_bytes, size, sizeof(size));
    if (given)
        snprintf(limit, sizeof(limit), "memory_limit %s", size);
    else
        snprintf(limit, sizeof(limit), "half of the free memory, %s", size);
    str_format_bytes(bytes, need, sizeof(need));
    str_format_bytes(taken_bytes(t, t->cfg->memory_limit_bytes), rest, sizeof(rest));
    return err_set(e, ERR_LIMIT, "memory_limit",
                   "cannot tune within %s: %d tokens at once take %s for the backward pass, beside %s for all else; %s",
                   limit, opt->max_tok, need, rest, advice);
}

/* Most bytes of the tape: what the limit leaves of it (1 where that is nothing), or half of what is free. */
static size_t tape_limit(const struct trainer *t)
{
    struct machine machine;
    uint64_t limit = t->cfg->memory_limit_bytes, taken = taken_bytes(t, limit);
    machine_describe(&machine);
    if (limit == 0) return machine.memory_available_bytes / 2;
    return limit > taken ? limit - taken : 1;
}

/* The share that is taken before layers are computed again. Who asks for qlora has little memory, or wants it for
 * other things: there it is half of what the rest takes, so that 1.5 G weights of 4 bits are tuned in 3 GB and 7 G in
 * 8; models so small that it hardly matters keep what they need. */
static size_t thrifty_limit(const struct trainer *t, size_t limit)
{
    uint64_t least = UINT64_C(1) << 30, half = taken_bytes(t, 0) / 2, most = half > least ? half : least;
    if (!t->cfg->needs_quantized || t->cfg->memory_limit_bytes > 0) return limit;
    return most < limit ? most : limit;
}

static int layers_again(const struct trainer *t, const struct tape_options *opt)
{
    struct tape_options o = *opt;
    if (t->cfg->recompute == RECOMPUTE_ON) return TAPE_ALL_LAYERS;
    if (t->cfg->recompute == RECOMPUTE_OFF || opt->max_bytes == 0) return 0;
    o.max_bytes = thrifty_limit(t, opt->max_bytes);
    return tape_recompute_that_fits(t->rq->model, &o);
}

static int make_tape(struct trainer *t, struct err *e)
{
    struct extent x = {0};
    survey(t, &x);
    struct tape_options opt = {.max_tok = (int)x.tok,
                               .max_segment = (int)x.segment,
                               .rank = t->cfg->full ? 0 : adapter_max_rank(t->adapter),
                               .magnitudes = t->cfg->use_dora,
                               .n_frozen = t->own != NULL ? adapter_first_layer(t->own) : 0,
                               .max_bytes = tape_limit(t)};
    opt.n_recompute = layers_again(t, &opt);
    note_memory(t, &opt);
    int rc = check_memory(t, &opt, e);
    if (rc == 0) rc = tape_new(&t->tape, t->rq->model, &opt, e);
    if (rc == 0) tape_train_weights(t->tape, t->weights);
    return rc;
}

/* A second copy of all weights is taken only where the run asks for the best ones. */
static bool keeps_best(const struct train_config *c)
{
    return c->early_stop > 0 || (c->eval_every > 0 && !c->full);
}

static int make_state(struct trainer *t, struct err *e)
{
    struct checkpoint *s = &t->state;
    s->dev = t->dev;
    s->n_param = t->n_param;
    s->params = t->params;
    s->optimizer = optimizer_state(t->optimizer, &s->n_optimizer);
    int rc = keeps_best(t->cfg) ? dev_alloc(t->dev, &s->best, t->n_param, e) : 0;
    if (rc != 0) return rc;
    size_t n_tok, n_segment, n_target = larger(t->pack.cap_target, t->eval_pack.cap_target);
    if (t->preference != NULL) preference_extent(t, &n_tok, &n_segment, &n_target);
    if (t->policy != NULL) policy_extent(t, &n_tok, &n_segment, &n_target);
    t->noise_key = mem_try_array(larger(t->pack.cap_segment, 1), sizeof(*t->noise_key));
    t->loss = mem_try_array(n_target, sizeof(float));
    if (t->loss == NULL || t->noise_key == NULL)
        return err_set(e, ERR_NOMEM, NULL, "cannot tune: no memory for the state of %zu parameters", t->n_param);
    s->train_loss = s->eval_loss = s->best_loss = s->score = s->best_score = s->evaluated = (double)NAN;
    return 0;
}

/* What answers that are sampled will take. */
static uint64_t rest_bytes(const struct trainer *t)
{
    uint64_t n = t->cfg->eval_cases != NULL ? t->rq->score_bytes : 0;
    return n + (t->policy != NULL ? policy_engine_bytes(t) : 0);
}

/* What is resident once the tape is there, whose memory was all written to, and what comes later. */
uint64_t trainer_predict_peak(struct trainer *t)
{
    uint64_t peak = machine_peak_rss_bytes(), grown = taken_bytes(t, machine_rss_bytes());
    t->state.predicted_peak_bytes = (double)(grown > peak ? grown : peak);
    return grown > peak ? grown : peak;
}

int trainer_setup(struct trainer *t, const struct train_request *rq, struct err *e)
{
    *t = (struct trainer){
        .rq = rq, .cfg = rq->config, .dev = model_dev(rq->model), .dir = {.lock_fd = -1, .events_fd = -1}};
    int rc = load_data(t, e);
    if (rc == 0) rc = trainer_make_target(t, e);
    if (rc == 0) rc = make_state(t, e);
    if (rc == 0) t->rest_bytes = rest_bytes(t);
    return rc == 0 ? make_tape(t, e) : rc;
}

void trainer_deinit(struct trainer *t)
{
    run_dir_close(&t->dir);
    mem_free(t->checkpoints);
    dev_release(t->dev, t->state.best);
    mem_free(t->loss);
    mem_free(t->noise_key);
    mem_free(t->order);
    tape_free(t->tape);
    optimizer_free(t->optimizer);
    absorber_free(t->absorber);
    adapter_stack_free(t->stack);
    adapter_stack_free(t->below);
    adapter_free(t->own);
    preference_free(t->preference);
    policy_free(t->policy);
    weights_free(t->weights);
    packer_deinit(&t->pack);
    packer_deinit(&t->eval_pack);
    train_rows_deinit(&t->rows);
    train_rows_deinit(&t->eval_rows);
}
