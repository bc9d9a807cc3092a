/* Mixtures of experts: the choice against its definition; a layer against a naive version in double precision for
 * types, precisions and instruction sets; the same bits whatever the threads and the step; and experts that nobody
 * chose are not read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/device/cpu_route.h"
#include "compute/device/experts.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "random_weights.h"
#include "levels.h"
#include "naive.h"

static void near_to(float got, double want, double tolerance)
{
    if (!(fabs((double)got - want) <= tolerance)) fail_msg("%.9g, %.9g would be right", (double)got, want);
}

/* --- the choice --- */

static struct kern scalar(void)
{
    struct kern k;
    kern_init(&k, KERN_SCALAR);
    return k;
}

static void test_softmax_choice(void **state)
{
    (void)state;
    struct kern k = scalar();
    struct dev_router r = {.n_used = 2, .n_group = 1, .scale = 1};
    float logits[4] = {0.5f, 2.0f, -1.0f, 1.5f}, weight[2];
    int32_t chosen[2];
    double sum = exp(0.5) + exp(2.0) + exp(-1.0) + exp(1.5);
    cpu_route(&k, &r, 4, logits, chosen, weight);
    assert_int_equal(chosen[0], 1);
    assert_int_equal(chosen[1], 3);
    near_to(weight[0], exp(2.0) / sum, 1e-6);
    near_to(weight[1], exp(1.5) / sum, 1e-6);
    float again[4] = {0.5f, 2.0f, -1.0f, 1.5f};
    r.renormalize = true;
    r.scale = 3;
    cpu_route(&k, &r, 4, again, chosen, weight);
    near_to(weight[0], 3 * exp(2.0) / (exp(2.0) + exp(1.5)), 1e-5);
    near_to(weight[1], 3 * exp(1.5) / (exp(2.0) + exp(1.5)), 1e-5);
}

/* The bias decides the choice and stays out of the weights. */
static void test_bias_choice(void **state)
{
    (void)state;
    struct kern k = scalar();
    float bias[4] = {0, -1, 0.5f, 0}, logits[4] = {0, 3, -0.5f, 0.1f}, weight[2];
    struct dev_router r = {.bias = bias, .sigmoid = true, .n_used = 2, .n_group = 1, .scale = 1};
    int32_t chosen[2];
    cpu_route(&k, &r, 4, logits, chosen, weight);
    assert_int_equal(chosen[0], 2); /* 0.378 + 0.5 */
    assert_int_equal(chosen[1], 3); /* 0.525 */
    near_to(weight[0], 1 / (1 + exp(0.5)), 1e-6);
    near_to(weight[1], 1 / (1 + exp(-0.1)), 1e-6);
}

/* Four groups of two. Sigmoid: a group counts the sum of its best two; softmax: its best. */
static void test_group_choice(void **state)
{
    (void)state;
    struct kern k = scalar();
    const float given[8] = {3, -9, 1, 1.2f, 0.9f, 1.1f, -9, -9};
    struct dev_router r = {.sigmoid = true, .n_used = 2, .n_group = 4, .n_group_used = 1, .scale = 1};
    float logits[8], weight[2];
    int32_t chosen[2];
    memcpy(logits, given, sizeof(given));
    cpu_route(&k, &r, 8, logits, chosen, weight);
    assert_int_equal(chosen[0], 3);
    assert_int_equal(chosen[1], 2);
    r.sigmoid = false;
    memcpy(logits, given, sizeof(given));
    cpu_route(&k, &r, 8, logits, chosen, weight);
    assert_int_equal(chosen[0], 0);
    assert_int_equal(chosen[1], 1); /* the rest of the best group, however bad */
    r.n_group_used = 2;
    memcpy(logits, given, sizeof(given));
    cpu_route(&k, &r, 8, logits, chosen, weight);
    assert_int_equal(chosen[0], 0);
    assert_int_equal(chosen[1], 3);
}

static void test_odd_logits(void **state)
{
    (void)state;
    struct kern k = scalar();
    struct dev_router r = {.n_used = 3, .n_group = 1, .scale = 1};
    float equal[4] = {1, 1, 1, 1}, bad[4] = {NAN, NAN, NAN, NAN}, weight[3];
    int32_t chosen[3];
    cpu_route(&k, &r, 4, equal, chosen, weight);
    for (int i = 0; i < 3; i++) assert_int_equal(chosen[i], i); /* ties: the lower index */
    cpu_route(&k, &r, 4, bad, chosen, weight);
    assert_true(chosen[0] != chosen[1] && chosen[1] != chosen[2] && chosen[0] != chosen[2]);
}

