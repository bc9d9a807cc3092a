/* Checks of one kernel table against the scalar one, run by test_kern.c on every level this CPU has and by
 * test_kern_emulated.c on the emulated ones. Every array ends at a page that may not be touched. Where the contract
 * (kern.h) promises equal bits, bits are compared; else the tolerance is relative to the sum of absolute products. */
#ifndef TESTS_KERN_CHECKS_H
#define TESTS_KERN_CHECKS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_int.h"
#include "ground/base/rng.h"

/* --- memory whose end is guarded --- */

struct guard {
    void *map;
    size_t map_size;
};
static struct guard guards[64];
static size_t n_guard;

/* n bytes, zeroed, the byte after them in a page without access */
static void *guarded(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (n + page - 1) / page * page;
    char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED && n_guard < sizeof(guards) / sizeof(guards[0]));
    assert_int_equal(mprotect(map + size, page, PROT_NONE), 0);
    guards[n_guard++] = (struct guard){map, size + page};
    return map + size - n;
}

static float *floats(size_t n)
{
    return guarded(n * sizeof(float));
}

static void guards_free(void)
{
    while (n_guard > 0) {
        n_guard--;
        munmap(guards[n_guard].map, guards[n_guard].map_size);
    }
}

/* --- input --- */

static const uint64_t seed = 7;
static uint64_t draw;

static size_t up_to(size_t n)
{
    return 1 + (size_t)rng_below(n, seed, 1, draw++);
}

/* 1, sizes around the widths of vectors and tiles, or anything up to max */
static size_t odd_size(size_t max)
{
    static const size_t edge[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 129};
    size_t i = up_to(20) - 1, n = i < 16 ? edge[i] : up_to(max);
    return n < max ? n : max;
}

static float *ordinary(size_t n)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)rng_normal(seed, 2, draw++);
    }
    return x;
}

/* Ordinary values with zeros, subnormals, huge ones, infinities and NaN among them. */
static float *extreme(size_t n)
{
    static const float hard[] = {0.0f,     -0.0f,   0x1p-149f, -0x1p-127f, 1e30f,    -3e38f,   88.7f,
                                 88.9f,    -87.5f,  -103.9f,   -104.1f,    65504.0f, 65520.0f, 1e-7f,
                                 INFINITY, -1e-40f, 0x1p-24f,  NAN,        -INFINITY};
    float *x = ordinary(n);
    for (size_t i = 0; i < n; i++) {
        if (up_to(4) == 1) {
            x[i] = hard[up_to(sizeof(hard) / sizeof(hard[0])) - 1];
        }
    }
    return x;
}

static float *copied(const float *x, size_t n)
{
    float *y = floats(n);
    memcpy(y, x, n * sizeof(float));
    return y;
}

static void same_bits(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f32_bits(got[i]) != f32_bits(want[i]) && !(isnan(got[i]) && isnan(want[i]))) {
            fail_msg("%s: value %zu of %zu is %a, scalar gives %a", what, i, n, (double)got[i], (double)want[i]);
        }
    }
}

static void same_bytes(const char *what, const void *got, const void *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int a = ((const uint8_t *)got)[i], b = ((const uint8_t *)want)[i];
        if (a != b) {
            fail_msg("%s: byte %zu of %zu is %d, scalar gives %d", what, i, n, a, b);
        }
    }
}

/* --- products --- */

struct product {
    size_t n_row, n_col, n_k, ldy, x_row, x_k, ldp;
    float *x, *p, *y; /* y: what stands there before */
};

static struct product product_draw(void)
{
    struct product g = {.n_row = odd_size(40), .n_col = odd_size(150), .n_k = odd_size(600)};
    bool transposed = up_to(2) == 1;
    g.ldy = g.n_col + (up_to(2) == 1 ? 0 : 3);
    g.ldp = g.n_col + (up_to(2) == 1 ? 0 : 5);
    g.x_row = transposed ? 1 : g.n_k + 2;
    g.x_k = transposed ? g.n_row + 1 : 1;
    g.x = ordinary((g.n_row - 1) * g.x_row + (g.n_k - 1) * g.x_k + 1);
    g.p = ordinary((g.n_k - 1) * g.ldp + g.n_col);
    g.y = ordinary((g.n_row - 1) * g.ldy + g.n_col);
    return g;
}

