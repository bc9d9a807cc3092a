/* The searching quantizers: their error beside ggml's on the values that the golden blocks were made from, the same
 * bytes on every instruction set, what weights do, and values that no tensor should hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/formats/safetensors.h"
#include "compute/kernels/quantize.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { N_ROW = 6, N_COL = 1024, N = N_ROW * N_COL };
static const char golden[] = "tests/data/golden/quant_blocks_a.safetensors";

static float source[N], weight[N_COL], ones[N_COL];

static void read_golden(const char *name, void *out, size_t n_bytes)
{
    struct safetensors *s;
    struct err e = {0};
    if (safetensors_open(&s, golden, &e)) {
        fail_msg("%s", e.msg);
    }
    const struct tensor_info *t = safetensors_find(s, name);
    if (!t || safetensors_read(s, t, out, 0, n_bytes, &e)) {
        fail_msg("%s: cannot read %s: %s", golden, name, e.msg);
    }
    safetensors_close(s);
}

static int setup(void **state)
{
    (void)state;
    read_golden("source", source, sizeof(source));
    for (uint64_t i = 0; i < N_COL; i++) {
        ones[i] = 1;
        weight[i] = (float)exp(3 * rng_unit(5, 1, i));
    }
    return 0;
}

/* sum w (x - y)^2 of a row, y its blocks read back */
static double error_of(const struct quant *q, const uint8_t *blocks, const float *x, const float *w)
{
    float y[N_COL];
    double sum = 0;
    q->dequantize(y, blocks, N_COL);
    for (int i = 0; i < N_COL; i++) {
        double d = (double)x[i] - (double)y[i];
        sum += (double)w[i] * d * d;
    }
    return sum;
}

