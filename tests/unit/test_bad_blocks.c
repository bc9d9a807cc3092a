/* Blocks of any bytes, with scales that are NaN or infinite: every path of the device computes them at every
 * instruction set, in every precision, and comes to its end; what comes out is nobody's promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "compute/device/device.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"

enum { N_OUT = 70, MAX_TOK = 40 };

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

/* Rows of random bytes; every third block has a scale that is no number. */
static uint8_t *garbage(enum quant_type type, size_t n_in, uint64_t stream)
{
    const struct quant *q = quants[type];
    static const uint16_t bad[] = {0x7c00, 0xfc00, 0x7e00, 0xffff};
    size_t n = N_OUT * n_in / (size_t)q->block_len * q->block_bytes;
    uint8_t *p = mem_alloc(n);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rng_below(256, 5, stream, i);
    for (size_t b = 0; b * q->block_bytes < n; b += 3)
        for (int s = 0; s < 2; s++)
            if (q->scale_at[s] >= 0) memcpy(p + b * q->block_bytes + q->scale_at[s], &bad[(b / 3 + (size_t)s) % 4], 2);
    return p;
}

static void compute(struct dev *d, const struct dev_mat *m, size_t n_in, enum dev_mode mode, int n_tok)
{
    struct err e;
    float *x, *y, *dx;
    must(dev_alloc(d, &x, MAX_TOK * n_in, &e), &e);
    must(dev_alloc(d, &y, MAX_TOK * N_OUT, &e), &e);
    must(dev_alloc(d, &dx, MAX_TOK * n_in, &e), &e);
    for (size_t i = 0; i < MAX_TOK * n_in; i++) x[i] = (float)rng_normal(3, 1, i);
    x[5] = INFINITY;
    x[n_in + 1] = NAN;
    struct dev_segment s = {.n_tok = n_tok, .adapter = -1};
    struct dev_batch b = {.mode = mode, .n_tok = n_tok, .segment = &s, .n_segment = 1};
    struct dev_proj p = {.w = m, .fine = n_tok % 3 * FINE_HALF};
    int32_t ids[MAX_TOK];
    for (int i = 0; i < MAX_TOK; i++) ids[i] = i;
    dev_linear_add(d, &b, &p, NULL, x, y);
    dev_embed(d, x, m, ids, n_tok, 1.0f);
    struct dev_head h = {.norm = dx, .eps = 1e-5f, .out = p, .scale = 1};
    dev_head(d, &b, &h, x, NULL, n_tok, y);
    dev_release(d, x);
    dev_release(d, y);
    dev_release(d, dx);
}

static void every_path_ends(void **state)
{
    (void)state;
    static const int n_tok[] = {1, 5, MAX_TOK};
    struct err e;
    for (int isa = 0; isa <= (int)kern_isa_detect(); isa++)
        for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++) {
            struct dev *d;
            struct dev_options opt = {.n_thread = 2, .precision = (enum precision)precision, .isa = (enum kern_isa)isa};
            must(dev_cpu_new(&d, &opt, &e), &e);
            for (int t = 0; t < QUANT_COUNT; t++) {
                struct dev_mat *m;
                size_t n_in = (size_t)quants[t]->packed_k * 2;
                uint8_t *rows = garbage((enum quant_type)t, n_in, (uint64_t)t);
                must(dev_mat_new(d, &m, (enum quant_type)t, N_OUT, n_in, &e), &e);
                dev_mat_put(d, m, rows, 0, N_OUT);
                for (int i = 0; i < 3; i++)
                    for (int mode = DEV_SERVE; mode <= DEV_TRAIN; mode++)
                        compute(d, m, n_in, (enum dev_mode)mode, n_tok[i]);
                dev_mat_free(m);
                mem_free(rows);
            }
            dev_free(d);
        }
}

/* What dequantize makes of any bytes is the same as what the panel is computed from, NaN or not: nothing is skipped. */
static void bad_scales_are_seen(void **state)
{
    (void)state;
    for (int t = 0; t < QUANT_COUNT; t++) {
        const struct quant *q = quants[t];
        if (q->scale_at[0] < 0) continue;
        uint8_t block[300] = {0};
        float x[QUANT_K];
        memset(block, 0x35, sizeof block);
        const uint16_t nan = 0x7e00;
        memcpy(block + q->scale_at[0], &nan, 2);
        q->dequantize(x, block, (size_t)q->block_len);
        bool seen = false;
        for (int i = 0; i < q->block_len; i++) seen = seen || isnan(x[i]);
        if (!seen) fail_msg("%s: a NaN scale gives finite values", q->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_path_ends),
        cmocka_unit_test(bad_scales_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
