/* Speed of prefill and decode. Owns what is timed: prefill from submit to the first token; decode from the moment every
 * sequence has its first token until one has ended, since all go on at one pace. Every figure is a median, after one
 * uncounted run. */
#include "compute/measure/bench.h"

#include <stdlib.h>

#include "ground/base/clock.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/sort.h"

struct bench {
    struct engine *g;
    int n_vocab;
    bool (*stop)(void);
    struct sequence **sequence;
    int n_sequence;
    bool hold; /* sequences pause after their first token */
};

static bool hold_first(void *arg, struct sequence *s, int32_t id, enum finish_reason reason)
{
    const struct bench *b = arg;
    (void)s, (void)id, (void)reason;
    return !b->hold;
}

static int add_sequence(struct bench *b, int n_prompt, int n_answer, int run, struct err *e)
{
    int32_t *ids = mem_try_array((size_t)n_prompt, sizeof(*ids));
    if (!ids) return err_set(e, ERR_NOMEM, NULL, "cannot make a prompt of %d tokens: out of memory", n_prompt);
    uint64_t stream = (uint64_t)run << 16 | (uint64_t)b->n_sequence;
    for (int i = 0; i < n_prompt; i++) ids[i] = (int32_t)rng_below((uint64_t)b->n_vocab, 1, stream, (uint64_t)i);
    struct sequence_request r = {.ids = ids,
                                 .n_id = (size_t)n_prompt,
                                 .max_tokens = n_answer,
                                 .ignore_eos = true,
                                 .adapter = -1,
                                 .sampling = {.greedy = true, .repetition_penalty = 1.0f},
                                 .fn = hold_first,
                                 .arg = b};
    int rc = engine_submit(b->g, &r, &b->sequence[b->n_sequence], e);
    mem_free(ids);
    if (!rc) b->n_sequence++;
    return rc;
}

/* How many sequences have n tokens of their answer, and the tokens of all answers. */
static int count_tokens(const struct bench *b, size_t n, int *n_there, size_t *n_tok, struct err *e)
{
    *n_there = 0;
    *n_tok = 0;
    for (int i = 0; i < b->n_sequence; i++) {
        struct sequence_result r;
        sequence_get(b->sequence[i], &r);
        if (r.reason == FINISH_ERROR)
            return err_set(e, ERR_INTERNAL, NULL, "cannot measure: the model gives no finite logits");
        *n_there += r.n_id >= n || r.reason != FINISH_NONE;
        *n_tok += r.n_id;
    }
    return 0;
}

/* Step until so many sequences have at least n tokens of their answer. n_tok: of all answers then. */
static int step_until(struct bench *b, int n_wanted, size_t n, size_t *n_tok, struct err *e)
{
    for (;;) {
        int n_there, failed = count_tokens(b, n, &n_there, n_tok, e);
        if (failed) return failed;
        if (n_there >= n_wanted) return 0;
        if (b->stop && b->stop()) return err_set(e, ERR_INTERRUPTED, NULL, "interrupted while measuring");
        int rc = engine_step(b->g, e);
        if (rc < 0) return rc;
    }
}

static void release_all(struct bench *b)
{
    while (b->n_sequence > 0) sequence_release(b->g, b->sequence[--b->n_sequence]);
}

static double median(double *x, int n)
{
    sort_doubles(x, (size_t)n);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static int run_prefill(struct bench *b, int n, int run, double *tok_s, struct err *e)
{
    size_t n_tok;
    double begin = clock_s();
    int rc = add_sequence(b, n, 1, run, e);
    if (!rc) rc = step_until(b, 1, 1, &n_tok, e);
    *tok_s = n / (clock_s() - begin);
    release_all(b);
    return rc;
}

int bench_prefill(struct engine *g, int n_vocab, int n, int repeat, bool (*stop)(void), double *tok_s, struct err *e)
{
    double rate[BENCH_MAX_REPEAT + 1];
    struct sequence *one;
    struct bench b = {.g = g, .n_vocab = n_vocab, .stop = stop, .sequence = &one};
    int rc = 0;
    repeat = repeat > BENCH_MAX_REPEAT ? BENCH_MAX_REPEAT : repeat;
    for (int i = 0; i <= repeat && !rc; i++) rc = run_prefill(&b, n, i, &rate[i], e);
    if (!rc) *tok_s = median(rate + 1, repeat);
    return rc;
}

static int run_decode(struct bench *b, const struct model *m, int batch, int context, int n, int run, double *tok_s,
                      double *tok_bytes, struct err *e)
{
    struct engine_stats before, after;
    size_t n_first = 0, n_tok = 0;
    int rc = 0;
    b->hold = true;
    for (int i = 0; i < batch && !rc; i++) rc = add_sequence(b, context, n + 1, run, e);
    if (!rc) rc = step_until(b, batch, 1, &n_first, e);
    b->hold = false;
    for (int i = 0; i < b->n_sequence; i++) engine_resume(b->g, b->sequence[i]);
    engine_get_stats(b->g, &before);
    uint64_t read = model_expert_bytes_read(m);
    double begin = clock_s();
    if (!rc) rc = step_until(b, 1, (size_t)n + 1, &n_tok, e);
    double seconds = clock_s() - begin;
    engine_get_stats(b->g, &after);
    read = model_expert_bytes_read(m) - read + model_common_step_bytes(m) * (after.n_step - before.n_step);
    *tok_s = (double)(n_tok - n_first) / seconds;
    *tok_bytes = (double)read / (double)(n_tok - n_first);
    release_all(b);
    return rc;
}

int bench_decode(struct engine *g, const struct model *m, int batch, int context, int n, int repeat, bool (*stop)(void),
                 double *tok_s, double *tok_bytes, struct err *e)
{
    double rate[BENCH_MAX_REPEAT + 1], bytes = 0;
    struct bench b = {.g = g,
                      .n_vocab = model_params(m)->n_vocab,
                      .stop = stop,
                      .sequence = mem_alloc((size_t)batch * sizeof(b.sequence))};
    int rc = 0;
    repeat = repeat > BENCH_MAX_REPEAT ? BENCH_MAX_REPEAT : repeat;
    for (int i = 0; i <= repeat && !rc; i++) rc = run_decode(&b, m, batch, context, n, i, &rate[i], &bytes, e);
    if (!rc) *tok_s = median(rate + 1, repeat);
    if (tok_bytes) *tok_bytes = bytes;
    mem_free(b.sequence);
    return rc;
}
