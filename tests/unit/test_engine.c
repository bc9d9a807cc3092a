/* The engine on a tiny model: equal tokens whatever the batch, chunks, cache hits and preemption; pages that come back;
 * closed answers, stop texts; a decode path that allocates nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "compute/formats/safetensors.h"
#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "engine_rig.h"

#define GOLDEN "tests/data/golden/models/llama/golden.safetensors"
enum { N_GOLDEN = 48 };

/* All prompts at once through one engine, compared with each alone. */
static void check_together(enum precision precision, const struct engine_options *opt, const struct answer *want)
{
    struct rig r;
    struct sequence *s[N_PROMPT];
    struct engine_stats stats;
    rig_open(&r, precision, opt);
    for (int k = 0; k < N_PROMPT; k++) {
        struct prompt p = make_prompt(k);
        struct sequence_request q = request(&p, N_ANSWER);
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    run_to_end(r.engine);
    engine_get_stats(r.engine, &stats);
    assert_int_equal(stats.n_preempted > 0, opt->n_page > 0); /* small pools were meant to be too small */
    for (int k = 0; k < N_PROMPT; k++) {
        struct answer got;
        keep(s[k], &got);
        assert_int_equal(got.reason, FINISH_LENGTH);
        expect_equal(&got, &want[k], precision == PRECISION_REFERENCE ? "reference" : "deterministic", k);
        sequence_release(r.engine, s[k]);
    }
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

static void test_same_tokens_in_any_batch(void **state)
{
    (void)state;
    const struct engine_options set[] = {
        {.max_batch = 8, .prefix_cache = true},
        {.max_batch = 3, .chunk_tok = 7},
        {.max_batch = 4, .chunk_tok = 33, .prefix_cache = true},
        {.max_batch = 8, .n_page = 5, .prefix_cache = true}, /* preemption */
        {.max_batch = 8, .n_page = 4, .chunk_tok = 16},
    };
    for (int p = PRECISION_DETERMINISTIC; p <= PRECISION_REFERENCE; p++) {
        struct answer want[N_PROMPT];
        for (int k = 0; k < N_PROMPT; k++) want[k] = answer_alone((enum precision)p, k, N_ANSWER);
        for (size_t i = 0; i < N_ELEM(set); i++) check_together((enum precision)p, &set[i], want);
    }
}

static void read_golden(float *logits, int32_t *input, int32_t *greedy)
{
    struct safetensors *f;
    ok(safetensors_open(&f, GOLDEN, e));
    ok(safetensors_read_f32(f, safetensors_find(f, "logits"), logits, (size_t)N_GOLDEN * N_VOCAB, e));
    ok(safetensors_read(f, safetensors_find(f, "input_ids"), input, 0, N_GOLDEN * sizeof(*input), e));
    ok(safetensors_read(f, safetensors_find(f, "greedy_ids"), greedy, 0, N_GOLDEN * sizeof(*greedy), e));
    safetensors_close(f);
}

static void test_golden_logits_and_greedy(void **state)
{
    (void)state;
    static float want[N_GOLDEN * N_VOCAB], got[N_GOLDEN * N_VOCAB], chunked[N_GOLDEN * N_VOCAB];
    int32_t input[N_GOLDEN], greedy[N_GOLDEN];
    struct rig r;
    struct engine_options opt = {.max_batch = 1}, small = {.max_batch = 1, .chunk_tok = 6};
    read_golden(want, input, greedy);
    rig_open(&r, PRECISION_REFERENCE, &opt);
    ok(engine_logits(r.engine, input, N_GOLDEN, -1, copy_logits, got, e));
    for (size_t i = 0; i < N_ELEM(want); i++) assert_true(fabsf(want[i] - got[i]) < 2e-3f);
    struct sequence_request q = {
        .ids = greedy, .n_id = 8, .max_tokens = N_GOLDEN - 8, .ignore_eos = true, .adapter = -1};
    q.sampling = (struct sampling){.greedy = true, .repetition_penalty = 1};
    struct sequence *s;
    struct answer a;
    ok(engine_generate(r.engine, &q, &s, e));
    keep(s, &a);
    sequence_release(r.engine, s);
    assert_int_equal(a.n, N_GOLDEN - 8);
    assert_memory_equal(a.ids, greedy + 8, a.n * sizeof(*a.ids));
    expect_no_page_lost(r.engine);
    rig_close(&r);
    rig_open(&r, PRECISION_REFERENCE, &small);
    ok(engine_logits(r.engine, input, N_GOLDEN, -1, copy_logits, chunked, e));
    assert_memory_equal(got, chunked, sizeof(got));
    rig_close(&r);
}

static int stop_at_once(void *arg, int first_pos, int n_row, const float *logits, struct err *e)
{
    (void)first_pos, (void)n_row, (void)logits;
    ++*(int *)arg;
    return err_set(e, ERR_INTERRUPTED, NULL, "enough");
}

static void test_logits_refuse_and_end(void **state)
{
    (void)state;
    struct rig r;
    struct err e;
    int n_call = 0;
    int32_t ids[200] = {0};
    struct engine_options opt = {.max_batch = 1, .chunk_tok = 4};
    rig_open(&r, PRECISION_REFERENCE, &opt);
    assert_int_equal(engine_logits(r.engine, ids, 20, -1, stop_at_once, &n_call, &e), -ERR_INTERRUPTED);
    assert_int_equal(n_call, 1);
    assert_int_equal(engine_logits(r.engine, ids, 0, -1, stop_at_once, &n_call, &e), -ERR_INPUT);
    assert_int_equal(engine_logits(r.engine, ids, 129, -1, stop_at_once, &n_call, &e), -ERR_LIMIT);
    assert_int_equal(engine_logits(r.engine, ids, 2, 0, stop_at_once, &n_call, &e), -ERR_INPUT);
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

static void test_prefix_cache_is_hit(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .prefix_cache = true};
    struct prompt p = make_prompt(3);
    struct sequence_request q = request(&p, 6);
    struct answer a[3];
    struct sequence *s;
    rig_open(&r, PRECISION_REFERENCE, &opt);
    for (int i = 0; i < 3; i++) {
        ok(engine_generate(r.engine, &q, &s, e));
        keep(s, &a[i]);
        sequence_release(r.engine, s);
        assert_int_equal(a[i].n_cached, i ? 64 : 0); /* 70 tokens: two full pages */
        expect_equal(&a[0], &a[i], "cached", i);
    }
    q.n_id = 64; /* the last token is always computed, so its page is not shared */
    ok(engine_generate(r.engine, &q, &s, e));
    keep(s, &a[0]);
    assert_int_equal(a[0].n_cached, 32);
    sequence_release(r.engine, s);
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

/* Two sequences with one prompt at the same time: the second waits for the first one's pages. */
static void test_prefix_is_computed_once_together(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 4, .prefix_cache = true};
    struct prompt p = make_prompt(7);
    struct sequence_request q = request(&p, 4);
    struct sequence *s[4];
    struct engine_stats stats;
    rig_open(&r, PRECISION_REFERENCE, &opt);
    for (int i = 0; i < 4; i++) ok(engine_submit(r.engine, &q, &s[i], e));
    run_to_end(r.engine);
    engine_get_stats(r.engine, &stats);
    assert_int_equal(stats.n_prompt_tok, 96 + 3 * 32);
    assert_int_equal(stats.n_cached_tok, 3 * 64);
    assert_int_equal(stats.n_answer_tok, 16);
    assert_int_equal(stats.n_page_free, stats.n_page);
    for (int i = 0; i < 4; i++) sequence_release(r.engine, s[i]);
    rig_close(&r);
}

static void expect_refused(struct engine *g, const struct sequence_request *q, int rc, const char *in_text)
{
    struct err e = {0};
    struct sequence *s;
    assert_int_equal(engine_submit(g, q, &s, &e), rc);
    assert_null(s);
    if (!strstr(e.msg, in_text)) fail_msg("\"%s\" does not say \"%s\"", e.msg, in_text);
}

/* log p and entropy of token `id` after a row of logits, in double. */
static double log_prob(const float *logits, double temperature, int32_t id, double *entropy)
{
    double most = -INFINITY, sum = 0, mean = 0;
    for (int i = 0; i < N_VOCAB; i++) most = fmax(most, (double)logits[i] / temperature);
    for (int i = 0; i < N_VOCAB; i++) sum += exp((double)logits[i] / temperature - most);
    for (int i = 0; i < N_VOCAB; i++) {
        double p = exp((double)logits[i] / temperature - most) / sum;
        mean += p * ((double)logits[i] / temperature);
    }
    *entropy = most + log(sum) - mean;
    return (double)logits[id] / temperature - most - log(sum);
}

/* Log-probabilities that sequences record are those of the logits of their own tokens, at the temperature they were
 * drawn with (greedy: 1), whatever else is in the batch; without being asked for there are none. */
static void test_keep_logp(void **state)
{
    (void)state;
    static float logits[160 * N_VOCAB];
    static const float temperature[] = {0.5f, 1.0f, 1.7f, 0.0f};
    enum { N = 4, N_TOK = 20 };
    struct rig r;
    struct engine_options opt = {.max_batch = N, .chunk_tok = 16};
    struct sequence *s[N];
    struct prompt p[N];
    rig_open(&r, PRECISION_REFERENCE, &opt);
    for (int k = 0; k < N; k++) {
        p[k] = make_prompt(2 * k + 1);
        struct sequence_request q = request(&p[k], N_TOK);
        q.keep_logp = true;
        q.sampling = (struct sampling){.greedy = temperature[k] <= 0,
                                       .temperature = temperature[k] > 0 ? temperature[k] : 1,
                                       .top_p = 1,
                                       .repetition_penalty = 1,
                                       .seed = (uint64_t)k};
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    run_to_end(r.engine);
    for (int k = 0; k < N; k++) {
        struct sequence_result a;
        int32_t all[128];
        sequence_get(s[k], &a);
        assert_true(a.n_id == N_TOK && a.logp != NULL && a.entropy != NULL);
        memcpy(all, p[k].ids, p[k].n * sizeof(*all));
        memcpy(all + p[k].n, a.ids, a.n_id * sizeof(*all));
        ok(engine_logits(r.engine, all, p[k].n + a.n_id, -1, copy_logits, logits, e));
        for (size_t i = 0; i < a.n_id; i++) {
            double entropy, t = temperature[k] > 0 ? (double)temperature[k] : 1;
            double want = log_prob(logits + (p[k].n + i - 1) * N_VOCAB, t, a.ids[i], &entropy);
            if (fabs(want - (double)a.logp[i]) > 1e-4 || fabs(entropy - (double)a.entropy[i]) > 1e-4)
                fail_msg("sequence %d, token %zu: log p %g and entropy %g, should be %g and %g", k, i,
                         (double)a.logp[i], (double)a.entropy[i], want, entropy);
        }
        sequence_release(r.engine, s[k]);
    }
    struct sequence_request q = request(&p[0], 2);
    ok(engine_generate(r.engine, &q, &s[0], e));
    struct sequence_result a;
    sequence_get(s[0], &a);
    assert_true(a.logp == NULL && a.entropy == NULL);
    sequence_release(r.engine, s[0]);
    q.keep_logp = true;
    q.sampling.greedy = false;
    q.sampling.top_k = 5; /* a cut vocabulary: the recorded values would be of another distribution */
    expect_refused(r.engine, &q, -ERR_INPUT, "log");
    rig_close(&r);
}

static void test_refused_requests(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 1, .n_ctx = 64};
    struct prompt p = make_prompt(3);
    int32_t bad[] = {1, N_VOCAB}, negative[] = {-1};
    const char *empty[] = {""};
    rig_open(&r, PRECISION_AUTO, &opt);
    struct sequence_request q = request(&p, 4);
    expect_refused(r.engine, &q, -ERR_LIMIT, "70");
    expect_refused(r.engine, &q, -ERR_LIMIT, "64");
    q.n_id = 0;
    expect_refused(r.engine, &q, -ERR_INPUT, "empty");
    q.n_id = 2;
    q.ids = bad;
    expect_refused(r.engine, &q, -ERR_INPUT, "288");
    q.ids = negative;
    q.n_id = 1;
    expect_refused(r.engine, &q, -ERR_INPUT, "-1");
    q.ids = p.ids;
    q.sampling.temperature = -1;
    q.sampling.greedy = false;
    expect_refused(r.engine, &q, -ERR_INPUT, "temperature");
    q.sampling = p.sampling;
    q.adapter = 0;
    expect_refused(r.engine, &q, -ERR_INPUT, "adapter");
    q.adapter = -1;
    q.stop = empty;
    q.n_stop = 1;
    expect_refused(r.engine, &q, -ERR_INPUT, "stop");
    rig_close(&r);
    struct err e = {0};
    struct engine *g;
    rig_open(&r, PRECISION_AUTO, &opt);
    opt.n_ctx = 129;
    assert_int_equal(engine_new(&g, r.model, r.tok, &opt, &e), -ERR_INPUT);
    opt = (struct engine_options){.max_batch = 0};
    assert_int_equal(engine_new(&g, r.model, r.tok, &opt, &e), -ERR_INPUT);
    rig_close(&r);
}

/* A small pool of pages shortens the context instead of promising what cannot be held. */
static void test_small_pool(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 4, .n_page = 2};
    struct prompt p = make_prompt(3);
    struct sequence_request q = request(&p, 0);
    struct sequence *s;
    struct answer a;
    rig_open(&r, PRECISION_AUTO, &opt);
    assert_int_equal(engine_n_ctx(r.engine), 64);
    expect_refused(r.engine, &q, -ERR_LIMIT, "64");
    q.n_id = 50;
    ok(engine_generate(r.engine, &q, &s, e));
    keep(s, &a);
    assert_int_equal(a.n, 14);
    assert_int_equal(a.reason, FINISH_LENGTH);
    sequence_release(r.engine, s);
    rig_close(&r);
}

static void test_cancel_and_release(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .prefix_cache = true};
    struct sequence *s[6];
    struct answer a;
    rig_open(&r, PRECISION_AUTO, &opt);
    for (int k = 0; k < 6; k++) {
        struct prompt p = make_prompt(k);
        struct sequence_request q = request(&p, 30);
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    for (int i = 0; i < 3; i++) ok(engine_step(r.engine, e));
    engine_cancel(r.engine, s[0]);    /* running */
    engine_cancel(r.engine, s[4]);    /* waiting */
    sequence_release(r.engine, s[1]); /* running, never looked at again */
    sequence_release(r.engine, s[5]); /* waiting */
    run_to_end(r.engine);
    keep(s[0], &a);
    assert_int_equal(a.reason, FINISH_CANCELLED);
    keep(s[4], &a);
    assert_int_equal(a.reason, FINISH_CANCELLED);
    assert_int_equal(a.n, 0);
    keep(s[2], &a);
    assert_int_equal(a.n, 30);
    expect_no_page_lost(r.engine);
    sequence_release(r.engine, s[0]);
    sequence_release(r.engine, s[2]);
    sequence_release(r.engine, s[3]);
    sequence_release(r.engine, s[4]);
    rig_close(&r);
}

/* After the prompt nothing is allocated: the failing allocation that is armed meets nobody. */
static void test_decode_allocates_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 4, .prefix_cache = true};
    struct sequence *s[4];
    static const char *const stop[] = {"never said, surely"};
    rig_open(&r, PRECISION_AUTO, &opt);
    for (int k = 0; k < 4; k++) {
        struct prompt p = make_prompt(k);
        struct sequence_request q = request(&p, 25);
        q.stop = stop;
        q.n_stop = 1;
        ok(engine_submit(r.engine, &q, &s[k], e));
    }
    ok(engine_step(r.engine, e));
    mem_fault_after(1);
    run_to_end(r.engine);
    void *p = mem_try_alloc(1);
    mem_fault_after(0);
    assert_null(p);
    for (int k = 0; k < 4; k++) {
        struct answer a;
        keep(s[k], &a);
        assert_int_equal(a.n, 25);
        sequence_release(r.engine, s[k]);
    }
    rig_close(&r);
}