/* --- a layer --- */

enum { MAX_TOK = 300, MAX_N = 288, N_EXPERT = 12 };

struct layer_case {
    int n_embd, n_ff, n_shared, n_used, n_group, n_group_used;
    bool sigmoid, bias, renormalize, weighs_input, shared_weight;
    float scale;
};
static const struct layer_case cases[] = {
    {64, 48, 0, 2, 1, 1, false, false, true, false, false, 1.0f},  /* mixtral, qwen3moe */
    {64, 48, 80, 3, 1, 1, false, false, false, false, true, 1.0f}, /* qwen2moe */
    {64, 32, 64, 4, 4, 2, true, true, true, false, false, 2.5f},   /* deepseek3 */
    {96, 64, 64, 1, 1, 1, true, false, false, true, false, 1.0f},  /* llama4 */
};
static const struct layer_case wide_case = {256, 256, 256, 3, 3, 2, false, false, false, false, false, 1.5f};

enum { GATE, UP, DOWN, SHARED_GATE, SHARED_UP, SHARED_DOWN, N_KIND };

/* The weights, in the file format and as what they mean: [n][n_out][n_in] a kind. */
struct weights {
    struct layer_case c;
    enum quant_type type;
    int n[N_KIND], n_out[N_KIND], n_in[N_KIND];
    uint8_t *raw[N_KIND];
    float *w[N_KIND], *router, *bias, *norm, *shared_weight, *x;
};

static struct weights weights_new(const struct layer_case *c, enum quant_type type)
{
    int e = c->n_embd, f = c->n_ff, s = c->n_shared, one = s > 0;
    struct weights w = {.c = *c,
                        .type = type,
                        .n = {N_EXPERT, N_EXPERT, N_EXPERT, one, one, one},
                        .n_out = {f, f, e, s, s, e},
                        .n_in = {e, e, f, e, e, s}};
    const struct quant *q = quants[type];
    for (int k = 0; k < N_KIND; k++) {
        size_t n = (size_t)w.n[k] * (size_t)w.n_out[k] * (size_t)w.n_in[k];
        w.w[k] = normal_values(5, 10 + (uint64_t)k, n, 1 / sqrt(w.n_in[k] + 1.0), 0);
        w.raw[k] = mem_alloc(n / (size_t)q->block_len * q->block_bytes + 1);
        if (n) random_weights(type, w.raw[k], w.w[k], n, 1 / sqrtf((float)w.n_in[k]));
    }
    w.router = normal_values(5, 30, (size_t)(N_EXPERT * e), 2 / sqrt(e), 0);
    w.bias = normal_values(5, 31, N_EXPERT, 0.3, 0);
    w.norm = normal_values(5, 32, (size_t)e, 0.7, 0);
    w.shared_weight = normal_values(5, 33, (size_t)e, 1 / sqrt(e), 0);
    w.x = normal_values(5, 34, (size_t)(MAX_TOK * e), 1, 0);
    return w;
}

static void weights_free(struct weights *w)
{
    for (int k = 0; k < N_KIND; k++) mem_free(w->raw[k]), mem_free(w->w[k]);
    mem_free(w->router);
    mem_free(w->bias);
    mem_free(w->norm);
    mem_free(w->shared_weight);
    mem_free(w->x);
}

/* --- the naive version --- */

/* y += by * the gated matrices of expert `idx` (kind GATE: of the experts, SHARED_GATE) on in * h. */
static void add_expert(const struct weights *w, int kind, int idx, const double *h, double in, double by, double *y)
{
    int e = w->c.n_embd, f = w->n_out[kind];
    double x[MAX_N], g[MAX_N], u[MAX_N], out[MAX_N];
    size_t at = (size_t)idx * (size_t)f * (size_t)e;
    for (int i = 0; i < e; i++) x[i] = h[i] * in;
    multiply(g, w->w[kind] + at, f, e, x);
    multiply(u, w->w[kind + 1] + at, f, e, x);
    for (int i = 0; i < f; i++) g[i] = g[i] / (1 + exp(-g[i])) * u[i];
    multiply(out, w->w[kind + 2] + at, e, f, g);
    for (int i = 0; i < e; i++) y[i] += by * out[i];
}

