/* What is trained beside plain LoRA factors: magnitudes (DoRA) and all weights of a model, on a tiny model of each
 * family. Gradients against finite differences, bits that may not depend on threads or recomputation, sums that may not
 * depend on how rows are cut, and that what was saved is what was computed with. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/device/cpu_int.h"
#include "compute/model/adapter_int.h"
#include "compute/model/tape.h"
#include "compute/model/weights_int.h"
#include "ground/base/attr.h"
#include "ground/base/file.h"
#include "ground/base/rng.h"

enum { N_ROW = 4, PREFIX = 36, OWN = 8, ROW_LEN = PREFIX + OWN, MAX_TOK = N_ROW * ROW_LEN, RANK = 4 };

#define MUST(call)                                  \
    do {                                            \
        struct err *e = &error;                     \
        if ((call) != 0) fail_msg("%s", error.msg); \
    } while (0)
static struct err error;
static const char *model_path;

/* A model and what is trained of it. */
struct bench {
    struct dev *d;
    struct model_file *f;
    struct model *m;
    struct adapter *a; /* or */
    struct weights *w;
    float *params, *grads;
    size_t n;
};

static void stir(struct bench *b);

static struct bench bench_new(int n_thread, enum precision precision, bool full)
{
    struct bench b = {0};
    struct dev_options opt = {.n_thread = n_thread, .precision = precision, .isa = kern_isa_detect()};
    struct adapter_options ao = {
        .rank = RANK, .alpha = 8, .sites = (1U << SITE_COUNT) - 1, .seed = 5, .use_dora = true};
    MUST(dev_cpu_new(&b.d, &opt, e));
    MUST(model_file_open(&b.f, model_path, e));
    MUST(model_load(&b.m, b.d, b.f, e));
    if (full) {
        MUST(weights_new(&b.w, b.m, e));
        MUST(weights_grads(b.w, &b.grads, e));
        b.params = weights_params(b.w), b.n = weights_n_param(b.w);
    } else {
        MUST(adapter_new(&b.a, b.m, &ao, e));
        MUST(adapter_grads(b.a, &b.grads, e));
        b.params = adapter_params(b.a), b.n = adapter_n_param(b.a);
        stir(&b);
    }
    return b;
}

static void bench_free(struct bench *b)
{
    adapter_free(b->a);
    weights_free(b->w);
    model_free(b->m);
    model_file_close(b->f);
    dev_free(b->d);
}

static void update(struct bench *b)
{
    if (b->w != NULL)
        weights_update(b->w);
    else
        adapter_update(b->a);
}

/* A fresh adapter changes nothing: move all of it. */
static void stir(struct bench *b)
{
    float *p = calloc(b->n, sizeof(*p));
    dev_read(b->d, p, b->params, b->n);
    for (size_t i = 0; i < b->n; i++) p[i] += (float)(0.05 * rng_normal(3, 3, i));
    dev_write(b->d, b->params, p, b->n);
    update(b);
    free(p);
}

/* --- batches --- */

struct batch {
    struct tape_batch b;
    int32_t ids[MAX_TOK], row[MAX_TOK], target[MAX_TOK];
    float weight[MAX_TOK];
    struct tape_segment segment[N_ROW + 1];
};

static int32_t token(const struct bench *b, int row, int i)
{
    return (int32_t)rng_below((uint64_t)model_params(b->m)->n_vocab, 7, i < PREFIX ? 0 : (uint64_t)row + 1,
                              (uint64_t)i);
}

static void add_tokens(struct batch *x, const struct bench *b, int row, int from, int to, int parent)
{
    int at = x->b.n_tok;
    for (int i = from; i < to; i++) {
        x->ids[at + i - from] = token(b, row, i);
        if (i == from || (i + row) % 4 == 0 || i < PREFIX) continue;
        x->row[x->b.n_target] = at + i - from - 1;
        x->target[x->b.n_target] = token(b, row, i);
        x->weight[x->b.n_target++] = 0.02f;
    }
    x->segment[x->b.n_segment++] = (struct tape_segment){to - from, parent};
    x->b.n_tok += to - from;
}

