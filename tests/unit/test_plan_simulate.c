/* The simulation against closed forms where these are exact, and its own accounts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "lifecycle/plan/arrivals.h"
#include "lifecycle/plan/queueing.h"
#include "lifecycle/plan/sim_heap.h"
#include "lifecycle/plan/simulate.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want) + 1e-12)) fail_msg("%.9g, wanted %.9g", got, want);
}

/* Step times of test machines: prompts cost nothing beside one step. */
struct machine {
    double fixed_s, seq_s, context_s, prompt_s;
};

static double step(const void *arg, const struct plan_step *p)
{
    const struct machine *m = arg;
    return m->fixed_s + p->n_seq * (m->seq_s + p->mean_context * m->context_s) + p->prefill_tokens * m->prompt_s;
}

static struct sim_setup setup_of(const struct machine *m, int max_running)
{
    return (struct sim_setup){.server = {.step_s = step, .arg = m, .max_running = max_running, .chunk_tokens = 2048},
                              .replicas = 1,
                              .seed = 1};
}

static struct sim_result run(const struct sim_setup *s, const struct sim_request *r, size_t n)
{
    struct sim_result out;
    struct err e;
    if (simulate(s, r, n, &out, &e)) fail_msg("%s", e.msg);
    return out;
}

/* Poisson arrivals with answers of geometric length: exponential service in the limit of short steps. */
static struct sim_request *exponential(size_t n, double rate, double mean_tokens)
{
    struct sim_request *r = mem_alloc(n * sizeof *r);
    double now = 0;
    for (size_t i = 0; i < n; i++) {
        now += -log(1 - rng_unit(7, 1, i)) / rate;
        double tokens = ceil(-log(1 - rng_unit(7, 2, i)) * mean_tokens);
        r[i] = (struct sim_request){now, 1, tokens < 1 ? 1 : (int)tokens, 0};
    }
    return r;
}

static void one_request_takes_what_its_steps_take(void **state)
{
    (void)state;
    const struct machine m = {0.01, 0.001, 1e-6, 1e-4};
    struct sim_request r = {5, 3000, 101, 0};
    struct sim_setup s = setup_of(&m, 8);
    s.server.first_token_s = 0.04;
    struct sim_result o = run(&s, &r, 1);
    double prefill = 2 * 0.01 + 3000 * 1e-4; /* chunks of 2048 and 952 */
    assert_near(o.ttft_s.p50, prefill + 0.04, 1e-9);
    assert_near(o.tpot_s.p50, 0.011 + 1e-6 * (3001 + 99 / 2.0), 1e-9); /* context 3001 to 3100 */
    assert_near(o.total_s.max, o.ttft_s.max + 100 * o.tpot_s.p50, 1e-9);
    assert_int_equal(o.steps, 102);
    assert_near(o.busy, 1, 1e-9);
}

/* A long prompt comes while an answer is written: 0.1 s a step are 80 tokens of it, and the one with a cached beginning
 * computes the rest alone. */
static void prompts_keep_the_step_budget(void **state)
{
    (void)state;
    const struct machine m = {0.02, 0, 0, 1e-3};
    struct sim_request r[] = {{.prompt_tokens = 1, .output_tokens = 1000},
                              {.arrival_s = 0.021, .prompt_tokens = 1000, .output_tokens = 2, .cached_tokens = 200}};
    struct sim_setup s = setup_of(&m, 8);
    assert_near(run(&s, r, 2).ttft_s.max, 0.82, 1e-9);
    s.server.step_budget_s = 0.1;
    assert_near(run(&s, r, 2).ttft_s.max, 10 * 0.1, 1e-9);
    s.server.step_budget_s = 0.01; /* twice the step without prompts */
    assert_near(run(&s, r, 2).ttft_s.max, 40 * 0.04, 1e-9);
    r[1].cached_tokens = 1000;
    struct sim_result out;
    struct err e;
    assert_int_equal(simulate(&s, r, 2, &out, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "cached"));
}