static float *product_run(const struct product *g, kern_gemm_fn gemm, bool accumulate)
{
    float *y = copied(g->y, (g->n_row - 1) * g->ldy + g->n_col);
    gemm(y, g->ldy, g->x, g->x_row, g->x_k, g->p, g->ldp, g->n_row, g->n_col, g->n_k, accumulate);
    return y;
}

static void check_gemm_ref(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < 150; i++, guards_free()) {
        struct product g = product_draw();
        size_t n = (g.n_row - 1) * g.ldy + g.n_col;
        same_bits("gemm_ref", product_run(&g, k->gemm_ref, i % 2), product_run(&g, s.gemm_ref, i % 2), n);
    }
}

/* Every output near the exact sum, the columns between rows untouched. */
static void product_close(const struct product *g, const float *y, bool accumulate)
{
    for (size_t i = 0; i < (g->n_row - 1) * g->ldy + g->n_col; i++) {
        size_t r = i / g->ldy, c = i % g->ldy;
        double want = c < g->n_col && !accumulate ? 0 : (double)g->y[i], size = fabs(want);
        for (size_t k = 0; c < g->n_col && k < g->n_k; k++) {
            double t = (double)g->x[r * g->x_row + k * g->x_k] * (double)g->p[k * g->ldp + c];
            want += t;
            size += fabs(t);
        }
        if (!(fabs((double)y[i] - want) <= 1e-6 * size)) {
            fail_msg("gemm_f32 %zu x %zu x %zu: row %zu column %zu is %g, should be %g", g->n_row, g->n_col, g->n_k, r,
                     c, (double)y[i], want);
        }
    }
}

static void check_gemm_f32(void **state)
{
    const struct kern *k = *state;
    for (int i = 0; i < 150; i++, guards_free()) {
        struct product g = product_draw();
        float *y = product_run(&g, k->gemm_f32, i % 2);
        product_close(&g, y, i % 2);
        /* a row alone has the bits that it has among others */
        struct product one = g;
        size_t r = up_to(g.n_row) - 1;
        one.n_row = 1;
        one.x += r * g.x_row;
        one.y += r * g.ldy;
        same_bits("gemm_f32, one row", product_run(&one, k->gemm_f32, i % 2), y + r * g.ldy, g.n_col);
    }
}

/* --- quantizations --- */

/* What one row has for a packed block: random bytes of the file format with scales of every kind, so that all codes
 * occur; floats: ordinary values, and the scales. */
static void file_draw(int type, uint8_t *file, bool finite)
{
    static const uint16_t scale[] = {0,      0x8000, 1,      0x03ff, 0x3c00, 0xbc00,
                                     0x2e66, 0x1234, 0x7bff, 0x7c00, 0xfc00, 0x7e01};
    const struct quant *q = quants[type];
    size_t n_scale = finite ? 8 : sizeof(scale) / sizeof(scale[0]);
    for (size_t i = 0; i < KERN_K && q->block_len == 1; i++) {
        float v = up_to(3) == 1 ? f16_value(scale[up_to(n_scale) - 1]) : (float)rng_normal(seed, 4, draw++);
        q->quantize(file + i * q->block_bytes, &v, 1);
    }
    for (size_t i = 0; i < q->block_bytes && q->block_len > 1; i++) {
        file[i] = (uint8_t)rng_below(256, seed, 3, draw++);
    }
    const uint16_t h[2] = {scale[up_to(n_scale) - 1], scale[up_to(n_scale) - 1]};
    if (type != QUANT_MXFP4 || finite) { /* any exponent is a scale */
        quant_set_scales((enum quant_type)type, file, h);
    }
}

static void *packed_draw(int type, size_t n_block, bool finite)
{
    const struct quant *q = quants[type];
    uint8_t *packed = guarded(n_block * q->packed_bytes), file[KERN_ROWS][QUANT_K];
    for (size_t b = 0; b < n_block; b++) {
        const void *row[KERN_ROWS];
        for (size_t r = 0; r < KERN_ROWS; r++) {
            file_draw(type, file[r], finite);
            row[r] = up_to(8) == 1 ? NULL : file[r];
        }
        quant_pack(q, packed + b * q->packed_bytes, row, q->packed_k);
    }
    return packed;
}