/* Every allocation of making an engine and of submitting fails once: an error each time, nothing lost. */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .prefix_cache = true};
    rig_open(&r, PRECISION_AUTO, &opt);
    struct prompt p = make_prompt(1);
    struct sequence_request q = request(&p, 4);
    bool made = false;
    for (int n = 1; !made; n++) {
        struct engine *g = NULL;
        struct sequence *s = NULL;
        struct err e = {0};
        mem_fault_after(n);
        int rc = engine_new(&g, r.model, r.tok, &opt, &e);
        if (!rc) rc = engine_submit(g, &q, &s, &e);
        made = rc == 0;
        mem_fault_after(0);
        if (rc) assert_int_equal(rc, -ERR_NOMEM);
        sequence_release(g, s);
        engine_free(g);
        assert_true(n < 1000);
    }
    rig_close(&r);
}

static void test_choices(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .prefix_cache = true};
    static const char *const label[] = {"card_arrival", "card_linking", "card", "exchange_rate"};
    struct choice_set *c;
    struct err e_refused = {0};
    int seen[4] = {0};
    rig_open(&r, PRECISION_REFERENCE, &opt);
    ok(choice_set_new(&c, r.tok, label, 4, e));
    for (int k = 0; k < 40; k++) {
        struct prompt p = make_prompt(k);
        struct sequence_request q = request(&p, 0);
        struct sequence_result res;
        struct sequence *s;
        q.choices = c;
        q.sampling.temperature = 3;
        ok(engine_generate(r.engine, &q, &s, e));
        sequence_get(s, &res);
        assert_int_equal(res.reason, FINISH_STOP);
        assert_int_equal(res.ids[res.n_id - 1], tokenizer_eos(r.tok));
        int found = -1;
        for (int i = 0; i < 4; i++)
            if (res.text_len == strlen(label[i]) && !memcmp(res.text, label[i], res.text_len)) found = i;
        if (found < 0) fail_msg("\"%.*s\" is none of the choices", (int)res.text_len, res.text);
        seen[found]++;
        sequence_release(r.engine, s);
    }
    assert_true(seen[0] && seen[2]); /* one that others begin with, and one of those */
    choice_set_free(c);
    static const char *const twice[] = {"a", "b", "a"}, *const empty[] = {""};
    assert_int_equal(choice_set_new(&c, r.tok, twice, 3, &e_refused), -ERR_INPUT);
    assert_int_equal(choice_set_new(&c, r.tok, empty, 1, &e_refused), -ERR_INPUT);
    assert_int_equal(choice_set_new(&c, r.tok, empty, 0, &e_refused), -ERR_INPUT);
    rig_close(&r);
}