static void one_place_is_mm1(void **state)
{
    (void)state;
    const struct machine m = {0.001, 0, 0, 0};
    enum { N = 400000 };
    struct sim_request *r = exponential(N, 0.7, 1000); /* service 1 s, rho 0.7 */
    struct sim_setup s = setup_of(&m, 1);
    struct sim_result o = run(&s, r, N);
    assert_near(o.wait_s.mean, 0.7 / 0.3, 0.05);
    assert_near(o.busy, 0.7, 0.01);
    assert_near(o.wait_s.p95, log(0.7 / 0.05) / 0.3, 0.05); /* p(wait > t) = rho exp(-(mu - lambda) t) */
    mem_free(r);
}

static double one_second(const void *arg, double n)
{
    (void)arg;
    (void)n;
    return 1;
}

static void a_batch_of_constant_steps_is_mmc(void **state)
{
    (void)state;
    const struct machine m = {0.002, 0, 0, 0};
    enum { N = 400000 };
    struct sim_request *r = exponential(N, 6.4, 500); /* service 1 s in each of 8 places, rho 0.8 */
    struct sim_setup s = setup_of(&m, 8);
    struct sim_result o = run(&s, r, N);
    struct queue_result q;
    struct queue model = {one_second, NULL, 8, 6.4, 1};
    assert_int_equal(queue_solve(&model, &q, NULL), 0);
    assert_near(o.wait_s.mean, q.mean_wait_s, 0.06);
    assert_near(o.wait_s.p95, queue_wait_percentile(&q, 0.95), 0.06);
    assert_near(o.in_system, q.running + q.waiting, 0.02);
    mem_free(r);
}

static double shared(const void *arg, double n)
{
    (void)arg;
    return n * 0.5;
}

static void steps_as_long_as_the_batch_share_a_processor(void **state)
{
    (void)state;
    const struct machine m = {0, 0.001, 0, 0};
    enum { N = 400000 };
    struct sim_request *r = exponential(N, 1.5, 500); /* 0.5 s alone, rho 0.75 */
    for (size_t i = 0; i < N; i++) r[i].prompt_tokens = 1;
    struct sim_setup s = setup_of(&m, 1000);
    struct machine with_prompt = m;
    with_prompt.prompt_s = 0.001; /* the first token comes of the prompt's step */
    s.server.arg = &with_prompt;
    struct sim_result o = run(&s, r, N);
    struct queue_result q;
    struct queue model = {shared, NULL, 1000, 1.5, 1};
    assert_int_equal(queue_solve(&model, &q, NULL), 0);
    assert_near(q.running, 3, 1e-6);
    assert_near(o.in_system, q.running, 0.05);
    assert_near(o.total_s.mean, q.running / 1.5, 0.05);
    mem_free(r);
}

static void tokens_and_time_are_conserved(void **state)
{
    (void)state;
    const struct machine m = {0.01, 0.0005, 1e-7, 1e-4};
    struct arrivals a = {ARRIVAL_POISSON, 8, 0, 0, 20000, 700, 150, 0.8, 3};
    struct sim_request *r;
    assert_int_equal(arrivals_draw(&a, &r, NULL), 0);
    static const enum sim_balancer balancer[] = {SIM_ROUND_ROBIN, SIM_RANDOM, SIM_LEAST_REQUESTS};
    double wait[3];
    for (size_t b = 0; b < 3; b++) {
        struct sim_setup s = setup_of(&m, 6);
        s.replicas = 4;
        s.balancer = balancer[b];
        s.server.kv_tokens = 12000;
        struct sim_result o = run(&s, r, a.n);
        double tokens = 0;
        for (size_t i = 0; i < a.n; i++) tokens += r[i].output_tokens;
        assert_near(o.output_tok_s * o.makespan_s, tokens, 1e-9);
        assert_near(o.in_system * 4 * o.makespan_s / (double)a.n, o.total_s.mean, 1e-6); /* Little */
        assert_true(o.ttft_s.p50 <= o.ttft_s.p90 && o.ttft_s.p90 <= o.ttft_s.p99 && o.ttft_s.p99 <= o.ttft_s.max);
        assert_true(o.busy > 0 && o.busy <= 1 && o.mean_batch > 0 && o.mean_batch <= 6);
        assert_true(o.kv_peak > 0 && o.kv_peak <= 1);
        struct sim_result again = run(&s, r, a.n);
        assert_memory_equal(&again, &o, sizeof o);
        wait[b] = o.wait_s.mean;
    }
    assert_true(wait[2] < wait[0] && wait[0] < wait[1]); /* knowing helps, turns are better than dice */
    mem_free(r);
}