/* Packed blocks of a type that make at most so many parts of 32 inputs, at least one. */
static size_t blocks_up_to(int type, size_t n_part)
{
    size_t n = n_part * KERN_K / (size_t)quants[type]->packed_k;
    return up_to(n ? n : 1);
}

static void check_readers(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < 20 * QUANT_COUNT; i++, guards_free()) {
        int type = i % QUANT_COUNT;
        size_t n_block = blocks_up_to(type, 16), n = n_block * (size_t)quants[type]->packed_k * KERN_ROWS;
        size_t ld = KERN_K + up_to(9) - 1, part = up_to((size_t)quants[type]->packed_k / KERN_K) - 1;
        void *packed = packed_draw(type, n_block, false);
        float *a = floats(n), *b = floats(n);
        k->quant[type].panel(a, packed, n_block);
        s.quant[type].panel(b, packed, n_block);
        same_bits(quants[type]->name, a, b, n);
        void *last = (char *)packed + (n_block - 1) * quants[type]->packed_bytes;
        float *c = ordinary((KERN_ROWS - 1) * ld + KERN_K), *d = copied(c, (KERN_ROWS - 1) * ld + KERN_K);
        k->quant[type].rows(c, ld, last, part);
        s.quant[type].rows(d, ld, last, part);
        same_bits(quants[type]->name, c, d, (KERN_ROWS - 1) * ld + KERN_K);
    }
}

static struct q8_rows q8_room(size_t n_row, size_t n_k, bool fine, const uint8_t *wide)
{
    return (struct q8_rows){.fine = fine,
                            .wide = wide,
                            .q = guarded(n_row * n_k * (fine ? 2 : 1)),
                            .d = guarded(n_row * n_k / KERN_K * sizeof(float)),
                            .sum = guarded(n_row * n_k / KERN_K * sizeof(int32_t)),
                            .sum16 = guarded(n_row * n_k / 16 * sizeof(int32_t)),
                            .n_k = n_k};
}

/* Of one byte, two, or two in some blocks. */
static struct q8_rows q8_draw(size_t n_row, size_t n_k)
{
    bool fine = up_to(3) > 1;
    uint8_t *wide = fine && up_to(2) == 1 ? guarded(n_k / KERN_K) : NULL;
    for (size_t b = 0; wide && b < n_k / KERN_K; b++) {
        wide[b] = up_to(2) == 1;
    }
    return q8_room(n_row, n_k, fine, wide);
}

/* Fine value j of all rows. */
static int32_t q16_at(const struct q8_rows *x, size_t j)
{
    const int8_t *q = x->q + j / KERN_K * 2 * KERN_K + j % KERN_K;
    assert_true(q[0] >= -127 && q[KERN_K] >= -127);
    bool wide = q8_is_wide(x, j % x->n_k / KERN_K);
    assert_true(wide || q[KERN_K] == 0);
    return wide ? 256 * q[0] + q[KERN_K] : q[0];
}

static void check_quantize_q8(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < 100; i++, guards_free()) {
        size_t n_row = up_to(5), n_in = odd_size(400), n_k = (n_in + KERN_K - 1) / KERN_K * KERN_K,
               ldx = n_in + up_to(4) - 1;
        size_t n = (n_row - 1) * ldx + n_in, n_scale = n_row * n_k / KERN_K;
        float *x = i % 2 ? extreme(n) : ordinary(n);
        struct q8_rows a = q8_draw(n_row, n_k), b = q8_room(n_row, n_k, a.fine, a.wide);
        k->quantize_q8(&a, x, ldx, n_row, n_in);
        s.quantize_q8(&b, x, ldx, n_row, n_in);
        same_bytes("quantize_q8 q", a.q, b.q, n_row * n_k * q8_bytes(&a));
        same_bits("quantize_q8 d", a.d, b.d, n_scale);
        same_bytes("quantize_q8 sum", a.sum, b.sum, n_scale * sizeof(int32_t));
        same_bytes("quantize_q8 sum16", a.sum16, b.sum16, 2 * n_scale * sizeof(int32_t));
        for (size_t j = 0; j < n_row * n_k; j++) {
            int32_t v = b.fine ? q16_at(&b, j) : b.q[j];
            b.sum[j / KERN_K] -= v;
            b.sum16[j / 16] -= v;
        }
        for (size_t j = 0; j < 2 * n_scale; j++) {
            assert_true(b.sum[j / 2] == 0 && b.sum16[j] == 0);
        }
    }
}

