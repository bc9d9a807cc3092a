/* Who runs when: pauses, cancels, and sequences that take turns where so many at once would be slower. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_rig.h"

struct counter {
    int n_token, n_end;
    bool go;
};

static bool count_token(void *arg, struct sequence *s, int32_t id, enum finish_reason reason)
{
    struct counter *c = arg;
    (void)s;
    if (reason == FINISH_NONE) {
        assert_true(id >= 0);
        c->n_token++;
    } else {
        assert_int_equal(id, -1);
        c->n_end++;
    }
    return c->go;
}

static void test_pause(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2};
    struct counter slow = {.go = false}, fast = {.go = true};
    struct prompt p = make_prompt(0), p2 = make_prompt(1);
    struct sequence_request q = request(&p, 5), q2 = request(&p2, 12);
    struct sequence *s, *s2;
    struct answer a, want = answer_alone(PRECISION_REFERENCE, 0, 5);
    rig_open(&r, PRECISION_REFERENCE, &opt);
    q.fn = q2.fn = count_token;
    q.arg = &slow;
    q2.arg = &fast;
    ok(engine_submit(r.engine, &q, &s, e));
    ok(engine_submit(r.engine, &q2, &s2, e));
    for (int i = 0; i < 20; i++) ok(engine_step(r.engine, e));
    assert_int_equal(slow.n_token, 1); /* the paused one stands, the other went on to its end */
    assert_int_equal(fast.n_token, 12);
    assert_int_equal(fast.n_end, 1);
    engine_wait(r.engine, 1); /* returns: a pause is no work */
    for (int i = 2; i <= 5; i++) {
        engine_resume(r.engine, s);
        ok(engine_step(r.engine, e));
        ok(engine_step(r.engine, e));
        assert_int_equal(slow.n_token, i);
    }
    assert_int_equal(slow.n_end, 1);
    keep(s, &a);
    expect_equal(&a, &want, "paused", 0);
    sequence_release(r.engine, s);
    sequence_release(r.engine, s2);
    rig_close(&r);
}

/* One runs, one is paused, one waits: all end at the next step, and what comes later runs. */
static void test_cancel_all(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2};
    struct counter stopped = {.go = false};
    struct prompt p = make_prompt(0);
    struct sequence_request q = request(&p, 90);
    struct sequence *s[4];
    struct answer a;
    rig_open(&r, PRECISION_AUTO, &opt);
    for (int k = 0; k < 3; k++) {
        q.fn = k == 1 ? count_token : NULL;
        q.arg = &stopped;
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    for (int i = 0; i < 4; i++) ok(engine_step(r.engine, e));
    engine_cancel_all(r.engine);
    ok(engine_step(r.engine, e));
    for (int k = 0; k < 3; k++) {
        keep(s[k], &a);
        assert_int_equal(a.reason, FINISH_CANCELLED);
    }
    assert_int_equal(stopped.n_end, 1);
    expect_no_page_lost(r.engine);
    q.fn = NULL;
    ok(engine_generate(r.engine, &q, &s[3], e));
    keep(s[3], &a);
    assert_int_equal(a.n, 90);
    for (int k = 0; k < 4; k++) sequence_release(r.engine, s[k]);
    rig_close(&r);
}

/* A paused sequence does not keep others from the pages it holds. */
static void test_paused_gives_way(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .n_page = 4};
    struct counter slow = {.go = false};
    struct prompt p = make_prompt(7), p2 = make_prompt(3);
    struct sequence_request q = request(&p, 20), q2 = request(&p2, 40);
    struct sequence *s, *s2;
    struct answer a, want = answer_alone(PRECISION_REFERENCE, 7, 20);
    rig_open(&r, PRECISION_REFERENCE, &opt);
    q.fn = count_token;
    q.arg = &slow;
    ok(engine_submit(r.engine, &q2, &s2, e)); /* the older one needs all pages in the end */
    ok(engine_step(r.engine, e));
    ok(engine_submit(r.engine, &q, &s, e));
    for (int i = 0; i < 300; i++) {
        engine_resume(r.engine, s);
        ok(engine_step(r.engine, e));
    }
    keep(s2, &a);
    assert_int_equal(a.n, 40);
    keep(s, &a);
    expect_equal(&a, &want, "paused and preempted", 7);
    expect_no_page_lost(r.engine);
    sequence_release(r.engine, s);
    sequence_release(r.engine, s2);
    rig_close(&r);
}