/* Tokens that a set forces are not computed one by one: an answer without a branch takes the steps of its prompt. */
static void test_forced_tokens_cost_no_steps(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 1};
    static const char *const label[] = {"a long answer without any branch"};
    struct choice_set *c;
    struct prompt p = make_prompt(0);
    struct sequence_request q = request(&p, 0);
    struct sequence *s;
    struct engine_stats stats;
    struct sequence_result result;
    rig_open(&r, PRECISION_AUTO, &opt);
    ok(choice_set_new(&c, r.tok, label, 1, e));
    q.choices = c;
    ok(engine_generate(r.engine, &q, &s, e));
    engine_get_stats(r.engine, &stats);
    assert_int_equal(stats.n_step, 1);
    sequence_get(s, &result);
    assert_true(result.n_id > 5);
    assert_int_equal(result.n_decoded, 0);
    sequence_release(r.engine, s);
    q.choices = NULL;
    q.max_tokens = 7;
    ok(engine_generate(r.engine, &q, &s, e));
    sequence_get(s, &result);
    assert_int_equal(result.n_decoded, 6);
    sequence_release(r.engine, s);
    choice_set_free(c);
    rig_close(&r);
}

static void push_text(struct answer_text *a, const struct tokenizer *t, const char *text, int want, struct buf *piece)
{
    struct token_list ids = {0};
    int rc = 0;
    ok(tokenizer_encode(t, text, strlen(text), 0, &ids, e));
    for (size_t i = 0; i < ids.n && !rc; i++) rc = answer_text_push(a, ids.ids[i], piece);
    assert_int_equal(rc, want);
    token_list_deinit(&ids);
}

