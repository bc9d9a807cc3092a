/* What a step leaves behind: progress of sequences, full pages for the prefix index, sampled tokens, ends. Owns the
 * rules by which an answer ends. Nothing here allocates. */
#include <string.h>

#include "compute/engine/engine_int.h"
#include "ground/base/clock.h"
#include "ground/base/log.h"

/* The next full page becomes known. One that is known already but has lost its layers with a window gets those of this
 * one, and is read instead of it: otherwise a prefix that was let go once would be computed again every time. */
static void publish_next(struct engine *g, struct sequence *s)
{
    int i = s->n_published++, page = s->block[i].page;
    const int32_t *ids = s->ids + (size_t)i * DEV_PAGE;
    int known = page_find(&g->pages, s->serial, ids);
    if (known < 0 || near_has(&g->near, known)) {
        s->serial = page_publish(&g->pages, page, s->serial, ids);
        return;
    }
    near_move(&g->near, page, known);
    page_ref(&g->pages, known);
    engine_drop_page(g, page);
    s->block[i].page = known;
    s->serial = g->pages.page[known].serial;
}

void deliver_progress(struct engine *g, struct sequence *s)
{
    size_t before = s->n_done;
    s->n_done += (size_t)s->n_step;
    s->n_step = 0;
    size_t in_prompt = s->n_prompt > before ? s->n_prompt - before : 0;
    size_t n = s->n_done - before < in_prompt ? s->n_done - before : in_prompt;
    atomic_fetch_add_explicit(&g->n_prompt_tok, n, memory_order_relaxed);
    while ((size_t)(s->n_published + 1) * DEV_PAGE <= s->n_done) publish_next(g, s);
    for (int first = near_first(&g->near, s->n_done); s->n_far < first; s->n_far++) {
        near_unref(&g->near, s->block[s->n_far].page);
    }
}

static void end_run(struct engine *g, struct sequence *s, enum finish_reason reason)
{
    if (answer_text_finish(&s->text, &g->piece) == 1) reason = FINISH_STOP;
    schedule_remove(g, s);
    sequence_end(g, s, reason);
}

static bool is_end(const struct engine *g, int32_t id)
{
    return g->tok ? tokenizer_is_end(g->tok, id) : id == model_params(g->model)->eos_id;
}

/* Record one token and tell the caller. FINISH_NONE: the answer goes on. */
static enum finish_reason take_token(struct engine *g, struct sequence *s, int32_t id)
{
    s->ids[s->n_id++] = id;
    if (!(s->first_s > 0)) s->first_s = clock_s();
    atomic_fetch_add_explicit(&g->n_answer_tok, 1, memory_order_relaxed);
    bool ends = is_end(g, id) && (!s->ignore_eos || s->choices);
    int stopped = ends ? 0 : answer_text_push(&s->text, id, &g->piece);
    if (s->fn && !s->fn(s->arg, s, id, FINISH_NONE) && !s->paused) {
        s->paused = true;
        s->pause_s = clock_s();
    }
    if (stopped < 0) return FINISH_ERROR;
    if (ends || stopped) return FINISH_STOP;
    return s->n_id == s->n_limit ? FINISH_LENGTH : FINISH_NONE;
}

/* Walk on in the set of answers; while only one token is possible it needs no computing. */
static enum finish_reason take_choice(struct engine *g, struct sequence *s, int32_t id)
{
    for (;;) {
        s->node = choice_next(s->choices, s->node, id);
        enum finish_reason reason = take_token(g, s, id);
        if (s->node == CHOICE_END) return FINISH_STOP;
        if (reason != FINISH_NONE) {
            bool complete = reason == FINISH_LENGTH && choice_options(s->choices, s->node, s->option) == 1 &&
                            choice_next(s->choices, s->node, s->option[0]) == CHOICE_END;
            return complete ? FINISH_STOP : reason;
        }
        if (choice_options(s->choices, s->node, s->option) != 1) return FINISH_NONE;
        id = s->option[0];
    }
}

void deliver_token(struct engine *g, struct sequence *s, float *logits)
{
    struct sample_history h = {.ids = s->ids, .n_prompt = s->n_prompt, .n_id = s->n_id};
    size_t n_option = s->choices ? choice_options(s->choices, s->node, s->option) : 0;
    int32_t id = sampler_pick(&g->sampler, logits, &s->sampling, &h, s->choices ? s->option : NULL, n_option);
    enum finish_reason reason = FINISH_ERROR;
    if (id < 0) {
        log_error("cannot choose token %zu of a sequence: no logit is a finite number", s->n_id);
    } else {
        s->n_sampled++;
        reason = s->choices ? take_choice(g, s, id) : take_token(g, s, id);
    }
    if (reason != FINISH_NONE) end_run(g, s, reason);
}
