/* The thread pool: every worker runs once, barriers separate phases, shares cover, oversubscription does not hang. Also
 * run under ThreadSanitizer: the plain variables here are what it watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/core_loss.h"
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

struct limited {
    struct pool *pool;
    int n_called[WORKERS_MAX], n_worker, wrong;
};

static void count_limited(void *arg, int worker, int n_worker)
{
    struct limited *w = arg;
    w->n_called[worker]++;
    pool_barrier(w->pool);
    if (worker == 0) w->n_worker = n_worker;
    if (worker == 0)
        for (int i = 0; i < WORKERS_MAX; i++) w->wrong += w->n_called[i] != (i < n_worker);
}

/* Workers are left out and called back between any two runs, seen by them or not; numbers stay without gaps. */
static void a_limit_leaves_workers_out(void **state)
{
    (void)state;
    static const int limits[] = {5, 2, 1, 5, 3, 3, 4, 1, 1, 5, 5, 1, 5};
    for (int again = 0; again < 40; again++) {
        struct limited w = {.pool = new_pool(5)};
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            memset(w.n_called, 0, sizeof w.n_called);
            pool_limit(w.pool, limits[i]);
            if (again % 4 == 0) sched_yield();
            pool_run(w.pool, count_limited, &w);
            assert_true(w.n_worker >= 1 && w.n_worker <= limits[i]);
        }
        /* one that has not yet seen that it was left out is called back as soon as it has */
        for (int i = 0; i < 1000000 && w.n_worker < 5; i++) {
            memset(w.n_called, 0, sizeof w.n_called);
            pool_limit(w.pool, 5);
            pool_run(w.pool, count_limited, &w);
            sched_yield();
        }
        assert_int_equal(w.n_worker, 5);
        assert_int_equal(w.wrong, 0);
        if (again % 2) pool_limit(w.pool, 2); /* and ends while some are out */
        pool_free(w.pool);
    }
}

static void threads_are_left_out_for_lost_cores(void **state)
{
    (void)state;
    assert_int_equal(core_loss_leave_out(0, 2), 0);
    assert_int_equal(core_loss_leave_out(0.3, 2), 0);
    assert_int_equal(core_loss_leave_out(0.5, 2), 1);  /* one of two cores is shared with another */
    assert_int_equal(core_loss_leave_out(0.67, 2), 1); /* and its session has a right to more than ours there */
    assert_int_equal(core_loss_leave_out(1.0, 2), 0);  /* both are: no free one to retreat to */
    assert_int_equal(core_loss_leave_out(0.5, 1), 0);
    assert_int_equal(core_loss_leave_out(0.5, 16), 1);
    assert_int_equal(core_loss_leave_out(3.1, 16), 3);
    assert_int_equal(core_loss_leave_out(12, 16), 0);
    for (int n = 1; n < 20; n++)
        for (double lost = 0; lost < n; lost += 0.1) assert_in_range(core_loss_leave_out(lost, n), 0, n - 1);
}

static void the_kernel_tells_what_was_waited(void **state)
{
    (void)state;
    uint64_t first, second;
    assert_false(core_loss_waited(0, &first));
    if (!core_loss_waited(gettid(), &first)) skip(); /* a kernel that does not count */
    for (int i = 0; i < 100; i++) sched_yield();
    assert_true(core_loss_waited(gettid(), &second));
    assert_true(second >= first);
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

enum { ITEMS_MAX = 403, ROUNDS = 20 };

struct takes {
    struct pool *pool;
    size_t n, step;
    bool by_hand;
    int by[2][ITEMS_MAX]; /* times that an item was taken, of even and odd rounds */
    int wrong;            /* parts that are too large or lie in two shares */
    int slow;             /* this worker takes nothing before the others are done: they take its share */
    _Atomic int n_done;
};

static void take_by_hand(struct takes *t, int worker, int n_worker, int *by)
{
    for (int i = 0; i < n_worker; i++) {
        int w = (worker + i) % n_worker;
        size_t from, to;
        pool_share(t->n, 1, w, n_worker, &from, &to);
        for (size_t k = pool_take_part(t->pool, w); k < to - from; k = pool_take_part(t->pool, w)) by[from + k]++;
    }
}

static void take_all(void *arg, int worker, int n_worker)
{
    struct takes *t = arg;
    for (int round = 0; round < ROUNDS; round++) {
        int *by = t->by[round & 1];
        size_t begin, end;
        while (worker == t->slow && t->n_done < (round + 1) * (n_worker - 1)) sched_yield();
        if (t->by_hand) take_by_hand(t, worker, n_worker, by);
        while (!t->by_hand && pool_take(t->pool, t->n, t->step, worker, &begin, &end)) {
            if (worker == t->slow || begin >= end || end > t->n || end - begin > t->step) t->wrong++;
            for (size_t i = begin; i < end; i++) by[i]++;
        }
        t->n_done += worker != t->slow;
        pool_barrier(t->pool);
    }
}

/* Every item is taken once a round, by whoever is free: a worker that does not come leaves its share to the others. */
static void every_item_is_taken_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 64, ITEMS_MAX}, steps[] = {1, 8, 1000};
    for (int n_thread = 1; n_thread <= 5; n_thread++)
        for (int variant = 0; variant < 3 * 5 * 2; variant++) {
            struct takes t = {.pool = new_pool(n_thread),
                              .n = sizes[variant % 5],
                              .step = steps[variant / 5 % 3],
                              .by_hand = variant >= 15 && n_thread != 3,
                              .slow = variant >= 15 && n_thread == 3 ? 1 : -1};
            for (int again = 0; again < 2; again++) {
                t.n_done = 0;
                pool_run(t.pool, take_all, &t);
            }
            for (size_t i = 0; i < t.n; i++)
                if (t.by[0][i] != ROUNDS || t.by[1][i] != ROUNDS)
                    fail_msg("%d threads, %zu items by %zu: item %zu was taken %d and %d times", n_thread, t.n, t.step,
                             i, t.by[0][i], t.by[1][i]);
            assert_int_equal(t.wrong, 0);
            pool_free(t.pool);
        }
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
        cmocka_unit_test(every_item_is_taken_once),
        cmocka_unit_test(at_least_one_cpu),
        cmocka_unit_test(a_limit_leaves_workers_out),
        cmocka_unit_test(threads_are_left_out_for_lost_cores),
        cmocka_unit_test(the_kernel_tells_what_was_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
