/* A replica's steps. Owns the heap of its decoding sequences. What always holds: sequences of a step fit into the batch
 * and the cache; the oldest sequence is never preempted for a younger one, so every request ends. */
#include "lifecycle/plan/sim_replica_int.h"

#include <math.h>

#include "ground/base/mem.h"

/* A page is filled to the half on average; runs are cut so that the context in their middle stands for all of it. */
enum { PAGE = 16, HALF_PAGE = PAGE / 2, MAX_RUN = 256 };

void replica_init(struct sim_replica *r)
{
    *r = (struct sim_replica){.waiting_first = -1, .waiting_last = -1, .prefill_first = -1, .prefill_last = -1};
}

void replica_deinit(struct sim_replica *r)
{
    mem_free(r->run);
    r->run = NULL;
}

/* --- lists --- */

static void append(struct sim_state *st, int32_t *first, int32_t *last, int32_t x)
{
    st[x].next = -1;
    if (*first < 0)
        *first = x;
    else
        st[*last].next = x;
    *last = x;
}

static int32_t take_first(const struct sim_state *st, int32_t *first, int32_t *last)
{
    int32_t x = *first;
    *first = st[x].next;
    if (*first < 0) *last = -1;
    return x;
}

static void put_first(struct sim_state *st, int32_t *first, int32_t *last, int32_t x)
{
    st[x].next = *first;
    *first = x;
    if (*last < 0) *last = x;
}

/* --- the heap of decoding sequences by the step that ends them --- */

static void sift_up(const struct sim_state *st, int32_t *run, int i)
{
    for (int up = (i - 1) / 2; i > 0 && st[run[i]].done_step < st[run[up]].done_step; i = up, up = (i - 1) / 2) {
        int32_t x = run[i];
        run[i] = run[up];
        run[up] = x;
    }
}

static void sift_down(const struct sim_state *st, int32_t *run, int n, int i)
{
    for (int c = 2 * i + 1; c < n; c = 2 * i + 1) {
        if (c + 1 < n && st[run[c + 1]].done_step < st[run[c]].done_step) c++;
        if (st[run[c]].done_step >= st[run[i]].done_step) return;
        int32_t x = run[i];
        run[i] = run[c];
        run[c] = x;
        i = c;
    }
}

static int push_run(struct sim_work *w, struct sim_replica *r, int32_t x, struct err *e)
{
    if (r->n_run == r->room) {
        int32_t room = r->room ? 2 * r->room : 16;
        int32_t *grown = mem_try_realloc(r->run, (size_t)room * sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, NULL, "cannot simulate: out of memory");
        r->run = grown;
        r->room = room;
    }
    r->run[r->n_run] = x;
    sift_up(w->state, r->run, r->n_run++);
    return 0;
}

static int32_t remove_run(struct sim_work *w, struct sim_replica *r, int i)
{
    int32_t x = r->run[i];
    r->run[i] = r->run[--r->n_run];
    if (i < r->n_run) {
        sift_down(w->state, r->run, r->n_run, i);
        sift_up(w->state, r->run, i);
    }
    return x;
}

/* --- admission --- */

/* Tokens that a request takes of the cache when it is admitted: its prompt and what it had written. */
static double room_needed(const struct sim_state *x)
{
    return (double)x->prompt + x->generated + HALF_PAGE;
}

/* Room for one more step of all that run is left free, so that an admission is not undone at once. */
static bool may_admit(const struct sim_work *w, const struct sim_replica *r, const struct sim_state *x)
{
    int n = r->n_run + r->n_prefill;
    if (n >= w->server->max_running) return false;
    return n == 0 || w->server->kv_tokens <= 0 || r->kv + room_needed(x) + n + 1 <= w->server->kv_tokens;
}