/* Rows [from, to), each alone, or behind their common prefix. What is trained lies behind it and is the same. */
static void lay(struct batch *x, const struct bench *b, int from, int to, bool shared)
{
    memset(x, 0, sizeof(*x));
    x->b.ids = x->ids, x->b.row = x->row, x->b.target = x->target, x->b.weight = x->weight, x->b.segment = x->segment;
    if (shared) add_tokens(x, b, 0, 0, PREFIX - 1, -1);
    for (int r = from; r < to; r++) add_tokens(x, b, r, shared ? PREFIX - 1 : 0, ROW_LEN, shared ? 0 : -1);
}

static double run(struct bench *b, const struct batch *x, bool recompute, bool back, float **grad)
{
    struct tape *t;
    struct tape_options opt = {.max_tok = MAX_TOK,
                               .max_segment = N_ROW + 1,
                               .rank = b->a != NULL ? RANK : 0,
                               .magnitudes = b->a != NULL,
                               .n_recompute = recompute ? TAPE_ALL_LAYERS : 0};
    float loss[MAX_TOK];
    double sum = 0;
    opt.max_bytes = tape_bytes(b->m, &opt);
    MUST(tape_new(&t, b->m, &opt, e));
    tape_train_weights(t, b->w);
    MUST(tape_step(t, &x->b, b->a, back, loss, NULL, e));
    for (int i = 0; i < x->b.n_target; i++) sum += (double)x->weight[i] * (double)loss[i];
    tape_free(t);
    if (grad == NULL) return sum;
    *grad = calloc(b->n, sizeof(**grad));
    dev_read(b->d, *grad, b->grads, b->n);
    dev_zero(b->d, b->grads, b->n);
    return sum;
}

static double distance(const float *x, const float *y, size_t n)
{
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        size += (double)y[i] * (double)y[i];
    }
    assert_true(size > 0);
    return sqrt(diff / size);
}

/* --- finite differences --- */

/* Lengths of rows are constants on the way back: those of `norm` again. */
static void hold_norms(struct bench *b, float *const *norm)
{
    for (size_t i = 0; b->a != NULL && i < (size_t)b->a->params.n_layer * SITE_COUNT; i++) {
        struct dev_lora *l = b->a->view[i].lora;
        for (size_t o = 0; o < l->n_out; o++) l->gain[o] = l->m[o] / norm[i][o];
    }
}

/* The loss with [begin, end) of p moved by `way` along the gradient. */
static double loss_at(struct bench *b, const struct batch *x, const float *p, const float *g, size_t begin, size_t end,
                      float *const *norm, double way)
{
    float *moved = calloc(b->n, sizeof(*moved));
    memcpy(moved, p, b->n * sizeof(*moved));
    for (size_t i = begin; i < end; i++) moved[i] += (float)(way * (double)g[i]);
    dev_write(b->d, b->params, moved, b->n);
    update(b);
    hold_norms(b, norm);
    free(moved);
    return run(b, x, false, false, NULL);
}

/* Along its gradient in [begin, end) the loss grows by the gradient's length. Differences of two widths, so that the
 * third derivative drops out. */
static void check_slope(struct bench *b, const struct batch *x, const float *p, const float *g, size_t begin,
                        size_t end, float *const *norm, const char *what)
{
    double square = 0, slope[2];
    for (size_t i = begin; i < end; i++) square += (double)g[i] * (double)g[i];
    double length = sqrt(square);
    if (!(length > 1e-7)) fail_msg("%s %s: no gradient", model_path, what);
    for (int k = 0; k < 2; k++) {
        double h = k == 0 ? 0.04 : 0.02;
        double more = loss_at(b, x, p, g, begin, end, norm, h / length);
        slope[k] = (more - loss_at(b, x, p, g, begin, end, norm, -h / length)) / (2 * h);
    }
    double best = (4 * slope[1] - slope[0]) / 3;
    if (!(fabs(best / length - 1) < 0.02))
        fail_msg("%s %s: the gradient is %g long, the loss grows by %g", model_path, what, length, best);
}

