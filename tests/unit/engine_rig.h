/* A rig for tests of the engine: a tiny model with its engine, prompts that are made by number, what a sequence
 * answered. */
#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "compute/engine/engine_int.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

#define MODEL "tests/data/golden/gguf/llama.gguf"
enum { N_VOCAB = 288, MAX_ANSWER = 128 };

struct rig {
    struct dev *dev;
    struct model_file *file;
    struct model *model;
    struct tokenizer *tok;
    struct engine *engine;
};

#define ok(call)                                        \
    do {                                                \
        struct err e_ = {0};                            \
        struct err *e = &e_;                            \
        int rc_ = (call);                               \
        if (rc_ < 0) fail_msg("%s: %s", #call, e_.msg); \
    } while (0)

static inline void rig_open_model(struct rig *r, const char *path, enum precision precision,
                                  const struct engine_options *opt)
{
    struct dev_options d = {.n_thread = 2, .precision = precision, .isa = kern_isa_detect()};
    struct vocab_source v;
    memset(r, 0, sizeof(*r));
    ok(dev_cpu_new(&r->dev, &d, e));
    ok(model_file_open(&r->file, path, e));
    ok(model_load(&r->model, r->dev, r->file, e));
    ok(model_file_vocab(r->file, &v, e));
    if (v.model) ok(tokenizer_new(&r->tok, &v, e));
    ok(engine_new(&r->engine, r->model, r->tok, opt, e));
}

static inline void rig_open(struct rig *r, enum precision precision, const struct engine_options *opt)
{
    rig_open_model(r, MODEL, precision, opt);
}

static inline void rig_close(struct rig *r)
{
    engine_free(r->engine);
    tokenizer_free(r->tok);
    model_free(r->model);
    model_file_close(r->file);
    dev_free(r->dev);
}

struct prompt {
    int32_t ids[100];
    size_t n;
    struct sampling sampling;
};

/* Prompts of several lengths; those with an even number begin alike, for 40 tokens. */
static inline struct prompt make_prompt(int k)
{
    static const size_t length[] = {5, 45, 1, 70, 33, 64, 12, 96};
    struct prompt p = {.n = length[k % 8]};
    for (size_t i = 0; i < p.n; i++)
        p.ids[i] = (int32_t)(3 + rng_below(280, k % 2 || i >= 40 ? (uint64_t)k + 100 : 7, 0, i));
    sampling_init(&p.sampling);
    p.sampling.temperature = 1.0f;
    p.sampling.greedy = k % 3 == 0;
    p.sampling.seed = (uint64_t)k;
    p.sampling.presence_penalty = k % 4 == 1 ? 0.5f : 0;
    return p;
}

static inline struct sequence_request request(const struct prompt *p, int max_tokens)
{
    return (struct sequence_request){.ids = p->ids,
                                     .n_id = p->n,
                                     .max_tokens = max_tokens,
                                     .ignore_eos = true,
                                     .adapter = -1,
                                     .sampling = p->sampling};
}

struct answer {
    int32_t ids[MAX_ANSWER];
    size_t n, n_cached;
    enum finish_reason reason;
};

static inline void keep(const struct sequence *s, struct answer *a)
{
    struct sequence_result r;
    sequence_get(s, &r);
    memcpy(a->ids, r.ids, r.n_id * sizeof(*a->ids));
    a->n = r.n_id;
    a->n_cached = r.n_cached;
    a->reason = r.reason;
}

static inline void run_to_end(struct engine *g)
{
    for (int i = 0; i < 100000; i++) {
        struct err e = {0};
        int n = engine_step(g, &e);
        if (n < 0) fail_msg("%s", e.msg);
        if (n == 0) return;
    }
    fail_msg("the engine does not come to an end");
}

static inline struct answer answer_alone(enum precision precision, int k, int max_tokens)
{
    struct rig r;
    struct engine_options opt = {.max_batch = 1};
    struct prompt p = make_prompt(k);
    struct sequence_request q = request(&p, max_tokens);
    struct sequence *s;
    struct answer a;
    rig_open(&r, precision, &opt);
    ok(engine_generate(r.engine, &q, &s, e));
    keep(s, &a);
    sequence_release(r.engine, s);
    rig_close(&r);
    return a;
}

static inline void expect_equal(const struct answer *a, const struct answer *b, const char *what, int k)
{
    bool same = a->n == b->n && !memcmp(a->ids, b->ids, a->n * sizeof(*a->ids));
    if (!same) fail_msg("%s: prompt %d gave another answer (%zu and %zu tokens)", what, k, a->n, b->n);
}

static inline void expect_no_page_lost(const struct engine *g)
{
    assert_int_equal(page_pool_available(&g->pages), g->pages.n_page);
}

enum { N_PROMPT = 8, N_ANSWER = 30 };

/* For engine_logits: arg is [n_tok][N_VOCAB]. */
static inline int copy_logits(void *arg, int first_pos, int n_row, const float *logits, struct err *e)
{
    (void)e;
    memcpy((float *)arg + (size_t)first_pos * N_VOCAB, logits, (size_t)n_row * N_VOCAB * sizeof(*logits));
    return 0;
}

#endif