static void expect_visible(const struct answer_text *a, const char *text)
{
    if (a->n_visible != strlen(text) || memcmp(a->data, text, a->n_visible))
        fail_msg("\"%.*s\" is visible, expected \"%s\"", (int)a->n_visible, a->data, text);
}

static void test_stop_texts(void **state)
{
    (void)state;
    struct rig r;
    struct engine_options opt = {.max_batch = 1};
    struct answer_text a;
    struct buf piece;
    static const char *const stop[] = {"END", "\n\nQ:", "EN"};
    rig_open(&r, PRECISION_AUTO, &opt);
    buf_init(&piece, 4096);
    ok(answer_text_init(&a, r.tok, 1000, stop, 2, e));
    push_text(&a, r.tok, "so E", 0, &piece);
    expect_visible(&a, "so "); /* "E" may become END */
    push_text(&a, r.tok, "N", 0, &piece);
    expect_visible(&a, "so ");
    push_text(&a, r.tok, "X \n\n", 0, &piece);
    expect_visible(&a, "so ENX ");
    push_text(&a, r.tok, "Q", 0, &piece);
    push_text(&a, r.tok, ": what", 1, &piece);
    expect_visible(&a, "so ENX ");
    answer_text_deinit(&a);
    ok(answer_text_init(&a, r.tok, 1000, stop, 3, e));
    push_text(&a, r.tok, "the END", 1, &piece); /* the shorter one comes first */
    expect_visible(&a, "the ");
    answer_text_deinit(&a);
    ok(answer_text_init(&a, r.tok, 1000, stop, 1, e));
    push_text(&a, r.tok, "half E", 0, &piece);
    assert_int_equal(answer_text_finish(&a, &piece), 0);
    expect_visible(&a, "half E");
    answer_text_deinit(&a);
    ok(answer_text_init(&a, r.tok, 3, stop, 1, e)); /* room for three bytes */
    push_text(&a, r.tok, "abcd", -ERR_LIMIT, &piece);
    expect_visible(&a, "abc");
    answer_text_deinit(&a);
    buf_deinit(&piece);
    rig_close(&r);
}