static void test_dora_differences(void **state)
{
    model_path = *state;
    static struct batch x;
    struct bench b = bench_new(2, PRECISION_REFERENCE, false);
    size_t n_view = (size_t)b.a->params.n_layer * SITE_COUNT;
    float *g, *p = calloc(b.n, sizeof(*p)), **norm = calloc(n_view, sizeof(*norm));
    for (size_t i = 0; i < n_view; i++) {
        const struct dev_lora *l = b.a->view[i].lora;
        norm[i] = calloc(l->n_out, sizeof(float));
        memcpy(norm[i], l->norm, l->n_out * sizeof(float));
    }
    dev_read(b.d, p, b.params, b.n);
    lay(&x, &b, 0, N_ROW, true);
    run(&b, &x, true, true, &g);
    for (size_t i = 0; i < n_view; i += n_view - SITE_COUNT - 1) {
        for (size_t s = i; s < i + SITE_COUNT && s < n_view; s++) {
            const struct adapter_view *v = &b.a->view[s];
            check_slope(&b, &x, p, g, v->a, v->b, norm, "A");
            check_slope(&b, &x, p, g, v->b, v->m, norm, "B");
            check_slope(&b, &x, p, g, v->m, v->m + v->n_out, norm, "magnitudes");
        }
    }
    for (size_t i = 0; i < n_view; i++) free(norm[i]);
    free(norm), free(g), free(p);
    bench_free(&b);
}

static void test_full_differences(void **state)
{
    model_path = *state;
    static struct batch x;
    struct bench b = bench_new(2, PRECISION_REFERENCE, true);
    float *g, *p = calloc(b.n, sizeof(*p));
    dev_read(b.d, p, b.params, b.n);
    lay(&x, &b, 0, N_ROW, true);
    run(&b, &x, true, true, &g);
    for (size_t i = 0; i < b.w->n_weight; i++) {
        const struct weight *w = &b.w->weight[i];
        char what[96];
        if (w->layer > 0 && w->layer < model_params(b.m)->n_layer - 1) continue;
        /* scores do not depend on a bias of all keys but through the rotation: little is left to measure */
        if (w->is_bias && strcmp(w->part, "attn_k") == 0) continue;
        snprintf(what, sizeof(what), "layer %d %s%s", w->layer, w->part, w->is_bias ? " bias" : "");
        check_slope(&b, &x, p, g, w->at, w->at + w->n_out * w->n_in, NULL, what);
    }
    free(g), free(p);
    bench_free(&b);
}

/* --- the lengths of rows --- */

static void check_norms(const struct bench *b, const struct adapter_view *v, const struct dev_mat *mat)
{
    float *w = NULL;
    const struct dev_lora *l = v->lora;
    MUST(dev_alloc(b->d, &w, v->n_out * v->n_in, e));
    dev_mat_get(b->d, mat, w);
    for (size_t o = 0; o < v->n_out; o++) {
        double square = 0;
        for (size_t i = 0; i < v->n_in; i++) {
            double x = (double)w[o * v->n_in + i];
            for (size_t r = 0; r < RANK; r++)
                x += (double)l->scale * (double)l->b[o * RANK + r] * (double)l->a[r * v->n_in + i];
            square += x * x;
        }
        assert_true(fabs((double)l->norm[o] / sqrt(square) - 1) < 1e-6);
    }
    dev_release(b->d, w);
}

static void test_norms(void **state)
{
    model_path = *state;
    for (int p = PRECISION_AUTO; p <= PRECISION_REFERENCE; p++) {
        struct bench b = bench_new(3, (enum precision)p, false);
        for (int k = 0; k < 2; k++) { /* also with another scale */
            for (int s = 0; s < SITE_COUNT; s++)
                check_norms(&b, adapter_view_at(b.a, 0, (enum adapter_site)s), b.m->layer[0].w[s]);
            adapter_set_scale(b.a, 0.3f);
        }
        bench_free(&b);
    }
}

/* --- bits and sums --- */