/* Activations of -127 and 127 only: what would overflow 16 bits does so here, with the largest codes. */
static void saturate(struct q8_rows *x, size_t n_row)
{
    size_t n_byte = q8_bytes(x);
    for (size_t b = 0; b < n_row * x->n_k / KERN_K; b++) {
        int8_t byte = up_to(2) == 1 ? 127 : -127;
        bool wide = q8_is_wide(x, b % (x->n_k / KERN_K));
        int32_t v = wide ? 257 * byte : byte;
        memset(x->q + b * KERN_K * n_byte, byte, wide ? 2 * KERN_K : KERN_K);
        x->sum[b] = v * KERN_K;
        x->sum16[2 * b] = x->sum16[2 * b + 1] = v * 16;
    }
}

/* A byte whose codes are the farthest from zero. */
static int extreme_codes(int type)
{
    bool table = type == QUANT_IQ4_NL || type == QUANT_IQ4_XS;
    return type == QUANT_Q8_0 ? 0x80 : (type == QUANT_MXFP4 ? 0x77 : (table ? 0 : 0xff));
}

/* One row alone, whole and cut between two blocks, has the bits that it has among others. */
static void check_cut(const struct kern *k, int type, const char *packed, struct q8_rows x, size_t n_block)
{
    float *whole = floats(KERN_ROWS), *cut = floats(KERN_ROWS);
    size_t first = up_to(n_block), packed_k = (size_t)quants[type]->packed_k;
    struct q8_rows rest = q8_rows_from(&x, 0, first * packed_k);
    k->quant[type].gemm_q8(whole, KERN_ROWS, packed, 0, 1, &x, 1, n_block, false);
    k->quant[type].gemm_q8(cut, KERN_ROWS, packed, 0, 1, &x, 1, first, false);
    k->quant[type].gemm_q8(cut, KERN_ROWS, packed + first * quants[type]->packed_bytes, 0, 1, &rest, 1, n_block - first,
                           true);
    same_bits("gemm_q8, cut", whole, cut, KERN_ROWS);
}

/* Draws a type: fewer where each is ten times as slow. The first have 1, 2, 3 ... rows, since up to 24 each number has
 * a kernel of its own. */
#if defined(__SANITIZE_ADDRESS__)
enum { Q8_DRAWS = 20 };
#else
enum { Q8_DRAWS = 60 };
#endif

static void check_gemm_q8(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < Q8_DRAWS * (QUANT_COUNT - QUANT_Q8_0); i++, guards_free()) {
        int type = QUANT_Q8_0 + i / Q8_DRAWS;
        size_t n_block = blocks_up_to(type, 24), n_k = n_block * (size_t)quants[type]->packed_k;
        size_t nth = (size_t)(i % Q8_DRAWS), n_row = nth < 24 ? nth + 1 : odd_size(i % 8 == 0 ? 80 : 40);
        size_t skip = up_to(3) - 1, n_group = up_to(3), n_col = n_group * KERN_ROWS;
        n_k += (up_to(2) - 1) * KERN_K;
        size_t ldy = n_col + up_to(3) - 1, n = (n_row - 1) * ldy + n_col;
        size_t group_bytes = n_block * quants[type]->packed_bytes;
        void *packed = packed_draw(type, n_block * n_group, i % 4 != 0);
        struct q8_rows x = q8_draw(skip + n_row, n_k);
        s.quantize_q8(&x, ordinary((skip + n_row) * n_k), n_k, skip + n_row, n_k);
        if (i % 5 == 0) {
            saturate(&x, skip + n_row);
            memset((char *)packed + 64, extreme_codes(type), quants[type]->packed_bytes - 64);
        }
        float *a = ordinary(n), *b = copied(a, n);
        struct q8_rows from = q8_rows_from(&x, skip, 0);
        bool add = up_to(2) == 1;
        k->quant[type].gemm_q8(a, ldy, packed, group_bytes, n_group, &from, n_row, n_block, add);
        s.quant[type].gemm_q8(b, ldy, packed, group_bytes, n_group, &from, n_row, n_block, add);
        same_bits(quants[type]->name, a, b, n);
        check_cut(k, type, packed, q8_rows_from(&from, up_to(n_row) - 1, 0), n_block);
    }
}