/* Scores, and with `bias` what the choice goes by, in the words of the papers; chosen[] marks the experts. */
static void naive_choice(const struct layer_case *c, const double *score, const double *by, bool *chosen)
{
    double group[N_EXPERT];
    bool open[N_EXPERT] = {false};
    int size = N_EXPERT / c->n_group;
    for (int g = 0; g < c->n_group; g++) {
        double a = -1e9, b = -1e9;
        for (int i = g * size; i < (g + 1) * size; i++) {
            if (by[i] > a)
                b = a, a = by[i];
            else if (by[i] > b)
                b = by[i];
        }
        group[g] = c->sigmoid ? a + b : a;
    }
    for (int g = 0; g < c->n_group; g++) {
        int better = 0;
        for (int i = 0; i < c->n_group; i++) better += group[i] > group[g];
        for (int i = g * size; i < (g + 1) * size; i++) open[i] = c->n_group == 1 || better < c->n_group_used;
    }
    for (int i = 0; i < N_EXPERT; i++) {
        int better = 0;
        for (int k = 0; k < N_EXPERT; k++) better += open[k] && by[k] > by[i];
        chosen[i] = open[i] && better < c->n_used;
    }
    (void)score;
}

static void naive_row(const struct weights *w, const float *row, double *y, bool *chosen)
{
    const struct layer_case *c = &w->c;
    double h[MAX_N], score[N_EXPERT], by[N_EXPERT], sum = 0, total = 0, gate = 0;
    int e = c->n_embd;
    for (int i = 0; i < e; i++) sum += (double)row[i] * (double)row[i];
    for (int i = 0; i < e; i++) h[i] = (double)row[i] / sqrt(sum / e + 1e-5) * (double)w->norm[i];
    multiply(score, w->router, N_EXPERT, e, h);
    for (int i = 0; i < N_EXPERT; i++) total += exp(score[i]);
    for (int i = 0; i < N_EXPERT; i++) {
        score[i] = c->sigmoid ? 1 / (1 + exp(-score[i])) : exp(score[i]) / total;
        by[i] = score[i] + (c->bias ? (double)w->bias[i] : 0);
    }
    naive_choice(c, score, by, chosen);
    for (int i = 0; i < N_EXPERT; i++) gate += chosen[i] ? score[i] : 0;
    for (int i = 0; i < e; i++) y[i] = (double)row[i];
    for (int i = 0; i < N_EXPERT; i++) {
        double weight = score[i] / (c->renormalize ? gate : 1) * (double)c->scale;
        if (chosen[i]) add_expert(w, GATE, i, h, c->weighs_input ? weight : 1, c->weighs_input ? 1 : weight, y);
    }
    double open = 0;
    for (int i = 0; i < e; i++) open += (double)w->shared_weight[i] * h[i];
    if (c->n_shared) add_expert(w, SHARED_GATE, 0, h, 1, c->shared_weight ? 1 / (1 + exp(-open)) : 1, y);
}

/* --- the device --- */

struct rig {
    struct dev *d;
    struct dev_stack *stack[N_KIND];
    struct dev_mat *router;
    struct dev_experts p;
    struct dev_experts_space *space;
    float *x;
};

static void fill(struct rig *r, const struct weights *w, int kind, const bool *only)
{
    const struct quant *q = quants[w->type];
    size_t bytes = (size_t)w->n_out[kind] * (size_t)w->n_in[kind] / (size_t)q->block_len * q->block_bytes;
    uint8_t *bad = mem_alloc(bytes);
    memset(bad, 0xff, bytes); /* NaN, as floats and as the scale of a block */
    for (int i = 0; i < w->n[kind]; i++) {
        bool good = !only || kind >= SHARED_GATE || only[i];
        dev_mat_put(r->d, dev_stack_mat(r->stack[kind], (size_t)i), good ? w->raw[kind] + (size_t)i * bytes : bad, 0,
                    (size_t)w->n_out[kind]);
    }
    mem_free(bad);
}

