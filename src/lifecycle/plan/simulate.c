/* The loop of a simulation: the clock goes from one event to the next, arrivals before what ends at the same time.
 * Owns the states of requests and replicas while it runs. What always holds: the clock never goes back, and the same
 * setup gives the same figures. */
#include "lifecycle/plan/simulate.h"

#include <math.h>
#include <stdlib.h>

#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/sort.h"
#include "lifecycle/plan/sim_heap.h"
#include "lifecycle/plan/sim_replica_int.h"

struct sim {
    const struct sim_setup *s;
    const struct sim_request *request;
    size_t n, next; /* requests; the next to arrive */
    struct sim_work work;
    struct sim_replica *replica;
    struct sim_heap wake;        /* when a replica must be looked at */
    struct sim_heap outstanding; /* requests of a replica, for the balancer */
    struct sim_heap asks;        /* with users: when each asks next */
    int32_t *user_of;            /* [n] with users */
};

/* --- checks --- */

static int check_setup(const struct sim_setup *s, size_t n, struct err *e)
{
    if (s->replicas < 1 || s->replicas > SIM_MAX_REPLICAS)
        return err_set(e, ERR_USAGE, "replicas", "cannot simulate %d replicas: 1 to %d are needed", s->replicas,
                       SIM_MAX_REPLICAS);
    if (n < 1 || n > SIM_MAX_REQUESTS)
        return err_set(e, ERR_USAGE, "requests", "cannot simulate %zu requests: 1 to %d are needed", n,
                       SIM_MAX_REQUESTS);
    if (s->server.max_running < 1 || s->server.chunk_tokens < 1)
        return err_set(e, ERR_USAGE, "max_running",
                       "cannot simulate a batch of %d sequences and %d tokens a step: each must be at least 1",
                       s->server.max_running, s->server.chunk_tokens);
    if (s->users < 0 || !(s->think_s >= 0) || !(s->warmup_share >= 0 && s->warmup_share < 1))
        return err_set(e, ERR_USAGE, "users",
                       "cannot simulate %d users who think %g s with a warm-up of %g: none may be negative, the "
                       "warm-up must be below 1",
                       s->users, s->think_s, s->warmup_share);
    return 0;
}

static int check_requests(const struct sim_setup *s, const struct sim_request *r, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        double tokens = (double)r[i].prompt_tokens + r[i].output_tokens;
        if (r[i].prompt_tokens < 1 || r[i].output_tokens < 1)
            return err_set(e, ERR_INPUT, NULL,
                           "cannot simulate request %zu: %d prompt and %d answer tokens, each must be "
                           "at least 1",
                           i + 1, r[i].prompt_tokens, r[i].output_tokens);
        if (r[i].cached_tokens < 0 || r[i].cached_tokens >= r[i].prompt_tokens)
            return err_set(
                e, ERR_INPUT, NULL,
                "cannot simulate request %zu: %d of its %d prompt tokens are cached, at least one must not be", i + 1,
                r[i].cached_tokens, r[i].prompt_tokens);
        if (s->server.kv_tokens > 0 && tokens > s->server.kv_tokens)
            return err_set(e, ERR_INPUT, NULL,
                           "cannot simulate request %zu: its %.0f tokens are more than the %.0f that the cache holds",
                           i + 1, tokens, s->server.kv_tokens);
        bool sorted = isfinite(r[i].arrival_s) && (i == 0 || r[i].arrival_s >= r[i - 1].arrival_s);
        if (!s->users && !sorted)
            return err_set(e, ERR_INPUT, NULL,
                           "cannot simulate request %zu: it arrives at %g s, before the one ahead of it", i + 1,
                           r[i].arrival_s);
    }
    return 0;
}

/* --- start and end --- */

static void init_states(struct sim *m)
{
    for (size_t i = 0; i < m->n; i++)
        m->work.state[i] = (struct sim_state){.arrival_s = m->request[i].arrival_s,
                                              .admitted_s = -1,
                                              .first_s = -1,
                                              .end_s = -1,
                                              .prompt = m->request[i].prompt_tokens,
                                              .cached = m->request[i].cached_tokens,
                                              .output = m->request[i].output_tokens};
    for (int i = 0; i < m->s->replicas; i++) {
        replica_init(&m->replica[i]);
        if (m->s->balancer == SIM_LEAST_REQUESTS) sim_heap_set(&m->outstanding, i, 0);
    }
    for (int i = 0; i < m->s->users; i++) sim_heap_set(&m->asks, i, i * m->s->apart_s);
}