static void admit(struct sim_work *w, struct sim_replica *r, double now)
{
    while (r->waiting_first >= 0 && may_admit(w, r, &w->state[r->waiting_first])) {
        int32_t i = take_first(w->state, &r->waiting_first, &r->waiting_last);
        struct sim_state *x = &w->state[i];
        if (x->admitted_s < 0) x->admitted_s = now;
        x->admission = w->admissions++;
        x->to_prefill = x->prompt + x->generated - x->cached;
        x->prefilled = x->cached;
        r->kv += room_needed(x);
        append(w->state, &r->prefill_first, &r->prefill_last, i);
        r->n_prefill++;
    }
    r->kv_peak = fmax(r->kv_peak, r->kv);
}

/* The youngest decoding sequence gives its room back and waits at the head. */
static void preempt(struct sim_work *w, struct sim_replica *r)
{
    int youngest = 0;
    for (int i = 1; i < r->n_run; i++)
        if (w->state[r->run[i]].admission > w->state[r->run[youngest]].admission) youngest = i;
    int32_t i = remove_run(w, r, youngest);
    struct sim_state *x = &w->state[i];
    x->generated = x->output - (int32_t)(x->done_step - r->step);
    r->context -= x->prompt + x->generated;
    r->kv -= room_needed(x);
    put_first(w->state, &r->waiting_first, &r->waiting_last, i);
    w->preemptions++;
}

/* --- a run --- */

static double mean_context(const struct sim_replica *r)
{
    return r->n_run ? r->context / r->n_run : 0;
}

static double start_run(struct sim_replica *r, double now, int64_t n, double step_s)
{
    r->run_start_s = now;
    r->run_n = n;
    r->run_step_s = step_s;
    return now + (double)n * step_s;
}

static double step_s(const struct sim_work *w, const struct plan_step *step)
{
    return w->server->step_s(w->server->arg, step);
}

/* Fewer prompt tokens where running sequences would wait longer than they may: a page at least. */
static void keep_budget(const struct sim_work *w, struct plan_step *step)
{
    struct plan_step alone = {.n_seq = step->n_seq, .mean_context = step->mean_context};
    double budget = w->server->step_budget_s;
    if (budget <= 0 || step->n_seq < 1) return;
    double decode = step_s(w, &alone), most = fmax(budget, 2 * decode) - decode, all = step_s(w, step) - decode;
    if (all > most)
        step->prefill_tokens = fmin(step->prefill_tokens, fmax(PAGE, ceil(step->prefill_tokens * most / all)));
}

/* One step with prompt tokens. */
static double plan_prefill(struct sim_work *w, struct sim_replica *r, double now)
{
    const struct sim_state *first = &w->state[r->prefill_first];
    int budget = w->server->chunk_tokens - r->n_run, n = 0;
    if (budget < 1) budget = 1;
    for (int32_t i = r->prefill_first; i >= 0 && n < budget; i = w->state[i].next)
        n += w->state[i].to_prefill < budget - n ? w->state[i].to_prefill : budget - n;
    struct plan_step step = {
        .n_seq = r->n_run, .mean_context = mean_context(r), .prefill_tokens = n, .prefill_from = first->prefilled};
    keep_budget(w, &step);
    r->run_prefill = (int)step.prefill_tokens;
    r->stretch = false;
    return start_run(r, now, 1, step_s(w, &step));
}

/* Steps until a sequence ends, the cache is full or the context has grown so far that a step takes longer. */
static double plan_decode(struct sim_work *w, struct sim_replica *r, double now)
{
    int64_t n = w->state[r->run[0]].done_step - r->step;
    if (w->server->kv_tokens > 0 && r->n_run > 1) {
        int64_t fit = (int64_t)((w->server->kv_tokens - r->kv) / r->n_run);
        n = fit < n ? fit : n;
    }
    n = n > MAX_RUN ? MAX_RUN : n < 1 ? 1 : n;
    struct plan_step step = {.n_seq = r->n_run, .mean_context = mean_context(r) + (double)(n - 1) / 2};
    r->run_prefill = 0;
    r->stretch = true;
    return start_run(r, now, n, step_s(w, &step));
}