/* --- conversions --- */

static void check_conversions(void **state)
{
    const struct kern *k = *state;
    enum { N = 4099 };
    for (uint64_t first = 0; first <= UINT32_MAX; first += (1u << 27) - 12345, guards_free()) {
        float *x = floats(N);
        uint16_t *h = guarded(N * 2), *b = guarded(N * 2);
        for (uint32_t i = 0; i < N; i++) {
            x[i] = bits_f32((uint32_t)first + i * 32749);
        }
        k->f32_to_f16(h, x, N);
        float times = first & 1 ? 16.0f : 1.0f;
        k->f32_to_bf16(b, x, N, times);
        for (size_t i = 0; i < N; i++) {
            if (h[i] != f16_bits(x[i]) || b[i] != bf16_bits(x[i] * times)) {
                fail_msg("%a as float16 is %04x, as bfloat16 %04x; scalar gives %04x, %04x", (double)x[i], h[i], b[i],
                         f16_bits(x[i]), bf16_bits(x[i] * times));
            }
        }
    }
    uint16_t *h = guarded(65536 * 2);
    float *a = floats(65536), *b = floats(65536);
    for (uint32_t i = 0; i < 65536; i++) {
        h[i] = (uint16_t)i;
        b[i] = f16_value(h[i]);
    }
    k->f16_to_f32(a, h, 65536);
    same_bits("f16_to_f32", a, b, 65536);
    guards_free();
}

/* --- rows --- */

/* Outputs a (of k) and b (of scalar), equal before; inputs x, y, z. */
struct rows {
    size_t n;
    const float *x, *y, *z;
    float *a[3], *b[3];
    float ret_a, ret_b;
};

static struct rows rows_draw(int round)
{
    struct rows c = {.n = odd_size(300)};
    c.x = round % 2 ? extreme(c.n) : ordinary(c.n);
    c.y = round % 4 == 3 ? extreme(c.n) : ordinary(c.n);
    c.z = ordinary(c.n);
    for (int i = 0; i < 3; i++) {
        c.a[i] = ordinary(c.n);
        c.b[i] = copied(c.a[i], c.n);
    }
    return c;
}

static void rows_same(const char *what, const struct rows *c)
{
    for (int i = 0; i < 3; i++) {
        same_bits(what, c->a[i], c->b[i], c->n);
    }
    same_bits(what, &c->ret_a, &c->ret_b, 1);
}