static int init(struct sim *m, struct err *e)
{
    m->work.server = &m->s->server;
    m->work.state = mem_try_array(m->n, sizeof *m->work.state);
    m->replica = mem_try_array((size_t)m->s->replicas, sizeof *m->replica);
    m->user_of = mem_try_array(m->s->users ? m->n : 1, sizeof *m->user_of);
    if (!m->work.state || !m->replica || !m->user_of)
        return err_set(e, ERR_NOMEM, NULL, "cannot simulate %zu requests: out of memory", m->n);
    int rc = sim_heap_init(&m->wake, m->s->replicas, e);
    if (rc == 0 && m->s->balancer == SIM_LEAST_REQUESTS) rc = sim_heap_init(&m->outstanding, m->s->replicas, e);
    if (rc == 0 && m->s->users) rc = sim_heap_init(&m->asks, m->s->users, e);
    if (rc == 0) init_states(m);
    return rc;
}

static void deinit(struct sim *m)
{
    for (int i = 0; m->replica && i < m->s->replicas; i++) replica_deinit(&m->replica[i]);
    mem_free(m->replica);
    mem_free(m->work.state);
    mem_free(m->work.ended);
    mem_free(m->user_of);
    sim_heap_deinit(&m->wake);
    sim_heap_deinit(&m->outstanding);
    sim_heap_deinit(&m->asks);
}

/* --- the loop --- */

static int pick_replica(const struct sim *m)
{
    switch (m->s->balancer) {
    case SIM_RANDOM:
        return (int)rng_below((uint64_t)m->s->replicas, m->s->seed, 1, m->next);
    case SIM_LEAST_REQUESTS:
        return sim_heap_least(&m->outstanding);
    case SIM_ROUND_ROBIN:
    default:
        return (int)(m->next % (size_t)m->s->replicas);
    }
}

static void note_outstanding(struct sim *m, int replica)
{
    if (m->s->balancer == SIM_LEAST_REQUESTS) sim_heap_set(&m->outstanding, replica, m->replica[replica].outstanding);
}

/* When the next request arrives; HUGE_VAL: none is left, or all users wait for an answer. */
static double next_arrival(const struct sim *m)
{
    if (m->next == m->n) return HUGE_VAL;
    return m->s->users ? m->asks.key[sim_heap_least(&m->asks)] : m->request[m->next].arrival_s;
}

static void arrive(struct sim *m, double now)
{
    int i = pick_replica(m);
    if (m->s->users) {
        int user = sim_heap_least(&m->asks);
        m->user_of[m->next] = user;
        m->work.state[m->next].arrival_s = now;
        sim_heap_set(&m->asks, user, HUGE_VAL);
    }
    double again = replica_arrive(&m->work, &m->replica[i], (int32_t)m->next++, now);
    if (isfinite(again)) sim_heap_set(&m->wake, i, again);
    note_outstanding(m, i);
}

static int advance(struct sim *m, int i, double now, struct err *e)
{
    struct sim_replica *r = &m->replica[i];
    int rc = r->run_n ? replica_finish(&m->work, r, now, e) : 0;
    if (rc) return rc;
    for (size_t k = 0; m->s->users && k < m->work.n_ended; k++)
        sim_heap_set(&m->asks, m->user_of[m->work.ended[k]], now + m->s->server.first_token_s + m->s->think_s);
    if (m->work.n_ended) note_outstanding(m, i);
    m->work.n_ended = 0;
    sim_heap_set(&m->wake, i, replica_plan(&m->work, r, now));
    return 0;
}

static int loop(struct sim *m, struct err *e)
{
    for (uint64_t event = 0;; event++) {
        int i = sim_heap_least(&m->wake);
        double arrival = next_arrival(m), wake = m->wake.key[i];
        if (arrival <= wake && isfinite(arrival)) {
            arrive(m, arrival);
            continue;
        }
        if (!isfinite(wake)) return 0;
        int rc = advance(m, i, wake, e);
        if (rc) return rc;
        if (event % 65536 == 0 && m->s->interrupted && m->s->interrupted())
            return err_set(e, ERR_INTERRUPTED, NULL, "cannot finish the simulation: interrupted");
    }
}

/* --- figures --- */

