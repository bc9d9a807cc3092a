/* The tape on a tiny model of each family: gradients against finite differences of the loss, which gradients must be
 * equal bit for bit (threads, recomputation) and which within 1e-6 (prefixes shared or repeated, micro-batches split),
 * and that an adapter that is off changes nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/model/adapter_int.h"
#include "compute/model/tape.h"
#include "ground/base/attr.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

static const char *model_path; /* of the family under test */

enum { N_ROW = 6, PREFIX = 40, OWN = 9, ROW_LEN = PREFIX + OWN, MAX_TOK = N_ROW * ROW_LEN, RANK = 4 };

struct bench {
    struct dev *d;
    struct model_file *f;
    struct model *m;
    struct adapter *a;
    float *grads;
    size_t n_param;
};

#define MUST(call)                                  \
    do {                                            \
        struct err *e = &error;                     \
        if ((call) != 0) fail_msg("%s", error.msg); \
    } while (0)
static struct err error;

static struct bench bench_with(int n_thread, enum precision precision, enum kern_isa isa)
{
    struct bench b;
    struct dev_options opt = {.n_thread = n_thread, .precision = precision, .isa = isa};
    struct adapter_options ao = {.rank = RANK, .alpha = 8, .sites = (1U << SITE_COUNT) - 1, .seed = 5};
    MUST(dev_cpu_new(&b.d, &opt, e));
    MUST(model_file_open(&b.f, model_path, e));
    MUST(model_load(&b.m, b.d, b.f, e));
    MUST(adapter_new(&b.a, b.m, &ao, e));
    MUST(adapter_grads(b.a, &b.grads, e));
    b.n_param = adapter_n_param(b.a);
    return b;
}

static struct bench bench_new(int n_thread, enum precision precision)
{
    return bench_with(n_thread, precision, kern_isa_detect());
}

static void bench_free(struct bench *b)
{
    adapter_free(b->a);
    model_free(b->m);
    model_file_close(b->f);
    dev_free(b->d);
}

/* B is zero at the start: fill it, so that every gradient is there. */
static void stir(struct bench *b)
{
    float *p = calloc(b->n_param, sizeof(*p));
    for (size_t i = 0; i < b->n_param; i++) p[i] = (float)(0.05 * rng_normal(3, 3, i));
    dev_write(b->d, adapter_params(b->a), p, b->n_param);
    adapter_update(b->a);
    free(p);
}

/* Rows that begin alike; the last token of each differs in length of what is trained. */
struct data {
    int32_t ids[N_ROW][ROW_LEN];
    bool trained[N_ROW][ROW_LEN];
};

static struct data data_make(const struct bench *b)
{
    struct data x;
    uint64_t n_vocab = (uint64_t)model_params(b->m)->n_vocab;
    for (int r = 0; r < N_ROW; r++)
        for (int i = 0; i < ROW_LEN; i++) {
            x.ids[r][i] = (int32_t)rng_below(n_vocab, 7, i < PREFIX ? 0 : (uint64_t)r + 1, (uint64_t)i);
            x.trained[r][i] = i >= PREFIX - 3 && (i + r) % 4 != 0;
        }
    for (int r = 0; r < N_ROW; r++) /* inside the prefix all rows train the same */
        for (int i = 0; i < PREFIX; i++) x.trained[r][i] = x.trained[0][i];
    return x;
}

/* A batch with room for everything. */
struct batch {
    struct tape_batch b;
    int32_t ids[MAX_TOK], row[MAX_TOK], target[MAX_TOK];
    float weight[MAX_TOK];
    struct tape_segment segment[N_ROW + 1];
};

static void add_segment(struct batch *x, const int32_t *ids, int n, int parent)
{
    memcpy(x->ids + x->b.n_tok, ids, (size_t)n * sizeof(*ids));
    x->segment[x->b.n_segment++] = (struct tape_segment){n, parent};
    x->b.n_tok += n;
}

static void add_target(struct batch *x, int row, int32_t target, float weight)
{
    x->row[x->b.n_target] = row;
    x->target[x->b.n_target] = target;
    x->weight[x->b.n_target++] = weight;
}

