/* Optimizers: Lion and Adafactor against their formulas in double, AdamW with 8 bits against AdamW on a problem with a
 * known end, bits that do not depend on threads, a state that goes on where it was; and what schedules end at. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base/attr.h"
#include "ground/base/rng.h"
#include "lifecycle/train/optimizer.h"
#include "lifecycle/train/schedule.h"

enum { N = 1000, ROWS = 24, COLS = 40 };

static struct dev *device(int n_thread)
{
    struct err e;
    struct dev *d;
    const struct dev_options o = {.n_thread = n_thread, .precision = PRECISION_AUTO, .isa = kern_isa_detect()};
    if (dev_cpu_new(&d, &o, &e) != 0) fail_msg("%s", e.msg);
    return d;
}

static float *on_device(struct dev *d, const float *x, size_t n)
{
    struct err e;
    float *p;
    if (dev_alloc(d, &p, n, &e) != 0) fail_msg("%s", e.msg);
    if (x != NULL) dev_write(d, p, x, n);
    return p;
}

static float draw(uint64_t what, size_t i)
{
    return (float)rng_normal(9, what, i);
}

static void near(double got, double want, double size)
{
    if (!(fabs(got - want) <= 1e-5 * size)) fail_msg("%.9g, %.9g is right", got, want);
}

/* --- against formulas --- */

static void test_lion(void **state)
{
    (void)state;
    struct dev *d = device(3);
    double p[N], m[N] = {0};
    float host[N];
    const struct dev_adamw o = {.lr = 0.01f, .b1 = 0.9f, .b2 = 0.99f, .decay = 0.1f};
    for (size_t i = 0; i < N; i++) p[i] = (double)(host[i] = draw(0, i));
    float *dp = on_device(d, host, N), *dm = on_device(d, NULL, N), *dg = on_device(d, NULL, N);
    for (uint64_t step = 1; step <= 5; step++) {
        for (size_t i = 0; i < N; i++) host[i] = i % 7 == 0 ? 0 : draw(step, i); /* some parameters have no gradient */
        dev_write(d, dg, host, N);
        dev_lion(d, dp, dm, dg, N, &o);
        for (size_t i = 0; i < N; i++) {
            double u = 0.9 * m[i] + 0.1 * (double)host[i];
            p[i] -= 0.01 * ((u > 0) - (u < 0) + 0.1 * p[i]);
            m[i] = 0.99 * m[i] + 0.01 * (double)host[i];
        }
    }
    dev_read(d, host, dp, N);
    for (size_t i = 0; i < N; i++) near((double)host[i], p[i], 1);
    dev_release(d, dp), dev_release(d, dm), dev_release(d, dg);
    dev_free(d);
}

/* One step of algorithm 4, written down plainly. */
static void plain_adafactor(double *p, double *row, double *col, const float *g, int n_row, int n_col, double keep)
{
    double *u = calloc((size_t)(n_row * n_col), sizeof(*u)), mean = 0, rms = 0;
    for (int r = 0; r < n_row; r++) {
        double sum = 0;
        for (int c = 0; c < n_col; c++) sum += (double)g[r * n_col + c] * (double)g[r * n_col + c] + 1e-30;
        row[r] = keep * row[r] + (1 - keep) * sum / n_col;
        mean += row[r] / n_row;
    }
    for (int c = 0; c < n_col && n_col > 1; c++) {
        double sum = 0;
        for (int r = 0; r < n_row; r++) sum += (double)g[r * n_col + c] * (double)g[r * n_col + c] + 1e-30;
        col[c] = keep * col[c] + (1 - keep) * sum / n_row;
    }
    for (int i = 0; i < n_row * n_col; i++) {
        double v = n_col > 1 ? row[i / n_col] * col[i % n_col] / mean : row[i];
        u[i] = (double)g[i] / sqrt(v);
        rms += u[i] * u[i] / (n_row * n_col);
    }
    double shrink = fmax(1, sqrt(rms));
    for (int i = 0; i < n_row * n_col; i++) p[i] -= 0.01 * (0.1 * p[i] + u[i] / shrink);
    free(u);
}

static void adafactor(int n_row, int n_col)
{
    struct dev *d = device(3);
    size_t n = (size_t)(n_row * n_col);
    double *p = calloc(n, sizeof(*p)), row[N] = {0}, col[N] = {0}, scratch[N];
    float *host = calloc(n, sizeof(*host));
    for (size_t i = 0; i < n; i++) p[i] = (double)(host[i] = draw(0, i));
    float *dp = on_device(d, host, n), *dg = on_device(d, NULL, n);
    float *drow = on_device(d, NULL, (size_t)n_row), *dcol = on_device(d, NULL, (size_t)n_col);
    for (int step = 1; step <= 5; step++) {
        double keep = 1 - pow(step, -0.8);
        const struct dev_adafactor o = {.lr = 0.01f, .decay = 0.1f, .keep = (float)keep, .floor = 1e-30f, .clip = 1};
        for (size_t i = 0; i < n; i++) host[i] = (float)step * draw((uint64_t)step, i) * (float)(1 + i % 5);
        dev_write(d, dg, host, n);
        dev_adafactor(d, dp, drow, n_col > 1 ? dcol : NULL, dg, (size_t)n_row, (size_t)n_col, &o, scratch);
        plain_adafactor(p, row, col, host, n_row, n_col, keep);
    }
    dev_read(d, host, dp, n);
    for (size_t i = 0; i < n; i++) near((double)host[i], p[i], 2);
    dev_release(d, dp), dev_release(d, dg), dev_release(d, drow), dev_release(d, dcol);
    free(p), free(host);
    dev_free(d);
}