/* The pool under random use, against a plain account of who holds what. */
static void test_page_pool(void **state)
{
    (void)state;
    enum { N_PAGE = 9, N_HOLD = 200 };
    struct page_pool p;
    int held[N_HOLD], n_held = 0;
    ok(page_pool_init(&p, N_PAGE, true, e));
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t what = rng_below(4, 1, 0, i);
        int32_t ids[DEV_PAGE];
        for (int k = 0; k < DEV_PAGE; k++) ids[k] = (int32_t)rng_below(5, 2, i, 0);
        if (what == 0) {
            int idx = page_take(&p);
            assert_true((idx >= 0) == (page_pool_available(&p) + (idx >= 0) > 0));
            if (idx >= 0) held[n_held++] = idx;
        } else if (what == 1 && n_held) {
            int idx = held[rng_below((uint64_t)n_held, 3, 0, i)];
            if (!p.page[idx].serial) assert_true(page_publish(&p, idx, page_root(-1), ids) != 0);
        } else if (what == 2 && n_held < N_HOLD) {
            int idx = page_find(&p, page_root(-1), ids);
            if (idx >= 0) {
                assert_memory_equal(p.page[idx].ids, ids, sizeof(ids));
                page_ref(&p, idx);
                held[n_held++] = idx;
            }
        } else if (n_held) {
            size_t k = (size_t)rng_below((uint64_t)n_held, 4, 0, i);
            page_unref(&p, held[k]);
            held[k] = held[--n_held];
        }
        int count[N_PAGE] = {0}, n_used = 0;
        for (int k = 0; k < n_held; k++) count[held[k]]++;
        for (int k = 0; k < N_PAGE; k++) {
            assert_int_equal(p.page[k].n_ref, count[k]);
            n_used += count[k] > 0;
        }
        assert_int_equal(page_pool_available(&p), N_PAGE - n_used);
    }
    page_pool_deinit(&p);
}