static void a_full_cache_preempts_and_all_end(void **state)
{
    (void)state;
    const struct machine m = {0.01, 0.0001, 0, 1e-5};
    struct arrivals a = {ARRIVAL_UNIFORM, 1000, 0, 0, 200, 100, 400, 0, 3};
    struct sim_request *r;
    assert_int_equal(arrivals_draw(&a, &r, NULL), 0);
    struct sim_setup s = setup_of(&m, 64);
    s.server.kv_tokens = 4000; /* eight whole sequences, but thirty prompts */
    struct sim_result full = run(&s, r, a.n);
    s.server.kv_tokens = 0;
    struct sim_result roomy = run(&s, r, a.n);
    assert_true(full.preemptions > 50 && roomy.preemptions == 0);
    assert_true(full.makespan_s > roomy.makespan_s && full.kv_peak > 0.95);
    assert_int_equal(full.n, 200);
    s.server.kv_tokens = 499;
    struct err e;
    struct sim_result o;
    assert_int_equal(simulate(&s, r, a.n, &o, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "500 tokens are more than the 499"));
    mem_free(r);
}

static void users_ask_in_turn(void **state)
{
    (void)state;
    const struct machine m = {0.01, 0.001, 0, 0};
    struct arrivals a = {ARRIVAL_CLOSED, 0, 0, 10, 1000, 100, 51, 0, 3};
    struct sim_request *r;
    assert_int_equal(arrivals_draw(&a, &r, NULL), 0);
    struct sim_setup s = setup_of(&m, 64);
    s.users = 10;
    struct sim_result o = run(&s, r, a.n);
    assert_near(o.in_system, 10, 0.02);
    assert_near(o.mean_batch, 10, 0.02);
    assert_near(o.tpot_s.p50, 0.02, 0.02); /* ten in step */
    s.think_s = 5;
    o = run(&s, r, a.n);
    assert_true(o.in_system < 3);
    mem_free(r);
}

static void thousands_of_replicas_share_a_load(void **state)
{
    (void)state;
    const struct machine m = {0.01, 0.001, 0, 1e-5};
    struct arrivals a = {ARRIVAL_POISSON, 3000, 0, 0, 200000, 200, 50, 0.5, 3};
    struct sim_request *r;
    assert_int_equal(arrivals_draw(&a, &r, NULL), 0);
    struct sim_setup s = setup_of(&m, 4);
    s.replicas = 3000;
    s.balancer = SIM_LEAST_REQUESTS;
    struct sim_result o = run(&s, r, a.n);
    assert_near(o.requests_s, 3000, 0.05);
    assert_true(o.wait_s.p99 < 0.011 + 0.0021); /* at most the step under way */
    mem_free(r);
}

static void arrivals_have_their_means(void **state)
{
    (void)state;
    static const char *const text[] = {"poisson:4", "uniform:4", "bursts:4:2", "bursts:4:0.5"};
    static const double cv[] = {1, 0, 2, 0.5};
    for (size_t k = 0; k < N_ELEM(text); k++) {
        struct arrivals a = {.n = 200000, .prompt_tokens = 300, .output_tokens = 80, .length_cv = 1, .seed = 5};
        struct sim_request *r;
        assert_int_equal(arrivals_parse(text[k], &a, NULL), 0);
        assert_int_equal(arrivals_draw(&a, &r, NULL), 0);
        double sum2 = 0, prompt = 0, mean = r[a.n - 1].arrival_s / (double)a.n;
        for (size_t i = 0; i < a.n; i++) {
            double gap = r[i].arrival_s - (i ? r[i - 1].arrival_s : 0);
            sum2 += (gap - mean) * (gap - mean);
            prompt += r[i].prompt_tokens;
        }
        assert_near(mean, 0.25, 0.02);
        if (fabs(sqrt(sum2 / (double)a.n) / mean - cv[k]) > 0.05)
            fail_msg("%s: spread %g", text[k], sqrt(sum2 / (double)a.n) / mean);
        assert_near(prompt / (double)a.n, 300, 0.02);
        mem_free(r);
    }
}

