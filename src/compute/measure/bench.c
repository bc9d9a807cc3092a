/* Speed of prefill and decode. Owns what is timed: prefill from submit to the first token; decode from the moment every
 * sequence has its first token until the last has ended. Every figure is a median, after one uncounted run. */
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

/* Step until every sequence has at least n tokens of its answer, or has ended. */
static int step_until(struct bench *b, size_t n, struct err *e)
{
    for (;;) {
        int n_behind = 0;
        for (int i = 0; i < b->n_sequence; i++) {
            struct sequence_result r;
            sequence_get(b->sequence[i], &r);
            if (r.reason == FINISH_ERROR)
                return err_set(e, ERR_INTERNAL, NULL, "cannot measure: the model gives no finite logits");
            n_behind += r.reason == FINISH_NONE && r.n_id < n;
        }
        if (!n_behind) return 0;
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
    double begin = clock_s();
    int rc = add_sequence(b, n, 1, run, e);
    if (!rc) rc = step_until(b, 1, e);
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
                      double *step_bytes, struct err *e)
{
    int rc = 0;
    b->hold = true;
    for (int i = 0; i < batch && !rc; i++) rc = add_sequence(b, context, n + 1, run, e);
    if (!rc) rc = step_until(b, 1, e);
    b->hold = false;
    for (int i = 0; i < b->n_sequence; i++) engine_resume(b->g, b->sequence[i]);
    uint64_t read = model_expert_bytes_read(m);
    double begin = clock_s();
    if (!rc) rc = step_until(b, (size_t)n + 1, e);
    *tok_s = (double)batch * n / (clock_s() - begin);
    *step_bytes = (double)model_common_step_bytes(m) + (double)(model_expert_bytes_read(m) - read) / n;
    release_all(b);
    return rc;
}

int bench_decode(struct engine *g, const struct model *m, int batch, int context, int n, int repeat, bool (*stop)(void),
                 double *tok_s, double *step_bytes, struct err *e)
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
    if (step_bytes) *step_bytes = bytes;
    mem_free(b.sequence);
    return rc;
}