static void batch_begin(struct batch *x)
{
    memset(x, 0, sizeof(*x));
    x->b.ids = x->ids, x->b.row = x->row, x->b.target = x->target, x->b.weight = x->weight, x->b.segment = x->segment;
}

/* Rows [from, to), each a sequence of its own. */
static void lay_repeated(struct batch *x, const struct data *d, int from, int to, float weight)
{
    batch_begin(x);
    for (int r = from; r < to; r++) {
        int at = x->b.n_tok;
        add_segment(x, d->ids[r], ROW_LEN, -1);
        for (int i = 1; i < ROW_LEN; i++)
            if (d->trained[r][i]) add_target(x, at + i - 1, d->ids[r][i], weight);
    }
}

/* The same rows behind one prefix. */
static void lay_shared(struct batch *x, const struct data *d, float weight)
{
    batch_begin(x);
    add_segment(x, d->ids[0], PREFIX, -1);
    for (int i = 1; i < PREFIX; i++)
        if (d->trained[0][i]) add_target(x, i - 1, d->ids[0][i], weight * N_ROW);
    for (int r = 0; r < N_ROW; r++)
        if (d->trained[r][PREFIX]) add_target(x, PREFIX - 1, d->ids[r][PREFIX], weight);
    for (int r = 0; r < N_ROW; r++) {
        int at = x->b.n_tok;
        add_segment(x, d->ids[r] + PREFIX, OWN, 0);
        for (int i = 1; i < OWN; i++)
            if (d->trained[r][PREFIX + i]) add_target(x, at + i - 1, d->ids[r][PREFIX + i], weight);
    }
}

/* Gradient of a batch into grad[n_param] (freed by the caller); returns the weighted loss. */
static double run_above(struct bench *b, const struct batch *x, int n_frozen, int n_recompute, float **grad)
{
    struct tape *t;
    struct tape_options opt = {
        .max_tok = MAX_TOK, .max_segment = N_ROW + 1, .rank = RANK, .n_frozen = n_frozen, .n_recompute = n_recompute};
    float loss[MAX_TOK];
    double sum = 0;
    opt.max_bytes = tape_bytes(b->m, &opt);
    MUST(tape_new(&t, b->m, &opt, e));
    MUST(tape_step(t, &x->b, b->a, true, loss, NULL, e));
    for (int i = 0; i < x->b.n_target; i++) sum += (double)(x->weight[i] * loss[i]);
    tape_free(t);
    if (grad == NULL) return sum;
    *grad = calloc(b->n_param, sizeof(**grad));
    dev_read(b->d, *grad, b->grads, b->n_param);
    dev_zero(b->d, b->grads, b->n_param);
    return sum;
}