/* What was used longest ago goes first, and the end of a prefix before its beginning. */
static void test_eviction_order(void **state)
{
    (void)state;
    struct page_pool p;
    int32_t a[DEV_PAGE] = {1}, b[DEV_PAGE] = {2}, other[DEV_PAGE] = {3};
    ok(page_pool_init(&p, 3, true, e));
    int first = page_take(&p), second = page_take(&p), third = page_take(&p);
    uint64_t serial = page_publish(&p, first, page_root(-1), a);
    (void)page_publish(&p, second, serial, b);
    (void)page_publish(&p, third, page_root(-1), other);
    page_unref(&p, third);
    page_unref(&p, second);
    page_unref(&p, first);
    assert_int_equal(page_take(&p), third);
    assert_int_equal(page_find(&p, serial, b), second);
    assert_int_equal(page_take(&p), second);
    assert_int_equal(page_find(&p, serial, b), -1);
    assert_int_equal(page_find(&p, page_root(-1), a), first);
    assert_int_equal(page_find(&p, page_root(0), a), -1); /* another adapter, another prefix */
    page_pool_deinit(&p);
}

/* Others submit, cancel and release while one thread steps. */
struct crowd {
    struct rig *r;
    int first;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_ended;
};

static bool tell_end(void *arg, struct sequence *s, int32_t id, enum finish_reason reason)
{
    struct crowd *c = arg;
    (void)s, (void)id;
    if (reason != FINISH_NONE) {
        pthread_mutex_lock(&c->lock);
        c->n_ended++;
        pthread_cond_signal(&c->changed);
        pthread_mutex_unlock(&c->lock);
    }
    return true;
}