/* One call on both tables, K and OUT standing for each in turn. */
#define CHECK_ROWS(name, call)                  \
    static void check_##name(void **state)      \
    {                                           \
        const struct kern *k = *state;          \
        struct kern s;                          \
        kern_fill(&s, KERN_SCALAR);             \
        for (int i = 0; i < 120; i++) {         \
            struct rows c = rows_draw(i);       \
            const struct kern *K = k;           \
            float **out = c.a, *ret = &c.ret_a; \
            call;                               \
            K = &s;                             \
            out = c.b;                          \
            ret = &c.ret_b;                     \
            call;                               \
            (void)out;                          \
            (void)ret;                          \
            rows_same(#name, &c);               \
            guards_free();                      \
        }                                       \
    }
CHECK_ROWS(rms_norm, *ret = K->rms_norm(out[0], c.x, c.y, c.n, 1e-5f))
CHECK_ROWS(rms_norm_in_place, *ret = K->rms_norm(out[0], out[0], c.y, c.n, 1e-5f))
CHECK_ROWS(rms_norm_backward, K->rms_norm_backward(out[0], c.x, c.y, c.z, c.n, 0.37f))
CHECK_ROWS(swiglu, K->swiglu(out[0], c.x, c.y, c.n))
CHECK_ROWS(swiglu_backward, K->swiglu_backward(out[0], out[1], c.z, c.x, c.y, c.n))
CHECK_ROWS(geglu, K->geglu(out[0], c.x, c.y, c.n))
CHECK_ROWS(geglu_backward, K->geglu_backward(out[0], out[1], c.z, c.x, c.y, c.n))
CHECK_ROWS(softcap, (memcpy(out[0], c.x, c.n * sizeof(float)), K->softcap(out[0], c.n, 0.125f, 20.0f)))
CHECK_ROWS(softmax, (memcpy(out[0], c.x, c.n * sizeof(float)), *ret = K->softmax(out[0], c.n, 0.125f)))
CHECK_ROWS(dot, *ret = K->dot(c.x, c.y, c.n))
CHECK_ROWS(log_sum_exp, *ret = K->log_sum_exp(c.x, c.n))
CHECK_ROWS(cross_entropy_backward, K->cross_entropy_backward(out[0], c.x, c.n, 1.5f, c.n / 2, 0.25f))
CHECK_ROWS(add, K->add(out[0], c.x, c.n))
CHECK_ROWS(axpy, K->axpy(out[0], -1.7f, c.x, c.n))
CHECK_ROWS(scale, K->scale(out[0], 1.3f, c.n))
CHECK_ROWS(adamw, (memcpy(out[2], c.z, c.n * sizeof(float)),
                   K->adamw(out[0], out[1], out[2], c.x, c.n, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.19f, 0.002f)))

static void check_rope(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < 120; i++, guards_free()) {
        size_t n_head = up_to(4), half = odd_size(70), d_head = 2 * half + up_to(5) - 1;
        float *a = i % 3 ? ordinary(n_head * d_head) : extreme(n_head * d_head), *b = copied(a, n_head * d_head);
        float *cos = ordinary(half), *sin = ordinary(half), sign = i % 4 < 2 ? 1.0f : -1.0f;
        k->rope(a, n_head, d_head, 2 * half, cos, sin, i % 2, sign);
        s.rope(b, n_head, d_head, 2 * half, cos, sin, i % 2, sign);
        same_bits("rope", a, b, n_head * d_head);
    }
}

/* --- bfloat16 products --- */

/* [k / 2][16][2] from p[k][16], n_k inputs: over KERN_BF16_TIMES, rounded once; or, integers where tiles are, within
 * half a unit and an eighth of one, and 2^-10 of the largest of the row's part. */
static void panel_close(const struct kern *k, int type, const uint16_t *panel, const float *p, size_t n_k)
{
    for (size_t j = 0; j < n_k * KERN_ROWS; j++) {
        size_t at = j / 32 * 2 + j % 2, row = j / 2 % KERN_ROWS, part = at / KERN_K * KERN_K;
        float exact = p[at * KERN_ROWS + row] / KERN_BF16_TIMES, most = 0, got = bf16_value(panel[j]);
        for (size_t i = part; i < part + KERN_K; i++) {
            most = fmaxf(most, fabsf(p[i * KERN_ROWS + row] / KERN_BF16_TIMES));
        }
        bool twice = k->isa == KERN_AMX && quants[type]->block_len > 1;
        float off = twice ? 0x1.21p-8f * fabsf(exact) + 0x1p-10f * most + 0x1p-31f : 0;
        if (panel[j] != bf16_bits(exact) && !(fabsf(got - exact) <= off)) {
            fail_msg("%s as bfloat16: input %zu of row %zu is %a, should be %a", quants[type]->name, at, row,
                     (double)got, (double)exact);
        }
    }
}

static void check_readers_bf16(void **state)
{
    const struct kern *k = *state;
    struct kern s;
    kern_fill(&s, KERN_SCALAR);
    for (int i = 0; i < 10 * QUANT_COUNT; i++, guards_free()) {
        int type = i % QUANT_COUNT;
        size_t n_block = blocks_up_to(type, 16), n = n_block * (size_t)quants[type]->packed_k * KERN_ROWS;
        size_t ld = KERN_K + up_to(9) - 1, part = up_to((size_t)quants[type]->packed_k / KERN_K) - 1;
        void *packed = packed_draw(type, n_block, true);
        uint16_t *a = guarded(n * 2), *c = guarded((7 * ld + KERN_K) * 4);
        float *b = floats(n), *d = floats(KERN_ROWS * KERN_K);
        size_t n_part = n / (KERN_K * KERN_ROWS), first = up_to(n_part) - 1;
        k->quant[type].panel_bf16(a, packed, 0, first);
        k->quant[type].panel_bf16(a + first * KERN_K * KERN_ROWS, packed, first, n_part - first);
        s.quant[type].panel(b, packed, n_block);
        panel_close(k, type, a, b, n / KERN_ROWS);
        k->quant[type].rows_bf16(c, ld, packed, part);
        s.quant[type].rows(d, KERN_K, packed, part);
        for (size_t j = 0; j < KERN_ROWS * KERN_K; j++) { /* [row / 2][ld][2] */
            size_t r = j / KERN_K, col = j % KERN_K;
            assert_int_equal(c[(r / 2 * ld + col) * 2 + r % 2], bf16_bits(d[j]));
        }
    }
}