static void test_adafactor(void **state)
{
    (void)state;
    adafactor(ROWS, COLS);
    adafactor(N, 1);
}

/* --- 8 bits --- */

/* The gradient of a quadratic of very different curvatures, with noise: where it is steepest 10^4 times the flattest.
 */
static void noisy_gradient(const float *p, float *g, uint64_t step)
{
    for (size_t i = 0; i < N; i++) {
        float curve = powf(10, (float)(i % 5) - 2);
        g[i] = curve * (p[i] - 1 + 0.2f * draw(step + 1, i));
    }
}

/* Distance from the minimum after n_step steps; the parameters at the end into out. */
static double descend(int n_thread, enum train_optimizer kind, uint64_t n_step, uint64_t cut, float *out)
{
    struct err e;
    struct dev *d = device(n_thread);
    const struct train_config c = {.optimizer = kind, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .seed = 4};
    struct optimizer *o;
    float g[N];
    double sum = 0;
    memset(out, 0, N * sizeof(*out));
    float *dp = on_device(d, out, N), *dg = on_device(d, NULL, N);
    if (optimizer_new(&o, d, &c, N, NULL, &e) != 0) fail_msg("%s", e.msg);
    for (uint64_t step = 0; step < n_step; step++) {
        if (step == cut) { /* the state goes through a checkpoint */
            size_t n;
            float *state = optimizer_state(o, &n), *kept = calloc(n, sizeof(*kept));
            dev_read(d, kept, state, n);
            optimizer_free(o);
            if (optimizer_new(&o, d, &c, N, NULL, &e) != 0) fail_msg("%s", e.msg);
            dev_write(d, optimizer_state(o, &n), kept, n);
            free(kept);
        }
        dev_read(d, out, dp, N);
        noisy_gradient(out, g, step);
        dev_write(d, dg, g, N);
        optimizer_step(o, dp, dg, 0.02 * (1 - (double)step / (double)n_step), step);
    }
    dev_read(d, out, dp, N);
    for (size_t i = 0; i < N; i++) sum += ((double)out[i] - 1) * ((double)out[i] - 1) / N;
    optimizer_free(o);
    dev_release(d, dp), dev_release(d, dg);
    dev_free(d);
    return sqrt(sum);
}

static void test_codes(void **state)
{
    (void)state;
    float whole[N], cut[N], threads[N];
    double full = descend(2, OPTIMIZER_ADAMW, 400, UINT64_MAX, whole);
    double codes = descend(1, OPTIMIZER_ADAMW8, 400, UINT64_MAX, whole);
    assert_true(full < 0.05);
    if (!(codes < 2 * full)) fail_msg("with 8 bits %g from the minimum, with 32 %g", codes, full);
    descend(1, OPTIMIZER_ADAMW8, 400, 137, cut);
    assert_memory_equal(whole, cut, sizeof(whole));
    descend(3, OPTIMIZER_ADAMW8, 400, UINT64_MAX, threads);
    assert_memory_equal(whole, threads, sizeof(whole));
}

/* A second moment that falls by a hundredth a step falls, and does not stay between two codes. */
static void test_codes_fade(void **state)
{
    (void)state;
    struct dev *d = device(1);
    float p[DEV_CODE_BLOCK] = {0}, g[DEV_CODE_BLOCK], scale[2] = {0};
    uint8_t m[DEV_CODE_BLOCK] = {0}, v[DEV_CODE_BLOCK] = {0};
    struct dev_codes c = {m, v, &scale[0], &scale[1], 1, 0};
    const struct dev_adamw o = {.lr = 0, .b1 = 0.9f, .b2 = 0.99f, .eps = 1e-8f, .c1 = 1, .c2 = 1};
    for (int i = 0; i < DEV_CODE_BLOCK; i++) g[i] = i == 0 ? 2 : 1; /* the first one keeps the scale */
    for (c.step = 0; c.step < 300; c.step++) {
        dev_adamw8(d, p, &c, g, DEV_CODE_BLOCK, &o);
        for (int i = 1; i < DEV_CODE_BLOCK; i++) g[i] = c.step < 150 ? 1 : 0;
    }
    double mean = 0, want = (1 - pow(0.99, 151)) * pow(0.99, 149);
    for (int i = 1; i < DEV_CODE_BLOCK; i++) {
        float t = (float)v[i] / 255;
        mean += (double)(scale[1] * t * t * t * t * t * t) / (DEV_CODE_BLOCK - 1);
    }
    if (!(fabs(mean / want - 1) < 0.05)) fail_msg("second moments of %g, %g is right", mean, want);
    dev_free(d);
}

/* --- schedules --- */

static void test_min_lr(void **state)
{
    (void)state;
    struct train_config c = {.lr = 1e-3, .min_lr = 1e-4, .warmup_steps = 2, .schedule = SCHEDULE_LINEAR};
    assert_true(fabs(train_lr(&c, 0, 12) - 5e-4) < 1e-12);
    assert_true(fabs(train_lr(&c, 2, 12) - 1e-3) < 1e-12);
    assert_true(fabs(train_lr(&c, 7, 12) - 5.5e-4) < 1e-12);
    c.schedule = SCHEDULE_COSINE;
    assert_true(fabs(train_lr(&c, 7, 12) - 5.5e-4) < 1e-12);
    assert_true(train_lr(&c, 11, 12) > 1e-4 && train_lr(&c, 11, 12) < 1.3e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lion), cmocka_unit_test(test_adafactor),
                                       cmocka_unit_test(test_codes), cmocka_unit_test(test_codes_fade),
                                       cmocka_unit_test(test_min_lr)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