enum { N_TURN = 6, N_TURN_TOK = 20 };

static struct sequence *submit_short(struct engine *g, int k)
{
    struct prompt p = make_prompt(0);
    p.sampling.greedy = false;
    p.sampling.seed = (uint64_t)k;
    struct sequence_request q = request(&p, N_TURN_TOK);
    struct sequence *s;
    ok(engine_submit(g, &q, &s, e));
    return s;
}

/* n tokens have been answered in all, by each as many as by any other or one less. */
static void expect_one_pace(struct sequence *const *s, size_t n)
{
    size_t least = N_TURN_TOK, most = 0, all = 0;
    for (int k = 0; k < N_TURN; k++) {
        struct sequence_result got;
        sequence_get(s[k], &got);
        least = got.n_id < least ? got.n_id : least;
        most = got.n_id > most ? got.n_id : most;
        all += got.n_id;
    }
    assert_int_equal(all, n);
    assert_true(most - least <= 1);
}

/* Six sequences, and a seventh after nine steps in which `at_once` of the six decode. */
static void run_turns(const struct kern_slow *slow, int at_once, struct answer *got)
{
    struct rig r;
    struct engine_options opt = {.max_batch = 8};
    struct sequence *s[N_TURN + 1];
    rig_open(&r, PRECISION_REFERENCE, &opt);
    r.engine->slow = slow;
    for (int k = 0; k < N_TURN; k++) s[k] = submit_short(r.engine, k);
    ok(engine_step(r.engine, e)); /* all prompts */
    for (int i = 1; i <= 9; i++) {
        ok(engine_step(r.engine, e));
        assert_int_equal(r.engine->n_segment, at_once);
        expect_one_pace(s, (size_t)(N_TURN + at_once * i));
    }
    s[N_TURN] = submit_short(r.engine, N_TURN);
    for (int i = 0; i < 2; i++) { /* a prompt beside six, then seven that decode */
        ok(engine_step(r.engine, e));
        assert_int_equal(r.engine->n_segment, N_TURN + 1);
    }
    run_to_end(r.engine);
    for (int k = 0; k <= N_TURN; k++) {
        keep(s[k], &got[k]);
        sequence_release(r.engine, s[k]);
    }
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

/* Five and six sequences are said to be slow, so four decode at a time and take turns: nobody gets ahead, and answers
 * are as ever. */
static void test_slow_widths_take_turns(void **state)
{
    (void)state;
    static const struct kern_slow none[1], slow[] = {{3, 3}, {5, 6}, {0}};
    struct answer want[N_TURN + 1], got[N_TURN + 1];
    run_turns(none, N_TURN, want);
    run_turns(slow, 4, got);
    for (int k = 0; k <= N_TURN; k++) expect_equal(&got[k], &want[k], "in turns", k);
}

/* Turns, too few pages and a pause at once: all come to their end. */
static void test_turns_in_a_small_pool(void **state)
{
    (void)state;
    static const struct kern_slow slow[] = {{3, 4}, {6, 8}, {0}};
    struct rig r;
    struct engine_options opt = {.max_batch = 8, .n_page = 5, .prefix_cache = true};
    struct counter held = {.go = false};
    struct sequence *s[N_PROMPT];
    struct engine_stats stats;
    rig_open(&r, PRECISION_REFERENCE, &opt);
    r.engine->slow = slow;
    for (int k = 0; k < N_PROMPT; k++) {
        struct prompt p = make_prompt(k);
        struct sequence_request q = request(&p, N_ANSWER);
        q.fn = k == 3 ? count_token : NULL;
        q.arg = &held;
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    for (int i = 0; i < 1000; i++) {
        engine_resume(r.engine, s[3]);
        ok(engine_step(r.engine, e));
    }
    engine_get_stats(r.engine, &stats);
    assert_true(stats.n_preempted > 0);
    for (int k = 0; k < N_PROMPT; k++) {
        struct answer a, want = answer_alone(PRECISION_REFERENCE, k, N_ANSWER);
        keep(s[k], &a);
        assert_int_equal(a.reason, FINISH_LENGTH);
        expect_equal(&a, &want, "in turns with few pages", k);
        sequence_release(r.engine, s[k]);
    }
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_cancel_all),
        cmocka_unit_test(test_paused_gives_way),
        cmocka_unit_test(test_slow_widths_take_turns),
        cmocka_unit_test(test_turns_in_a_small_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