struct tiles {
    size_t n_row, n_group, n_k, ldx, ldy, stride;
    uint16_t *x, *p;
    float *y;
};

static void tiles_close(const struct tiles *t, const float *y, bool accumulate)
{
    for (size_t i = 0; i < t->n_row * 16 * t->n_group; i++) {
        size_t r = i / (16 * t->n_group), c = i % (16 * t->n_group);
        double want = accumulate ? (double)t->y[r * t->ldy + c] : 0, size = fabs(want);
        for (size_t k = 0; k < t->n_k; k++) {
            uint16_t w = t->p[c / 16 * t->stride + k / 2 * 32 + c % 16 * 2 + k % 2];
            double v = (double)bf16_value(t->x[r * t->ldx + k]) * (double)bf16_value(w);
            want += v;
            size += fabs(v);
        }
        if (!(fabs((double)y[r * t->ldy + c] - want) <= 1e-5 * size)) {
            fail_msg("gemm_bf16 %zu x %zu x %zu: row %zu column %zu is %g, should be %g", t->n_row, 16 * t->n_group,
                     t->n_k, r, c, (double)y[r * t->ldy + c], want);
        }
    }
}

static uint16_t *bf16_draw(size_t n)
{
    uint16_t *x = guarded(n * 2);
    for (size_t i = 0; i < n; i++) {
        x[i] = bf16_bits((float)rng_normal(seed, 5, draw++));
    }
    return x;
}

static void check_gemm_bf16(void **state)
{
    const struct kern *k = *state;
    for (int i = 0; i < 40; i++, guards_free()) {
        struct tiles t = {.n_row = odd_size(70), .n_group = up_to(4), .n_k = 32 * up_to(i % 8 == 0 ? 20 : 4)};
        t.ldx = t.n_k + 32 * (up_to(2) - 1);
        t.ldy = 16 * t.n_group + up_to(3) - 1;
        t.stride = t.n_k * 16 + 64 * (up_to(2) - 1);
        t.x = bf16_draw((t.n_row - 1) * t.ldx + t.n_k);
        t.p = bf16_draw((t.n_group - 1) * t.stride + t.n_k * 16);
        size_t n = (t.n_row - 1) * t.ldy + 16 * t.n_group, r = up_to(t.n_row) - 1;
        t.y = ordinary(n);
        float *y = copied(t.y, n), *one = copied(t.y + r * t.ldy, 16 * t.n_group);
        k->gemm_bf16(y, t.ldy, t.x, t.ldx, t.p, t.stride, t.n_row, t.n_group, t.n_k, i % 2);
        tiles_close(&t, y, i % 2);
        k->gemm_bf16(one, t.ldy, t.x + r * t.ldx, t.ldx, t.p, t.stride, 1, t.n_group, t.n_k, i % 2);
        same_bits("gemm_bf16, one row", one, y + r * t.ldy, 16 * t.n_group);
    }
}

/* Packed weights, in every number of rows and groups, at chunks of k and past them: the bits of their panels' product.
 */