static void bad_arrivals_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "poisson",    "poisson:0", "poisson:-1",  "poisson:1:2",  "bursts:1",
                                      "closed:0", "closed:1.5", "normal:3",  "poisson:nan", "bursts:1:2:3", ":::::"};
    struct arrivals a = {.prompt_tokens = 0, .output_tokens = 1, .n = 1, .rate_s = 1};
    struct err e;
    struct sim_request *r;
    size_t n;
    for (size_t i = 0; i < N_ELEM(bad); i++)
        if (arrivals_parse(bad[i], &a, &e) != -ERR_USAGE) fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(arrivals_draw(&a, &r, &e), -ERR_USAGE);
    static const char trace[] = "output_tokens,arrival_s,prompt_tokens\n5,2.5,7\n6,1,8\n";
    assert_int_equal(file_mkdirs("build", NULL), 0);
    assert_int_equal(file_write_atomic("build/test_trace.csv", trace, sizeof trace - 1, NULL), 0);
    assert_int_equal(arrivals_read("build/test_trace.csv", &r, &n, &e), 0);
    assert_true(n == 2 && r[0].arrival_s == 1 && r[0].prompt_tokens == 8 && r[1].output_tokens == 5);
    mem_free(r);
    static const char broken[] = "arrival_s,prompt_tokens,output_tokens\n1,7,0\n";
    assert_int_equal(file_write_atomic("build/test_trace.csv", broken, sizeof broken - 1, NULL), 0);
    assert_int_equal(arrivals_read("build/test_trace.csv", &r, &n, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 2: output_tokens is \"0\""));
}

static void the_heap_gives_the_least(void **state)
{
    (void)state;
    struct sim_heap h;
    double key[97];
    assert_int_equal(sim_heap_init(&h, 97, NULL), 0);
    for (int i = 0; i < 97; i++) key[i] = INFINITY;
    for (uint64_t k = 0; k < 5000; k++) {
        int i = (int)rng_below(97, 1, 1, k), least = 0;
        key[i] = rng_unit(1, 2, k);
        sim_heap_set(&h, i, key[i]);
        for (int j = 1; j < 97; j++) least = key[j] < key[least] ? j : least;
        assert_true(key[sim_heap_least(&h)] == key[least]);
    }
    sim_heap_deinit(&h);
}

/* One request that was held up does not move it. */
static void middle_leaves_out_the_ends(void **state)
{
    (void)state;
    const double v[] = {0, 2, 3, 4, 5, 6, 7, 1000};
    assert_true(fabs(sim_middle(v, 8) - 4.5) < 1e-12);
    assert_true(fabs(sim_middle(v, 1) - 0) < 1e-12);
    assert_true(fabs(sim_middle(v, 2) - 1) < 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_request_takes_what_its_steps_take),
                                       cmocka_unit_test(prompts_keep_the_step_budget),
                                       cmocka_unit_test(one_place_is_mm1),
                                       cmocka_unit_test(a_batch_of_constant_steps_is_mmc),
                                       cmocka_unit_test(steps_as_long_as_the_batch_share_a_processor),
                                       cmocka_unit_test(tokens_and_time_are_conserved),
                                       cmocka_unit_test(a_full_cache_preempts_and_all_end),
                                       cmocka_unit_test(users_ask_in_turn),
                                       cmocka_unit_test(thousands_of_replicas_share_a_load),
                                       cmocka_unit_test(arrivals_have_their_means),
                                       cmocka_unit_test(bad_arrivals_are_refused),
                                       cmocka_unit_test(middle_leaves_out_the_ends),
                                       cmocka_unit_test(the_heap_gives_the_least)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