static double run(struct bench *b, const struct batch *x, int n_recompute, float **grad)
{
    return run_above(b, x, 0, n_recompute, grad);
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

/* The parameters of the adapter moved by h along `along` in [begin, end); the loss there. */
static double loss_at(struct bench *b, const struct batch *x, const float *p, const float *along, size_t begin,
                      size_t end, double h)
{
    struct tape *t;
    struct tape_options opt = {.max_tok = MAX_TOK, .max_segment = N_ROW + 1, .rank = RANK};
    float *moved = calloc(b->n_param, sizeof(*moved)), loss[MAX_TOK];
    double sum = 0;
    memcpy(moved, p, b->n_param * sizeof(*moved));
    for (size_t i = begin; i < end; i++) moved[i] += (float)(h * (double)along[i]);
    dev_write(b->d, adapter_params(b->a), moved, b->n_param);
    adapter_update(b->a);
    MUST(tape_new(&t, b->m, &opt, e));
    MUST(tape_step(t, &x->b, b->a, false, loss, NULL, e));
    for (int i = 0; i < x->b.n_target; i++) sum += (double)x->weight[i] * (double)loss[i];
    tape_free(t);
    free(moved);
    return sum;
}

/* Along its gradient in one matrix of the adapter, the loss grows by the gradient's length. */
static void check_matrix(struct bench *b, const struct batch *x, const float *p, const float *g, size_t begin,
                         size_t end, const char *what)
{
    double square = 0;
    for (size_t i = begin; i < end; i++) square += (double)g[i] * (double)g[i];
    double length = sqrt(square), h = 0.02; /* the way gone in parameters of about 0.05 each */
    assert_true(length > 1e-6);
    double more = loss_at(b, x, p, g, begin, end, h / length), less = loss_at(b, x, p, g, begin, end, -h / length);
    double slope = (more - less) / (2 * h);
    if (!(fabs(slope / length - 1) < 0.02))
        fail_msg("%s %s: the gradient is %g long, the loss grows by %g", model_path, what, length, slope);
}

static void test_finite_differences(void **state)
{
    model_path = *state;
    static struct batch x;
    struct bench b = bench_new(2, PRECISION_REFERENCE);
    struct data d = data_make(&b);
    float *g, *p = calloc(b.n_param, sizeof(*p));
    stir(&b);
    dev_read(b.d, p, adapter_params(b.a), b.n_param);
    lay_shared(&x, &d, 0.01f);
    run(&b, &x, TAPE_ALL_LAYERS, &g);
    for (int l = 0; l < model_params(b.m)->n_layer; l += l == 0 ? model_params(b.m)->n_layer - 1 : 1) {
        for (int s = 0; s < SITE_COUNT; s++) {
            const struct adapter_view *v = adapter_view_at(b.a, l, (enum adapter_site)s);
            char what[64];
            snprintf(what, sizeof(what), "layer %d %s", l, adapter_site_name[s]);
            check_matrix(&b, &x, p, g, v->a, v->b + (size_t)RANK * v->n_out, what);
        }
    }
    free(g), free(p);
    bench_free(&b);
}

static void test_threads_and_recompute(void **state)
{
    model_path = *state;
    static struct batch x;
    for (int p = PRECISION_AUTO; p <= PRECISION_REFERENCE; p++) {
        float *first = NULL;
        double first_loss = 0;
        static const int again[] = {0, TAPE_ALL_LAYERS, 1, 2, 0, TAPE_ALL_LAYERS};
        for (int k = 0; k < 6; k++) {
            struct bench b = bench_new(1 + k / 2, (enum precision)p);
            struct data d = data_make(&b);
            float *g;
            stir(&b);
            lay_shared(&x, &d, 0.01f);
            double loss = run(&b, &x, again[k], &g);
            if (first == NULL) first = g, first_loss = loss;
            if (memcmp(&loss, &first_loss, sizeof(loss)) != 0 || memcmp(g, first, b.n_param * sizeof(*g)) != 0)
                fail_msg("precision %d: %d threads, recompute %d: loss %.17g, was %.17g; distance %g", p, 1 + k / 2,
                         again[k], loss, first_loss, distance(g, first, b.n_param));
            if (g != first) free(g);
            bench_free(&b);
        }
        free(first);
    }
}

/* Where the first layers have nothing to train, the gradients above are the same bits, there are none below, and the
 * tape is smaller. */
static void test_frozen_layers(void **state)
{
    model_path = *state;
    static struct batch x;
    struct bench b = bench_new(2, PRECISION_AUTO);
    struct data d = data_make(&b);
    int n_layer = model_params(b.m)->n_layer, again[] = {0, 1, TAPE_ALL_LAYERS};
    float *all;
    stir(&b);
    lay_shared(&x, &d, 0.01f);
    double loss = run(&b, &x, 0, &all);
    for (int k = 0; k < 3; k++) {
        int n_frozen = n_layer - 1 - k % 2;
        float *g;
        assert_true(run_above(&b, &x, n_frozen, again[k], &g) == loss);
        for (int l = 0; l < n_layer; l++) {
            const struct adapter_view *v = adapter_view_at(b.a, l, SITE_DOWN);
            float sum = 0;
            size_t n = (size_t)RANK * v->n_in;
            for (size_t i = 0; i < n; i++) sum += fabsf(g[v->a + i]);
            if (l < n_frozen) assert_true(sum == 0);
            if (l >= n_frozen) assert_memory_equal(g + v->a, all + v->a, n * sizeof(*g));
        }
        free(g);
    }
    struct tape_options whole = {.max_tok = MAX_TOK, .max_segment = N_ROW + 1, .rank = RANK}, above = whole;
    above.n_frozen = n_layer - 1;
    if (n_layer > 2) assert_true(tape_bytes(b.m, &above) < tape_bytes(b.m, &whole));
    whole.max_bytes = tape_bytes(b.m, &whole);
    assert_int_equal(tape_recompute_that_fits(b.m, &whole), 0);
    whole.max_bytes = 1;
    assert_int_equal(tape_recompute_that_fits(b.m, &whole), n_layer);
    free(all);
    bench_free(&b);
}

static void test_instruction_sets(void **state)
{
    model_path = *state;
    static struct batch x;
    float *first = NULL;
    for (int isa = KERN_SCALAR; isa <= (int)kern_isa_detect(); isa++) {
        struct bench b = bench_with(2, PRECISION_REFERENCE, (enum kern_isa)isa);
        struct data d = data_make(&b);
        float *g;
        stir(&b);
        lay_shared(&x, &d, 0.01f);
        run(&b, &x, false, &g);
        if (first == NULL) first = g;
        if (memcmp(g, first, b.n_param * sizeof(*g)) != 0)
            fail_msg("gradients on %s differ from scalar by %g", kern_isa_name((enum kern_isa)isa),
                     distance(g, first, b.n_param));
        if (g != first) free(g);
        bench_free(&b);
    }
    free(first);
}

static void test_prefix_shared(void **state)
{
    model_path = *state;
    static struct batch x;
    float *g[2];
    struct bench b = bench_new(2, PRECISION_REFERENCE);
    struct data d = data_make(&b);
    stir(&b);
    lay_repeated(&x, &d, 0, N_ROW, 0.01f);
    double repeated = run(&b, &x, false, &g[0]);
    lay_shared(&x, &d, 0.01f);
    double shared = run(&b, &x, false, &g[1]);
    assert_true(fabs(shared / repeated - 1) < 1e-6);
    double far = distance(g[1], g[0], b.n_param);
    if (!(far < 1e-6)) fail_msg("gradients with a shared prefix are off by %g", far);
    free(g[0]), free(g[1]);
    bench_free(&b);
}

static void test_micro_batches(void **state)
{
    model_path = *state;
    static struct batch x;
    float *g[2];
    struct bench b = bench_new(2, PRECISION_REFERENCE);
    struct data d = data_make(&b);
    stir(&b);
    lay_repeated(&x, &d, 0, N_ROW, 0.01f);
    double whole = run(&b, &x, false, &g[0]), parts = 0;
    for (int r = 0; r < N_ROW; r += 2) {
        lay_repeated(&x, &d, r, r + 2, 0.01f);
        parts += run(&b, &x, false, r + 2 < N_ROW ? NULL : &g[1]);
    }
    assert_true(fabs(parts / whole - 1) < 1e-6);
    double far = distance(g[1], g[0], b.n_param);
    if (!(far < 1e-6)) fail_msg("gradients of split micro-batches are off by %g", far);
    free(g[0]), free(g[1]);
    bench_free(&b);
}

/* A fresh adapter (B = 0), no adapter, and serving's forward pass: the same loss, bit for bit. */
static void test_adapter_off(void **state)
{
    model_path = *state;
    static struct batch x;
    struct bench b = bench_new(2, PRECISION_REFERENCE);
    struct data d = data_make(&b);
    struct tape *t;
    struct tape_options opt = {.max_tok = MAX_TOK, .max_segment = N_ROW, .rank = RANK};
    float with[MAX_TOK], without[MAX_TOK];
    lay_repeated(&x, &d, 0, 1, 1);
    MUST(tape_new(&t, b.m, &opt, e));
    MUST(tape_step(t, &x.b, b.a, false, with, NULL, e));
    MUST(tape_step(t, &x.b, NULL, false, without, NULL, e));
    assert_memory_equal(with, without, (size_t)x.b.n_target * sizeof(float));
    struct dev_kv *kv;
    MUST(model_kv_new(b.m, &kv, 2, e));
    size_t n_vocab = (size_t)model_params(b.m)->n_vocab;
    float *logits = calloc((size_t)x.b.n_target * n_vocab, sizeof(*logits));
    const struct dev_block block[2] = {{1, 32}, {0, ROW_LEN - 32}};
    struct dev_segment s = {.n_tok = ROW_LEN, .block = block, .n_block = 2, .adapter = -1};
    struct model_batch mb = {.dev = {DEV_SERVE, ROW_LEN, &s, 1}, .ids = x.ids, .out_row = x.row, .n_out = x.b.n_target};
    MUST(model_forward(b.m, &mb, kv, logits, e));
    struct kern k;
    kern_init(&k, KERN_SCALAR);
    for (int i = 0; i < x.b.n_target; i++) { /* training's logits are serving's, bit for bit */
        const float *row = logits + (size_t)i * n_vocab;
        float want = k.log_sum_exp(row, n_vocab) - row[x.target[i]];
        assert_memory_equal(&want, &with[i], sizeof(want));
    }
    free(logits);
    dev_kv_free(kv);
    tape_free(t);
    bench_free(&b);
}

static void test_limits(void **state)
{
    model_path = *state;
    struct bench b = bench_new(1, PRECISION_AUTO);
    struct tape *t;
    struct err e;
    struct tape_options opt = {.max_tok = 4096, .max_segment = 16, .rank = RANK, .max_bytes = 4 << 20};
    assert_int_equal(tape_new(&t, b.m, &opt, &e), -ERR_LIMIT);
    assert_null(t);
    assert_non_null(strstr(e.msg, "4096 tokens"));
    opt = (struct tape_options){.max_tok = 8, .max_segment = 1, .rank = RANK};
    assert_int_equal(tape_new(&t, b.m, &opt, &e), 0);
    static struct batch x;
    struct data d = data_make(&b);
    lay_repeated(&x, &d, 0, 1, 1);
    assert_int_equal(tape_step(t, &x.b, b.a, true, NULL, NULL, &e), -ERR_LIMIT);
    batch_begin(&x);
    add_segment(&x, (const int32_t[]){1, 2, 999999}, 3, -1);
    assert_int_equal(tape_step(t, &x.b, b.a, true, NULL, NULL, &e), -ERR_INPUT);
    tape_free(t);
    bench_free(&b);
}

/* Every family with a backward pass; limits are the tape's own and need one. */
static char models[][64] = {
    "tests/data/golden/models/llama",   "tests/data/golden/models/llama-mqa", "tests/data/golden/models/mistral-swa",
    "tests/data/golden/models/qwen2",   "tests/data/golden/models/qwen3",     "tests/data/golden/models/gemma2",
    "tests/data/golden/models/gemma3",  "tests/data/golden/models/phi3",      "tests/data/golden/models/olmo2",
    "tests/data/golden/models/granite", "tests/data/golden/models/smollm3",
};

#define EACH(X)                   \
    X(test_finite_differences)    \
    X(test_threads_and_recompute) \
    X(test_frozen_layers)         \
    X(test_instruction_sets) X(test_prefix_shared) X(test_micro_batches) X(test_adapter_off)
#define TEST(f) {.name = #f, .test_func = f},

int main(void)
{
    static const struct CMUnitTest each[] = {EACH(TEST)};
    enum { N_EACH = N_ELEM(each), N_MODEL = N_ELEM(models) };
    struct CMUnitTest tests[N_EACH * N_MODEL + 1];
    for (int i = 0; i < N_EACH * N_MODEL; i++) {
        tests[i] = each[i % N_EACH];
        tests[i].initial_state = models[i / N_EACH];
    }
    tests[N_EACH * N_MODEL] = (struct CMUnitTest)cmocka_unit_test_prestate(test_limits, models[0]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