double replica_plan(struct sim_work *w, struct sim_replica *r, double now)
{
    while (w->server->kv_tokens > 0 && r->n_run > 1 && r->kv + r->n_run > w->server->kv_tokens) preempt(w, r);
    admit(w, r, now);
    if (r->n_prefill) return plan_prefill(w, r, now);
    if (r->n_run) return plan_decode(w, r, now);
    return start_run(r, HUGE_VAL, 0, 0);
}

double replica_arrive(struct sim_work *w, struct sim_replica *r, int32_t request, double now)
{
    bool first = r->waiting_first < 0;
    append(w->state, &r->waiting_first, &r->waiting_last, request);
    r->outstanding++;
    if (r->run_n == 0) return now;
    if (!r->stretch || !first || !may_admit(w, r, &w->state[request])) return HUGE_VAL;
    int64_t n = (int64_t)ceil((now - r->run_start_s) / r->run_step_s); /* joins at the end of the step under way */
    n = n < 1 ? 1 : n;
    if (n >= r->run_n) return HUGE_VAL;
    r->run_n = n;
    return r->run_start_s + (double)n * r->run_step_s;
}

/* --- what a run has brought --- */

static int end_request(struct sim_work *w, struct sim_replica *r, int32_t i, double now, struct err *e)
{
    if (w->n_ended == w->ended_room) {
        size_t room = w->ended_room ? 2 * w->ended_room : 64;
        int32_t *grown = mem_try_realloc(w->ended, room * sizeof *grown);
        if (!grown) return err_set(e, ERR_NOMEM, NULL, "cannot simulate: out of memory");
        w->ended = grown;
        w->ended_room = room;
    }
    struct sim_state *x = &w->state[i];
    x->end_s = now;
    r->kv -= (double)x->prompt + x->output + HALF_PAGE;
    r->outstanding--;
    w->ended[w->n_ended++] = i;
    return 0;
}

/* Its prompt is computed: the first token is out. */
static int begin_decode(struct sim_work *w, struct sim_replica *r, int32_t i, double now, struct err *e)
{
    struct sim_state *x = &w->state[i];
    if (x->first_s < 0) x->first_s = now;
    int32_t has = x->generated + 1;
    r->kv += 1;
    if (has >= x->output) return end_request(w, r, i, now, e);
    x->done_step = r->step + x->output - has;
    r->context += x->prompt + has;
    return push_run(w, r, i, e);
}

static int hand_out_prefill(struct sim_work *w, struct sim_replica *r, double now, struct err *e)
{
    int left = r->run_prefill, rc = 0;
    while (left > 0 && rc == 0) {
        struct sim_state *x = &w->state[r->prefill_first];
        int n = x->to_prefill < left ? x->to_prefill : left;
        x->to_prefill -= n;
        x->prefilled += n;
        left -= n;
        if (x->to_prefill) break;
        r->n_prefill--;
        rc = begin_decode(w, r, take_first(w->state, &r->prefill_first, &r->prefill_last), now, e);
    }
    return rc;
}

int replica_finish(struct sim_work *w, struct sim_replica *r, double now, struct err *e)
{
    double seconds = (double)r->run_n * r->run_step_s, tokens = (double)r->run_n * r->n_run;
    int rc = 0;
    r->busy_s += seconds;
    r->batch_s += seconds * (r->n_run + r->n_prefill);
    r->step += r->run_n;
    w->steps += (uint64_t)r->run_n;
    r->context += tokens;
    r->kv += tokens;
    r->kv_peak = fmax(r->kv_peak, r->kv);
    while (rc == 0 && r->n_run && w->state[r->run[0]].done_step <= r->step) {
        int32_t i = remove_run(w, r, 0);
        r->context -= w->state[i].prompt + w->state[i].output;
        rc = end_request(w, r, i, now, e);
    }
    if (rc == 0) rc = hand_out_prefill(w, r, now, e);
    r->run_n = 0;
    return rc;
}