static double sum_squares(const float *x)
{
    double sum = 0;
    for (int i = 0; i < N_COL; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

static size_t row_bytes(const struct quant *q)
{
    return N_COL / (size_t)q->block_len * q->block_bytes;
}

static void test_error_is_not_above_ggml(void **state)
{
    (void)state;
    uint8_t *theirs = mem_alloc(N * 2), *ours = mem_alloc(N * 2);
    for (int type = 0; type < QUANT_COUNT; type++) {
        quantize_fn quantize = quantize_find(KERN_SCALAR, (enum quant_type)type);
        const struct quant *q = quants[type];
        char name[32];
        if (!quantize) {
            continue;
        }
        snprintf(name, sizeof(name), "%s.blocks", q->name);
        read_golden(name, theirs, N_ROW * row_bytes(q));
        for (size_t r = 0; r < N_ROW; r++) {
            quantize(ours, source + r * N_COL, NULL, N_COL);
            double a = error_of(q, ours, source + r * N_COL, ones);
            double b = error_of(q, theirs + r * row_bytes(q), source + r * N_COL, ones);
            /* where values are all equal, chance decides how near a float16 scale comes: half a step of it is 2^-12
             * relative */
            if (!(a <= b * (1 + 1e-6)) && a > 2.4e-7 * sum_squares(source + r * N_COL)) {
                fail_msg("%s, row %zu: squared error %g, ggml's %g", q->name, r, a, b);
            }
        }
    }
    mem_free(theirs);
    mem_free(ours);
}

static void test_weights_lower_the_weighted_error(void **state)
{
    (void)state;
    uint8_t with[2 * N_COL], without[2 * N_COL];
    for (int type = 0; type < QUANT_COUNT; type++) {
        quantize_fn quantize = quantize_find(KERN_SCALAR, (enum quant_type)type);
        if (!quantize) {
            continue;
        }
        quantize(with, source, weight, N_COL);
        quantize(without, source, NULL, N_COL);
        double a = error_of(quants[type], with, source, weight);
        double b = error_of(quants[type], without, source, weight);
        if (!(a < b)) {
            fail_msg("%s: weighted error %g with weights, %g without", quants[type]->name, a, b);
        }
    }
}

/* Quantizing what was quantized before finds the blocks again, or others as good. */
static void test_second_time_changes_nothing(void **state)
{
    (void)state;
    uint8_t blocks[2 * N_COL];
    float y[N_COL];
    for (int type = 0; type < QUANT_COUNT; type++) {
        quantize_fn quantize = quantize_find(KERN_SCALAR, (enum quant_type)type);
        if (!quantize) {
            continue;
        }
        quantize(blocks, source, NULL, N_COL);
        double first = error_of(quants[type], blocks, source, ones);
        quants[type]->dequantize(y, blocks, N_COL);
        quantize(blocks, y, NULL, N_COL);
        double second = error_of(quants[type], blocks, y, ones);
        if (second > 0.02 * first) {
            fail_msg("%s: squared error %g at first, %g again", quants[type]->name, first, second);
        }
    }
}

/* Sub-blocks that fit either sign of their scale, two of them at the largest one, of which there is a negative only:
 * Q6_K finds values again that it can hold exactly. */
static void test_largest_scales_are_found_again(void **state)
{
    (void)state;
    enum { N_BLOCK = 200 };
    uint8_t block[210];
    float x[QUANT_K], y[QUANT_K];
    for (int i = 0; i < N_BLOCK; i++) {
        for (int j = 0; j < QUANT_K; j++) {
            int run = j / 16, scale = run == 3 || run == 9 ? -128 : 60 + run * 4 * (run % 2 ? 1 : -1);
            int q = j % 16 == 5 ? 31 : (int)rng_below(63, 7, (uint64_t)i, (uint64_t)j) - 31;
            x[j] = 0x1p-12f * (float)(scale * (run % 3 ? q : -q));
        }
        quantize_find(KERN_SCALAR, QUANT_Q6_K)(block, x, NULL, QUANT_K);
        quants[QUANT_Q6_K]->dequantize(y, block, QUANT_K);
        assert_memory_equal(x, y, sizeof(x));
    }
}

/* Sub-blocks whose codes end at 14: one more for each code and a minimum lower by a scale mean the same, but no integer
 * stands for that minimum. Q4_K finds the values again whatever they weigh. */
static void test_minima_are_found_again_with_weights(void **state)
{
    (void)state;
    enum { N_BLOCK = 200 };
    uint8_t block[144];
    float x[QUANT_K], y[QUANT_K], w[QUANT_K];
    for (int i = 0; i < N_BLOCK; i++) {
        for (int j = 0; j < QUANT_K; j++) {
            int run = j / 32, scale = run == 3 ? 63 : 36 + 3 * run, minimum = run == 5 ? 63 : 30 + 4 * run;
            double q = round(7 + 3 * rng_normal(8, (uint64_t)i, (uint64_t)j));
            q = j % 32 == 7 ? 0 : (j % 32 == 20 ? 14 : fmax(0, fmin(q, 14)));
            x[j] = 0x1p-12f * (float)(scale * q) - 0x1.8p-10f * (float)minimum;
            w[j] = (float)exp(2 * rng_normal(9, (uint64_t)i, (uint64_t)j));
        }
        quantize_find(KERN_SCALAR, QUANT_Q4_K)(block, x, w, QUANT_K);
        quants[QUANT_Q4_K]->dequantize(y, block, QUANT_K);
        assert_memory_equal(x, y, sizeof(x));
    }
}

/* A block that has any scale and minimum: the stored minimum is the best one beside the stored scale. */
static void test_minimum_is_best_for_the_scale(void **state)
{
    (void)state;
    uint8_t row[N_COL / 32 * 20], other[sizeof(row)];
    float x[N_COL];
    for (uint64_t i = 0; i < N_COL; i++) {
        uint64_t b = i / 32;
        uint64_t q = i % 32 == 7 ? 0 : (i % 32 == 20 ? 15 : rng_below(16, 8, 3, i));
        x[i] = (float)((1 + rng_unit(8, 4, b)) * (double)q - 5 - 5 * rng_unit(8, 5, b));
    }
    quantize_find(KERN_SCALAR, QUANT_Q4_1)(row, x, NULL, N_COL);
    double least = error_of(quants[QUANT_Q4_1], row, x, ones);
    for (size_t b = 0; b < N_COL / 32; b++) {
        for (int step = -1; step <= 1; step += 2) {
            memcpy(other, row, sizeof(row));
            other[20 * b + 2] = (uint8_t)(other[20 * b + 2] + step); /* the last place of the minimum */
            double err = error_of(quants[QUANT_Q4_1], other, x, ones);
            if (err < least) {
                fail_msg("block %zu: squared error %.9g, with the next minimum %.9g", b, least, err);
            }
        }
    }
}

/* Rows of zeros, constants, tiny and huge values, and values that are not finite. */
static void fill_extreme(float *x, int kind)
{
    for (uint64_t i = 0; i < N_COL; i++) {
        float v = source[i];
        x[i] = kind == 0   ? 0
               : kind == 1 ? -3.5f
               : kind == 2 ? v * 1e-9f
               : kind == 3 ? v * 1e30f
               : kind == 4 ? (i % 7 ? v : NAN)
               : kind == 5 ? (i % 9 ? v : INFINITY)
               : kind == 6 ? fabsf(v) + 1
                           : (i % 64 == 5 ? 1e4f : v);
    }
}

static void test_every_level_gives_the_same_bytes(void **state)
{
    (void)state;
    enum kern_isa best = kern_isa_detect();
    uint8_t want[2 * N_COL], got[2 * N_COL];
    float x[N_COL], y[N_COL];
    for (int type = 0; type < QUANT_COUNT; type++) {
        quantize_fn scalar = quantize_find(KERN_SCALAR, (enum quant_type)type);
        for (int kind = 0; scalar && kind < 8; kind++) {
            fill_extreme(x, kind);
            scalar(want, x, kind % 2 ? weight : NULL, N_COL);
            quants[type]->dequantize(y, want, N_COL);
            for (int i = 0; i < N_COL; i++) {
                assert_true(isfinite(y[i]));
            }
            for (int isa = KERN_AVX2; isa <= (int)best; isa++) {
                memset(got, 0xa5, sizeof(got));
                quantize_find((enum kern_isa)isa, (enum quant_type)type)(got, x, kind % 2 ? weight : NULL, N_COL);
                if (memcmp(got, want, row_bytes(quants[type]))) {
                    fail_msg("%s, values %d: %s and scalar differ", quants[type]->name, kind,
                             kern_isa_name((enum kern_isa)isa));
                }
            }
        }
    }
}

static void test_useless_weights_are_no_weights(void **state)
{
    (void)state;
    static const float useless[] = {0, -1, NAN, INFINITY};
    uint8_t want[2 * N_COL], got[2 * N_COL];
    float w[N_COL];
    quantize_fn quantize = quantize_find(KERN_SCALAR, QUANT_Q4_K);
    quantize(want, source, NULL, N_COL);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < N_COL; i++) {
            w[i] = useless[k];
        }
        quantize(got, source, w, N_COL);
        assert_memory_equal(got, want, row_bytes(quants[QUANT_Q4_K]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_is_not_above_ggml),
        cmocka_unit_test(test_weights_lower_the_weighted_error),
        cmocka_unit_test(test_second_time_changes_nothing),
        cmocka_unit_test(test_every_level_gives_the_same_bytes),
        cmocka_unit_test(test_useless_weights_are_no_weights),
        cmocka_unit_test(test_largest_scales_are_found_again),
        cmocka_unit_test(test_minima_are_found_again_with_weights),
        cmocka_unit_test(test_minimum_is_best_for_the_scale),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
