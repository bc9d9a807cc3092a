/* The sampler: which tokens the filters leave, which distribution is drawn from, and that a draw depends on seed and
 * position alone. Draws use fixed seeds, so nothing here is left to chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/engine/sampler_int.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { N = 500 };

static void random_logits(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)rng_normal(seed, 0, i) * 3.0f;
}

static struct sampling all_off(void)
{
    return (struct sampling){.temperature = 1.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
}

/* ids of x from the most to the least likely, ties by id: a selection sort is slow and plainly right */
static void sorted_ids(const float *x, size_t n, int32_t *ids)
{
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)i;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            int32_t a = ids[i], b = ids[j];
            if (x[b] > x[a] || (x[b] == x[a] && b < a)) {
                ids[i] = b;
                ids[j] = a;
            }
        }
}

static size_t filtered(const float *logits, size_t n, const struct sampling *opt, struct candidate *out)
{
    struct sampler s;
    struct sample_history h = {0};
    float copy[N];
    assert_int_equal(sampler_init(&s, n, NULL), 0);
    memcpy(copy, logits, n * sizeof(*copy));
    size_t kept = sampler_filter(&s, copy, opt, &h, out);
    sampler_deinit(&s);
    return kept;
}

static void test_top_k_is_exact(void **state)
{
    (void)state;
    float x[N];
    int32_t order[N];
    struct candidate out[N];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_logits(x, N, seed);
        for (int i = 0; i < N; i += 7) /* many ties */
            x[i] = 1.5f;
        sorted_ids(x, N, order);
        const int ks[] = {1, 2, 10, 40, N - 1, N, 2 * N};
        for (size_t t = 0; t < sizeof(ks) / sizeof(ks[0]); t++) {
            struct sampling opt = all_off();
            opt.top_k = ks[t];
            size_t n = filtered(x, N, &opt, out);
            assert_int_equal(n, ks[t] < N ? ks[t] : N);
            for (size_t i = 0; i < n; i++) assert_int_equal(out[i].id, order[i]);
        }
    }
}

/* Smallest prefix of the order whose probability reaches top_p, cut where p < min_p x the best. */
static size_t expected_nucleus(const float *x, const int32_t *order, size_t n, const struct sampling *opt)
{
    double sum = 0, total = 0, best = (double)x[order[0]], t = (double)opt->temperature;
    for (size_t i = 0; i < n; i++) total += exp(((double)x[order[i]] - best) / t);
    for (size_t i = 0; i < n; i++) {
        double w = exp(((double)x[order[i]] - best) / t);
        if (i && ((opt->top_p < 1 && sum >= (double)opt->top_p * total) || w < (double)opt->min_p)) return i;
        sum += w;
    }
    return n;
}

static void test_top_p_and_min_p_are_exact(void **state)
{
    (void)state;
    float x[N];
    int32_t order[N];
    struct candidate out[N];
    const struct {
        int top_k;
        float top_p, min_p, temperature;
    } set[] = {{0, 0.5f, 0, 1},  {0, 0.95f, 0, 0.7f},    {0, 1, 0.05f, 1}, {0, 0.9f, 0.1f, 1.3f}, {40, 0.9f, 0, 0.8f},
               {10, 1, 0.2f, 1}, {100, 0.99f, 0.01f, 2}, {0, 1e-6f, 0, 1}, {0, 0.999999f, 0, 1},  {0, 1, 1, 1}};
    for (uint64_t seed = 1; seed <= 10; seed++)
        for (size_t c = 0; c < sizeof(set) / sizeof(set[0]); c++) {
            struct sampling opt = all_off();
            opt.top_k = set[c].top_k;
            opt.top_p = set[c].top_p;
            opt.min_p = set[c].min_p;
            opt.temperature = set[c].temperature;
            random_logits(x, N, seed);
            sorted_ids(x, N, order);
            size_t n_in = opt.top_k ? (size_t)opt.top_k : N;
            size_t want = expected_nucleus(x, order, n_in, &opt), got = filtered(x, N, &opt, out);
            if (got != want) print_message("seed %d set %zu: %zu tokens, expected %zu\n", (int)seed, c, got, want);
            assert_int_equal(got, want);
            for (size_t i = 0; i < got; i++) assert_int_equal(out[i].id, order[i]);
        }
}