static void check_product_bf16(void **state)
{
    const struct kern *k = *state;
    if (k->product_bf16 == NULL) return;
    for (int i = 0; i < 6 * QUANT_COUNT; i++, guards_free()) {
        void *room = guarded(KERN_PRODUCT_ROOM);
        enum quant_type type = (enum quant_type)(i % QUANT_COUNT);
        size_t n_block = blocks_up_to(type, i % 3 == 0 ? 40 : 6), n_k = n_block * (size_t)quants[type]->packed_k;
        size_t n_row = up_to(i % 2 ? 70 : 150), n_group = up_to(6), ldx = n_k + 32, ldy = 16 * n_group + 3;
        size_t group_bytes = n_block * quants[type]->packed_bytes;
        uint8_t *packed = packed_draw((int)type, n_block * n_group, true);
        uint16_t *x = bf16_draw(n_row * ldx), *p = guarded(n_group * n_k * 32);
        float *y = ordinary(n_row * ldy), *want = copied(y, n_row * ldy);
        for (size_t g = 0; g < n_group; g++) {
            k->quant[type].panel_bf16(p + g * n_k * 16, packed + g * group_bytes, 0, n_k / KERN_K);
        }
        const struct kern_groups w = {type, packed, group_bytes, n_group};
        k->product_bf16(k, y, ldy, x, ldx, &w, n_row, n_k, i % 2, room);
        k->gemm_bf16(want, ldy, x, ldx, p, n_k * 16, n_row, n_group, n_k, i % 2);
        same_bits("product_bf16", y, want, n_row * ldy);
    }
}

/* Weights that are floats as they stand: the bits of gemm_f32 on their panels, in every number of rows. */
static void check_gemm_few(void **state)
{
    const struct kern *k = *state;
    for (int i = 0; i < 3 * 40; i++, guards_free()) {
        enum quant_type type = (enum quant_type)(i % 3); /* F32, F16, BF16 */
        size_t n_row = (size_t)i / 3 + 1, n_block = up_to(5), n_k = n_block * KERN_K - (up_to(KERN_K) - 1);
        size_t n_group = up_to(3), ldx = n_k + up_to(5) - 1, ldy = KERN_ROWS * n_group + up_to(5) - 1;
        size_t group_bytes = n_block * quants[type]->packed_bytes;
        uint8_t *packed = packed_draw((int)type, n_block * n_group, true);
        float *x = ordinary((n_row - 1) * ldx + n_k), *panel = floats(n_block * KERN_K * KERN_ROWS);
        float *y = ordinary(n_row * ldy), *want = copied(y, n_row * ldy);
        if (k->quant[type].gemm_few == NULL) {
            continue;
        }
        k->quant[type].gemm_few(y, ldy, x, ldx, packed, group_bytes, n_group, n_row, n_k);
        for (size_t g = 0; g < n_group; g++) {
            k->quant[type].panel(panel, packed + g * group_bytes, n_block);
            k->gemm_f32(want + g * KERN_ROWS, ldy, x, ldx, 1, panel, KERN_ROWS, n_row, KERN_ROWS, n_k, false);
        }
        same_bits(quants[type]->name, y, want, n_row * ldy);
    }
}

/* Ranges ascend, do not touch, and end. */
static void slow_ascend(const struct kern_slow *s)
{
    for (int before = 1; s->last; before = s->last, s++) {
        if (s->first <= before + 1 || s->last < s->first) fail_msg("range %d to %d after %d", s->first, s->last, before);
    }
}

static void check_slow_rows(void **state)
{
    const struct kern *k = *state;
    slow_ascend(k->slow_f32);
    slow_ascend(k->slow_q8);
    slow_ascend(k->slow_bf16);
}

/* --- the list --- */

#define KERN_CHECKS(X)                                                                                  \
    X(gemm_ref)                                                                                         \
    X(gemm_f32)                                                                                         \
    X(readers)                                                                                          \
    X(quantize_q8)                                                                                      \
    X(gemm_q8)                                                                                          \
    X(gemm_few)                                                                                         \
    X(slow_rows)                                                                                        \
    X(conversions)                                                                                      \
    X(rms_norm)                                                                                         \
    X(rms_norm_in_place)                                                                                \
    X(rms_norm_backward)                                                                                \
    X(swiglu) X(swiglu_backward) X(geglu) X(geglu_backward) X(softcap) X(softmax) X(dot) X(log_sum_exp) \
        X(cross_entropy_backward) X(add) X(axpy) X(scale) X(adamw) X(rope)
#define BF16_CHECKS(X) X(readers_bf16) X(gemm_bf16) X(product_bf16)

#endif
