/* Quantizations: file blocks against ggml's values bit for bit (tests/data/golden/quant_blocks_a.safetensors, made with
 * ggml), packing against dequantization, and the error that quantizing makes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/formats/safetensors.h"
#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { N_GOLDEN = 6 * 1024 };
static const char golden[] = "tests/data/golden/quant_blocks_a.safetensors";

/* The tensor "TYPE.part" of the golden file, n_bytes of it. */
static void golden_read(const struct safetensors *s, const char *type, const char *part, void *out, size_t n_bytes)
{
    char name[64];
    struct err e = {0};
    snprintf(name, sizeof(name), "%s.%s", type, part);
    const struct tensor_info *t = safetensors_find(s, name);
    if (!t || safetensors_read(s, t, out, 0, n_bytes, &e) != 0) {
        fail_msg("%s: cannot read %s: %s", golden, name, e.msg);
    }
}

static struct safetensors *golden_open(void)
{
    struct safetensors *s;
    struct err e = {0};
    if (safetensors_open(&s, golden, &e) != 0) {
        fail_msg("%s", e.msg);
    }
    return s;
}

static void same_bits(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f32_bits(got[i]) != f32_bits(want[i])) {
            fail_msg("%s: value %zu is %a, should be %a", what, i, (double)got[i], (double)want[i]);
        }
    }
}

static void test_dequantize_equals_ggml(void **state)
{
    (void)state;
    struct safetensors *s = golden_open();
    float *want = mem_alloc(N_GOLDEN * sizeof(float)), *got = mem_alloc(N_GOLDEN * sizeof(float));
    uint8_t *blocks = mem_alloc(N_GOLDEN * 2);
    for (int type = QUANT_Q8_0; type < QUANT_COUNT; type++) {
        const struct quant *q = quants[type];
        golden_read(s, q->name, "blocks", blocks, N_GOLDEN / (size_t)q->block_len * q->block_bytes);
        golden_read(s, q->name, "values", want, N_GOLDEN * sizeof(float));
        q->dequantize(got, blocks, N_GOLDEN);
        same_bits(q->name, got, want, N_GOLDEN);
    }
    mem_free(want);
    mem_free(got);
    mem_free(blocks);
    safetensors_close(s);
}

static void test_quantize_equals_ggml(void **state)
{
    (void)state;
    struct safetensors *s = golden_open();
    float *source = mem_alloc(N_GOLDEN * sizeof(float));
    uint8_t *want = mem_alloc(N_GOLDEN * 2), *got = mem_alloc(N_GOLDEN * 2);
    struct err e = {0};
    const struct tensor_info *t = safetensors_find(s, "source");
    assert_non_null(t);
    assert_int_equal(safetensors_read(s, t, source, 0, N_GOLDEN * sizeof(float), &e), 0);
    for (int type = QUANT_Q8_0; type <= QUANT_Q5_1; type++) {
        const struct quant *q = quants[type];
        size_t n = N_GOLDEN / 32 * q->block_bytes;
        golden_read(s, q->name, "blocks", want, n);
        q->quantize(got, source, N_GOLDEN);
        for (size_t i = 0; i < n; i++) {
            if (got[i] != want[i]) {
                fail_msg("%s: byte %zu of block %zu is %d, ggml has %d", q->name, i % q->block_bytes,
                         i / q->block_bytes, got[i], want[i]);
            }
        }
    }
    mem_free(source);
    mem_free(want);
    mem_free(got);
    safetensors_close(s);
}

/* Sign, exponent, mantissa put together by ldexp: independent of the bit tricks under test. */
static void test_half_precision_values(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int e16 = h >> 10 & 31, e_b = h >> 7 & 255;
        double m16 = h & 1023, m_b = h & 127, sign = h & 0x8000 ? -1.0 : 1.0;
        float f16 = f16_value((uint16_t)h), b16 = bf16_value((uint16_t)h);
        if (e16 < 31) {
            double want = sign * (e16 ? ldexp(m16 + 1024, e16 - 25) : ldexp(m16, -24));
            assert_true((double)f16 == want && f16_bits(f16) == h);
        } else {
            assert_true(m16 != 0 ? isnan(f16) : isinf(f16) && (f16 < 0) == (sign < 0));
        }
        if (e_b < 255) {
            double want = sign * (e_b ? ldexp(m_b + 128, e_b - 134) : ldexp(m_b, -133));
            assert_true((double)b16 == want && bf16_bits(b16) == h);
        }
    }
}

