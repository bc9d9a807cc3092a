/* The thread pool: every worker runs once, barriers separate phases, shares cover, oversubscription does not hang. Also
 * run under ThreadSanitizer: the plain variables here are what it watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "ground/base/pool.h"

enum { WORKERS_MAX = 16, PHASES = 50 };

struct work {
    struct pool *pool;
    int runs[WORKERS_MAX];     /* written by its worker alone */
    int stage[2][WORKERS_MAX]; /* written in one phase, read by all in the next */
    int wrong;                 /* found by worker 0 */
    int n_worker;
};

static struct pool *new_pool(int n)
{
    struct pool *p = NULL;
    struct err e = {0};
    if (pool_new(&p, n, &e)) fail_msg("%s", e.msg);
    return p;
}

static void count_run(void *arg, int worker, int n_worker)
{
    struct work *w = arg;
    w->runs[worker]++;
    if (worker == 0) w->n_worker = n_worker;
}

static void every_worker_runs_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 9; n += 2) {
        struct work w = {0};
        struct pool *p = new_pool(n);
        assert_int_equal(pool_size(p), n);
        for (int i = 0; i < 300; i++) pool_run(p, count_run, &w);
        pool_free(p);
        assert_int_equal(w.n_worker, n);
        for (int i = 0; i < n; i++) assert_int_equal(w.runs[i], 300);
    }
}

/* Each phase every worker writes its cell and, behind the barrier, reads all cells of the phase. */
static void phases(void *arg, int worker, int n_worker)
{
    struct work *w = arg;
    for (int phase = 0; phase < PHASES; phase++) {
        w->stage[phase & 1][worker] = phase + worker;
        pool_barrier(w->pool);
        int bad = 0;
        for (int i = 0; i < n_worker; i++) bad += w->stage[phase & 1][i] != phase + i;
        if (worker == 0) w->wrong += bad;
    }
}

static void barriers_separate_phases(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++) { /* more threads than cores too */
        struct work w = {.pool = new_pool(n)};
        for (int i = 0; i < 5; i++) pool_run(w.pool, phases, &w);
        pool_free(w.pool);
        assert_int_equal(w.wrong, 0);
    }
}

static void *run_from_thread(void *arg)
{
    struct work *w = arg;
    pool_run(w->pool, count_run, w);
    return NULL;
}

static void the_caller_may_change(void **state)
{
    (void)state;
    struct work w = {.pool = new_pool(3)};
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, run_from_thread, &w), 0);
        assert_int_equal(pthread_join(t, NULL), 0);
        pool_run(w.pool, count_run, &w);
    }
    pool_free(w.pool);
    for (int i = 0; i < 3; i++) assert_int_equal(w.runs[i], 40);
}

static void an_unused_pool_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) pool_free(new_pool(4));
    pool_free(NULL);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct pool *p;
    struct err e = {0};
    assert_int_equal(pool_new(&p, 0, &e), -ERR_INPUT);
    assert_int_equal(pool_new(&p, 1 << 20, &e), -ERR_INPUT);
    assert_non_null(strstr(e.msg, "1048576"));
}

/* Shares are contiguous, cover [0, n), begin at multiples of grain, and differ by at most grain. */
static void check_shares(size_t n, size_t grain, int n_worker)
{
    size_t at = 0, least = SIZE_MAX, most = 0;
    for (int w = 0; w < n_worker; w++) {
        size_t begin, end;
        pool_share(n, grain, w, n_worker, &begin, &end);
        if (begin != at || end < begin || (begin % grain && begin != n))
            fail_msg("share %d of %d of %zu by %zu: [%zu, %zu)", w, n_worker, n, grain, begin, end);
        at = end;
        least = end - begin < least ? end - begin : least;
        most = end - begin > most ? end - begin : most;
    }
    if (at != n || most - least > grain) fail_msg("shares of %zu by %zu for %d: end %zu", n, grain, n_worker, at);
}

static void shares_cover_evenly(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        for (size_t grain = 1; grain < 20; grain += 3) {
            for (int workers = 1; workers < 9; workers++) check_shares(n, grain, workers);
        }
    }
}

static void at_least_one_cpu(void **state)
{
    (void)state;
    assert_true(pool_cpus_available() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_runs_once),
        cmocka_unit_test(barriers_separate_phases),
        cmocka_unit_test(the_caller_may_change),
        cmocka_unit_test(an_unused_pool_ends),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(shares_cover_evenly),
        cmocka_unit_test(at_least_one_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