static void *client(void *arg)
{
    struct crowd *c = arg;
    enum { ROUNDS = 12 };
    for (int k = 0; k < ROUNDS; k++) {
        struct prompt p = make_prompt(c->first + k);
        struct sequence_request q = request(&p, 6);
        struct sequence *s;
        q.fn = tell_end;
        q.arg = c;
        if (engine_submit(c->r->engine, &q, &s, NULL)) return c; /* failed */
        if (k % 3 == 1) engine_cancel(c->r->engine, s);
        pthread_mutex_lock(&c->lock);
        while (c->n_ended <= k) pthread_cond_wait(&c->changed, &c->lock);
        pthread_mutex_unlock(&c->lock);
        sequence_release(c->r->engine, s);
    }
    engine_wake(c->r->engine);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    enum { N_CLIENT = 3 };
    struct rig r;
    struct engine_options opt = {.max_batch = 2, .n_page = 6, .prefix_cache = true};
    struct crowd crowd[N_CLIENT];
    pthread_t thread[N_CLIENT];
    rig_open(&r, PRECISION_AUTO, &opt);
    for (int i = 0; i < N_CLIENT; i++) {
        crowd[i] = (struct crowd){.r = &r, .first = i * 5};
        pthread_mutex_init(&crowd[i].lock, NULL);
        pthread_cond_init(&crowd[i].changed, NULL);
        assert_int_equal(pthread_create(&thread[i], NULL, client, &crowd[i]), 0);
    }
    for (int n_ended = 0; n_ended < N_CLIENT * 12;) {
        engine_wait(r.engine, 100);
        ok(engine_step(r.engine, e));
        n_ended = 0;
        for (int i = 0; i < N_CLIENT; i++) {
            pthread_mutex_lock(&crowd[i].lock);
            n_ended += crowd[i].n_ended;
            pthread_mutex_unlock(&crowd[i].lock);
        }
    }
    for (int i = 0; i < N_CLIENT; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
        pthread_cond_destroy(&crowd[i].changed);
        pthread_mutex_destroy(&crowd[i].lock);
    }
    expect_no_page_lost(r.engine);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_pool),
        cmocka_unit_test(test_eviction_order),
        cmocka_unit_test(test_golden_logits_and_greedy),
        cmocka_unit_test(test_logits_refuse_and_end),
        cmocka_unit_test(test_same_tokens_in_any_batch),
        cmocka_unit_test(test_prefix_cache_is_hit),
        cmocka_unit_test(test_prefix_is_computed_once_together),
        cmocka_unit_test(test_keep_logp),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_small_pool),
        cmocka_unit_test(test_cancel_and_release),
        cmocka_unit_test(test_decode_allocates_nothing),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_forced_tokens_cost_no_steps),
        cmocka_unit_test(test_stop_texts),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