/* Between two neighbours the nearer, in the middle the even one. */
static void test_half_precision_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float a = f16_value((uint16_t)h), b = f16_value((uint16_t)(h + 1)), mid = (a + b) / 2;
        assert_int_equal(f16_bits(mid), h & 1 ? h + 1 : h);
        assert_int_equal(f16_bits(nextafterf(mid, 0)), h);
        assert_int_equal(f16_bits(nextafterf(mid, INFINITY)), h + 1);
        assert_int_equal(f16_bits(-mid), 0x8000 | (h & 1 ? h + 1 : h));
    }
    assert_int_equal(f16_bits(65519.0f), 0x7bff);
    assert_int_equal(f16_bits(65520.0f), 0x7c00);
    assert_int_equal(bf16_bits(1.00390625f), 0x3f80); /* 1 + 2^-8: the middle, even below */
    assert_int_equal(bf16_bits(1.01171875f), 0x3f82); /* 1 + 3 * 2^-8: the middle, even above */
    assert_int_equal(bf16_bits(3.4e38f), 0x7f80);
    assert_true(isnan(bf16_value(bf16_bits(bits_f32(0x7f800001u)))));
}

/* 16 rows of a packed block of a type in the file format, and what they mean. Floats: ordinary values; integers: any
 * code, any small scale, scales of ordinary size for the block. */
struct rows {
    uint8_t file[KERN_ROWS][QUANT_K];
    float values[KERN_ROWS][QUANT_K];
    const void *row[KERN_ROWS];
};

static void row_draw(uint8_t *file, int type, uint64_t stream)
{
    const struct quant *q = quants[type];
    if (q->block_len == 1) {
        float x[KERN_K];
        for (size_t k = 0; k < KERN_K; k++) {
            x[k] = (float)rng_normal(11, stream, k);
        }
        q->quantize(file, x, KERN_K);
        return;
    }
    for (size_t i = 0; i < q->block_bytes; i++) {
        file[i] = (uint8_t)rng_below(256, 11, stream, i);
    }
    uint16_t scale[2] = {f16_bits((float)rng_normal(12, stream, 0)), f16_bits((float)rng_normal(12, stream, 1))};
    quant_set_scales((enum quant_type)type, file, scale);
}

static void rows_draw(struct rows *m, int type)
{
    for (size_t r = 0; r < KERN_ROWS; r++) {
        row_draw(m->file[r], type, (uint64_t)type * KERN_ROWS + r);
        quants[type]->dequantize(m->values[r], m->file[r], (size_t)quants[type]->packed_k);
        m->row[r] = m->file[r];
    }
}

static void same_value(const char *name, const char *reader, size_t r, size_t k, float got, float want)
{
    if (got != want) {
        fail_msg("%s row %zu input %zu: %s %a, should be %a", name, r, k, reader, (double)got, (double)want);
    }
}

static void test_pack_then_read_equals_dequantize(void **state)
{
    (void)state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int type = 0; type < QUANT_COUNT; type++) {
        const struct quant *q = quants[type];
        int n_k = q->block_len == 1 ? 21 : q->packed_k; /* floats may end within a block */
        static struct rows m;
        static float packed[QUANT_K * KERN_ROWS], panel[QUANT_K * KERN_ROWS];
        float rows[KERN_ROWS * KERN_K];
        rows_draw(&m, type);
        m.row[3] = m.row[15] = NULL;
        quant_pack(q, packed, m.row, n_k);
        s.quant[type].panel(panel, packed, 1);
        for (size_t k = 0; k < (size_t)q->packed_k; k++) {
            if (k % KERN_K == 0) {
                s.quant[type].rows(rows, KERN_K, packed, k / KERN_K);
            }
            for (size_t r = 0; r < KERN_ROWS; r++) {
                float want = m.row[r] && (int)k < n_k ? m.values[r][k] : 0.0f;
                same_value(q->name, "panel", r, k, panel[k * KERN_ROWS + r], want);
                same_value(q->name, "rows", r, k, rows[r * KERN_K + k % KERN_K], want);
            }
        }
    }
}