/* Chi-squared of drawn counts against the softmax, tokens of small expectation left out. */
static void check_distribution(const struct sampling *base, const float *x, const bool *possible, size_t n)
{
    enum { DRAWS = 40000 };
    struct sampler s;
    size_t count[N] = {0};
    double p[N], sum = 0, chi = 0;
    int freedom = -1;
    assert_int_equal(sampler_init(&s, n, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        p[i] = possible[i] ? exp((double)x[i] / (double)base->temperature) : 0;
        sum += p[i];
    }
    int32_t *ids = mem_alloc(DRAWS * sizeof(*ids));
    for (size_t d = 0; d < DRAWS; d++) {
        float copy[N];
        struct sample_history h = {.ids = ids, .n_prompt = d, .n_id = d};
        memcpy(copy, x, n * sizeof(*x));
        int32_t id = sampler_pick(&s, copy, base, &h, NULL, 0);
        assert_true(id >= 0 && (size_t)id < n);
        count[id]++;
    }
    for (size_t i = 0; i < n; i++) {
        double want = p[i] / sum * DRAWS;
        if (!possible[i]) assert_int_equal(count[i], 0);
        if (want < 5) continue;
        chi += ((double)count[i] - want) * ((double)count[i] - want) / want;
        freedom++;
    }
    /* mean of chi-squared is its degrees of freedom, deviation sqrt(2 x freedom): 5 deviations are refused */
    if (chi > freedom + 5 * sqrt(2.0 * freedom))
        print_message("chi-squared %.1f with %d degrees of freedom\n", chi, freedom);
    assert_true(chi < freedom + 5 * sqrt(2.0 * freedom));
    mem_free(ids);
    sampler_deinit(&s);
}

static void test_draws_follow_the_distribution(void **state)
{
    (void)state;
    float x[N];
    int32_t order[N];
    enum { SMALL = 60 };
    random_logits(x, SMALL, 3);
    sorted_ids(x, SMALL, order);
    for (int c = 0; c < 4; c++) {
        struct sampling opt = all_off();
        bool possible[N] = {false};
        opt.seed = (uint64_t)c + 11;
        opt.temperature = c == 3 ? 1.7f : 0.9f;
        opt.top_k = c == 1 ? 8 : 0;
        opt.top_p = c == 2 ? 0.8f : 1.0f;
        size_t n = c == 1 ? 8 : c == 2 ? expected_nucleus(x, order, SMALL, &opt) : SMALL;
        for (size_t i = 0; i < n; i++) possible[order[i]] = true;
        check_distribution(&opt, x, possible, SMALL);
    }
}

static int32_t pick(const float *x, size_t n, const struct sampling *opt, const struct sample_history *h,
                    const int32_t *allowed, size_t n_allowed)
{
    struct sampler s;
    float copy[N];
    assert_int_equal(sampler_init(&s, n, NULL), 0);
    memcpy(copy, x, n * sizeof(*x));
    int32_t id = sampler_pick(&s, copy, opt, h, allowed, n_allowed);
    sampler_deinit(&s);
    return id;
}

static void test_greedy_ties_and_bad_logits(void **state)
{
    (void)state;
    float x[4] = {1, 3, 3, 2};
    struct sampling opt = all_off();
    struct sample_history h = {0};
    opt.greedy = true;
    assert_int_equal(pick(x, 4, &opt, &h, NULL, 0), 1);
    x[1] = NAN;
    assert_int_equal(pick(x, 4, &opt, &h, NULL, 0), 2);
    for (int greedy = 0; greedy < 2; greedy++) {
        opt.greedy = greedy;
        float none[3] = {NAN, NAN, -INFINITY}, inf[2] = {INFINITY, 0};
        assert_int_equal(pick(none, 3, &opt, &h, NULL, 0), -1);
        assert_int_equal(pick(inf, 2, &opt, &h, NULL, 0), -1);
    }
}

static void test_mask_comes_before_filters(void **state)
{
    (void)state;
    float x[N];
    random_logits(x, N, 5);
    int32_t order[N], allowed[2];
    sorted_ids(x, N, order);
    allowed[0] = order[N - 1]; /* the two least likely tokens */
    allowed[1] = order[N - 2];
    struct sampling opt = all_off();
    struct sample_history h = {0};
    opt.top_k = 1;
    assert_int_equal(pick(x, N, &opt, &h, allowed, 2), allowed[1]);
    opt.greedy = true;
    assert_int_equal(pick(x, N, &opt, &h, allowed, 2), allowed[1]);
    opt.greedy = false;
    opt.top_k = 0;
    opt.top_p = 0.5f;
    for (uint64_t seed = 0; seed < 50; seed++) {
        opt.seed = seed;
        int32_t id = pick(x, N, &opt, &h, allowed, 2);
        assert_true(id == allowed[0] || id == allowed[1]);
    }
}

/* "Sample first, mask when rejected" draws from the same distribution as the mask: the conditional one. */
static void test_mask_equals_rejection(void **state)
{
    (void)state;
    enum { SMALL = 12, DRAWS = 30000 };
    float x[SMALL];
    const int32_t allowed[] = {1, 4, 5, 9};
    double masked[SMALL] = {0}, rejected[SMALL] = {0};
    int n_rejected = 0;
    random_logits(x, SMALL, 8);
    struct sampling opt = all_off();
    int32_t ids[1] = {0};
    for (size_t d = 0; d < DRAWS; d++) {
        struct sample_history h = {.ids = ids, .n_prompt = 0, .n_id = 0};
        opt.seed = d;
        masked[pick(x, SMALL, &opt, &h, allowed, 4)]++;
        opt.seed = d + DRAWS;
        int32_t id = pick(x, SMALL, &opt, &h, NULL, 0);
        if (id == 1 || id == 4 || id == 5 || id == 9) {
            rejected[id]++;
            n_rejected++;
        }
    }
    for (size_t i = 0; i < 4; i++) {
        double a = masked[allowed[i]] / DRAWS, b = rejected[allowed[i]] / n_rejected;
        double deviation = sqrt(a * (1 - a) / DRAWS + b * (1 - b) / n_rejected);
        assert_true(fabs(a - b) < 5 * deviation + 1e-9);
    }
}

static void test_penalties(void **state)
{
    (void)state;
    struct sampling opt = all_off();
    const int32_t ids[] = {0, 1, 2, 2, 3}; /* prompt 0 1, answer 2 2 3 */
    struct sample_history h = {.ids = ids, .n_prompt = 2, .n_id = 5};
    float x[6] = {4, -4, 6, 2, 1, 0};
    struct candidate out[6];
    struct sampler s;
    assert_int_equal(sampler_init(&s, 6, NULL), 0);
    opt.repetition_penalty = 2;
    opt.presence_penalty = 0.5f;
    opt.frequency_penalty = 0.25f;
    opt.top_k = 6; /* sorted */
    assert_int_equal(sampler_filter(&s, x, &opt, &h, out), 6);
    const float want[6] = {2, -8, 3 - 0.5f - 0.5f, 1 - 0.5f - 0.25f, 1, 0};
    for (int i = 0; i < 6; i++) assert_true(x[i] == want[i]);
    for (int i = 0; i < 6; i++) assert_int_equal(s.count[i], 0);
    sampler_deinit(&s);
}

static void test_draw_depends_on_seed_and_position(void **state)
{
    (void)state;
    float x[N] = {0};
    int32_t ids[2] = {1, 2};
    struct sampling opt = all_off();
    struct sample_history h = {.ids = ids, .n_prompt = 1, .n_id = 1}, h2 = {.ids = ids, .n_prompt = 1, .n_id = 2};
    opt.seed = 42;
    int32_t a = pick(x, N, &opt, &h, NULL, 0), b = pick(x, N, &opt, &h, NULL, 0), c = pick(x, N, &opt, &h2, NULL, 0);
    opt.seed = 43;
    int32_t d = pick(x, N, &opt, &h, NULL, 0);
    assert_int_equal(a, b);
    assert_int_not_equal(a, c);
    assert_int_not_equal(a, d);
}

static void test_check(void **state)
{
    (void)state;
    struct sampling good, s;
    struct err e;
    sampling_init(&good);
    assert_int_equal(sampling_check(&good, &e), 0);
    const struct {
        size_t offset;
        float value;
        const char *field;
    } bad[] = {{offsetof(struct sampling, temperature), 0, "temperature"},
               {offsetof(struct sampling, temperature), NAN, "temperature"},
               {offsetof(struct sampling, top_p), 0, "top_p"},
               {offsetof(struct sampling, top_p), 1.5f, "top_p"},
               {offsetof(struct sampling, min_p), -1, "min_p"},
               {offsetof(struct sampling, repetition_penalty), 0, "repetition_penalty"},
               {offsetof(struct sampling, presence_penalty), INFINITY, "presence_penalty"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = good;
        memcpy((char *)&s + bad[i].offset, &bad[i].value, sizeof(float));
        assert_int_equal(sampling_check(&s, &e), -ERR_INPUT);
        assert_string_equal(e.object, bad[i].field);
        assert_non_null(strstr(e.msg, bad[i].field));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top_k_is_exact),
        cmocka_unit_test(test_top_p_and_min_p_are_exact),
        cmocka_unit_test(test_draws_follow_the_distribution),
        cmocka_unit_test(test_greedy_ties_and_bad_logits),
        cmocka_unit_test(test_mask_comes_before_filters),
        cmocka_unit_test(test_mask_equals_rejection),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_draw_depends_on_seed_and_position),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
