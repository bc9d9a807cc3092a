/* The sampler against a slow oracle (sort everything, libm's exponential in double): for every combination of
 * temperature, top-k, top-p, min-p and penalties the same tokens are left, and draws follow their probabilities. Seeds
 * are fixed, so nothing here is left to chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compute/engine/sampler_int.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { SMALL = 777, LARGE = 49153, N_HISTORY = 60, N_SHAPE = 5 }; /* neither is a multiple of a block */

static const struct sample_history no_history;

/* Rows of several kinds: as of language models, flat, with many ties, with impossible tokens, of huge values. */
static void make_row(float *x, size_t n, int shape)
{
    for (size_t i = 0; i < n; i++) {
        float normal = (float)rng_normal((uint64_t)shape, 1, i);
        x[i] = shape == 1 ? 0.3f * normal : 2.5f * normal;
        if (shape == 2) x[i] = roundf(x[i]);
        if (shape == 3 && i % 3 == 0) x[i] = i % 2 ? -INFINITY : NAN;
        if (shape == 4) x[i] = normal * 1e30f;
    }
    if (shape == 0) x[n - 1] = x[n / 2] + 9;
}

struct oracle {
    struct candidate *token; /* best first */
    double *p;
    size_t n;
};

static int by_order(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit > y->logit || x->logit < y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void penalize(float *x, const struct sampling *opt, const struct sample_history *h, int32_t id)
{
    size_t n = 0;
    bool seen = false;
    for (size_t i = 0; i < h->n_id; i++) {
        seen |= h->ids[i] == id;
        n += i >= h->n_prompt && h->ids[i] == id;
    }
    if (!seen) return;
    *x = *x > 0 ? *x / opt->repetition_penalty : *x * opt->repetition_penalty;
    if (n) *x -= opt->presence_penalty + opt->frequency_penalty * (float)n;
}

/* Smallest prefix of the order that reaches top_p, cut where p < min_p x the best. */
static void cut(struct oracle *o, const struct sampling *opt)
{
    double total = 0, sum = 0, kept = 0;
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++) {
        o->p[i] = exp(((double)o->token[i].logit - (double)o->token[0].logit) / (double)opt->temperature);
        total += o->p[i];
    }
    for (; n < o->n; sum += o->p[n++]) {
        bool enough = opt->top_p < 1 && sum >= (double)opt->top_p * total;
        if (n && (enough || o->p[n] < (double)opt->min_p)) break;
    }
    o->n = n;
    for (size_t i = 0; i < n; i++) kept += o->p[i];
    for (size_t i = 0; i < n; i++) o->p[i] /= kept;
}

static void oracle_make(struct oracle *o, const float *x, size_t n, const struct sampling *opt,
                        const struct sample_history *h)
{
    *o = (struct oracle){.token = mem_alloc(n * sizeof(*o->token)), .p = mem_alloc(n * sizeof(*o->p))};
    for (size_t i = 0; i < n; i++) {
        struct candidate c = {x[i], (int32_t)i};
        penalize(&c.logit, opt, h, c.id);
        if (c.logit > -INFINITY) o->token[o->n++] = c;
    }
    qsort(o->token, o->n, sizeof(*o->token), by_order);
    if (opt->top_k > 0 && (size_t)opt->top_k < o->n) o->n = (size_t)opt->top_k;
    cut(o, opt);
}

static void oracle_free(struct oracle *o)
{
    mem_free(o->token);
    mem_free(o->p);
}

static void say(const struct sampling *opt, int shape)
{
    print_message("temperature %g top_k %d top_p %g min_p %g penalties %g, row %d:\n", (double)opt->temperature,
                  opt->top_k, (double)opt->top_p, (double)opt->min_p, (double)opt->repetition_penalty, shape);
}

static void expect_same_tokens(struct sampler *s, const float *x, const struct sampling *opt,
                               const struct sample_history *h, const struct oracle *o, int shape)
{
    float *copy = mem_alloc(s->n_vocab * sizeof(*copy));
    struct candidate *out = mem_alloc(s->n_vocab * sizeof(*out));
    memcpy(copy, x, s->n_vocab * sizeof(*copy));
    size_t n = sampler_filter(s, copy, opt, h, out), i = 0;
    while (i < n && i < o->n && out[i].id == o->token[i].id && out[i].logit == o->token[i].logit) i++;
    if (n != o->n || i < n) say(opt, shape);
    if (n != o->n) fail_msg("%zu tokens are left, expected %zu", n, o->n);
    if (i < n) fail_msg("token %zu is %d, expected %d", i, (int)out[i].id, (int)o->token[i].id);
    mem_free(copy);
    mem_free(out);
}

/* Chi-squared of drawn counts against the oracle's probabilities; tokens of small expectation are one cell together. */
static void expect_same_distribution(struct sampler *s, const float *x, const struct sampling *opt,
                                     const struct sample_history *h, const struct oracle *o, int shape)
{
    enum { DRAWS = 600 };
    size_t count[SMALL] = {0};
    double chi = 0, rest_want = 0, rest_got = 0;
    int freedom = -1;
    for (uint64_t d = 0; d < DRAWS; d++) {
        float copy[SMALL];
        struct sampling own = *opt;
        memcpy(copy, x, sizeof(copy));
        own.seed = d;
        int32_t id = sampler_pick(s, copy, &own, h, NULL, 0);
        assert_in_range(id, 0, SMALL - 1);
        count[id]++;
    }
    for (size_t i = 0; i < o->n; i++) {
        double want = o->p[i] * DRAWS, got = (double)count[o->token[i].id];
        count[o->token[i].id] = 0;
        if (want < 5) {
            rest_want += want;
            rest_got += got;
        } else {
            chi += (got - want) * (got - want) / want;
            freedom++;
        }
    }
    if (rest_want >= 5) {
        chi += (rest_got - rest_want) * (rest_got - rest_want) / rest_want;
        freedom++;
    }
    /* the mean of chi-squared is its degrees of freedom, its deviation sqrt(2 x freedom) */
    double most = freedom < 1 ? 1 : freedom + 6 * sqrt(2.0 * freedom);
    if (chi > most) {
        say(opt, shape);
        fail_msg("chi-squared %.1f with %d degrees of freedom", chi, freedom);
    }
    for (size_t i = 0; i < SMALL; i++) assert_int_equal(count[i], 0); /* nothing but the tokens that are left */
}