/* Blocks of random bytes with the scales that are given for a deviation have it; a power of two has at least half. */
static void test_random_blocks(void **state)
{
    (void)state;
    enum { N_BLOCK = 200 };
    for (int type = QUANT_Q8_0; type < QUANT_COUNT; type++) {
        const struct quant *q = quants[type];
        double sum = 0, squares = 0, n = N_BLOCK * q->block_len;
        uint16_t scale[2];
        quant_scales_for((enum quant_type)type, 0.02f, scale);
        for (uint64_t b = 0; b < N_BLOCK; b++) {
            uint8_t file[QUANT_K];
            float x[QUANT_K];
            for (size_t i = 0; i < q->block_bytes; i++) {
                file[i] = (uint8_t)rng_below(256, 15, b, i);
            }
            quant_set_scales((enum quant_type)type, file, scale);
            q->dequantize(x, file, (size_t)q->block_len);
            for (int i = 0; i < q->block_len; i++) {
                sum += (double)x[i];
                squares += (double)x[i] * (double)x[i];
            }
        }
        double deviation = sqrt(squares / n) / 0.02;
        if (!(fabs(sum / n) < 0.15 * 0.02) || !(deviation < 1.1 && deviation > (type == QUANT_MXFP4 ? 0.45 : 0.9))) {
            fail_msg("%s: mean %g, deviation %g of the one wanted", q->name, sum / n, deviation);
        }
    }
}

/* Half a step, and what rounding the scale to float16 moves the largest value by; Q4_0 has no code for the largest
 * value with the opposite sign: a whole step. So does Q5_0. */
static void test_quantization_error(void **state)
{
    (void)state;
    for (int type = 0; type <= QUANT_Q5_1; type++) {
        const struct quant *q = quants[type];
        for (uint64_t i = 0; i < 200; i++) {
            float x[KERN_K], y[KERN_K], min = INFINITY, max = -INFINITY, big = 0;
            uint8_t file[KERN_K * 4];
            for (size_t k = 0; k < KERN_K; k++) {
                x[k] = (float)rng_normal(12, i, k) * 0.05f;
                min = fminf(min, x[k]);
                max = fmaxf(max, x[k]);
                big = fmaxf(big, fabsf(x[k]));
            }
            q->quantize(file, x, KERN_K);
            q->dequantize(y, file, KERN_K);
            float range = max - min,
                  step[] = {0, 0, 0, big / 127 / 2, big / 8, range / 15 / 2, big / 16, range / 31 / 2};
            float bound = step[type] + (type == QUANT_F32 ? 0 : big * (type == QUANT_BF16 ? 0x1p-8f : 0x1p-10f));
            for (size_t k = 0; k < KERN_K; k++) {
                if (!(fabsf(x[k] - y[k]) <= bound)) {
                    fail_msg("%s: %g became %g, at most %g off was expected", q->name, (double)x[k], (double)y[k],
                             (double)bound);
                }
            }
        }
    }
}

/* NaN and infinity must not leave the range of a code; what they become is not promised. */
static void test_quantize_survives_anything(void **state)
{
    (void)state;
    static const float hard[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0x1p-149f, 0.0f, 1e-30f};
    for (int type = 0; type <= QUANT_Q5_1; type++) {
        for (size_t i = 0; i < 200; i++) {
            float x[KERN_K], y[KERN_K];
            uint8_t file[KERN_K * 4];
            for (size_t k = 0; k < KERN_K; k++) {
                uint64_t pick = rng_below(12, 13, i, k);
                x[k] = pick < 8 ? hard[pick] : (float)rng_normal(14, i, k);
            }
            quants[type]->quantize(file, x, KERN_K);
            quants[type]->dequantize(y, file, KERN_K);
        }
        float zero[KERN_K] = {0}, y[KERN_K];
        uint8_t file[KERN_K * 4];
        quants[type]->quantize(file, zero, KERN_K);
        quants[type]->dequantize(y, file, KERN_K);
        same_bits("zeros", y, zero, 0);
        for (size_t k = 0; k < KERN_K; k++) {
            assert_true(y[k] == 0);
        }
    }
}