double sim_middle(const double *sorted, size_t n)
{
    size_t first = n / 4, end = n - n / 4;
    double sum = 0;
    for (size_t i = first; i < end; i++) sum += sorted[i];
    return sum / (double)(end - first);
}

static struct sim_quantiles quantiles(double *v, size_t n)
{
    struct sim_quantiles q = {0};
    if (n == 0) return q;
    sort_doubles(v, n);
    for (size_t i = 0; i < n; i++) q.mean += v[i] / (double)n;
    q.p50 = v[(size_t)(0.50 * (double)(n - 1))];
    q.p90 = v[(size_t)(0.90 * (double)(n - 1))];
    q.p95 = v[(size_t)(0.95 * (double)(n - 1))];
    q.p99 = v[(size_t)(0.99 * (double)(n - 1))];
    q.max = v[n - 1];
    q.middle = sim_middle(v, n);
    return q;
}

static int latencies(const struct sim *m, struct sim_result *out, struct err *e)
{
    size_t skip = (size_t)(m->s->warmup_share * (double)m->n), n_tpot = 0;
    double *v = mem_try_array(m->n, 4 * sizeof *v), first_s = m->s->server.first_token_s;
    if (!v) return err_set(e, ERR_NOMEM, NULL, "cannot simulate %zu requests: out of memory", m->n);
    double *wait = v, *ttft = v + m->n, *total = ttft + m->n, *tpot = total + m->n;
    out->n = m->n - skip;
    for (size_t i = skip; i < m->n; i++) {
        const struct sim_state *x = &m->work.state[i];
        wait[i - skip] = x->admitted_s - x->arrival_s;
        ttft[i - skip] = x->first_s - x->arrival_s + first_s;
        total[i - skip] = x->end_s - x->arrival_s + first_s;
        if (x->output > 1) tpot[n_tpot++] = (x->end_s - x->first_s) / (x->output - 1);
    }
    out->wait_s = quantiles(wait, out->n);
    out->ttft_s = quantiles(ttft, out->n);
    out->total_s = quantiles(total, out->n);
    out->tpot_s = quantiles(tpot, n_tpot);
    mem_free(v);
    return 0;
}

static void rates(const struct sim *m, struct sim_result *out)
{
    double first = m->work.state[0].arrival_s, last = first, tokens = 0, time = 0, busy = 0, batch = 0, kv = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct sim_state *x = &m->work.state[i];
        last = fmax(last, x->end_s);
        tokens += x->output;
        time += x->end_s - x->arrival_s;
    }
    for (int i = 0; i < m->s->replicas; i++) {
        busy += m->replica[i].busy_s;
        batch += m->replica[i].batch_s;
        kv = fmax(kv, m->replica[i].kv_peak);
    }
    out->makespan_s = last - first;
    out->requests_s = (double)m->n / out->makespan_s;
    out->output_tok_s = tokens / out->makespan_s;
    out->busy = busy / out->makespan_s / m->s->replicas;
    out->mean_batch = busy > 0 ? batch / busy : 0;
    out->in_system = time / out->makespan_s / m->s->replicas;
    out->kv_peak = m->s->server.kv_tokens > 0 ? fmin(1, kv / m->s->server.kv_tokens) : 0;
    out->steps = m->work.steps;
    out->preemptions = m->work.preemptions;
}

int simulate(const struct sim_setup *s, const struct sim_request *request, size_t n, struct sim_result *out,
             struct err *e)
{
    struct sim m = {.s = s, .request = request, .n = n};
    *out = (struct sim_result){0};
    int rc = check_setup(s, n, e);
    if (rc == 0) rc = check_requests(s, request, n, e);
    if (rc) return rc;
    rc = init(&m, e);
    if (rc == 0) rc = loop(&m, e);
    if (rc == 0) rc = latencies(&m, out, e);
    if (rc == 0) rates(&m, out);
    deinit(&m);
    return rc;
}

static double system_step(const void *arg, const struct plan_step *step)
{
    return plan_step_s(arg, step);
}

void sim_server_of(const struct plan_system *system, double kv_tokens, struct sim_server *out)
{
    *out = (struct sim_server){.step_s = system_step,
                               .arg = system,
                               .first_token_s = system->stack.first_token_s,
                               .max_running = system->stack.max_running,
                               .chunk_tokens = system->stack.batched_tokens,
                               .step_budget_s = system->stack.step_budget_s,
                               .kv_tokens = kv_tokens};
}