static const float temperatures[] = {0.1f, 0.8f, 1.0f, 3.0f}, top_ps[] = {1, 0.95f, 0.5f, 1e-6f},
                   min_ps[] = {0, 0.05f, 1};
static const int top_ks[] = {0, 1, 40, SMALL};

/* The i-th combination; false after the last. */
static bool combination(size_t i, struct sampling *opt)
{
    *opt = (struct sampling){.temperature = temperatures[i % 4],
                             .top_p = top_ps[i / 4 % 4],
                             .min_p = min_ps[i / 16 % 3],
                             .top_k = top_ks[i / 48 % 4],
                             .repetition_penalty = 1};
    if (i / 192 % 2) {
        opt->repetition_penalty = 1.3f;
        opt->presence_penalty = 0.5f;
        opt->frequency_penalty = 0.25f;
    }
    return i < 384;
}

static void test_every_combination(void **state)
{
    (void)state;
    float x[SMALL];
    int32_t ids[N_HISTORY];
    struct sampler s;
    struct sampling opt;
    struct oracle o;
    const struct sample_history h = {.ids = ids, .n_prompt = 20, .n_id = N_HISTORY};
    for (size_t i = 0; i < N_HISTORY; i++) ids[i] = (int32_t)rng_below(SMALL / 4, 5, 0, i);
    assert_int_equal(sampler_init(&s, SMALL, NULL), 0);
    for (int shape = 0; shape < N_SHAPE; shape++) {
        make_row(x, SMALL, shape);
        for (size_t i = 0; combination(i, &opt); i++) {
            oracle_make(&o, x, SMALL, &opt, &h);
            expect_same_tokens(&s, x, &opt, &h, &o, shape);
            if (shape < 3) expect_same_distribution(&s, x, &opt, &h, &o, shape);
            oracle_free(&o);
        }
    }
    sampler_deinit(&s);
}

/* A vocabulary as of real models, where sums are long and buckets full. */
static void test_large_vocabulary(void **state)
{
    (void)state;
    float *x = mem_alloc(LARGE * sizeof(*x));
    struct sampler s;
    struct sampling opt;
    struct oracle o;
    assert_int_equal(sampler_init(&s, LARGE, NULL), 0);
    for (int shape = 0; shape < N_SHAPE; shape++) {
        make_row(x, LARGE, shape);
        for (size_t i = 0; combination(i, &opt) && i < 48; i += 3) {
            oracle_make(&o, x, LARGE, &opt, &no_history);
            expect_same_tokens(&s, x, &opt, &no_history, &o, shape);
            oracle_free(&o);
        }
    }
    sampler_deinit(&s);
    mem_free(x);
}

/* Weights by bucket are those of libm, at any temperature. */
static void test_weights(void **state)
{
    (void)state;
    float x[SMALL];
    struct row r;
    assert_int_equal(row_init(&r, SMALL, NULL), 0);
    make_row(x, SMALL, 0);
    for (size_t t = 0; t < 4; t++) {
        double inv = 1.0 / (double)temperatures[t], want[ROW_BUCKET + 1] = {0}, sum = 0;
        assert_true(row_begin(&r, x) == x[row_best_id(&r)]);
        double total = row_weigh(&r, inv, ROW_BUCKET);
        for (size_t i = 0; i < SMALL; i++) {
            int b = row_bucket(&r, x[i]);
            double w = exp(((double)x[i] - (double)r.best) * inv);
            if (b < ROW_BUCKET)
                assert_true(w <= exp(-b / 16.0) * (1 + 1e-12) && w >= exp(-(b + 1) / 16.0) * (1 - 1e-12));
            want[b] += b < ROW_BUCKET ? w : 0;
            sum += w;
        }
        assert_true(fabs(total - sum) < 1e-13 * sum);
        for (int b = 0; b <= ROW_BUCKET; b++) assert_true(fabs(r.weight[b] - want[b]) <= 1e-14 * want[b]);
    }
    row_deinit(&r);
}

/* Every token is in one bucket, and row_collect finds it there, by id. */
static void test_buckets_hold_every_token(void **state)
{
    (void)state;
    float x[SMALL];
    struct candidate out[SMALL];
    struct row r;
    assert_int_equal(row_init(&r, SMALL, NULL), 0);
    for (int shape = 0; shape < N_SHAPE; shape++) {
        size_t n_found = 0, n_heavy = 0;
        make_row(x, SMALL, shape);
        (void)row_begin(&r, x);
        (void)row_weigh(&r, 1.0, ROW_BUCKET);
        for (size_t i = 0; i < SMALL; i++) n_heavy += row_bucket(&r, x[i]) < ROW_BUCKET;
        for (int b = 0; b < ROW_BUCKET; b++) {
            size_t n = row_collect(&r, b, out);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(row_bucket(&r, out[i].logit), b);
                assert_true(out[i].logit == x[out[i].id] && (!i || out[i - 1].id < out[i].id));
            }
            n_found += n;
        }
        assert_int_equal(n_found, n_heavy);
    }
    row_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_large_vocabulary),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_buckets_hold_every_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