static void same_bits(bool full)
{
    static struct batch x;
    for (int p = PRECISION_AUTO; p <= PRECISION_REFERENCE; p++) {
        float *first = NULL;
        for (int k = 0; k < 4; k++) {
            struct bench b = bench_new(k < 2 ? 1 : 3, (enum precision)p, full);
            float *g;
            lay(&x, &b, 0, N_ROW, true);
            run(&b, &x, k % 2 == 1, true, &g);
            if (first == NULL) first = g;
            if (memcmp(g, first, b.n * sizeof(*g)) != 0)
                fail_msg("%s full %d, precision %d: case %d is %g away", model_path, full, p, k,
                         distance(g, first, b.n));
            if (g != first) free(g);
            bench_free(&b);
        }
        free(first);
    }
}

static void test_threads_and_recompute(void **state)
{
    model_path = *state;
    same_bits(false);
    same_bits(true);
}

static void test_splits(void **state)
{
    model_path = *state;
    static struct batch x;
    for (int full = 0; full < 2; full++) {
        struct bench b = bench_new(2, PRECISION_REFERENCE, full == 1);
        float *g[3];
        lay(&x, &b, 0, N_ROW, false);
        run(&b, &x, false, true, &g[0]);
        lay(&x, &b, 0, N_ROW, true);
        run(&b, &x, false, true, &g[1]);
        for (int r = 0; r < N_ROW; r++) {
            lay(&x, &b, r, r + 1, false);
            run(&b, &x, false, true, r + 1 < N_ROW ? NULL : &g[2]);
        }
        for (int k = 1; k < 3; k++) {
            double far = distance(g[k], g[0], b.n);
            if (!(far < 2e-6)) fail_msg("%s full %d, case %d: off by %g", model_path, full, k, far);
        }
        free(g[0]), free(g[1]), free(g[2]);
        bench_free(&b);
    }
}

/* --- forward --- */

static float *served(struct bench *b, struct batch *x)
{
    struct dev_kv *kv;
    size_t n_vocab = (size_t)model_params(b->m)->n_vocab;
    float *logits = calloc((size_t)x->b.n_target * n_vocab, sizeof(*logits));
    const struct dev_block block[2] = {{1, 32}, {0, ROW_LEN - 32}};
    struct dev_segment s = {.n_tok = ROW_LEN, .block = block, .n_block = 2, .adapter = b->a != NULL ? 0 : -1};
    const struct adapter *a = b->a;
    struct model_batch mb = {.dev = {DEV_SERVE, ROW_LEN, &s, 1},
                             .ids = x->ids,
                             .out_row = x->row,
                             .n_out = x->b.n_target,
                             .adapter = &a,
                             .n_adapter = a != NULL ? 1 : 0};
    MUST(model_kv_new(b->m, &kv, 2, e));
    MUST(model_forward(b->m, &mb, kv, logits, e));
    dev_kv_free(kv);
    return logits;
}

/* Fresh magnitudes leave the base as it is; stirred, serving computes what training does: in reference bit for bit. */
static void test_dora_forward(void **state)
{
    model_path = *state;
    static struct batch x;
    struct kern k;
    kern_init(&k, KERN_SCALAR);
    struct bench b = bench_new(2, PRECISION_REFERENCE, false);
    struct adapter *stirred = b.a;
    struct adapter_options ao = *adapter_get_options(b.a);
    size_t n_vocab = (size_t)model_params(b.m)->n_vocab;
    lay(&x, &b, 0, 1, false);
    b.a = NULL;
    float *base = served(&b, &x);
    MUST(adapter_new(&b.a, b.m, &ao, e));
    float *fresh = served(&b, &x);
    assert_memory_equal(base, fresh, (size_t)x.b.n_target * n_vocab * sizeof(*base));
    adapter_free(b.a);
    b.a = stirred;
    float *moved = served(&b, &x);
    assert_true(memcmp(base, moved, n_vocab * sizeof(*base)) != 0);
    double sum = 0, loss = run(&b, &x, false, false, NULL);
    for (int i = 0; i < x.b.n_target; i++) {
        const float *row = moved + (size_t)i * n_vocab;
        sum += (double)x.weight[i] * (double)(k.log_sum_exp(row, n_vocab) - row[x.target[i]]);
    }
    assert_memory_equal(&sum, &loss, sizeof(sum));
    free(base), free(fresh), free(moved);
    bench_free(&b);
}