/* only: experts that hold their weights, the others NaN; NULL: all. */
static void rig_init(struct rig *r, const struct weights *w, int n_thread, enum precision precision, enum kern_isa isa,
                     bool fine, const bool *only)
{
    struct err e = {0};
    const struct layer_case *c = &w->c;
    *r = (struct rig){0};
    must(dev_cpu_new(&r->d, &(struct dev_options){n_thread, precision, isa}, &e), &e);
    for (int k = 0; k < N_KIND; k++) {
        if (!w->n[k]) continue;
        must(dev_stack_new(r->d, &r->stack[k], w->type, (size_t)w->n[k], (size_t)w->n_out[k], (size_t)w->n_in[k], &e),
             &e);
        fill(r, w, k, only);
    }
    must(dev_mat_new(r->d, &r->router, QUANT_F32, N_EXPERT, (size_t)c->n_embd, &e), &e);
    dev_mat_put(r->d, r->router, w->router, 0, N_EXPERT);
    must(dev_alloc(r->d, &r->x, (size_t)(MAX_TOK * c->n_embd), &e), &e);
    struct dev_experts_shape shape = {MAX_TOK, c->n_embd, N_EXPERT, c->n_used, c->n_ff, c->n_shared};
    must(dev_experts_space_new(r->d, &r->space, &shape, &e), &e);
    r->p = (struct dev_experts){.norm = w->norm,
                                .eps = 1e-5f,
                                .router = {r->router, c->bias ? w->bias : NULL, c->sigmoid, c->n_used, c->n_group,
                                           c->n_group_used, c->renormalize, c->scale, c->weighs_input},
                                .gate = r->stack[GATE],
                                .up = r->stack[UP],
                                .down = r->stack[DOWN],
                                .fine = fine ? FINE_ALL : FINE_NONE};
    if (c->n_shared) {
        r->p.shared_gate = dev_stack_at(r->stack[SHARED_GATE], 0);
        r->p.shared_up = dev_stack_at(r->stack[SHARED_UP], 0);
        r->p.shared_down = dev_stack_at(r->stack[SHARED_DOWN], 0);
        r->p.shared_weight = c->shared_weight ? w->shared_weight : NULL;
    }
}

static void rig_deinit(struct rig *r)
{
    dev_experts_space_free(r->space);
    for (int k = 0; k < N_KIND; k++) dev_stack_free(r->stack[k]);
    dev_mat_free(r->router);
    dev_release(r->d, r->x);
    dev_free(r->d);
}

/* Rows [0, n_tok) in steps of `step`; the result is the caller's. */
static float *run(struct rig *r, const struct weights *w, int n_tok, int step)
{
    size_t e = (size_t)w->c.n_embd;
    float *y = mem_alloc((size_t)n_tok * e * sizeof(float));
    for (int at = 0; at < n_tok; at += step) {
        int n = n_tok - at < step ? n_tok - at : step;
        struct dev_segment seg = {0, n, at, NULL, 0, -1};
        struct dev_batch b = {DEV_SERVE, n, &seg, 1};
        dev_write(r->d, r->x, w->x + (size_t)at * e, (size_t)n * e);
        dev_experts(r->d, &b, &r->p, r->x, r->space);
        dev_read(r->d, y + (size_t)at * e, r->x, (size_t)n * e);
    }
    return y;
}

static void check_case(const struct layer_case *c, enum quant_type type, enum kern_isa isa)
{
    enum { N = 40 };
    struct weights w = weights_new(c, type);
    double *want = mem_alloc(N * MAX_N * sizeof(double));
    bool chosen[N_EXPERT];
    for (int t = 0; t < N; t++) naive_row(&w, w.x + t * c->n_embd, want + t * c->n_embd, chosen);
    for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++) {
        struct rig r;
        rig_init(&r, &w, 2, (enum precision)precision, isa, precision == PRECISION_DETERMINISTIC, NULL);
        float *got = run(&r, &w, N, 23);
        double worst = 0, bound = precision == PRECISION_REFERENCE || type == QUANT_F32 ? 2e-5 : 0.15;
        for (int i = 0; i < N * c->n_embd; i++) worst = fmax(worst, fabs((double)got[i] - want[i]));
        if (!(worst < bound))
            fail_msg("%s on %s, precision %d, %d used: %g off", quants[type]->name, kern_isa_name(isa), precision,
                     c->n_used, worst);
        mem_free(got);
        rig_deinit(&r);
    }
    mem_free(want);
    weights_free(&w);
}