/* Codes move to the nearest that there is, scales stay: less than half a step changes nothing, and what is out of reach
 * stops at the end of the range. */
static void test_move(void **state)
{
    (void)state;
    static const enum quant_type type[] = {QUANT_Q4_0, QUANT_Q4_1, QUANT_Q8_0};
    for (size_t t = 0; t < sizeof(type) / sizeof(type[0]); t++) {
        const struct quant *q = quants[type[t]];
        uint8_t block[64], moved[64];
        float x[32], was[32], now[32], delta[32];
        for (int round = 0; round < 200; round++) {
            for (size_t i = 0; i < 32; i++) {
                x[i] = (float)(2 * rng_unit(5, (uint64_t)round, i) - 1);
            }
            q->quantize(block, x, 32);
            q->dequantize(was, block, 32);
            float d = f16_value((uint16_t)(block[0] | block[1] << 8));
            for (size_t i = 0; i < 32; i++) {
                delta[i] = 0.49f * fabsf(d) * (i % 2 ? 1.0f : -1.0f);
            }
            memcpy(moved, block, sizeof(block));
            q->move(moved, delta, 32);
            assert_memory_equal(moved, block, q->block_bytes);
            float low = INFINITY, high = -INFINITY; /* what the codes can say: from moves that are too far */
            for (size_t far = 0; far < 2; far++) {
                for (size_t i = 0; i < 32; i++) {
                    delta[i] = far ? 1e30f : -1e30f;
                }
                memcpy(moved, block, sizeof(block));
                q->move(moved, delta, 32);
                q->dequantize(now, moved, 32);
                low = fminf(low, now[0]);
                high = fmaxf(high, now[0]);
            }
            for (size_t i = 0; i < 32; i++) {
                delta[i] = (float)(2 * rng_unit(6, (uint64_t)round, i) - 1);
            }
            delta[7] = NAN;
            memcpy(moved, block, sizeof(block));
            q->move(moved, delta, 32);
            q->dequantize(now, moved, 32);
            assert_memory_equal(moved, block, q->scale_at[1] > 0 ? 4 : 2); /* scale, minimum */
            for (size_t i = 0; i < 32; i++) {
                float want = i == 7 ? was[i] : fminf(fmaxf(was[i] + delta[i], low), high);
                if (fabsf(now[i] - want) > 0.5001f * fabsf(d)) {
                    fail_msg("%s: %g moved by %g is %g", q->name, (double)was[i], (double)delta[i], (double)now[i]);
                }
            }
        }
    }
}

static void test_facts(void **state)
{
    (void)state;
    static const char *const name[] = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",   "Q5_0",   "Q5_1",
                                       "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"};
    for (int type = 0; type < QUANT_COUNT; type++) {
        const struct quant *q = quants[type];
        assert_string_equal(q->name, name[type]);
        assert_int_equal(quant_find(name[type]), type);
        double in_file = (double)(KERN_ROWS * q->packed_k / q->block_len) * (double)q->block_bytes;
        assert_true((double)q->packed_bytes <= 1.05 * in_file);
    }
    assert_int_equal(quant_find("q4_1"), QUANT_Q4_1);
    assert_int_equal(quant_find("Q8_K"), -1);
    assert_int_equal(quant_find(""), -1);
    assert_int_equal(quant_find(NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dequantize_equals_ggml),
        cmocka_unit_test(test_quantize_equals_ggml),
        cmocka_unit_test(test_half_precision_values),
        cmocka_unit_test(test_half_precision_rounds_to_even),
        cmocka_unit_test(test_pack_then_read_equals_dequantize),
        cmocka_unit_test(test_random_blocks),
        cmocka_unit_test(test_quantization_error),
        cmocka_unit_test(test_quantize_survives_anything),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