/* A model tuned in full, saved and loaded, is the one that was computed with. */
static void test_full_saved(void **state)
{
    model_path = *state;
    static struct batch x;
    char dir[] = "/tmp/tailor-test-XXXXXX", place[64];
    assert_non_null(mkdtemp(dir));
    snprintf(place, sizeof(place), "%s/model", dir);
    struct bench b = bench_new(2, PRECISION_REFERENCE, true);
    stir(&b);
    lay(&x, &b, 0, 1, false);
    float *before = served(&b, &x);
    MUST(weights_save(b.w, b.f, place, e));
    assert_int_equal(weights_save(b.w, b.f, place, &error), -ERR_CONFLICT);
    size_t n = (size_t)x.b.n_target * (size_t)model_params(b.m)->n_vocab;
    bench_free(&b);
    model_path = place;
    b = bench_new(2, PRECISION_REFERENCE, true);
    float *after = served(&b, &x);
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)before[i] - (double)after[i]));
    /* a norm that is kept less one loses its last bit on the way */
    if (!(worst < 1e-5)) fail_msg("%s: logits moved by %g", (const char *)*state, worst);
    free(before), free(after);
    bench_free(&b);
    MUST(file_remove_tree(dir, e));
}

static void test_quantized_refused(void **state)
{
    (void)state;
    struct weights *w;
    struct err refused;
    struct bench b;
    model_path = "tests/data/golden/models/llama";
    b = bench_new(1, PRECISION_AUTO, false);
    struct dev_mat *was = b.m->layer[1].w[SITE_UP];
    MUST(dev_mat_new(b.d, &b.m->layer[1].w[SITE_UP], QUANT_Q8_0, dev_mat_n_out(was), dev_mat_n_in(was), e));
    assert_int_equal(weights_new(&w, b.m, &refused), -ERR_UNSUPPORTED);
    assert_non_null(strstr(refused.msg, "blk.1.ffn_up.weight"));
    dev_mat_free(b.m->layer[1].w[SITE_UP]);
    b.m->layer[1].w[SITE_UP] = was;
    bench_free(&b);
}

/* First those with the most kinds of tensors, and the test that has several threads. */
static char models[][64] = {"tests/data/golden/models/gemma3", "tests/data/golden/models/qwen2",
                            "tests/data/golden/models/phi3",   "tests/data/golden/models/llama",
                            "tests/data/golden/models/qwen3",  "tests/data/golden/models/gemma2",
                            "tests/data/golden/models/olmo2",  "tests/data/golden/models/granite"};

#define TEST(f)                    \
    {                              \
        .name = #f, .test_func = f \
    }

static const struct CMUnitTest each[] = {TEST(test_threads_and_recompute),
                                         TEST(test_dora_differences),
                                         TEST(test_full_differences),
                                         TEST(test_norms),
                                         TEST(test_splits),
                                         TEST(test_dora_forward),
                                         TEST(test_full_saved)};

/* Sanitized, the first stand for the others: the code is the same, and ten times as slow. */
#if defined(__SANITIZE_THREAD__)
enum { N_EACH = 1, N_MODEL = 1 };
#elif defined(__SANITIZE_ADDRESS__)
enum { N_EACH = N_ELEM(each), N_MODEL = 3 };
#else
enum { N_EACH = N_ELEM(each), N_MODEL = N_ELEM(models) };
#endif

int main(void)
{
    struct CMUnitTest tests[N_EACH * N_MODEL + 1];
    for (int i = 0; i < N_EACH * N_MODEL; i++) {
        tests[i] = each[i % N_EACH];
        tests[i].initial_state = models[i / N_EACH];
    }
    tests[N_EACH * N_MODEL] = (struct CMUnitTest)cmocka_unit_test(test_quantized_refused);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