static void test_against_naive(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        for (size_t i = 0; i < N_ELEM(cases); i++) {
            check_case(&cases[i], QUANT_F32, (enum kern_isa)isa);
            check_case(&cases[i], QUANT_F16, (enum kern_isa)isa);
        }
        check_case(&wide_case, QUANT_Q8_0, (enum kern_isa)isa);
        check_case(&wide_case, QUANT_Q4_0, (enum kern_isa)isa);
        check_case(&wide_case, QUANT_Q4_K, (enum kern_isa)isa);
        check_case(&wide_case, QUANT_MXFP4, (enum kern_isa)isa);
    }
}

/* Threads never change a bit; steps do not where the precision promises it. 300 rows fill several runs. */
static void test_same_bits(void **state)
{
    (void)state;
    const struct layer_case *of[] = {&cases[1], &cases[2], &wide_case};
    for (size_t i = 0; i < N_ELEM(of); i++) {
        struct weights w = weights_new(of[i], i == 2 ? QUANT_Q4_0 : QUANT_F16);
        size_t n = (size_t)(MAX_TOK * w.c.n_embd) * sizeof(float);
        for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++) {
            struct rig r[3];
            float *y[3];
            for (int k = 0; k < 3; k++) {
                rig_init(&r[k], &w, 1 + k, (enum precision)precision, kern_isa_detect(), false, NULL);
                y[k] = run(&r[k], &w, MAX_TOK, k < 2 || precision == PRECISION_AUTO ? MAX_TOK : 7);
                rig_deinit(&r[k]);
            }
            assert_memory_equal(y[0], y[1], n);
            assert_memory_equal(y[0], y[2], n);
            for (int k = 0; k < 3; k++) mem_free(y[k]);
        }
        weights_free(&w);
    }
}

/* Experts that no row chose hold NaN: had their products been computed, or added with weight 0, it would be seen. */
static void test_only_chosen_are_read(void **state)
{
    (void)state;
    struct weights w = weights_new(&cases[0], QUANT_F32);
    double want[MAX_N];
    bool chosen[N_EXPERT];
    for (int t = 0; t < 5; t++) {
        naive_row(&w, w.x + t * w.c.n_embd, want, chosen);
        memmove(w.x, w.x + t * w.c.n_embd, (size_t)w.c.n_embd * sizeof(float));
        struct rig r;
        rig_init(&r, &w, 2, PRECISION_AUTO, kern_isa_detect(), false, chosen);
        float *got = run(&r, &w, 1, 1);
        for (int i = 0; i < w.c.n_embd; i++) near_to(got[i], want[i], 2e-5);
        mem_free(got);
        rig_deinit(&r);
    }
    weights_free(&w);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct err e = {0};
    struct dev *d;
    must(dev_cpu_new(&d, &(struct dev_options){1, PRECISION_AUTO, KERN_SCALAR}, &e), &e);
    struct dev_experts_shape shape = {8, 64, N_EXPERT, 2, 48, 32};
    struct dev_stack *s;
    struct dev_experts_space *space;
    for (int i = 1; i < 4; i++) {
        mem_fault_after(i);
        int rc = dev_stack_new(d, &s, QUANT_Q8_0, 4, 64, 64, &e);
        mem_fault_after(0);
        if (!rc) dev_stack_free(s);
        assert_true(rc == 0 || rc == -ERR_NOMEM);
    }
    for (int i = 1; i < 10; i++) {
        mem_fault_after(i);
        assert_int_equal(dev_experts_space_new(d, &space, &shape, &e), -ERR_NOMEM);
        mem_fault_after(0);
    }
    assert_int_equal(dev_stack_new(d, &s, QUANT_F32, SIZE_MAX / 8, 64, 64, &e), -ERR_NOMEM);
    dev_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax_choice),       cmocka_unit_test(test_bias_choice),
        cmocka_unit_test(test_group_choice),         cmocka_unit_test(test_odd_logits),
        cmocka_unit_test(test_against_naive),        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_only_chosen_are_read), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
