/* Layers that read a window have pages of their own: the pool of near pages, and answers of a cache that keeps fewer of
 * them beside those of one that keeps all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine_rig.h"

/* Slots under random use: a page has one while it is read, each slot one page, and a moved one keeps its uses. */
static void test_near_pool(void **state)
{
    (void)state;
    enum { N_PAGE = 12, N_SLOT = 5 };
    struct near_pool n;
    int use[N_PAGE] = {0};
    ok(near_init(&n, NULL, N_PAGE, N_SLOT, 8, e));
    for (uint64_t i = 0; i < 20000; i++) {
        int page = (int)rng_below(N_PAGE, 1, 0, i), other = (int)rng_below(N_PAGE, 2, 0, i), n_read = 0, n_slot = 0;
        uint64_t what = rng_below(5, 3, 0, i);
        for (int k = 0; k < N_PAGE; k++) n_read += use[k] > 0;
        if (what == 0 && !use[page]) {
            bool had = near_has(&n, page), taken = near_take(&n, page);
            assert_int_equal(taken, had || n_read < N_SLOT);
            use[page] = taken;
        } else if (what == 1 && near_has(&n, page)) {
            near_ref(&n, page);
            use[page]++;
        } else if (what == 2 && use[page] && !near_has(&n, other)) {
            near_move(&n, page, other);
            use[other] = use[page], use[page] = 0;
        } else if (what == 3) {
            near_forget(&n, page);
            assert_int_equal(near_has(&n, page), use[page] > 0);
        } else if (use[page]) {
            near_unref(&n, page);
            use[page]--;
            assert_true(near_has(&n, page));
        }
        bool taken[N_SLOT] = {0};
        for (int k = 0; k < N_PAGE; k++) {
            int slot = n.page[k].slot;
            assert_int_equal(n.page[k].n_use, use[k]);
            assert_true(slot >= 0 || !use[k]);
            if (slot < 0) continue;
            assert_false(taken[slot]);
            taken[slot] = true;
            n_slot++;
        }
        assert_int_equal(n_slot + n.n_free, N_SLOT);
    }
    near_deinit(&n);
}

/* The first block that is read, by the definition: the block of position pos - span + 1. */
static void test_near_first(void **state)
{
    (void)state;
    struct near_pool n = {.span = 40};
    for (size_t pos = 0; pos < 300; pos++) {
        size_t first = pos >= 39 ? pos - 39 : 0;
        assert_int_equal(near_first(&n, pos), first / DEV_PAGE);
    }
    n.span = 0;
    assert_int_equal(near_first(&n, 1000), 0);
}

/* Many prompts, one after the other and together, of which some begin alike: answers of a cache whose layers with a
 * window have fewer pages, beside those of a cache that keeps all of them. */
static void run_prompts(struct rig *r, struct answer *out, int n, bool together)
{
    struct sequence *s[64];
    for (int i = 0; i < n; i++) {
        struct prompt p = make_prompt(i);
        struct sequence_request q = request(&p, 128 - (int)p.n < 40 ? 128 - (int)p.n : 40);
        ok(engine_submit(r->engine, &q, &s[i], e));
        if (!together) run_to_end(r->engine);
    }
    run_to_end(r->engine);
    for (int i = 0; i < n; i++) {
        keep(s[i], &out[i]);
        sequence_release(r->engine, s[i]);
    }
}

/* A pass over as many tokens as the context has. */
static void same_logits(struct rig *a, struct rig *b)
{
    enum { N_TOK = 128 };
    int32_t ids[N_TOK];
    float *x = mem_alloc(N_TOK * N_VOCAB * sizeof *x), *y = mem_alloc(N_TOK * N_VOCAB * sizeof *y);
    for (int i = 0; i < N_TOK; i++) ids[i] = 3 + i * 11 % 280;
    ok(engine_logits(a->engine, ids, N_TOK, -1, copy_logits, x, e));
    ok(engine_logits(b->engine, ids, N_TOK, -1, copy_logits, y, e));
    assert_memory_equal(x, y, N_TOK * N_VOCAB * sizeof *x);
    mem_free(x);
    mem_free(y);
}

static void compare_near(const char *path, enum precision precision)
{
    enum { N = 32 };
    struct answer *want = mem_alloc(N * sizeof *want), *got = mem_alloc(N * sizeof *got);
    for (int together = 0; together < 2; together++) {
        struct rig whole, near;
        struct engine_stats a, b;
        struct engine_options opt = {.max_batch = together ? 3 : 1, .n_page = 8, .chunk_tok = 40, .prefix_cache = true};
        rig_open_model(&whole, path, precision, &opt);
        opt.n_page = 96;
        rig_open_model(&near, path, precision, &opt);
        assert_int_equal(whole.engine->near.span, 0);
        assert_true(near.engine->near.span > 0);
        run_prompts(&whole, want, N, together);
        run_prompts(&near, got, N, together);
        size_t n_cached = 0;
        for (int i = 0; i < N; i++) {
            assert_int_equal(got[i].n, want[i].n);
            assert_memory_equal(got[i].ids, want[i].ids, want[i].n * sizeof(int32_t));
            n_cached += got[i].n_cached;
        }
        assert_true(n_cached > 0); /* prefixes are found, although many pages have lost those layers */
        engine_get_stats(whole.engine, &a);
        engine_get_stats(near.engine, &b);
        assert_true(b.kv_bytes / (uint64_t)b.n_page < a.kv_bytes / (uint64_t)a.n_page);
        same_logits(&whole, &near);
        assert_int_equal(b.n_page_free, b.n_page);
        for (int i = 0; i < b.n_page; i++) assert_int_equal(near.engine->near.page[i].n_use, 0);
        rig_close(&whole);
        rig_close(&near);
    }
    mem_free(want);
    mem_free(got);
}

static void test_windows_take_fewer_pages(void **state)
{
    (void)state;
    static const char *const model[] = {"tests/data/golden/models/gemma3", "tests/data/golden/models/mistral-swa",
                                        "tests/data/golden/models/llama4"};
#if defined(__SANITIZE_ADDRESS__)
    size_t n_model = 1; /* which has both kinds of layers */
#else
    size_t n_model = sizeof(model) / sizeof(model[0]);
#endif
    for (size_t i = 0; i < n_model; i++) {
        compare_near(model[i], PRECISION_REFERENCE);
        compare_near(model[i], PRECISION_DETERMINISTIC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_pool),
        cmocka_unit_test(test_near_first),
        cmocka_unit_test(test_windows_take_fewer_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
